"""Links that are lost and found again, in whole networks: mass failures with every periodic step off, partitions, full peers.

The worlds are small. Where not everybody is known, `members_full_max` is lowered so that even they are too large for that.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.core.peer import PeerEngine
from zmqgossip.sim import World, checkers

QUIET = replace(LAN, liveness_interval_s=3600.0, presence_interval_s=3600.0, shuffle_interval_s=3600.0)
"""Nothing happens by the clock: what repairs the overlay is a reaction to what is lost."""
PARTS = {"full": {}, "partial": {"members_full_max": 8, "candidates_max": 8}}
REPAIRED_S = 3.0


def network(peers: int, config: ProtocolConfig, seed: int = 1) -> World:
    world = World(seed=seed, config=config, keep=False)
    world.add_peers(peers, every_s=0.02)
    world.run_until(world.all_ready, 20)
    world.run(1.0)
    return world


def engines(world: World) -> list[PeerEngine]:
    return [body.engine for body in world.peers if isinstance(body.engine, PeerEngine)]


def is_whole(world: World) -> bool:
    return not checkers.split_overlay(world)


@pytest.mark.parametrize(("known", "killed"), [("full", 50), ("partial", 90)])
def test_survivors_of_a_mass_failure_find_together_and_hear_what_is_published_meanwhile(known: str, killed: int) -> None:
    world = network(30, replace(QUIET, **PARTS[known]))
    assert all(engine.members.partial is (known == "partial") for engine in engines(world))
    luck = Random(killed)
    names = [body.name for body in world.peers]
    dead = luck.sample(names, len(names) * killed // 100)
    living = [name for name in names if name not in dead]
    delivered = world.ledger.delivered_count
    world.crash(*dead)
    for _ in range(10):
        world.publish(luck.choice(living))
        world.run(0.1)
    world.run(REPAIRED_S)
    assert is_whole(world)
    assert all(engine.view.up_count >= min(4, len(living) - 1) for engine in engines(world))
    world.run(3.0)
    assert world.ledger.delivered_count - delivered >= 0.99 * 10 * (len(living) - 1)
    world.check(*checkers.SAFETY)


def cut_in_two(world: World, with_seeds: str) -> None:
    """Half of the peers hear nothing of the others; seeds are divided too, or on one side, or in the middle and hear all."""
    names = [body.name for body in world.peers]
    one, other = names[::2], names[1::2]
    seeds = [body.name for body in world.seeds]
    if with_seeds == "divided":
        world.partition(one + seeds[:2], other + seeds[2:])
    elif with_seeds == "on one side":
        world.partition(one + seeds, other)
    else:
        for here in one:
            for there in other:
                world.cut(here, there)
                world.cut(there, here)


@pytest.mark.parametrize(("known", "with_seeds"), [("full", "divided"), ("partial", "on one side"), ("partial", "in the middle")])
def test_two_halves_that_lived_apart_are_one_again_within_two_presence_intervals(known: str, with_seeds: str) -> None:
    world = network(12, replace(LAN, **PARTS[known], neighbours_dialled=2, neighbours_max=6))
    cut_in_two(world, with_seeds)
    world.run(12.0)
    assert not is_whole(world) and all(engine.view.up_count >= 2 for engine in engines(world))
    world.heal()
    took_s = world.run_until(lambda: is_whole(world), 30.0)
    assert took_s <= 2 * LAN.presence_interval_s
    world.run(10.0)
    assert is_whole(world), "and they stay together"
    assert all(engine.view.dialled_count <= 4 for engine in engines(world)), "what was made for that is given up again"
    world.check(*checkers.SAFETY)


def test_a_newcomer_finds_a_link_at_once_where_everybody_is_full() -> None:
    full = replace(QUIET, neighbours_dialled=2, neighbours_max=4)
    world = network(16, full)
    newcomer = world.add_peer("late")
    took_s = world.run_until(lambda: newcomer.ready_at is not None, 10.0)
    assert took_s < 2.0 and is_whole(world)
    world.check(*checkers.SAFETY)


def test_candidates_stay_fresh_by_shuffles_alone() -> None:
    world = network(20, replace(LAN, presence_interval_s=3600.0, shuffle_interval_s=1.0, **PARTS["partial"]))
    before = {engine.me.id: {member.record.id for member in engine.members.living()} for engine in engines(world)}
    world.run(10.0)
    fresh = [len({member.record.id for member in engine.members.living()} - before[engine.me.id]) for engine in engines(world)]
    assert sum(fresh) >= 2 * len(fresh) and world.counts("shuffles.answered") > 100
    world.check(*checkers.SAFETY)


def test_a_quiet_network_renews_no_link() -> None:
    world = network(12, LAN)
    world.run(10.0)
    assert world.counts("renewals.dialled") == world.counts("renewals.doubts") == 0
