"""A network that is put in the midst of its life is like one that grew: the same tables, the same quiet, the same reach."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from statistics import mean

import pytest

from zmqgossip.core.config import LAN
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.presence import ASK
from zmqgossip.sim import World, begin_periodic, checkers, settle
from zmqgossip.sim.accounts import engine_of
from zmqgossip.sim.body import Body

COUNT = 30


def grown(seed: int) -> World:
    world = World(seed=seed)
    world.add_peers(COUNT)
    world.run_until(world.all_ready, 20)
    world.run(5)
    return world


def settled(seed: int, count: int = COUNT, *, periodic: bool = True) -> World:
    world = World(seed=seed)
    settle(world, count, periodic=periodic)
    return world


def degrees(world: World) -> list[int]:
    return [engine_of(body).view.up_count for body in world.peers]


def trouble(world: World) -> dict[str, int]:
    """Counters of what was refused or dropped anywhere."""
    found: Counter[str] = Counter()
    for body in world.bodies:
        found.update({name: count for name, count in body.engine.counters.as_dict().items() if name.startswith(("refused.", "dropped."))})
    return dict(found)


def walks(world: World) -> int:
    return world.counts("walks.begun")


def test_a_settled_network_that_nobody_publishes_in_is_right_and_stays_so() -> None:
    world = settled(1)
    world.check(*checkers.ALL)
    world.run(8)
    world.check(*checkers.ALL)
    assert walks(world) == 0
    assert [event for body in world.bodies for _, event in body.events if type(event).__name__ in ("NeighbourDown", "Ready")] == []
    assert trouble(world) == {}
    assert world.counts("probes.missed") == 0


def test_a_settled_network_in_which_everybody_publishes_does_what_a_grown_one_does() -> None:
    worlds = [grown(2), settled(2)]
    for world in worlds:
        before = len(world.ledger.streams)
        for body in world.peers:
            world.publish(body.name, "t", body.name.encode())
        world.run(8)
        world.check(*checkers.ALL)
        assert len(world.ledger.streams) - before == COUNT
    assert worlds[1].ledger.latency_s(1.0) < 0.05, "all of it was pushed"
    assert trouble(worlds[1]).keys() <= trouble(worlds[0]).keys()
    assert [len(engine_of(body).gossip.streams) for body in worlds[1].peers] == [COUNT] * COUNT


def test_degrees_are_those_of_a_grown_network() -> None:
    grew = [degree for seed in range(2) for degree in degrees(grown(seed))]
    stood = [degree for seed in range(3) for degree in degrees(settled(seed))]
    assert mean(stood) == pytest.approx(mean(grew), abs=0.7)
    assert min(stood) >= LAN.neighbours_dialled
    assert max(stood) <= LAN.neighbours_max


def test_each_peer_is_listed_at_more_than_half_of_the_seeds() -> None:
    world = settled(3)
    listed = [seed.engine.registry.get(engine_of(body).me.id) for body in world.peers for seed in world.seeds]  # type: ignore[attr-defined]
    assert sum(entry is not None for entry in listed) == 3 * COUNT
    assert all(engine_of(body).presence.listed_count == 3 for body in world.peers)


def test_both_ends_of_a_link_name_it_alike_and_hold_a_receipt_that_fits() -> None:
    world = settled(4)
    engines = {engine_of(body).me.id: engine_of(body) for body in world.peers}
    for peer in engines.values():
        for link in peer.view.links():
            back = engines[link.peer.id].view.by_peer(peer.me.id)
            assert back is not None
            assert (back.mine, back.theirs) == (link.theirs, link.mine)
            assert back.dialled != link.dialled
            assert link.receipt is not None
            assert link.receipt.fits(link.peer.id, link.peer.epoch, peer.me.id)


def test_a_crash_in_a_settled_network_is_found_reported_and_repaired() -> None:
    world = settled(5)
    world.run(1)
    world.crash("p7", "p8")
    world.run(8)
    world.check(*checkers.ALL)


def test_newcomers_join_a_settled_network_and_its_peers_leave_it() -> None:
    world = settled(6)
    world.add_peers(3)
    world.leave("p2")
    world.run_until(world.all_ready, 20)
    world.publish(f"p{COUNT + 1}", "t", b"from a newcomer")
    world.run(8)
    world.check(*checkers.ALL)
    assert world.counts("baseline.given") >= 3


def test_a_settled_peer_that_is_started_again_joins_as_any_other() -> None:
    world = settled(7)
    body = world.restart("p4")
    assert body.ready_at is None
    world.run(8)
    assert body.ready_at is not None
    world.check(*checkers.ALL)


def test_without_periodic_steps_nothing_happens_for_an_hour_until_they_begin() -> None:
    world = settled(8, periodic=False)
    before = world.trace.count
    world.run(3600)
    assert world.trace.count == before
    begin_periodic(world)
    world.run(20)
    assert world.counts("probes.sent") > 20 * COUNT
    assert all(engine_of(body).node.timers.when((ASK, 0)) is not None for body in world.peers)
    world.check(*checkers.ALL)


def test_without_periodic_steps_a_message_reaches_everybody_and_repair_works() -> None:
    world = settled(9, periodic=False)
    world.crash(*[f"p{number}" for number in range(11, 21)])
    world.publish("p1", "t", b"to those who are left")
    world.run(15)
    world.check(*checkers.SAFETY, checkers.undelivered, checkers.split_overlay, checkers.wrong_lists)


def test_a_large_settled_network_shares_records_and_knows_some_candidates_only() -> None:
    """Above the limit of full tables."""
    world = World(seed=10, config=replace(LAN, neighbours_max=12), keep=False)
    bodies = settle(world, 2_100, periodic=False)
    sizes = [engine_of(body).members.living_count for body in bodies]
    assert min(sizes) >= 64
    assert max(sizes) <= 64 + LAN.neighbours_max
    entries = {id(member): member for body in bodies for member in engine_of(body).members.living()}
    assert len(entries) <= len(bodies)
    assert mean(degrees(world)) == pytest.approx(8.0, abs=0.1)
    world.check(checkers.split_overlay)


def test_settled_worlds_of_one_seed_are_one_run_and_those_of_others_are_not() -> None:
    def digest(seed: int) -> str:
        world = settled(seed)
        world.publish("p1", "t", b"x")
        world.run(2)
        return world.digest

    assert digest(11) == digest(11)
    assert digest(11) != digest(12)


def test_a_network_of_two_peers_can_be_settled() -> None:
    world = settled(13, 2)
    world.publish("p1", "t", b"x")
    world.run(5)
    world.check(*checkers.ALL)
    (first, second) = world.peers
    assert _linked(first, second)


def _linked(one: Body, other: Body) -> bool:
    assert isinstance(one.engine, PeerEngine)
    return [link.peer.id for link in one.engine.view.up()] == [engine_of(other).me.id]
