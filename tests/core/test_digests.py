"""Digests: said soon, then less and less often, until a stream is quiet and the same everywhere."""

from __future__ import annotations

from tests.core.harness import CODEC, peer, segment
from tests.core.streaming import ORIGIN, asked, begun, digests, entries, entry, marked, says, stream_of
from zmqgossip.core.digests import packed
from zmqgossip.core.gossip_messages import Ask, Digest, FlushReport
from zmqgossip.core.streams import Mark, Stream
from zmqgossip.core.wire import EXCHANGE_BYTES_MAX


def test_what_has_come_is_said_after_50_ms_then_100_200_400_ms_and_a_second() -> None:
    bench, (far,) = begun(2)
    at = bench.now
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 0))
    bench.wait(6.0)
    said = [round(when - at, 3) for when, body in digests(bench) if any(one.origin == ORIGIN.id for one in body.entries)]
    assert said[:7] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.6]


def test_a_stream_that_is_quiet_and_the_same_everywhere_is_settled_and_not_spoken_of() -> None:
    bench, (far, other) = begun(2, 3)
    far.gossip(segment(ORIGIN, 1))
    for neighbour in (far, other):
        says(neighbour, entry(ORIGIN, 1))
    bench.wait(4.0)
    assert stream_of(bench).settled and stream_of(bench).theirs == {}
    said = len(entries(bench))
    bench.wait(20.0)
    assert len(entries(bench)) == said and len(bench.engine.gossip.digests) == 0
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
    bodies = list(packed(streams))
    assert [one.origin for body in bodies for one in body.entries] == [stream.origin for stream in streams]
    assert all(len(CODEC.encode(body)) <= EXCHANGE_BYTES_MAX for body in bodies)
    assert [body.entries for body in packed([])] == [[]]
