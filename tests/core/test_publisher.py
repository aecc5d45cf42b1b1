"""One's own stream: segments, marks, the window, flush."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.harness import CODEC, WALL, Far, PeerBench, config, messages_of, peer, segment
from tests.core.streaming import answers, begun, entry, flushes, own, publish, report, says, synced
from zmqgossip.core.gossip_messages import Entry
from zmqgossip.core.marks import FLUSHES_KEPT
from zmqgossip.core.outbox import Flushed
from zmqgossip.core.publisher import FLUSHES_UNDER_WAY, who_missed
from zmqgossip.core.types import PeerState
from zmqgossip.core.wire import BODY_BYTES_MAX, FLAG_FLUSH, FLAG_MARK


def flags(bench: PeerBench) -> list[int]:
    headers = [CODEC.decode_segment(frame) for frame in bench.segments]
    return [header.flags for header in headers if header.origin == bench.engine.me.id]


def done_by(far_number: int, bench: PeerBench) -> Entry:
    return entry(bench.engine.me, own(bench).highest, done=own(bench).highest)


def test_the_window_fills_is_marked_and_opens_when_the_marks_are_done() -> None:
    bench, (far,) = begun(2)
    for _ in range(40):
        publish(bench, bytes(10_000))
    sent = len(bench.segments)
    assert 5 <= sent < 40 and not bench.engine.wants_more and flags(bench)[-1] == FLAG_MARK
    for _ in range(40):
        says(far, done_by(2, bench))
    assert bench.engine.wants_more and sum(CODEC.decode_segment(frame).message_count for frame in bench.segments) == 40


def test_a_window_that_shrinks_below_what_is_under_way_without_a_mark_sends_one_that_has_it() -> None:
    bench = PeerBench(knobs=config(pipe_segments=12))
    bench.join()
    far, origin = synced(bench, 2), synced(bench, 3)
    publish(bench, b"first")
    before = own(bench).highest
    for other in (far, origin):
        other.gossip(segment(other.record, 1, flags=FLAG_MARK))  # two more publish: a share of one segment
    bench.wait(0.2)
    bench.forget()
    publish(bench, b"second")
    assert own(bench).highest == before + 1 and flags(bench) == [FLAG_MARK]
    publish(bench, b"third")
    assert own(bench).highest == before + 1
    for other in (far, origin):
        says(other, done_by(2, bench))
    assert own(bench).highest == before + 2


def test_a_slow_neighbour_that_is_given_up_opens_the_window_and_ends_the_flush() -> None:
    bench, (far, other) = begun(2, 3)
    for record in (far.record, other.record):
        bench.engine.members.learn(replace(record, ready=True), PeerState.ALIVE, WALL)
    for _ in range(20):
        publish(bench, bytes(10_000))
    bench.call(bench.engine.flush, 5, 60.0)
    assert not bench.engine.wants_more
    for _ in range(160):
        bench.wait(0.05)
        last = own(bench).highest
        reports = [report(last, bench.engine.me, other.record)]
        answers(other, Entry(bench.engine.me.id, bench.engine.me.epoch, last, 0, last, [], reports))
        if flushes(bench):
            break
    assert far.link.slow and not other.link.slow and bench.engine.wants_more
    assert flushes(bench) == [Flushed(5, True, (far.record.id,))]


def test_a_flush_with_nobody_there_is_true_at_once() -> None:
    bench = PeerBench()
    bench.start()
    publish(bench, b"x")
    bench.call(bench.engine.flush, 1, 5.0)
    bench.wait(0.01)
    assert [(flushed.token, flushed.complete) for flushed in flushes(bench)] == [(1, True)]


def test_a_flush_ends_by_its_time_out() -> None:
    bench, _ = begun(2)
    bench.call(bench.engine.flush, 1, 2.0)
    assert flags(bench) == [FLAG_MARK | FLAG_FLUSH]
    bench.wait(1.9)
    assert flushes(bench) == []
    bench.wait(0.2)
    assert [flushed.complete for flushed in flushes(bench)] == [False]


def test_what_a_neighbour_has_confirmed_stays_confirmed_when_the_stream_settles_and_the_neighbour_goes() -> None:
    bench, (far,) = begun(2)
    publish(bench, b"x", b"y")
    assert bench.engine.unconfirmed == 2
    says(far, done_by(2, bench))
    assert bench.engine.unconfirmed == 0
    bench.wait(3.0)
    assert own(bench).settled and bench.engine.unconfirmed == 0
    far.crashes()
    assert bench.engine.unconfirmed == 0


def test_nobody_continues_this_peers_own_stream_for_it() -> None:
    bench, (far,) = begun(2)
    publish(bench, b"x")
    number = own(bench).highest
    far.gossip(segment(bench.engine.me, number + 1))
    says(far, entry(bench.engine.me, number + 5))
    bench.wait(1.0)
    assert own(bench).highest == own(bench).contiguous == number
    assert bench.count("dropped.own_id") == 2 and bench.count("pulls.sent") == 0


def test_the_longest_topic_and_the_largest_payload_make_a_segment_that_others_take() -> None:
    bench, _ = begun(2)
    bench.call(bench.engine.publish, [("\U0001f41f" * 200, bytes(65_536), WALL)])
    (frame,) = bench.segments
    assert messages_of(frame).payloads == [bytes(65_536)]
    assert CODEC.decode_segment(frame).body_length <= BODY_BYTES_MAX


def test_many_messages_with_long_topics_share_no_more_than_a_segment_holds() -> None:
    bench, (far,) = begun(2)
    topics = ["\U0001f41f" * 196 + f"{number:04}" for number in range(1000)]
    bench.call(bench.engine.publish, [(topic, b"", WALL + place) for place, topic in enumerate(topics)])
    for _ in range(20):
        says(far, done_by(2, bench))
    assert [topic for frame in bench.segments for topic in messages_of(frame).topics] == topics
    assert max(CODEC.decode_segment(frame).body_length for frame in bench.segments) <= BODY_BYTES_MAX


def with_a_live_neighbour() -> tuple[PeerBench, Far]:
    bench, (far,) = begun(2)
    bench.engine.members.learn(replace(far.record, ready=True), PeerState.ALIVE, WALL)
    return bench, far


def has_all(bench: PeerBench, far: Far) -> None:
    """The neighbour has everything and is done with it, and says so of each flush as far as a digest repeats them."""
    me, last = bench.engine.me, own(bench).highest
    sent = [CODEC.decode_segment(frame) for frame in bench.segments]
    reports = [report(header.number, me, far.record) for header in sent if header.flags & FLAG_FLUSH][-FLUSHES_KEPT:]
    says(far, Entry(me.id, me.epoch, last, 0, last, [], reports))


@pytest.mark.parametrize("count", [1, 4, 5, 9, 20, 200])
def test_many_flushes_at_once_share_few_segments_and_all_are_true(count: int) -> None:
    bench, far = with_a_live_neighbour()
    for token in range(count):
        bench.call(bench.engine.flush, token, 5.0)
    has_all(bench, far)
    has_all(bench, far)
    assert sorted(flushed.token for flushed in flushes(bench)) == list(range(count))
    assert all(flushed.complete for flushed in flushes(bench))
    assert len([one for one in flags(bench) if one & FLAG_FLUSH]) == min(count, FLUSHES_UNDER_WAY + 1)


def test_flushes_that_were_given_up_crowd_nobody() -> None:
    bench, far = with_a_live_neighbour()
    for token in range(50):
        bench.call(bench.engine.flush, token, 0.01)
        bench.wait(0.02)
    assert len(flushes(bench)) == 50 and len(own(bench).marks) == FLUSHES_UNDER_WAY
    has_all(bench, far)
    assert not own(bench).marks


@pytest.mark.parametrize("size", [1000, 5000, 60_000])
def test_publishing_goes_on_after_many_flushes_and_a_full_window(size: int) -> None:
    bench, far = with_a_live_neighbour()
    for token in range(100):
        bench.call(bench.engine.flush, token, 5.0)
    publish(bench, *[bytes(size)] * (4_000_000 // size))
    assert not bench.engine.wants_more
    for _ in range(200):
        has_all(bench, far)
    assert bench.engine.wants_more and all(flushed.complete for flushed in flushes(bench)) and len(flushes(bench)) == 100


def test_a_flush_whose_report_was_crowded_out_is_sent_again() -> None:
    bench, far = with_a_live_neighbour()
    bench.call(bench.engine.flush, 1, 5.0)
    me, last = bench.engine.me, own(bench).highest
    says(far, Entry(me.id, me.epoch, last, 0, last, [], []))
    assert flushes(bench) == []
    bench.wait(0.2)
    assert own(bench).highest > last
    has_all(bench, far)
    assert [flushed.complete for flushed in flushes(bench)] == [True]


@pytest.mark.parametrize(("slow", "complete"), [(9, []), (1, [True]), (2, [True])])
def test_a_flush_is_not_complete_while_somebody_is_slow_whom_this_peer_does_not_know(slow: int, complete: list[bool]) -> None:
    bench, far = with_a_live_neighbour()
    bench.call(bench.engine.flush, 1, 5.0)
    me, last = bench.engine.me, own(bench).highest
    says(far, Entry(me.id, me.epoch, last, 0, last, [], [report(last, me, far.record, slow=[peer(slow)])]))
    assert [flushed.complete for flushed in flushes(bench)] == complete


def test_one_that_is_slow_and_gone_holds_up_no_flush() -> None:
    bench, far = with_a_live_neighbour()
    for state in (PeerState.ALIVE, PeerState.DEAD):
        bench.engine.members.learn(peer(9), state, WALL)
    bench.call(bench.engine.flush, 1, 5.0)
    me, last = bench.engine.me, own(bench).highest
    says(far, Entry(me.id, me.epoch, last, 0, last, [], [report(last, me, far.record, slow=[peer(9)])]))
    assert [flushed.complete for flushed in flushes(bench)] == [True]


def test_nobody_is_missed_where_all_that_lack_it_are_named_however_many_they_are() -> None:
    everybody = [peer(number) for number in range(2, 40)]
    have, lack = everybody[:10], everybody[10:]
    assert who_missed(report(1, peer(1), *have, slow=lack), everybody) == tuple(one.id for one in lack)
    assert who_missed(report(1, peer(1), *have[1:], slow=lack), everybody) is None
    named_in_vain = [*lack[:3], have[0]]
    assert set(who_missed(report(1, peer(1), *have, *lack[3:], slow=named_in_vain), everybody) or ()) == {one.id for one in lack[:3]}


def test_of_many_that_are_slow_to_somebody_a_few_may_have_it_from_others() -> None:
    everybody = [peer(number) for number in range(2, 15)]
    have, lack = everybody[:4], everybody[4:]
    for named in ([*lack, have[3]], [have[0], *lack], [*lack[:5], *have[1:3], *lack[5:]]):
        assert set(who_missed(report(1, peer(1), *have, slow=named), everybody) or ()) == {one.id for one in lack}
    assert who_missed(report(1, peer(1), *have, slow=[*lack[1:], have[0]]), everybody) is None
