"""Walks: two nodes whose settled streams or members differ find out which."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.harness import CODEC, WALL, Far, PeerBench, members, notice_segment, peer, segment
from tests.core.mesh import Mesh
from tests.core.streaming import ORIGIN, begun, numbers, own, position, pulls
from tests.core.test_members import ALIVE, DEAD, LEFT, SUSPECT
from zmqgossip.core import outbox
from zmqgossip.core.gossip_messages import BUCKETS, WALKED_MEMBERS_MAX, Notice, Synced, Walk, Walked
from zmqgossip.core.hearsay import ASKED_S, CHALLENGE_GAP_S, HEARD_S
from zmqgossip.core.messages import Probe, Reply
from zmqgossip.core.types import Member, PeerRecord, PeerState
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


def begins(far: Far) -> None:
    """The neighbour's streams are otherwise than here: it is asked for the numbers of its buckets."""
    far.asks(Synced(far.link.mine, far.bench.engine.gossip.streams.root ^ 1))
    ((_, walk),) = far.bench.sent(Walk)
    assert walk.buckets == []
    far.bench.forget()


@pytest.mark.parametrize("table", [False, True])
def test_hashes_that_nobody_asked_for_or_that_come_again_ask_for_nothing(table: bool) -> None:
    bench, (far,) = begun(2)
    far.reply(Walked([1] * BUCKETS, [], table))
    assert bench.sent(Walk) == [] and bench.count("dropped.walked_unasked") == 1
    if table:
        compares(far, table_root(bench) ^ 1)
    else:
        begins(far)
    far.reply(Walked([1] * BUCKETS, [], table))
    bench.forget()
    far.reply(Walked([1] * BUCKETS, [], table))
    assert bench.sent(Walk) == [] and bench.count("dropped.walked_unasked") == 2


def test_hashes_lead_to_buckets_buckets_to_streams_and_streams_to_pulls() -> None:
    bench, (far,) = begun(2)
    folds = list(bench.engine.gossip.streams.folds)
    folds[BUCKET] ^= 5
    begins(far)
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
    begins(far)
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


# -- of members -----------------------------------------------------------------------------------------------------------


def table_root(bench: PeerBench) -> int:
    return bench.engine.members.root


def compares(far: Far, table: int) -> None:
    """The neighbour says what stands for its table; its streams are as here."""
    far.asks(Synced(far.link.mine, far.bench.engine.gossip.streams.root, table))


def asked_of_table(bench: PeerBench) -> list[Walk]:
    return [body for _, body in bench.sent(Walk) if body.table]


def says_of_table(far: Far, *members: Member) -> None:
    far.reply(Walked([], [], True, list(members)))


def held(bench: PeerBench, record: PeerRecord) -> tuple[PeerRecord, PeerState] | None:
    member = bench.engine.members.get(record.id)
    return None if member is None else (member.record, member.state)


def knows(bench: PeerBench, record: PeerRecord, *states: PeerState) -> None:
    for state in states:
        bench.call(lambda now, state=state: bench.engine.membership.learn(record, state, now))


def test_tables_that_are_alike_and_those_that_cannot_be_compared_cost_nothing() -> None:
    bench, (far,) = begun(2)
    compares(far, table_root(bench))
    compares(far, 0)
    assert asked_of_table(bench) == []
    compares(far, table_root(bench) ^ 1)
    assert [body.buckets for body in asked_of_table(bench)] == [[]] and bench.sent(Walk)[0][1].table


def test_numbers_that_led_nowhere_lead_to_a_walk_ever_more_rarely_and_others_at_once() -> None:
    bench, (far,) = begun(2, liveness_interval_s=1000.0)
    walks = []
    for _ in range(400):
        bench.forget()
        compares(far, table_root(bench) ^ 1)
        walks.append(len(asked_of_table(bench)))
        bench.now += 0.5
    assert 8 <= sum(walks) <= 11 and sum(walks[-100:]) <= 2
    bench.forget()
    compares(far, table_root(bench) ^ 2)
    assert len(asked_of_table(bench)) == 1


def test_buckets_that_differ_are_asked_for_as_many_at_once_as_an_answer_holds() -> None:
    bench, (far,) = begun(2)
    for number in range(100, 1100):
        knows(bench, peer(number), ALIVE)
    compares(far, table_root(bench) ^ 1)
    bench.forget()
    far.reply(Walked([fold ^ 1 for fold in bench.engine.members.folds], [], True))
    asked = [body.buckets for body in asked_of_table(bench)]
    assert [number for buckets in asked for number in buckets] == list(range(BUCKETS)) and len(asked) == 4


def test_the_answer_has_the_living_and_the_tombstones_of_a_bucket_and_no_more_than_a_frame_holds() -> None:
    bench, (far,) = begun(2, members_full_max=5000)
    for number in (9, 9 + 256, 10):
        knows(bench, peer(number), ALIVE)
    knows(bench, peer(9), LEFT)
    bench.forget()
    far.asks(Walk(far.link.mine, [9], True))
    far.asks(Walk(far.link.mine, [], True))
    entries, hashes = bench.replies(Walked)
    assert [(entry.record, entry.state) for entry in entries.members] == [(peer(9 + 256), ALIVE), (peer(9), LEFT)]
    assert hashes.hashes == bench.engine.members.folds and hashes.table
    for number in range(1000, 3000):
        long = replace(peer(number), host="fd00:1111:2222:3333:4444:5555:6666:7777", epoch=2**40, revision=2**32 - 1)
        knows(bench, long, ALIVE)
    bench.forget()
    far.asks(Walk(far.link.mine, list(range(BUCKETS)), True))
    assert [len(answer.members) for answer in bench.replies(Walked)] == [WALKED_MEMBERS_MAX]


def test_of_the_living_what_is_unknown_or_newer_is_believed() -> None:
    bench, (far,) = begun(2)
    knows(bench, peer(5), ALIVE)
    knows(bench, peer(6), ALIVE, SUSPECT)
    says_of_table(
        far,
        *members([peer(4, ready=True), peer(5, revision=1), peer(6, ready=True), replace(peer(5, revision=2), port=9)]),
        Member(peer(7), SUSPECT, WALL),
    )
    assert held(bench, peer(4)) == (peer(4, ready=True), ALIVE)
    assert held(bench, peer(5)) == (peer(5, revision=1), ALIVE), "no life has another address"
    assert held(bench, peer(6)) == (peer(6, ready=True), SUSPECT), "a suspicion is one's own"
    assert held(bench, peer(7)) == (peer(7), ALIVE)


def test_a_newer_record_revives_and_an_equal_one_has_the_owner_told() -> None:
    bench, (far,) = begun(2)
    knows(bench, peer(5), ALIVE, DEAD)
    knows(bench, peer(6), ALIVE, DEAD)
    knows(bench, peer(7), ALIVE, LEFT)
    bench.wait(HEARD_S)
    bench.forget()
    says_of_table(far, *members([peer(5, revision=1), peer(6), peer(7)]))
    assert held(bench, peer(5)) == (peer(5, revision=1), ALIVE)
    assert held(bench, peer(6)) == (peer(6), DEAD) and held(bench, peer(7)) == (peer(7), LEFT)
    assert [(notice.record, notice.state) for notice in bench.notices] == [(peer(6), SUSPECT)]
    for _ in range(10):
        says_of_table(far, *members([peer(6)]))
    assert len(bench.notices) == 1


def test_a_neighbour_that_has_not_heard_of_a_death_yet_has_nobody_asked() -> None:
    bench, (far,) = begun(2)
    knows(bench, peer(6), ALIVE, DEAD)
    bench.forget()
    bench.wait(HEARD_S - 0.1)
    says_of_table(far, *members([peer(6)]))
    assert bench.notices == [] and bench.count("challenges.sent") == 0
    bench.wait(0.2)
    says_of_table(far, *members([peer(6)]))
    assert [(notice.record, notice.state) for notice in bench.notices] == [(peer(6), SUSPECT)]


@pytest.mark.parametrize(("asked", "spared"), [(peer(6), 1), (peer(6, revision=2), 1), (peer(6, epoch=5), 0), (peer(7), 0)])
def test_an_owner_that_somebody_has_just_asked_is_dialled_and_not_asked_again(asked: PeerRecord, spared: int) -> None:
    bench, (far,) = begun(2)
    knows(bench, peer(6), ALIVE, DEAD)
    knows(bench, peer(7), ALIVE)
    bench.wait(HEARD_S)
    bench.forget()
    far.gossip(notice_segment(peer(3), 1, Notice(asked, SUSPECT)))
    says_of_table(far, *members([peer(6)]))
    assert bench.count("challenges.spared") == spared and len(bench.notices) == 1 - spared
    assert bench.keys_of(peer(6).endpoint), "it may live where no gossip of this half comes"
    bench.wait(ASKED_S)
    says_of_table(far, *members([peer(6)]))
    assert len(bench.notices) == 2 - spared


def test_the_end_of_a_life_that_is_known_here_is_believed_and_that_of_a_neighbour_is_not() -> None:
    bench, (far, near) = begun(2, 3)
    for number in (5, 6, 7):
        knows(bench, peer(number), ALIVE)
    gone = [Member(record, DEAD, WALL) for record in (near.record, peer(5), peer(7, revision=2000), peer(8))]
    says_of_table(far, *gone, Member(peer(6), LEFT, WALL))
    assert held(bench, near.record) is not None and bench.engine.members.is_living(near.record.id)
    assert held(bench, peer(5)) == (peer(5), DEAD) and held(bench, peer(6)) == (peer(6), LEFT)
    assert held(bench, peer(7)) == (peer(7), ALIVE) and held(bench, peer(8)) is None
    says_of_table(far, Member(peer(6), DEAD, WALL), Member(peer(5), LEFT, WALL))
    assert held(bench, peer(6)) == (peer(6), LEFT), "it said so itself"
    assert held(bench, peer(5)) == (peer(5), LEFT)


def test_who_stands_dead_in_a_neighbours_table_answers_with_a_newer_record() -> None:
    bench, (far,) = begun(2)
    says_of_table(far, Member(bench.engine.me, DEAD, WALL))
    assert bench.engine.me.revision == 1 and [notice.state for notice in bench.notices] == [ALIVE]


def test_a_partial_peer_says_nothing_of_its_table_and_believes_nothing() -> None:
    bench, (far,) = begun(2, members_full_max=10, candidates_max=8)
    bench.told(bench.asked_seeds[0], *(peer(number) for number in range(101, 121)))
    bench.forget()
    assert bench.engine.gossip.walks.roots[1] == 0
    compares(far, 5)
    assert asked_of_table(bench) == []
    says_of_table(far, *members([peer(50)]))
    assert held(bench, peer(50)) is None


def test_probes_and_their_replies_carry_what_stands_for_the_table() -> None:
    bench, (far,) = begun(2)
    bench.wait(13.0)
    assert {probe.table for _, probe in bench.sent(Probe)} == {table_root(bench)}
    bench.forget()
    far.asks(Probe(1.0, 1, far.link.mine, b"12345678", 0, table_root(bench) ^ 1))
    assert [answer.table for answer in bench.replies(Reply)] == [table_root(bench)] and len(asked_of_table(bench)) == 1


def test_whom_a_neighbour_said_to_have_left_and_others_hold_alive_is_told_so() -> None:
    bench, (far, other) = begun(2, 3)
    knows(bench, peer(9), ALIVE)
    says_of_table(far, Member(peer(9), LEFT, WALL))
    assert held(bench, peer(9)) == (peer(9), LEFT)
    bench.wait(HEARD_S)
    bench.forget()
    says_of_table(other, Member(peer(9), ALIVE, WALL))
    assert [(notice.record, notice.state) for notice in bench.notices] == [(peer(9), SUSPECT)] and bench.keys_of(peer(9).endpoint), (
        "it is told, and dialled"
    )
    says_of_table(far, Member(peer(9), DEAD, WALL))
    assert held(bench, peer(9)) == (peer(9), LEFT)


def test_hearsay_about_many_who_were_dead_leads_to_two_dials_at_most_until_they_answer() -> None:
    bench, (far,) = begun(2)
    dead = [peer(number) for number in range(100, 150)]
    for record in dead:
        knows(bench, record, ALIVE, DEAD)
    bench.wait(HEARD_S)
    for _ in range(4):
        says_of_table(far, *(Member(record, ALIVE, WALL) for record in dead[:25]))
    assert bench.count("links.bridges") == 1
    for batch in (dead[:10], dead[10:20], dead[20:30]):
        bench.now += CHALLENGE_GAP_S
        says_of_table(far, *(Member(record, ALIVE, WALL) for record in batch))
    assert bench.count("links.bridges") == 2 == len(bench.engine.view) - bench.engine.view.up_count
