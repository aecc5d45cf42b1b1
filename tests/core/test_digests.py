"""Digests: said soon, then less and less often, until a stream is quiet and the same everywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.core.harness import CODEC, EPOCH, Far, PeerBench, peer, segment
from tests.core.streaming import (
    ORIGIN,
    asked,
    begun,
    digests,
    entries,
    entry,
    flush_segment,
    marked,
    position,
    says,
    stream_of,
)
from zmqgossip.core.digests import GAP_S, STEP_MAX_S, packed
from zmqgossip.core.gossip_messages import ENTRIES_MAX, MARKS_MAX, Ask, Digest, Entry, FlushReport
from zmqgossip.core.marks import FLUSHES_KEPT, SLOW_NAMED_MAX
from zmqgossip.core.stream import Mark, Stream
from zmqgossip.core.types import U64_MAX
from zmqgossip.core.wire import EXCHANGE_BYTES_MAX

FULL = b"\xff" * 16


def said(bench: PeerBench, start: float) -> list[float]:
    """When it spoke of the stream, from that moment on."""
    return [round(at - start, 3) for at, body in digests(bench, start) if any(one.origin == ORIGIN.id for one in body.entries)]


def test_what_has_come_is_said_after_50_ms_then_less_and_less_often_down_to_once_a_second() -> None:
    bench, (far,) = begun(2)
    at = bench.now
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 0))
    bench.wait(6.0)
    assert said(bench, at)[:7] == [0.05, 0.45, 0.95, 1.95, 2.95, 3.95, 4.95]


def test_what_flows_is_said_400_ms_after_the_last_time_and_soon_after_the_last() -> None:
    bench, (far,) = begun(2)
    at = bench.now
    for number in range(1, 101):  # a second long
        far.gossip(segment(ORIGIN, number))
        bench.wait(0.01)
    apart = [later - sooner for sooner, later in pairwise([0.0, *said(bench, at)])]
    assert len(apart) in (2, 3) and all(0.2 <= seconds <= GAP_S + 0.06 for seconds in apart), (
        "a digest about something else may come just before"
    )
    bench.wait(GAP_S)
    assert entries(bench)[-1].contiguous == 100


def test_streams_that_change_at_different_moments_share_digests_five_in_two_seconds() -> None:
    bench, (far,) = begun(2)
    origins = [peer(number) for number in range(100, 150)]
    at = bench.now
    for number in range(1, 11):
        for origin in origins:
            far.gossip(segment(origin, number))
            bench.wait(0.004)
    found = digests(bench, at)
    assert 4 <= len(found) <= 6 and sum(len(body.entries) for _, body in found) >= 150


def test_what_comes_while_a_stream_is_said_once_a_second_is_said_as_soon_as_the_first() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    far.gossip(segment(ORIGIN, 2))
    says(far, entry(ORIGIN, 1))
    bench.wait(10.0)
    at = bench.now
    far.gossip(segment(ORIGIN, 3))
    bench.wait(GAP_S)
    assert 0.05 <= said(bench, at)[-1] < GAP_S and entries(bench)[-1].contiguous == 3


def test_nothing_is_said_at_once_when_a_stream_goes_on_that_was_quiet() -> None:
    bench, (far,) = begun(2)
    for number in (1, 2):
        far.gossip(segment(ORIGIN, number))
        bench.wait(30.0)
    at = bench.now
    far.gossip(segment(ORIGIN, 3))
    bench.wait(0.06)
    assert said(bench, at) == [0.05]


def test_a_stream_that_a_neighbour_has_otherwise_is_said_each_second_and_not_settled() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    far.gossip(segment(ORIGIN, 2))
    says(far, entry(ORIGIN, 1))
    bench.wait(30.0)
    assert not stream_of(bench).settled
    late = said(bench, 0.0)[-5:]
    assert [after - before for before, after in pairwise(late)] == pytest.approx([STEP_MAX_S] * 4)


def test_a_stream_that_is_quiet_and_the_same_everywhere_is_settled_and_not_spoken_of() -> None:
    bench, (far, other) = begun(2, 3)
    far.gossip(segment(ORIGIN, 1))
    for neighbour in (far, other):
        says(neighbour, entry(ORIGIN, 1))
    bench.wait(4.0)
    assert stream_of(bench).settled and stream_of(bench).theirs == {}
    count = len(entries(bench))
    bench.wait(20.0)
    assert len(entries(bench)) == count and len(bench.engine.gossip.digests) == 0
    says(far, entry(ORIGIN, 1))  # it is late with what is settled here
    assert stream_of(bench).settled


def test_a_neighbour_that_is_behind_a_settled_stream_opens_it_again() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    bench.wait(4.0)
    assert stream_of(bench).settled
    says(far, entry(ORIGIN, 0))
    assert not stream_of(bench).settled
    bench.wait(0.06)
    assert entries(bench)[-1].contiguous == 1


def test_a_neighbour_whose_last_digest_was_lost_is_asked() -> None:
    bench, (far, other) = begun(2, 3)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 1))
    says(other, entry(ORIGIN, 0))
    bench.wait(5.0)
    assert other.key in [key for key, _ in asked(bench)] and far.key not in [key for key, _ in asked(bench)]
    other.reply(Digest([entry(ORIGIN, 1)]))
    bench.wait(3.0)
    assert stream_of(bench).settled


def test_a_mark_that_has_come_is_said_at_the_end_of_the_turn() -> None:
    bench, (far, _) = begun(2, 3)
    far.gossip(marked(ORIGIN, 1))
    bench.wait(0.0)
    assert entries(bench)[-1].marks == [(1, far.record.id)]


def test_a_mark_that_nobody_need_be_waited_for_is_told_of_as_done() -> None:
    bench, (far,) = begun(2)
    far.gossip(marked(ORIGIN, 1))
    bench.wait(0.0)
    (told,) = entries(bench)
    assert (told.contiguous, told.done, told.hops, told.marks) == (1, 1, 0, [])


def test_a_mark_that_came_before_the_baseline_is_done_with_it() -> None:
    bench = PeerBench()
    elder = peer(2, epoch=EPOCH - 1)
    bench.join(elder)
    far = Far(bench, elder).links_up()
    for number in (3, 4):
        far.gossip(marked(ORIGIN, number))
    far.gives_baseline(position(ORIGIN, 3))
    stream = stream_of(bench)
    assert stream.done == stream.contiguous == 4 and not stream.marks


def test_counts_of_liars_do_not_grow_beyond_what_a_frame_can_say() -> None:
    bench, fars = begun(2, 3, 4)
    fars[0].gossip(flush_segment(ORIGIN, 1))
    for far in fars[1:]:
        report = FlushReport(1, bench.engine.me.id, U64_MAX, U64_MAX, [])
        says(far, Entry(ORIGIN.id, ORIGIN.epoch, 1, 1, 1, [], [report]))
    bench.wait(0.1)
    (told,) = {report.count for one in entries(bench) for report in one.flushes}
    assert told == (1 + 2 * U64_MAX) % (1 << 64)


def test_a_stream_that_is_asked_for_many_times_at_once_is_told_of_once() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    far.asks(Ask(far.link.mine, [(ORIGIN.id, ORIGIN.epoch)] * ENTRIES_MAX))
    assert [len(body.entries) for body in bench.replies(Digest)] == [1]


def test_the_answer_to_a_question_has_what_is_known() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    far.asks(Ask(far.link.mine, [(ORIGIN.id, ORIGIN.epoch), (peer(99).id, 1)]))
    (answer,) = bench.replies(Digest)
    assert [(one.origin, one.contiguous) for one in answer.entries] == [(ORIGIN.id, 1)]


def test_digests_fit_into_frames_however_much_there_is_to_say() -> None:
    streams = []
    for number in range(1, 701):
        stream = Stream(peer(number).id, 1 << 62)
        stream.begin(1 << 60, 1 << 60)
        stream.marks = {(1 << 61) + place: Mark(1, peer(1).id, 0.0, {}) for place in range(64)}
        if number % 50 == 0:
            slow = [peer(place).id for place in range(256)]
            stream.flushes = {place: FlushReport(1 << 60, peer(1).id, 1 << 60, 1 << 60, slow) for place in range(8)}
        streams.append(stream)
    bodies = list(packed([stream.entry for stream in streams]))
    assert [one.origin for body in bodies for one in body.entries] == [stream.origin for stream in streams]
    assert all(len(CODEC.encode(body)) <= EXCHANGE_BYTES_MAX for body in bodies)
    assert [body.entries for body in packed([])] == [[]]


def test_the_largest_entry_that_can_be_fits_a_digest() -> None:
    stream = Stream(FULL, U64_MAX)
    stream.begin(U64_MAX, U64_MAX)
    stream.hops = 255
    stream.marks = {U64_MAX - number: Mark(0, FULL, 0.0, {}) for number in range(MARKS_MAX)}
    report = FlushReport(U64_MAX, FULL, U64_MAX, U64_MAX, [FULL] * SLOW_NAMED_MAX)
    stream.flushes = dict.fromkeys(range(FLUSHES_KEPT), report)
    bodies = list(packed([stream.entry] * 5))
    assert [len(body.entries) for body in bodies] == [1] * 5
    assert all(len(CODEC.encode(body)) < 65_536 for body in bodies)


def test_digests_of_many_streams_with_marks_that_are_not_done_fit_frames_and_so_does_the_answer() -> None:
    bench, (far,) = begun(2)
    origins = [peer(1000 + place) for place in range(300)]
    for origin in origins:
        for number in range(2, 11):
            far.gossip(marked(origin, number))  # none is done, for there is a gap
    bench.wait(0.06)
    told = {one.origin: len(one.marks) for _, body in digests(bench) for one in body.entries if one.origin != bench.engine.me.id}
    assert list(told.values()) == [9] * 300
    far.asks(Ask(far.link.mine, [(origin.id, origin.epoch) for origin in origins]))
    answers = bench.replies(Digest)
    assert sum(len(body.entries) for body in answers) == 300 and len(answers) > 1
