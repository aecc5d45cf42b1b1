"""Walks: two nodes whose settled streams differ find out which, and pull."""

from __future__ import annotations

from tests.core.harness import CODEC, peer, segment
from tests.core.mesh import Mesh
from tests.core.streaming import ORIGIN, begun, numbers, own, position, pulls
from zmqgossip.core import outbox
from zmqgossip.core.gossip_messages import BUCKETS, Synced, Walk, Walked
from zmqgossip.core.wire import bucket_of

BUCKET = bucket_of(ORIGIN.id)


def test_equal_hashes_cost_nothing_and_different_ones_a_walk_at_most_twice_a_second() -> None:
    bench, (far,) = begun(2)
    root = bench.engine.gossip.streams.root
    far.asks(Synced(far.link.mine, root))
    assert bench.sent(Walk) == []
    for _ in range(3):
        far.asks(Synced(far.link.mine, root ^ 1))
    assert len(bench.sent(Walk)) == 1
    bench.wait(0.6)
    far.asks(Synced(far.link.mine, root ^ 1))
    assert len(bench.sent(Walk)) == 2


def test_hashes_lead_to_buckets_buckets_to_streams_and_streams_to_pulls() -> None:
    bench, (far,) = begun(2)
    folds = list(bench.engine.gossip.streams.folds)
    folds[BUCKET] ^= 5
    far.reply(Walked(folds, []))
    assert [body.buckets for _, body in bench.sent(Walk)] == [[BUCKET]]
    far.reply(Walked([], [position(ORIGIN, 3)]))
    bench.wait(0.1)
    assert [body.ranges for _, body, _ in pulls(bench)] == [[(1, 3)]]


def test_the_answers_are_the_hashes_or_the_streams_of_buckets() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    bench.wait(4.0)
    bench.forget()
    far.asks(Walk(far.link.mine, []))
    far.asks(Walk(far.link.mine, [BUCKET]))
    hashes, streams = bench.replies(Walked)
    assert len(hashes.hashes) == BUCKETS and hashes.hashes[BUCKET] and hashes.streams == []
    assert streams.hashes == [] and streams.streams == [position(ORIGIN, 1)]


def test_everything_different_asks_for_every_bucket_sixteen_at_a_time() -> None:
    bench, (far,) = begun(2)
    far.reply(Walked([fold ^ 1 for fold in bench.engine.gossip.streams.folds], []))
    asked = [body.buckets for _, body in bench.sent(Walk)]
    assert [number for buckets in asked for number in buckets] == list(range(BUCKETS)) and len(asked) == 16


def test_ones_own_stream_is_not_pulled_by_anybodys_word() -> None:
    bench, (far,) = begun(2)
    far.reply(Walked([], [position(bench.engine.me, own(bench).highest + 5)]))
    bench.wait(1.0)
    assert pulls(bench) == []


def test_two_that_have_settled_apart_exchange_all_when_they_are_linked() -> None:
    mesh = Mesh()
    one, other = mesh.peer(1), mesh.peer(2)
    for place in (one, other):
        mesh.do(place, "start")
    mesh.introduce(one, other)
    mesh.run(3.0)
    for place, mate in ((one, other), (other, one)):
        link = place.engine.view.by_peer(mate.engine.me.id)
        assert link is not None
        place.engine.membership.lose(link, "a test", mesh.now)
        place.engine.outbox.drain()
    for place in (one, other):
        for number in range(3):
            mesh.do(place, "publish", [("t", b"%d" % number, 0.0)])
    mesh.run(10.0)
    mesh.introduce(one, other)
    mesh.run(20.0)
    assert one.engine.gossip.streams.root == other.engine.gossip.streams.root
    for place, mate in ((one, other), (other, one)):
        got = [segment.header.first for segment in place.delivered if segment.header.origin == mate.engine.me.id]
        assert got == [1, 2, 3]


def test_a_walk_of_an_unknown_link_is_refused() -> None:
    bench, (far,) = begun(2)
    bench.forget()
    far.asks(Walk(b"nobodys!", []))
    assert bench.replies(Walked) == [] and len(bench.of(outbox.REPLY)) == 1
    assert numbers(bench, peer(9)) == [] and CODEC.cluster
