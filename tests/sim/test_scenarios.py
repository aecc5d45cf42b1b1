"""The engines that ship, in a whole network with faults: what must hold while they last, and once they have stopped.

Every run follows from the seed in its parameters; a failure prints it with the end of the trace. Times are virtual.
"""

from __future__ import annotations

from functools import partial
from random import Random

import pytest

from zmqgossip.core.events import NeighbourReported, PeerDead, PeerSuspected, Ready
from zmqgossip.core.types import PeerState
from zmqgossip.sim import Body, Weather, World, checkers

SETTLED_S = 4.0  # every peer is listed, and every table has heard of everybody


def network(seed: int, peers: int, weather: Weather | None = None) -> World:
    """Seeds and peers that are ready and have settled."""
    world = World(seed=seed, weather=weather)
    world.add_peers(peers)
    world.run_until(world.all_ready, 10)
    world.run(SETTLED_S)
    return world


def everybody_publishes(world: World, times: int = 1, every_s: float = 0.1) -> None:
    for number in range(times):
        for body in world.peers:
            world.publish(body.name, "t", f"{body.label} {number}".encode())
        world.run(every_s)


def names(world: World) -> list[str]:
    return [body.name for body in world.peers]


def some(world: World, count: int) -> list[str]:
    return Random(f"{world.seed}/test").sample(names(world), count)


def check_from_now_on(world: World, settle_s: float = 3.0) -> None:
    """All tables are right, and what is published from now on reaches everybody."""
    start = world.now
    everybody_publishes(world)
    world.run(settle_s)
    world.check(*checkers.SAFETY, partial(checkers.undelivered, since=start), *checkers.LIVENESS[1:])


def told(world: World, kind: type[object]) -> int:
    return sum(isinstance(event, kind) for body in world.bodies for _, event in body.events)


# -- joining --------------------------------------------------------------------------------------------------------------


def test_sixty_peers_that_start_at_once_are_ready_and_everybody_hears_everybody() -> None:
    world = World(seed=1, keep=False)
    world.add_peers(60)
    assert world.run_until(world.all_ready, 10) < 5
    world.run(1)
    everybody_publishes(world)
    world.run_until(lambda: not checkers.wrong_tables(world), 20, step_s=0.5)  # a sample of a list has 64, so it takes a few
    world.run_until(lambda: not checkers.wrong_lists(world), 10, step_s=0.5)  # a seed dials back 20 a second
    world.check(*checkers.ALL)
    assert world.ledger.delivered_count == 60 * 59
    assert world.ledger.latency_s(0.99) < 0.05


@pytest.mark.parametrize("seed", range(1))
def test_what_is_published_after_a_peer_is_ready_reaches_it_while_others_still_join(seed: int) -> None:
    world = World(seed=seed)
    for _ in range(15):
        world.add_peer()
        for _ in range(1):
            for body in world.peers:
                if body.ready_at is not None:
                    world.publish(body.name)
            world.run(0.05)
    world.run(5)
    world.check(*checkers.ALL)


@pytest.mark.parametrize("jitter_s", [0.1])
def test_every_origin_is_heard_in_order_however_much_ways_differ_in_speed(jitter_s: float) -> None:
    world = network(2, 14, Weather(delay_s=0.005, jitter_s=jitter_s))
    everybody_publishes(world, times=20, every_s=0.001)
    world.run(2)
    world.check(*checkers.ALL)


def test_a_peer_alone_with_its_seeds_waits_for_the_second() -> None:
    world = World(seed=1)
    world.add_peer()
    world.run(20)
    assert not world.all_ready()
    world.add_peer()
    world.run_until(world.all_ready, 5)
    check_from_now_on(world)


# -- crashes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1))
def test_survivors_of_a_crash_deliver_everything_and_every_list_is_right(seed: int) -> None:
    world = network(seed, 30)
    for number in range(60):
        for name in some(world, 5):
            world.at(number * 0.05, world.publish, name, "from a victim")
        world.at(number * 0.05, world.publish, names(world)[number % 30])
    world.at(1.5, world.crash, *some(world, 5))
    world.run(8)
    assert len(world.peers) == 25
    world.check(*checkers.ALL)


def test_a_crash_is_known_everywhere_within_a_second_and_a_silent_one_within_six() -> None:
    for silently, limit_s in ((False, 1.0), (True, 6.0)):
        world = network(4, 14)
        victim = some(world, 1)[0]
        known: list[float] = []

        def watch(body: Body, event: object, now: float, known: list[float] = known) -> None:
            if isinstance(event, PeerDead):
                known.append(now)

        world.watchers.append(watch)
        world.crash(victim, silently=silently)
        crashed_at = world.now
        world.run(10)
        assert len(known) == 13
        assert max(known) - crashed_at < limit_s
        world.check(*checkers.ALL)


def test_five_machines_that_are_switched_off_are_removed_by_misses() -> None:
    world = network(1, 20)
    world.crash(*some(world, 5), silently=True)
    world.run(15)
    check_from_now_on(world)


def test_a_restarted_seed_is_complete_again_within_a_lease() -> None:
    world = network(1, 12)
    world.restart("s1")
    world.run(world.config.lease_s)
    world.check(*checkers.ALL)


def test_gossip_goes_on_without_any_seed_and_all_come_back_to_them() -> None:
    world = network(1, 14)
    world.crash("s1", "s2", "s3", "s4")
    for _ in range(10):
        everybody_publishes(world, every_s=3.0)
    world.check(*checkers.SAFETY, checkers.undelivered, checkers.held_dead, checkers.wrong_tables, checkers.split_overlay)
    for name in ("s1", "s2", "s3", "s4"):
        world.restart(name)
    world.run(15)
    world.check(*checkers.ALL)


def test_a_peer_that_crashes_while_a_seed_looks_at_it_is_removed_at_once() -> None:
    world = network(1, 12)
    world.pause("p3")
    world.run_until(lambda: any(isinstance(event, PeerSuspected) for seed in world.seeds for _, event in seed.events), 10)
    world.resume("p3")
    world.run(0.7)  # a visit of the seed's has been answered
    world.crash("p3")
    world.run(3)
    assert checkers.wrong_lists(world) == []


# -- pauses ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1))
def test_a_pause_shorter_than_three_misses_accuses_nobody(seed: int) -> None:
    world = network(seed, 14)
    sleeper = some(world, 1)[0]
    start = world.now
    world.pause(sleeper)
    for _ in range(15):
        everybody_publishes(world)
    world.resume(sleeper)
    world.run(5)
    assert told(world, NeighbourReported) == told(world, PeerSuspected) == told(world, PeerDead) == 0
    world.check(*checkers.ALL)
    assert world.now - start > 6


@pytest.mark.parametrize("seed", range(1))
def test_a_pause_longer_than_three_misses_is_called_dead_and_comes_back(seed: int) -> None:
    world = network(seed, 14)
    sleeper = some(world, 1)[0]
    world.pause(sleeper)
    world.run(10)
    held = [body.engine.members.get(world.nodes[sleeper].engine.me.id) for body in world.peers if body.name != sleeper]  # type: ignore[attr-defined]
    assert all(member is not None and member.state is PeerState.DEAD for member in held)
    accusations = told(world, NeighbourReported)
    world.resume(sleeper)
    world.run(8)
    assert told(world, NeighbourReported) == accusations  # the woken one accuses nobody
    check_from_now_on(world)


def test_seeds_that_were_paused_keep_their_lists() -> None:
    world = network(1, 12)
    world.pause("s1", "s2")
    world.run(30)
    world.resume("s1", "s2")
    world.run(0.5)
    assert world.counts("verdicts.removed") == 0
    world.run(10)
    world.check(*checkers.ALL)


# -- the network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.05])
def test_loss_delays_and_loses_nothing(loss: float) -> None:
    world = World(seed=3, weather=Weather(loss=loss))
    world.add_peers(14)
    world.run_until(world.all_ready, 20)
    everybody_publishes(world, times=10, every_s=0.5)
    world.clear_weather()
    world.run(10)
    world.check(*checkers.ALL)


def test_one_broken_link_removes_nobody() -> None:
    world = network(1, 12)
    world.cut("p1", "p2")
    world.cut("p2", "p1")
    world.run(20)
    world.check(*checkers.SAFETY, checkers.held_dead, checkers.wrong_tables, checkers.wrong_lists, checkers.split_overlay)
    world.heal()
    world.run(10)
    check_from_now_on(world)


def test_a_peer_that_heard_nobody_for_a_while_holds_nobody_dead() -> None:
    world = network(1, 12)
    world.cut("*", "p1")
    world.run(12)
    world.heal()
    world.run(20)
    world.check(checkers.held_dead, checkers.wrong_tables)


@pytest.mark.parametrize("seed", range(1))
def test_both_sides_of_a_partition_live_on_and_deliver_among_themselves(seed: int) -> None:
    world = network(seed, 16)
    side = [*some(world, 8), "s1", "s2"]
    world.partition(side)
    world.run(10)
    start = world.now
    everybody_publishes(world, times=3)
    world.run(2)
    missing = checkers.undelivered(world, since=start)
    inside = {body.label: body.name in side for body in world.peers}
    for problem in missing:  # "p3 lacks p7's message ..."
        receiver, origin = problem.split()[0], problem.split()[2].removesuffix("'s")
        assert inside[receiver] != inside[origin]
    world.check(*checkers.SAFETY)


@pytest.mark.parametrize("seed", range(1))
def test_a_partition_that_heals_leaves_one_component_that_delivers_everything(seed: int) -> None:
    world = network(seed, 16)
    world.partition([*some(world, 8), "s1", "s2"])
    world.run(10)
    world.heal()
    world.run(20)
    start = world.now
    everybody_publishes(world)
    world.run(3)
    world.check(*checkers.SAFETY, partial(checkers.undelivered, since=start), checkers.split_overlay)


# -- coming and going -----------------------------------------------------------------------------------------------------


def test_a_leave_is_known_to_everybody_though_leave_and_notice_may_overtake_each_other() -> None:
    for seed in range(8):
        world = network(seed, 12)
        leaving = some(world, 4)
        for name in leaving:
            world.leave(name)
        world.run(1)
        assert not any(world.nodes[name].live for name in leaving)
        world.check(checkers.wrong_tables, checkers.wrong_lists, checkers.split_overlay)


def test_new_processes_on_the_endpoints_of_old_ones_take_their_place() -> None:
    world = network(1, 12)
    for number in range(1, 5):
        world.restart(f"p{number}")
        world.run(0.3)
    world.run(5)
    check_from_now_on(world)


@pytest.mark.parametrize("seed", range(1))
def test_churn_delivers_nothing_twice_and_all_that_is_published_once_it_is_quiet(seed: int) -> None:
    world = network(seed, 16)
    rng = Random(f"{seed}/churn")
    for _ in range(30):
        name, what = rng.choice(names(world)), rng.randrange(6)
        world.publish(rng.choice(names(world)))
        if what == 0:
            world.add_peer()
        elif what == 1 and len(world.peers) > 10:
            world.crash(name)
        elif what == 2 and len(world.peers) > 10:
            world.leave(name)
        elif what == 3:
            world.restart(name)
        elif what == 4:
            world.pause(name)
            world.at(rng.random() * 4, world.resume, name)
        world.run(rng.random() * 0.5)
        world.check(*checkers.SAFETY)
    world.run(20)
    start = world.now
    everybody_publishes(world)
    world.run(2)
    world.check(*checkers.SAFETY, partial(checkers.undelivered, since=start), checkers.wrong_lists, checkers.split_overlay)
    assert told(world, Ready) >= 16


@pytest.mark.parametrize("seed", range(1))
def test_after_a_mass_failure_all_tables_are_right(seed: int) -> None:
    world = network(seed, 24)
    world.crash(*some(world, 18))
    world.run(20)
    world.check(*checkers.SAFETY, checkers.wrong_lists, checkers.wrong_tables, checkers.split_overlay)


@pytest.mark.parametrize("seed", range(1))
def test_after_a_partition_all_tables_agree(seed: int) -> None:
    world = network(seed, 20)
    world.partition([*some(world, 10), "s1"])
    world.run(12)
    world.heal()
    world.run(15)
    world.check(checkers.held_dead, checkers.wrong_tables)
