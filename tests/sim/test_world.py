"""Time, bodies and the trace: what the simulator does besides carrying frames."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.toys import Toy, ToyWorld
from zmqgossip.core.codes import Status
from zmqgossip.core.config import LAN
from zmqgossip.core.events import Event, NeighbourDown, PeerDead, Ready
from zmqgossip.core.outbox import Answered, Outcome, Question
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import Whom
from zmqgossip.sim import Body, Violation, Weather, World
from zmqgossip.sim.clock import Clock
from zmqgossip.sim.paths import next_repeat_s
from zmqgossip.sim.trace import Detail, Trace

ROOT = Path(__file__).parents[2]
RUN = """
from zmqgossip.sim import Weather, World
world = World(seed=int({seed}), weather=Weather(loss=0.01, spread_s=0.01))
world.add_peers(12, every_s=0.05)
world.run(3)
world.at(0.5, world.crash, "p3")
world.at(0.7, world.pause, "p4")
world.at(1.9, world.resume, "p4")
world.at(1.0, world.partition, ["p1", "p2", "s1"])
world.at(2.0, world.heal)
for number in range(40):
    world.at(number * 0.05, world.publish, f"p{{number % 12 + 1}}", "t", b"x" * number)
world.run(6)
world.restart("p3")
world.leave("p5")
world.run(2)
print(world.digest, world.trace.count)
"""


# -- time -----------------------------------------------------------------------------------------------------------------


def test_actions_of_equal_time_go_in_the_order_in_which_they_were_planned() -> None:
    clock = Clock()
    done: list[str] = []
    for when, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "never")):
        clock.at(when, done.append, name)
    assert clock.advance(5.0) == 3
    assert done == ["a", "b", "c"]
    assert clock.now == 5.0


def test_what_is_planned_for_the_past_comes_next() -> None:
    clock = Clock()
    clock.advance(5.0)
    done: list[float] = []
    clock.at(1.0, lambda: done.append(clock.now))
    clock.advance(6.0)
    assert done == [5.0]


def test_an_engine_is_woken_at_its_deadline_and_not_before_one_that_moved() -> None:
    world = ToyWorld("a")
    toy = world.toy("a")
    world.do("a", lambda out: setattr(toy, "next_deadline", 1.0))
    world.run(0.5)
    world.do("a", lambda out: setattr(toy, "next_deadline", 3.0))
    world.run(2)
    assert toy.kinds() == []
    world.run(2)
    assert toy.calls[1:] == [(3.0, "timers")]


def test_an_earlier_deadline_wakes_earlier() -> None:
    world = ToyWorld("a")
    toy = world.toy("a")
    world.do("a", lambda out: setattr(toy, "next_deadline", 3.0))
    world.do("a", lambda out: setattr(toy, "next_deadline", 1.0))
    world.run(5)
    assert toy.calls[1:] == [(1.0, "timers")]


def test_an_engine_that_leaves_its_deadline_in_the_past_is_named() -> None:
    world = ToyWorld("a")
    toy = world.toy("a")
    toy.answers["timers"] = lambda: setattr(toy, "next_deadline", 0.5)
    world.do("a", lambda out: setattr(toy, "next_deadline", 1.0))
    with pytest.raises(AssertionError, match="a leaves its deadline in the past"):
        world.run(2)


def test_what_an_engine_raises_comes_out_with_the_seed_and_the_end_of_the_trace() -> None:
    world = ToyWorld("a", seed=77)
    toy = world.toy("a")

    def fail() -> None:
        raise KeyError("our own bug")

    toy.answers["timers"] = fail
    world.do("a", lambda out: setattr(toy, "next_deadline", 1.0))
    with pytest.raises(KeyError) as caught:
        world.run(2)
    note = caught.value.__notes__[0]
    assert note.startswith("seed 77, 1.000000 s")
    assert note.splitlines()[-1].split() == ["1.000000", "a", "timers"]


def test_run_until_tells_how_long_it_took_and_gives_up_with_a_report() -> None:
    world = ToyWorld("a")
    assert world.run_until(lambda: world.now >= 1, 5) == pytest.approx(1.0)
    with pytest.raises(Violation, match="not within 2 s\nseed 1"):
        world.run_until(lambda: False, 2)


def test_tcp_repeats_at_doubling_pauses() -> None:
    assert [next_repeat_s(waited, 1.0) for waited in (0, 0.9, 1, 2.9, 3, 10)] == [1, 1, 3, 3, 7, 15]
    assert next_repeat_s(1000, 1.0) == 127 + 120 * 8


# -- nodes ----------------------------------------------------------------------------------------------------------------


def test_a_paused_or_dead_process_publishes_nothing() -> None:
    world = ToyWorld("a", "b")
    world.subscribe("b", 1, "a", b"")
    world.pause("a")
    world.publish("a", payload=b"x")
    world.resume("a")
    world.crash("a")
    world.publish("a", payload=b"x")
    world.run(1)
    assert world.toy("b").heard("gossip") == []


def test_a_faulty_effect_is_our_own_bug() -> None:
    world = ToyWorld("a")
    with pytest.raises(AssertionError, match="no such effect"):
        world.do("a", lambda out: out.effects.append((99,)))


def test_two_processes_cannot_listen_at_one_endpoint() -> None:
    world = ToyWorld("a")
    with pytest.raises(AssertionError, match="is taken by a"):
        world.add("b", world.router("a"), None, lambda body, rng: Toy())


def test_users_are_told_events_and_watchers_see_them_all() -> None:
    world = ToyWorld("a")
    seen: list[tuple[str, Event, float]] = []

    def watch(body: Body, event: Event, now: float) -> None:
        seen.append((body.label, event, now))

    world.watchers.append(watch)
    world.run(1)
    world.do("a", lambda out: out.event(Ready(3)))
    assert seen == [("a", Ready(3), 1.0)]
    assert world.nodes["a"].events == [(1.0, Ready(3))]
    assert world.nodes["a"].ready_at == 1.0


def test_all_nodes_may_share_one_host() -> None:
    world = World(seed=1, one_host=True)
    world.add_peers(6)
    world.run_until(world.all_ready, 10)
    assert {body.address for body in world.bodies} == {"127.0.0.1"}
    assert len({body.endpoint for body in world.bodies}) == 10


def test_a_crash_is_seen_with_its_times_by_whoever_watches() -> None:
    world = World(seed=3, config=LAN)
    world.add_peers(8)
    world.run_until(world.all_ready, 10)
    world.run(3)
    deaths: list[float] = []
    downs: list[float] = []

    def watch(body: Body, event: Event, now: float) -> None:
        if isinstance(event, PeerDead):
            deaths.append(now)
        if isinstance(event, NeighbourDown):
            downs.append(now)

    world.watchers.append(watch)
    world.crash("p2")
    crashed_at = world.now
    world.run(3)
    assert len(deaths) == 7
    assert downs
    assert all(0 < at - crashed_at < 1 for at in deaths)


def test_a_wall_clock_that_jumps_moves_no_deadline() -> None:
    world = World(seed=3)
    world.add_peers(4)
    world.run_until(world.all_ready, 10)
    world.step_clock("p1", 3600)
    world.step_clock("s1", -3600)
    world.run(5)
    assert world.counts("loop.late") == 0
    assert world.counts("probes.missed") == 0


# -- one run, one digest --------------------------------------------------------------------------------------------------


def run_apart(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(seed=seed)], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_a_run_is_the_same_in_two_processes_under_any_hash_seed() -> None:
    first, second = run_apart(7, "0"), run_apart(7, "4242")
    assert first == second
    assert int(first.split()[1]) > 5000


def test_two_runs_in_one_process_are_the_same_and_another_seed_is_another_run() -> None:
    digests = []
    for seed in (1, 1, 2):
        world = World(seed=seed)
        world.add_peers(5)
        world.run(3)
        digests.append(world.digest)
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_depends_on_everything_that_is_noted() -> None:
    notes: list[tuple[float, str, str, Detail, str]] = [
        (1.0, "a", "request", b"x", "b"),
        (1.5, "a", "request", b"x", "b"),
        (1.0, "c", "request", b"x", "b"),
        (1.0, "a", "reply", b"x", "b"),
        (1.0, "a", "request", b"y", "b"),
        (1.0, "a", "request", b"x", "c"),
        (1.0, "a", "event", Ready(1), ""),
        (1.0, "a", "event", Ready(2), ""),
    ]
    digests = []
    for note in notes:
        trace = Trace()
        trace.note(*note)
        digests.append(trace.digest)
    assert len(set(digests)) == len(notes)


def test_the_trace_shows_the_last_lines_of_all_or_of_one_node() -> None:
    world = World(seed=1, weather=Weather(delay_s=0.002))
    world.add_peers(3)
    world.run_until(world.all_ready, 10)
    lines = world.trace.lines(1000)
    assert any("p1" in line and "request" in line and "<- p" in line and "HELLO" in line for line in lines)
    assert any("event" in line and "Ready(" in line for line in lines)
    assert all(line.split()[1] == "p2" for line in world.trace.lines(1000, node="p2"))
    assert world.report(5).splitlines()[1:] == lines[-5:]


# -- direct messages ------------------------------------------------------------------------------------------------------


def test_direct_messages_cross_the_virtual_network_and_a_partition_makes_them_time_out() -> None:
    world = World(seed=3)
    world.add_peers(2)
    world.run_until(world.all_ready, 10.0)
    asker, asked = world.nodes["p1"], world.nodes["p2"]
    assert isinstance(asker.engine, PeerEngine) and isinstance(asked.engine, PeerEngine)
    asked.engine.direct.refusal = None
    asker.turn(asker.engine.ask, 1, Whom(asked.engine.me.id), b"?", True, 5.0)
    world.run(0.5)
    ((_, question),) = asked.directs
    assert isinstance(question, Question)
    asked.turn(asked.engine.answer, question.token, Status.ANSWERED, b"!", "")
    world.run(0.5)
    world.partition(["p1"], ["p2"])
    asker.turn(asker.engine.ask, 2, Whom(asked.engine.me.id), b"?", False, 0.4)
    world.run(0.5)
    assert [item for _, item in asker.directs] == [
        Answered(1, Outcome.ANSWERED, b"!", ""),
        Answered(2, Outcome.TIMEOUT, b"", "no answer in time"),
    ]
