"""Patience: who is waited for is asked, who takes too long is slow, by the sum of its delays, and taken back when it has caught up."""

from __future__ import annotations

from tests.core.harness import PeerBench, config, segment
from tests.core.streaming import ORIGIN, answers, asked, begun, entry, marked, own, publish, says, stream_of, synced
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.events import NeighbourCaughtUp, NeighbourSlow
from zmqgossip.core.wire import propagated


def passed_on(frame: bytes, times: int) -> bytes:
    for _ in range(times):
        frame = propagated(frame)
    return frame


def slow_at(bench: PeerBench) -> int:
    return len(bench.events(NeighbourSlow))


def test_who_is_waited_for_is_asked_after_100_ms_and_again_less_and_less_often() -> None:
    bench, (parent, child) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    bench.wait(0.05)
    assert asked(bench) == []
    bench.wait(0.1)
    assert [key for key, _ in asked(bench)] == [child.key]
    bench.wait(2.0)
    assert 3 <= len(asked(bench)) <= 8


def test_a_silent_neighbour_is_slow_after_five_seconds_and_the_mark_is_done() -> None:
    bench, (parent, _) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    bench.wait(4.8)
    assert slow_at(bench) == 0
    bench.wait(0.6)
    assert slow_at(bench) == 1
    stream = bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch)
    assert stream is not None and stream.done == 1


def test_a_neighbour_that_has_the_mark_and_answers_is_not_slow_for_what_its_children_lack() -> None:
    bench, (parent, child) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    for _ in range(140):
        bench.wait(0.1)
        answers(child, entry(ORIGIN, 1, marks=[(1, bench.engine.me.id)]))
    assert slow_at(bench) == 0


def test_a_neighbour_that_is_never_done_with_a_mark_is_not_waited_for_three_times_as_long_as_one_that_hangs() -> None:
    bench, (parent, child) = begun(2, 3)
    waited_s = []
    for number in (1, 2):
        parent.gossip(marked(ORIGIN, number))
        began = bench.now
        while not slow_at(bench) or stream_of(bench).done < number:
            bench.wait(0.1)
            answers(child, entry(ORIGIN, number, marks=[(number, bench.engine.me.id)]))
            assert bench.now - began < 20.0
        waited_s.append(bench.now - began)
    assert 14.0 < waited_s[0] < 15.5 and waited_s[1] < 0.5, "and not again for a minute"
    assert len(bench.events(NeighbourSlow)) == 1


def test_who_is_nearest_to_one_that_is_never_done_finds_it_before_those_behind_it() -> None:
    near, (parent, child) = begun(2, 3)
    parent.gossip(passed_on(marked(ORIGIN, 1), 6))
    far, (its_parent, its_child) = begun(2, 3)
    its_parent.gossip(passed_on(marked(ORIGIN, 1), 2))
    for bench, one in ((near, child), (far, its_child)):
        while not bench.events(NeighbourSlow):
            bench.wait(0.1)
            answers(one, entry(ORIGIN, 1, marks=[(1, bench.engine.me.id)]))
    assert near.now + 1.5 < far.now


def test_however_short_patience_is_nobody_is_stuck_before_it_could_have_found_its_own_slow_neighbours() -> None:
    bench = PeerBench(knobs=config(slow_after_s=0.5))
    bench.join()
    parent, child = synced(bench, 2), synced(bench, 3)
    parent.gossip(passed_on(marked(ORIGIN, 1), 9))
    began = bench.now
    while not bench.events(NeighbourSlow):
        bench.wait(0.1)
        answers(child, entry(ORIGIN, 1, marks=[(1, bench.engine.me.id)]))
    assert bench.now - began >= 2 * 0.5


def test_a_neighbour_that_will_not_hear_of_a_stream_is_slow_as_one_that_hangs() -> None:
    bench, (parent, child) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    began = bench.now
    while not bench.events(NeighbourSlow):
        bench.wait(0.1)
        answers(child)
        assert bench.now - began < 8.0
    assert stream_of(bench).done == 1


def test_a_node_that_was_stopped_itself_finds_nobody_stuck() -> None:
    bench, (parent, child) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    bench.wait(1.0)
    bench.sleep(100.0)
    answers(child, entry(ORIGIN, 1, marks=[(1, bench.engine.me.id)]))
    bench.wait(0.2)
    assert not bench.events(NeighbourSlow)


def test_the_last_of_many_that_all_take_their_time_is_not_slow() -> None:
    bench, (parent, child, *others) = begun(2, 3, 4, 5)
    for number in range(1, 150):
        parent.gossip(marked(ORIGIN, number))
        bench.wait(0.3)
        for other in others:
            answers(other, entry(ORIGIN, number, done=number))
        bench.wait(0.2)
        answers(child, entry(ORIGIN, number, done=number))
    assert slow_at(bench) == 0


def test_a_neighbour_that_creeps_behind_the_others_is_slow_by_the_sum_of_its_delays_progress_or_not() -> None:
    bench, (parent, child, *others) = begun(2, 3, 4, 5)
    waited_s = 0.0
    for number in range(1, 150):
        parent.gossip(marked(ORIGIN, number))
        for other in others:
            answers(other, entry(ORIGIN, number, done=number))
        for _ in range(4):
            waited_s += 0.0 if child.link.slow else 0.1
            bench.wait(0.1)
            answers(child, entry(ORIGIN, number - 1, done=number - 1))
        answers(child, entry(ORIGIN, number, done=number))
    assert slow_at(bench) >= 1
    assert waited_s < 30.0  # of 60 seconds: five of each twenty, and what is not yet counted as waiting


def test_a_neighbour_that_is_seldom_late_is_not_slow() -> None:
    bench, (parent, child) = begun(2, 3)
    for number in range(1, 40):
        parent.gossip(marked(ORIGIN, number))
        bench.wait(0.2)
        answers(child, entry(ORIGIN, number, done=number))
        bench.wait(1.5)
    assert slow_at(bench) == 0


def test_a_node_that_was_away_itself_calls_nobody_slow() -> None:
    bench, (parent, _) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    bench.wait(0.15)
    bench.sleep(30.0)
    assert slow_at(bench) == 0


def test_a_slow_neighbour_is_waited_for_again_when_it_is_within_half_a_window() -> None:
    bench, (parent, child) = begun(2, 3)
    for number in range(1, 200):
        parent.gossip(segment(ORIGIN, number))
    parent.gossip(marked(ORIGIN, 200))
    says(child, entry(ORIGIN, 10))
    for _ in range(60):
        bench.wait(0.1)
        answers(child, entry(ORIGIN, 10))
    assert child.link.slow
    near = DEFAULT.pipe_segments // 4
    says(child, entry(ORIGIN, 199 - near))
    assert child.link.slow
    bench.wait(1.0)
    says(child, entry(ORIGIN, 199 - near))
    assert child.link.slow
    says(child, entry(ORIGIN, 200 - near))
    assert not child.link.slow and len(bench.events(NeighbourCaughtUp)) == 1


def test_nothing_is_looked_at_when_there_are_no_marks() -> None:
    bench, (far,) = begun(2)
    publish(bench, b"x")
    says(far, entry(bench.engine.me, own(bench).highest, done=0))
    bench.wait(0.5)
    assert bench.engine.node.timers.when(("patience due", 0)) is None
