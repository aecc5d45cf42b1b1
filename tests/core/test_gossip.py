"""Gossip: what is published becomes segments, what is new goes on once, what is known is counted."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, strategies as st

from tests.core.harness import (
    CODEC,
    EPOCH,
    WALL,
    PeerBench,
    config,
    messages_of,
    neighbour,
    notice_segment,
    peer,
    segment,
    spoiled,
    steady,
)
from tests.core.mesh import Mesh
from zmqgossip.core import outbox
from zmqgossip.core.codes import Code
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.errors import PayloadTooLarge, ZmqGossipError
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.messages import Message
from zmqgossip.core.types import PeerState
from zmqgossip.core.wire import FLAG_MEMBERSHIP, HOPS_MAX, SEGMENT_BYTES, message_bytes, propagated

DAY_MS = 86_400_000
HOPS, FIXED = slice(14, 18), slice(18, None)


def publisher(**knobs: int) -> PeerBench:
    return PeerBench(knobs=config(**knobs))


def publish(bench: PeerBench, *payloads: bytes) -> None:
    bench.call(bench.engine.publish, [("topic", payload) for payload in payloads])


def received(bench: PeerBench) -> list[bytes]:
    """The payloads that were delivered, own ones included."""
    return [message.payload for segment in bench.deliveries for message in messages_of(segment.frame).messages]


# -- publishing -----------------------------------------------------------------------------------------------------------


def test_a_message_goes_out_as_1133_from_its_origin() -> None:
    bench = publisher()
    publish(bench, b"hello")
    (frame,) = bench.segments
    header, body = CODEC.decode_segment(frame), messages_of(frame)
    me = bench.engine.me
    assert (header.code, header.hops, header.origin, header.epoch, header.number) == (Code.GOSSIP, 0, me.id, me.epoch, 1)
    assert (header.message_count, header.flags) == (1, 0)
    assert (body.host, body.port, body.first) == (me.host, me.port, 1)
    assert body.messages == [Message(WALL, "topic", b"hello")]


def test_ones_own_messages_are_delivered_once_too_and_nobody_brought_them() -> None:
    bench = publisher()
    publish(bench, b"hello")
    (delivered,) = bench.deliveries
    assert delivered.frame == bench.segments[0] and delivered.brought is None


def test_an_empty_batch_publishes_nothing() -> None:
    bench = publisher()
    publish(bench)
    assert bench.effects == [] and bench.engine.gossip.number == 0


def test_what_is_published_together_shares_a_segment() -> None:
    bench = publisher()
    publish(bench, *[b"x"] * 1000)
    (frame,) = bench.segments
    assert CODEC.decode_segment(frame).message_count == 1000
    assert bench.count("published.messages") == 1000 and bench.count("published.segments") == 1


def test_a_batch_that_does_not_fit_is_split_and_the_count_goes_on() -> None:
    bench = publisher()
    payloads = [bytes([number]) * 20_000 for number in range(1, 8)]
    publish(bench, *payloads)
    bodies = [messages_of(frame) for frame in bench.segments]
    assert [len(body.messages) for body in bodies] == [3, 3, 1]
    assert [body.first for body in bodies] == [1, 4, 7]
    assert [CODEC.decode_segment(frame).number for frame in bench.segments] == [1, 2, 3]
    publish(bench, b"next")
    assert messages_of(bench.segments[-1]).first == 8


def test_the_count_goes_on_over_membership_segments_which_take_a_number_but_no_count() -> None:
    bench = publisher()
    publish(bench, b"1")
    bench.engine.gossip.announce(bench.engine.me, bench.engine.me, PeerState.ALIVE)
    publish(bench, b"2")
    headers = [CODEC.decode_segment(frame) for frame in bench.segments]
    assert [(header.number, header.message_count) for header in headers] == [(1, 1), (2, 0), (3, 1)]
    assert messages_of(bench.segments[2]).first == 2


@steady
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40), st.integers(3300, 9000))
def test_segments_hold_every_message_in_order_and_none_exceeds_its_limit(sizes: list[int], segment_bytes_max: int) -> None:
    bench = publisher(segment_bytes_max=segment_bytes_max)
    payloads = [bytes([place]) * size for place, size in enumerate(sizes)]
    publish(bench, *payloads)
    bodies = [messages_of(frame) for frame in bench.segments]
    assert [message.payload for body in bodies for message in body.messages] == payloads
    assert all(len(frame) - SEGMENT_BYTES <= segment_bytes_max for frame in bench.segments)
    assert [body.first for body in bodies] == [1 + sum(len(body.messages) for body in bodies[:place]) for place in range(len(bodies))]
    assert received(bench) == payloads


SIZE_MAX = 60_000
LARGEST = SIZE_MAX - message_bytes(Message(WALL, "topic", bytes(SIZE_MAX))) + SIZE_MAX
"""Bytes of the largest payload that fits with this topic."""


def test_a_message_of_exactly_the_largest_size_goes_out() -> None:
    bench = publisher(message_bytes_max=SIZE_MAX)
    publish(bench, bytes(LARGEST))
    assert received(bench) == [bytes(LARGEST)]


def test_one_message_too_large_and_nothing_of_the_batch_goes_out() -> None:
    bench = publisher(message_bytes_max=SIZE_MAX)
    with pytest.raises(PayloadTooLarge) as caught:
        publish(bench, *[bytes(30_000)] * 5, bytes(LARGEST + 1))
    assert (caught.value.size, caught.value.size_max) == (SIZE_MAX + 1, SIZE_MAX)
    bench.drain()
    assert bench.effects == []
    publish(bench, b"after")
    assert messages_of(bench.segments[0]).first == 1 and CODEC.decode_segment(bench.segments[0]).number == 1


def test_a_message_larger_than_a_segment_is_refused_whatever_the_limit_of_messages() -> None:
    bench = publisher(segment_bytes_max=1024, message_bytes_max=60_000)
    with pytest.raises(PayloadTooLarge):
        publish(bench, bytes(1000))


@pytest.mark.parametrize(
    "topic",
    ["t" * 201, "\ud800", "x\udfff", "", "prices..btc", ".btc", "prices.*", "a>b"],
    ids=["too long", "half a pair", "the other half", "empty", "empty token", "empty at the front", "one", "rest"],
)
def test_a_topic_that_no_receiver_would_accept_is_refused_before_it_goes_out(topic: str) -> None:
    bench = publisher()
    with pytest.raises(ZmqGossipError):
        bench.call(bench.engine.publish, [("good", b""), (topic, b"")])
    bench.drain()
    assert bench.effects == []


@pytest.mark.parametrize("topic", ["t" * 200, "prices.\u20bf", "\U0001f41f"])
def test_any_other_topic_arrives_as_it_was(topic: str) -> None:
    bench = publisher()
    bench.call(bench.engine.publish, [(topic, b"")])
    assert [message.topic for message in messages_of(bench.segments[0]).messages] == [topic]


# -- receiving ------------------------------------------------------------------------------------------------------------


def linked() -> PeerBench:
    """A peer with two neighbours, 2 and 3."""
    bench = PeerBench()
    neighbour(bench, 2)
    neighbour(bench, 3)
    bench.forget()
    return bench


def test_a_new_segment_is_delivered_and_forwarded_once_with_one_hop_more() -> None:
    bench = linked()
    frame = segment(peer(9), 5, [b"a", b"b"])
    bench.gossip(bench.link(peer(2)).key, frame)
    (forwarded,) = bench.segments
    header = CODEC.decode_segment(forwarded)
    assert (header.code, header.hops) == (Code.PROPAGATED, 1)
    assert forwarded[: HOPS.start] == frame[: HOPS.start] and forwarded[FIXED] == frame[FIXED]
    (delivered,) = bench.deliveries
    assert delivered.frame == frame and delivered.brought == (peer(2).id, peer(2).endpoint)
    assert bench.count("received.messages") == 2 and bench.count("forwarded.segments") == 1


@pytest.mark.parametrize(("hops", "after"), [(1, 2), (DEFAULT.hops_max - 1, DEFAULT.hops_max)])
def test_a_propagated_segment_keeps_its_code_and_counts_on(hops: int, after: int) -> None:
    bench = linked()
    bench.gossip(bench.link(peer(2)).key, propagated(segment(peer(9), 1), hops - 1))
    header = CODEC.decode_segment(bench.segments[0])
    assert (header.code, header.hops) == (Code.PROPAGATED, after)


@pytest.mark.parametrize("hops", [DEFAULT.hops_max, HOPS_MAX])
def test_a_segment_that_has_come_too_far_is_delivered_and_not_passed_on(hops: int) -> None:
    bench = linked()
    bench.gossip(bench.link(peer(2)).key, propagated(segment(peer(9), 1), hops - 1))
    assert len(bench.of(outbox.DELIVER)) == 1
    assert bench.segments == [] and bench.count("dropped.hops") == 1


@pytest.mark.parametrize("bringer", [2, 3])
def test_a_known_segment_is_counted_and_goes_nowhere(bringer: int) -> None:
    bench = linked()
    frame = segment(peer(9), 1)
    bench.gossip(bench.link(peer(2)).key, frame)
    bench.forget()
    bench.gossip(bench.link(peer(bringer)).key, propagated(frame, 3))
    assert bench.effects == [] and bench.count("duplicates.known") == 1


def test_ones_own_segment_that_comes_back_is_counted_and_goes_nowhere() -> None:
    bench = linked()
    publish(bench, b"x")
    (frame,) = bench.segments
    bench.forget()
    bench.gossip(bench.link(peer(2)).key, propagated(frame, 0))
    assert bench.effects == [] and bench.count("duplicates.own") == 1 and bench.count("duplicates.known") == 0


def test_a_gap_holds_nothing_back_and_is_counted() -> None:
    bench = linked()
    for number in (1, 4, 3):
        bench.gossip(bench.link(peer(2)).key, segment(peer(9), number, [b"%d" % number]))
    assert received(bench) == [b"1", b"4", b"3"]
    assert bench.engine.gossip.streams.missing == 1


def test_another_life_of_an_origin_is_another_stream() -> None:
    bench = linked()
    for life in (0, 1):
        bench.gossip(bench.link(peer(2)).key, segment(peer(9, epoch=EPOCH + life), 1))
    assert len(bench.deliveries) == 2


@pytest.mark.parametrize(("ahead_ms", "taken"), [(DAY_MS - 1000, True), (DAY_MS + 1000, False)])
def test_a_stream_that_begins_more_than_a_day_ahead_is_refused(ahead_ms: int, taken: bool) -> None:
    bench = linked()
    bench.gossip(bench.link(peer(2)).key, segment(peer(9, epoch=EPOCH + ahead_ms), 1))
    assert len(bench.segments) == len(bench.deliveries) == taken
    assert bench.count("refused.epoch") == (not taken)


def test_membership_is_forwarded_and_not_delivered() -> None:
    bench = linked()
    frame = notice_segment(peer(9), 1, Notice(peer(9), PeerState.ALIVE))
    bench.gossip(bench.link(peer(2)).key, frame)
    assert [segment[FIXED] for segment in bench.segments] == [frame[FIXED]]
    assert bench.deliveries == [] and bench.state_of(peer(9)) is PeerState.ALIVE


def test_a_refused_segment_is_neither_forwarded_nor_remembered() -> None:
    bench = linked()
    key = bench.link(peer(2)).key
    bench.gossip(key, spoiled(segment(peer(9), 1)))
    bench.gossip(key, CODEC.encode_segment(peer(9).id, EPOCH, 1, 0, FLAG_MEMBERSHIP, b"no notices"))
    assert bench.segments == [] and bench.count("refused.check") == bench.count("refused.body") == 1
    bench.gossip(key, segment(peer(9), 1))
    assert len(bench.segments) == 1, "the real segment of that number is still new"


def test_a_frame_of_a_link_that_is_gone_is_dropped_and_counted() -> None:
    bench = linked()
    bench.gossip(9999, segment(peer(9), 1))
    assert bench.effects == [] and bench.count("dropped.link_gone") == 1


def test_a_segment_with_no_messages_in_it_is_passed_on_and_not_delivered() -> None:
    bench = linked()
    bench.gossip(bench.link(peer(2)).key, CODEC.encode_segment(peer(9).id, EPOCH, 1, 0, 0, b""))
    assert len(bench.segments) == 1 and bench.deliveries == []


# -- together -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("luck", range(3))
def test_every_message_reaches_every_other_peer_once_whatever_overtakes_whatever(luck: int) -> None:
    mesh = Mesh(luck)
    seed = mesh.seed(1)
    peers = [mesh.peer(number, seeds=[seed]) for number in range(1, 9)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(5)
    order = Random(luck)
    for round_ in range(3):
        for place in order.sample(peers, len(peers)):
            mesh.do(place, "publish", [("topic", b"%d of %d" % (round_, peers.index(place)))])
    mesh.settle()
    for place in peers:
        got = sorted(message.payload for segment in place.delivered for message in messages_of(segment.frame).messages)
        assert got == sorted(b"%d of %d" % (round_, number) for round_ in range(3) for number in range(8))
        assert place.engine.gossip.streams.missing == 0


def test_in_a_chain_the_segment_passes_from_hand_to_hand() -> None:
    mesh = Mesh()
    one_link = config(neighbours_dialled=1, neighbours_max=1)
    first, middle, last = mesh.peer(1, knobs=one_link), mesh.peer(2), mesh.peer(3, knobs=one_link)
    mesh.introduce(first, middle)
    mesh.introduce(last, middle)
    mesh.run(DEFAULT.sync_alone_s)  # there is no seed: who is first among them takes its time
    mesh.do(first, "publish", [("topic", b"x")])
    mesh.settle()
    (segment,) = last.delivered
    header = CODEC.decode_segment(segment.frame)
    assert header.origin == first.engine.me.id and header.hops == 1
    assert segment.brought == (middle.engine.me.id, middle.engine.me.endpoint)
