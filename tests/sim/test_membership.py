"""Whole networks agree on who is there: in full tables everybody on everybody, in partial ones everybody on its neighbours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.accounts import engine_of
from zmqgossip.core.config import LAN
from zmqgossip.core.events import MembersFull, PeerDead, PeerJoined, PeerLeft
from zmqgossip.sim import World, checkers

PARTIAL = replace(LAN, members_full_max=10, candidates_max=8)


def in_parts(seed: int, peers: int = 24) -> World:
    """A network that is too large for full tables, ready and quiet."""
    world = World(seed=seed, config=PARTIAL, seeds=3)
    world.add_peers(peers)
    world.run_until(world.all_ready, 20)
    world.run(5)
    assert all(engine_of(body).members.partial for body in world.peers)
    return world


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_partial_network_joins_delivers_and_replaces_its_dead_without_telling_all(seed: int) -> None:
    world = in_parts(seed)
    numbers = [engine_of(body).gossip.number for body in world.peers]
    assert sum(numbers) < len(numbers)  # notices: only of those who were ready before they heard how many there are
    world.crash("p3", "p4")
    world.crash("p7", silently=True)
    world.leave("p5")
    world.run(12)
    for name in ("p1", "p9", "p24"):
        world.publish(name, "t", b"x")
    world.flush("p1", 1, 5.0)
    world.run(3)
    world.check(*checkers.ALL)
    assert not world.nodes["p1"].flushes[1].complete and world.nodes["p1"].published == engine_of(world.nodes["p1"]).gossip.number


def test_a_partial_peer_is_told_of_the_ends_of_its_neighbours_alone() -> None:
    world = in_parts(4)
    watched = engine_of(world.nodes["p1"])
    neighbours = {link.peer.id for link in watched.view.up()}
    before = len(world.nodes["p1"].events)
    gone = [body for body in world.peers if body.name != "p1"][:12]
    for body in gone:
        world.crash(body.name) if body.life % 2 else world.leave(body.name)
    world.run(12)
    told = [event for _, event in world.nodes["p1"].events[before:] if isinstance(event, (PeerDead, PeerLeft))]
    joined = {event.peer.id for _, event in world.nodes["p1"].events if isinstance(event, PeerJoined)}
    assert {event.peer.id for event in told} <= joined
    assert {engine_of(body).me.id for body in gone} & neighbours <= {event.peer.id for event in told}
    world.check(*checkers.ALL)


def test_a_network_that_has_become_small_again_knows_everybody() -> None:
    world = in_parts(5)
    for number in range(8, 25):
        world.leave(f"p{number}")
    world.run(30)
    assert not any(engine_of(body).members.partial for body in world.peers)
    assert all(any(isinstance(event, MembersFull) for _, event in body.events) for body in world.peers)
    world.check(*checkers.ALL)
    world.flush("p1", 1, 5.0)
    world.run(5.0)
    assert world.nodes["p1"].flushes[1].complete
