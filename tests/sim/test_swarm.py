"""A handful of swarm runs with every test run, and that a seed is one run wherever it is played. Thousands are for the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from multiprocessing import active_children
from random import Random

import pytest

from zmqgossip.core.events import MessagesLost, NeighbourDown, NeighbourUp
from zmqgossip.sim import World
from zmqgossip.sim.accounts import engine_of, life_of
from zmqgossip.sim.body import Body, State
from zmqgossip.sim.excuses import unjust_losses
from zmqgossip.sim.footprint import footprint
from zmqgossip.sim.many import Failure, play_many
from zmqgossip.sim.outcome import Outcome
from zmqgossip.sim.plan import KINDS, PEERS_MAX, PEERS_MIN, drawn
from zmqgossip.sim.swarm import Swarm, play
from zmqgossip.sim.world import Violation

HANDFULS = ((1, 2, 3, 5), (6, 7, 8, 9), (11, 13, 15, 16), (17, 18, 20, 39, 559))
"""Small networks for the most part: 6 s on one core."""


@pytest.mark.parametrize("seeds", HANDFULS)
def test_after_all_troubles_everything_is_right_again(seeds: tuple[int, ...]) -> None:
    for seed in seeds:
        outcome = play(seed)
        assert outcome.passed and outcome.scenario == "swarm" and outcome.seed == seed


def test_the_size_of_the_network_may_be_given() -> None:
    assert [drawn(Random(seed), 7).peers for seed in range(20)] == [7] * 20
    assert {drawn(Random(seed)).peers for seed in range(200)} <= set(range(PEERS_MIN, PEERS_MAX + 1))


def test_every_kind_of_trouble_is_in_some_runs_and_left_out_of_others_but_load_is_in_all() -> None:
    plans = [drawn(Random(seed)) for seed in range(300)]
    for kind in KINDS:
        assert 10 < sum(kind in plan.rates for plan in plans) < 290, kind
    assert all(sum(kind in plan.rates for kind in ("message", "burst", "trickle", "stream", "flush")) >= 2 for plan in plans)


# -- one seed, one run ----------------------------------------------------------------------------------------------------


def digests(hash_seed: str) -> str:
    code = "from zmqgossip.sim.swarm import play; print([play(seed).digest for seed in (6, 9)])"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=100).stdout


@pytest.mark.processes
def test_a_seed_has_one_digest_in_every_process_and_under_every_hash_seed() -> None:
    assert digests("1") == digests("2") == f"{[play(seed).digest for seed in (6, 9)]}\n"


# -- failures -------------------------------------------------------------------------------------------------------------


def fail(swarm: Swarm) -> None:
    raise Violation("a trouble too many")


def test_a_failure_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Swarm, "heal", fail)
    with pytest.raises(Violation) as caught:
        play(6, 3)
    text = str(caught.value)
    assert "zmqgossip simulate swarm --seeds 6..6 --peers 3" in text and "a trouble too many" in text and "drawn: Plan(" in text


def test_a_crash_of_an_engine_is_a_failure_with_the_end_of_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(swarm: Swarm) -> None:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(Swarm, "heal", crash)
    with pytest.raises(Violation, match="KeyError: 'a bug of ours'\nseed 6, "):
        play(6)


def test_a_seed_that_fails_is_told_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Swarm.heal
    monkeypatch.setattr(Swarm, "heal", lambda swarm: fail(swarm) if swarm.world.seed == 9 else right(swarm))
    outcomes = list(play_many([8, 9, 6], 1, 2))
    assert [one.seed for one in outcomes] == [8, 9, 6]
    assert [isinstance(one, Failure) for one in outcomes] == [False, True, False]


@pytest.mark.processes
def test_many_seeds_in_two_processes_are_told_in_their_order_and_are_the_runs_of_one() -> None:
    digests = [(one.seed, one.digest) for one in play_many([8, 9, 6], 2, 2) if isinstance(one, Outcome)]
    assert digests == [(seed, play(seed, 2).digest) for seed in (8, 9, 6)]


@pytest.mark.processes
def test_whoever_stops_reading_leaves_no_worker_behind() -> None:
    many = play_many(range(1, 1_000_000), 2, 2)
    assert next(many).seed == 1
    assert isinstance(many, Generator)
    many.close()
    assert active_children() == []


# -- the checks themselves ------------------------------------------------------------------------------------------------


def with_a_loss(*, paused: bool) -> tuple[World, Body]:
    """Three peers; the engine of one is made to say that it lost what it has only not been given yet."""
    world = World(seed=1)
    world.add_peers(3)
    world.run_until(world.all_ready, 10)
    world.run(2)
    world.publish("p1", "t", b"x")
    world.pause("p2")
    if paused:
        world.run(10)
    world.resume("p2")
    assert world.nodes["p2"].state is State.RUNNING
    return world, world.nodes["p2"]


@pytest.mark.parametrize(("paused", "unjust_count"), [(False, 1), (True, 0)])
def test_a_loss_is_just_only_at_a_peer_that_was_in_trouble_since_it_was_published(paused: bool, unjust_count: int) -> None:
    world, body = with_a_loss(paused=paused)
    origin, epoch = life_of(world.nodes["p1"])
    body.events.append((world.now, MessagesLost(origin, epoch, 1, 1, "a test")))
    assert len(unjust_losses(world)) == unjust_count


@pytest.mark.parametrize(("linked", "left"), [(True, ["lost 6 to 20"]), (False, ["lost 5 to 20"])])
def test_a_just_loss_excuses_those_who_were_linked_with_it_and_nothing_beyond_it(linked: bool, left: list[str]) -> None:
    world = World(seed=2, seeds=2)
    world.add_peers(4)
    world.run(10)
    for _ in range(20):
        world.publish("p1", "t", b"x")
        world.run(0.05)
    world.run(1)
    one, other = world.nodes["p2"], world.nodes["p3"]
    origin, epoch = life_of(world.nodes["p1"])
    other.events.append((world.now, MessagesLost(origin, epoch, 5, 20, "a test")))
    assert len(unjust_losses(world)) == 1
    if not linked:
        me = engine_of(one).me.id
        other.events = [(at, event) for at, event in other.events if not isinstance(event, NeighbourUp) or event.peer.id != me]
    one.events.append((world.now - 0.5, MessagesLost(origin, epoch, 1, 5, "a test")))
    one.events.append((world.now - 0.6, NeighbourDown(engine_of(world.nodes["p4"]).me, "a test")))
    assert [words for words in left if any(f"p3 {words}" in found for found in unjust_losses(world))] == left
    assert len(unjust_losses(world)) == 1


def test_a_footprint_counts_what_containers_hold_however_deep() -> None:
    class Table:
        __slots__ = ("empty", "rows")

        def __init__(self) -> None:
            self.rows: dict[int, list[int]] = {}

    table = Table()
    before = footprint(table)
    table.rows[1] = [1, 2, 3]
    assert footprint(table) == before + 1 + 3
