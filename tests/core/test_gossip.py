"""Gossip: what is published becomes segments, what is new goes on once and is delivered in its turn, what is known is counted."""

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
    payloads_of,
    peer,
    segment,
    spoiled,
    steady,
)
from tests.core.mesh import Mesh
from zmqgossip.core import outbox
from zmqgossip.core.codes import Code
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.events import MessagesLost
from zmqgossip.core.gossip_messages import Messages, Notice
from zmqgossip.core.lives import EPOCH_ENDS_S
from zmqgossip.core.types import PeerState
from zmqgossip.core.wire import HOPS_MAX, SEGMENT_BYTES, WAY_END, WAY_START, propagated

DAY_MS = 86_400_000
FIXED = slice(WAY_END, None)
BODY_FIXED_MAX = 66
"""Bytes of a body besides its messages: the longest host, a port, and the heads of five arrays."""


def publisher(**knobs: int) -> PeerBench:
    return PeerBench(knobs=config(**knobs))


def publish(bench: PeerBench, *payloads: bytes) -> None:
    bench.call(bench.engine.publish, [("topic", payload, WALL) for payload in payloads])


def received(bench: PeerBench) -> list[bytes]:
    """The payloads that were delivered, own ones included."""
    return payloads_of(bench.deliveries)


def carried(frame: bytes, hops: int) -> bytes:
    """The segment as it is after so many hops."""
    for _ in range(hops):
        frame = propagated(frame)
    return frame


# -- publishing -----------------------------------------------------------------------------------------------------------


def test_a_message_goes_out_as_1133_from_its_origin() -> None:
    bench = publisher()
    publish(bench, b"hello")
    (frame,) = bench.segments
    header, body = CODEC.decode_segment(frame), messages_of(frame)
    me = bench.engine.me
    assert (header.code, header.hops, header.origin, header.epoch, header.number) == (Code.GOSSIP, 0, me.id, me.epoch, 1)
    assert (header.first, header.message_count, header.flags) == (1, 1, 0)
    assert body == Messages(me.host, me.port, [WALL], ["topic"], [b"hello"])


def test_a_topic_and_a_time_of_all_messages_stand_in_a_segment_once_and_others_one_by_one() -> None:
    bench = publisher()
    bench.call(bench.engine.publish, [("topic", b"1", WALL), ("topic", b"2", WALL)])
    bench.call(bench.engine.publish, [("topic", b"1", WALL), ("other", b"2", WALL + 1)])
    same, different = (messages_of(frame) for frame in bench.segments)
    assert (same.topics, same.sent_at) == (["topic"], [WALL])
    assert (different.topics, different.sent_at) == (["topic", "other"], [WALL, WALL + 1])
    assert list(different.rows()) == [("topic", b"1", WALL), ("other", b"2", WALL + 1)]


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
    headers = [CODEC.decode_segment(frame) for frame in bench.segments]
    assert [(header.number, header.first, header.message_count) for header in headers] == [(1, 1, 3), (2, 4, 3), (3, 7, 1)]
    assert received(bench) == payloads
    publish(bench, b"next")
    assert CODEC.decode_segment(bench.segments[-1]).first == 8


def test_the_count_goes_on_over_membership_segments_which_take_a_number_but_no_count() -> None:
    bench = publisher()
    publish(bench, b"1")
    bench.call(bench.engine.gossip.announce, bench.engine.me, PeerState.ALIVE, [bench.engine.me])
    publish(bench, b"2")
    headers = [CODEC.decode_segment(frame) for frame in bench.segments]
    assert [(header.number, header.first, header.message_count) for header in headers] == [(1, 1, 1), (2, 2, 0), (3, 2, 1)]


@steady
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40), st.integers(3300, 9000))
def test_segments_hold_every_message_in_order_and_none_exceeds_its_limit(sizes: list[int], segment_bytes_max: int) -> None:
    bench = publisher(segment_bytes_max=segment_bytes_max)
    payloads = [bytes([place]) * size for place, size in enumerate(sizes)]
    publish(bench, *payloads)
    headers = [CODEC.decode_segment(frame) for frame in bench.segments]
    assert [payload for frame in bench.segments for payload in messages_of(frame).payloads] == payloads
    assert all(len(frame) - SEGMENT_BYTES <= segment_bytes_max + BODY_FIXED_MAX for frame in bench.segments)
    counts = [header.message_count for header in headers]
    assert [header.first for header in headers] == [1 + sum(counts[:place]) for place in range(len(counts))]
    assert received(bench) == payloads


def test_a_message_larger_than_what_shares_a_segment_has_one_of_its_own() -> None:
    bench = publisher(segment_bytes_max=1024)
    publish(bench, b"small", bytes(DEFAULT.message_bytes_max - len("topic")), b"after")
    assert [CODEC.decode_segment(frame).message_count for frame in bench.segments] == [1, 1, 1]
    assert [len(payload) for payload in received(bench)] == [5, DEFAULT.message_bytes_max - 5, 5]


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
    frame = segment(peer(9), 1, [b"a", b"b"])
    bench.gossip(bench.link(peer(2)).key, frame)
    (forwarded,) = bench.segments
    header = CODEC.decode_segment(forwarded)
    assert (header.code, header.hops) == (Code.PROPAGATED, 1)
    assert forwarded[:WAY_START] == frame[:WAY_START] and forwarded[FIXED] == frame[FIXED]
    (delivered,) = bench.deliveries
    assert delivered.frame == frame and delivered.brought is not None and delivered.brought.endpoint == peer(2).endpoint
    assert bench.count("received.messages") == 2 and bench.count("forwarded.segments") == 1


@pytest.mark.parametrize(("hops", "after"), [(1, 2), (DEFAULT.hops_max - 1, DEFAULT.hops_max)])
def test_a_propagated_segment_keeps_its_code_and_counts_on(hops: int, after: int) -> None:
    bench = linked()
    bench.gossip(bench.link(peer(2)).key, carried(segment(peer(9), 1), hops))
    header = CODEC.decode_segment(bench.segments[0])
    assert (header.code, header.hops) == (Code.PROPAGATED, after)


@pytest.mark.parametrize("hops", [DEFAULT.hops_max, HOPS_MAX])
def test_a_segment_that_has_come_too_far_is_delivered_and_not_passed_on(hops: int) -> None:
    bench = linked()
    bench.gossip(bench.link(peer(2)).key, carried(segment(peer(9), 1), hops))
    assert len(bench.of(outbox.DELIVER)) == 1
    assert bench.segments == [] and bench.count("dropped.hops") == 1


@pytest.mark.parametrize("bringer", [2, 3])
def test_a_known_segment_is_counted_and_goes_nowhere(bringer: int) -> None:
    bench = linked()
    frame = segment(peer(9), 1)
    bench.gossip(bench.link(peer(2)).key, frame)
    bench.forget()
    bench.gossip(bench.link(peer(bringer)).key, carried(frame, 4))
    assert bench.effects == [] and bench.count("duplicates.known") == 1


def test_ones_own_segment_that_comes_back_is_counted_and_goes_nowhere() -> None:
    bench = linked()
    publish(bench, b"x")
    (frame,) = bench.segments
    bench.forget()
    bench.gossip(bench.link(peer(2)).key, propagated(frame))
    assert bench.effects == [] and bench.count("duplicates.own") == 1 and bench.count("duplicates.known") == 0


def test_what_comes_out_of_turn_is_passed_on_at_once_and_delivered_in_its_turn() -> None:
    bench = linked()
    key = bench.link(peer(2)).key
    for number in (1, 4, 3):
        bench.gossip(key, segment(peer(9), number, [b"%d" % number]))
    assert received(bench) == [b"1"] and len(bench.segments) == 3
    assert bench.engine.gossip.streams.missing == 1
    bench.gossip(key, segment(peer(9), 2, [b"2"]))
    assert received(bench) == [b"1", b"2", b"3", b"4"] and bench.engine.gossip.streams.missing == 0
    assert bench.count("received.messages") == 4


@steady
@given(st.permutations(range(1, 13)), st.lists(st.integers(1, 12), max_size=12))
def test_an_origins_messages_are_delivered_once_and_in_order_in_whatever_order_they_come(order: list[int], again: list[int]) -> None:
    bench = linked()
    for number in [*order, *again]:
        bench.gossip(bench.link(peer(2)).key, segment(peer(9), number, [b"%d" % number]))
    assert received(bench) == [b"%d" % number for number in range(1, 13)]
    assert bench.engine.gossip.streams.beyond_bytes == 0 and len(bench.segments) == 12


def test_a_segment_too_far_ahead_is_neither_passed_on_nor_remembered() -> None:
    bench = PeerBench(knobs=config(ahead_max=3))
    far = neighbour(bench, 2)
    bench.forget()
    far.gossip(segment(peer(9), 5))
    assert bench.effects == [] and bench.count("dropped.too_far_ahead") == 1
    far.gossip(segment(peer(9), 3))
    assert len(bench.segments) == 1 and bench.count("dropped.too_far_ahead") == 1
    for number in (1, 2, 4, 5):
        far.gossip(segment(peer(9), number))
    assert [one.header.number for one in bench.deliveries] == [1, 2, 3, 4, 5]


def test_a_segment_beyond_a_gap_that_has_no_room_is_neither_passed_on_nor_remembered() -> None:
    bench = PeerBench(knobs=config(beyond_bytes_max=2000))
    far = neighbour(bench, 2)
    bench.forget()
    for number in (2, 3, 4):
        far.gossip(segment(peer(9), number, [bytes(700)]))
    assert len(bench.segments) == 2 and bench.count("dropped.no_room_beyond_gap") == 1
    far.gossip(segment(peer(9), 1))
    far.gossip(segment(peer(9), 4, [bytes(700)]))
    assert [one.header.number for one in bench.deliveries] == [1, 2, 3, 4], "the next in turn always has room"


def test_another_life_of_an_origin_is_another_stream() -> None:
    bench = linked()
    for life in (0, 1):
        bench.gossip(bench.link(peer(2)).key, segment(peer(9, epoch=EPOCH + life), 1))
    assert len(bench.deliveries) == 2


def test_a_life_before_the_newest_is_not_begun_any_more() -> None:
    bench = linked()
    for life in (1, 0):
        bench.gossip(bench.link(peer(2)).key, segment(peer(9, epoch=EPOCH + life), 1))
    assert len(bench.deliveries) == len(bench.segments) == 1 and bench.count("dropped.old_epoch") == 1


def test_the_stream_of_an_earlier_life_ends_soon_after_the_next_has_begun_and_what_is_missing_is_named() -> None:
    bench = linked()
    key = bench.link(peer(2)).key
    for number in (1, 4):
        bench.gossip(key, segment(peer(9), number, [b"%d" % number]))
    bench.gossip(key, segment(peer(9, epoch=EPOCH + 1), 1, [b"new"]))
    bench.gossip(key, segment(peer(9), 2, [b"2"]))
    assert received(bench) == [b"1", b"new", b"2"], "what is under way when a process starts again"
    bench.wait(EPOCH_ENDS_S)
    assert received(bench) == [b"1", b"new", b"2", b"4"]
    assert [(lost.first, lost.last) for lost in bench.events(MessagesLost)] == [(3, 3)]
    bench.gossip(key, segment(peer(9), 5, [b"5"]))
    assert len(bench.deliveries) == 4 and bench.count("dropped.old_epoch") == 1, "it does not begin again"


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
    assert bench.segments == [] and bench.count("refused.check") == 1
    bench.gossip(key, segment(peer(9), 1))
    assert len(bench.segments) == 1, "the real segment of that number is still new"


def test_nothing_is_passed_on_while_nobody_has_subscribed_to_it() -> None:
    bench = linked()
    key = bench.link(peer(2)).key
    bench.call(bench.engine.on_unsubscription, b"E")
    bench.gossip(key, segment(peer(9), 1))
    bench.call(bench.engine.on_subscription, b"E\0")  # the sixteen buckets of one half, that of 9 among them
    bench.gossip(key, segment(peer(9), 2))
    bench.gossip(key, segment(peer(0x19), 1))
    bench.call(bench.engine.on_subscription, b"E\1\x09")
    bench.gossip(key, segment(peer(0x19), 2))
    assert [(frame[:3], CODEC.decode_segment(frame).number) for frame in bench.segments] == [(b"E\0\x09", 2), (b"E\1\x09", 2)]
    assert len(bench.deliveries) == 4


def test_a_frame_of_a_link_that_is_gone_is_dropped_and_counted() -> None:
    bench = linked()
    bench.gossip(9999, segment(peer(9), 1))
    assert bench.effects == [] and bench.count("dropped.link_gone") == 1


def test_a_segment_with_no_messages_in_it_is_passed_on_and_not_delivered() -> None:
    bench = linked()
    bench.gossip(bench.link(peer(2)).key, CODEC.encode_segment(peer(9).id, EPOCH, 1, 1, 0, 0, b""))
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
            mesh.do(place, "publish", [("topic", b"%d of %d" % (round_, peers.index(place)), WALL)])
    mesh.settle()
    for place in peers:
        got = payloads_of(place.delivered)
        assert sorted(got) == sorted(b"%d of %d" % (round_, number) for round_ in range(3) for number in range(8))
        for number in range(8):
            assert [payload for payload in got if payload.endswith(b"of %d" % number)] == [
                b"%d of %d" % (place, number) for place in range(3)
            ]
        assert place.engine.gossip.streams.missing == 0


def test_in_a_chain_the_segment_passes_from_hand_to_hand() -> None:
    mesh = Mesh()
    one_link = config(neighbours_dialled=1, neighbours_max=1, neighbours_spare=0)
    first, middle, last = mesh.peer(1, knobs=one_link), mesh.peer(2), mesh.peer(3, knobs=one_link)
    mesh.introduce(first, middle)
    mesh.introduce(last, middle)
    mesh.run(DEFAULT.sync_alone_s)  # there is no seed: who is first among them takes its time
    mesh.do(first, "publish", [("topic", b"x", WALL)])
    mesh.settle()
    (segment,) = last.delivered
    header = CODEC.decode_segment(segment.frame)
    assert header.origin == first.engine.me.id and header.hops == 1
    assert segment.brought is not None and segment.brought.id == middle.engine.me.id
