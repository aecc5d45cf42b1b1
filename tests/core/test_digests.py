"""Digests: when this peer says how its streams are, and that every one of them fits a frame."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.core.harness import CODEC, EPOCH, Far, PeerBench, config, neighbour, peer, segment
from zmqgossip.core import outbox
from zmqgossip.core.digests import STEP_MAX_S, digests_of
from zmqgossip.core.gossip_messages import ENTRIES_MAX, MARKS_MAX, Ask, Digest, Entry, FlushReport, Position
from zmqgossip.core.marks import FLUSHES_KEPT, SLOW_NAMED_MAX
from zmqgossip.core.streams import Mark, Stream
from zmqgossip.core.types import U64_MAX
from zmqgossip.core.wire import FLAG_MARK

FULL = b"\xff" * 16


def said(bench: PeerBench) -> list[tuple[float, Entry]]:
    """(when, entry) of all digests that were published."""
    frames = [(at, effect[1]) for at, effect in bench.effects if effect[0] == outbox.PUBLISH and effect[1][:1] == b"D"]
    bodies = [(at, CODEC.decode(frame[1:])[0]) for at, frame in frames]
    return [(at, entry) for at, body in bodies if isinstance(body, Digest) for entry in body.entries]


def quiet() -> tuple[PeerBench, Far]:
    """A peer with one neighbour, nothing to say."""
    bench = PeerBench()
    far = neighbour(bench, 2)
    bench.attended = True
    bench.wait(10.0)
    bench.forget()
    return bench, far


def test_what_has_changed_is_said_soon_and_then_ever_more_rarely_until_it_is_settled() -> None:
    bench, far = quiet()
    start = bench.now
    far.gossip(segment(peer(9), 1))
    bench.wait(10.0)
    times = [at - start for at, entry in said(bench) if entry.origin == peer(9).id]
    assert times[0] == pytest.approx(0.05)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == sorted(gaps) and gaps[0] == pytest.approx(0.05) and len(gaps) >= 4
    stream = bench.engine.gossip.streams.get(peer(9).id, EPOCH)
    assert stream is not None and stream.settled and times[-1] < 5


def test_a_mark_is_told_of_at_the_end_of_the_turn() -> None:
    bench, far = quiet()
    far.gossip(segment(peer(9), 1, flags=FLAG_MARK))
    bench.wait(0.0)
    ((_, entry),) = said(bench)
    assert (entry.contiguous, entry.done, entry.hops) == (1, 1, 0), "nobody else is to be waited for"


def test_a_stream_that_a_neighbour_has_otherwise_is_not_settled() -> None:
    bench, far = quiet()
    far.gossip(segment(peer(9), 1))
    far.gossip(segment(peer(9), 2))
    far.gossip(b"D" + CODEC.encode(Digest([Entry(peer(9).id, EPOCH, 1, 0, 0)])))
    bench.forget()
    bench.wait(30.0)
    stream = bench.engine.gossip.streams.get(peer(9).id, EPOCH)
    assert stream is not None and not stream.settled
    late = [at for at, _ in said(bench)][-5:]
    assert [after - before for before, after in pairwise(late)] == pytest.approx([STEP_MAX_S] * 4)


def test_digests_of_many_streams_with_many_marks_fit_frames() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    bench.forget()
    for origin in range(300):
        for number in range(1, 10):
            far.gossip(segment(peer(1000 + origin), number + 1, flags=FLAG_MARK))  # none is done, for there is a gap
    bench.wait(0.06)
    told = {entry.origin: len(entry.marks) for _, entry in said(bench) if entry.origin != bench.engine.me.id}
    assert list(told.values()) == [9] * 300
    far.asks(Ask(far.link.mine, [(peer(1000 + origin).id, EPOCH) for origin in range(300)]))
    assert sum(len(body.entries) for body in bench.replies(Digest)) == 300 and len(bench.replies(Digest)) > 1


def test_a_stream_that_is_asked_for_many_times_at_once_is_told_of_once() -> None:
    bench, far = quiet()
    far.gossip(segment(peer(9), 1))
    far.asks(Ask(far.link.mine, [(peer(9).id, EPOCH)] * ENTRIES_MAX))
    assert [len(body.entries) for body in bench.replies(Digest)] == [1]


def test_the_largest_entry_that_can_be_fits_a_digest() -> None:
    stream = Stream(FULL, U64_MAX)
    stream.begin(U64_MAX, U64_MAX)
    stream.hops = 255
    stream.marks = {U64_MAX - number: Mark(0, FULL, 0.0, {}) for number in range(MARKS_MAX)}
    report = FlushReport(U64_MAX, FULL, U64_MAX, U64_MAX, [FULL] * SLOW_NAMED_MAX)
    stream.flushes = dict.fromkeys(range(FLUSHES_KEPT), report)
    digests = list(digests_of([stream] * 5))
    assert [len(digest.entries) for digest in digests] == [1] * 5
    assert all(len(CODEC.encode(digest)) < 65_536 for digest in digests)


def test_counts_of_liars_do_not_grow_beyond_what_a_frame_can_say() -> None:
    bench = PeerBench()
    fars = [neighbour(bench, number) for number in (2, 3, 4)]
    for far in fars[1:]:
        far.link.synced = True
    fars[0].gossip(CODEC.encode_segment(peer(9).id, EPOCH, 1, 1, 0, 5, b""))
    for far in fars[1:]:
        report = FlushReport(1, bench.engine.me.id, U64_MAX, U64_MAX, [])
        far.gossip(b"D" + CODEC.encode(Digest([Entry(peer(9).id, EPOCH, 1, 1, 1, [], [report])])))
    bench.wait(0.1)
    (told,) = {report.count for _, entry in said(bench) for report in entry.flushes}
    assert told == U64_MAX


def test_a_mark_that_came_before_the_baseline_is_done_with_it() -> None:
    bench = PeerBench(knobs=config())
    elder = peer(2, epoch=EPOCH - 1)
    bench.join(elder)
    far = Far(bench, elder).links_up()
    for number in (3, 4):
        far.gossip(segment(peer(9), number, flags=FLAG_MARK))
    far.gives_baseline(Position(peer(9).id, EPOCH, 3, 3))
    stream = bench.engine.gossip.streams.get(peer(9).id, EPOCH)
    assert stream is not None and stream.done == stream.contiguous == 4 and not stream.marks
