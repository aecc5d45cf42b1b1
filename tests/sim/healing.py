"""Injected wrongs of tables, and how long a network takes to set them right."""

from __future__ import annotations

from zmqgossip.core.config import LAN
from zmqgossip.core.types import PeerRecord, PeerState
from zmqgossip.sim import World, checkers
from zmqgossip.sim.accounts import engine_of
from zmqgossip.sim.body import Body


def ready_world(seed: int, peers: int = 12) -> World:
    """A network that is ready and quiet, all tables alike."""
    world = World(seed=seed, config=LAN, seeds=3)
    world.add_peers(peers)
    world.run_until(world.all_ready, 20)
    world.run(6)
    world.check(*checkers.ALL)
    assert alike(world)
    return world


def alike(world: World) -> bool:
    """Whether the same number stands for every table."""
    return len({engine_of(body).members.root for body in world.peers}) == 1


def stranger(world: World, number: int) -> PeerRecord:
    """A record of somebody who is not there and never was."""
    me = engine_of(world.peers[0]).me
    return PeerRecord(number.to_bytes(16, "big"), me.epoch, 0, "10.9.9.9", 7001 + 2 * number, 7002 + 2 * number, True)


def holds(body: Body, record: PeerRecord, state: PeerState = PeerState.ALIVE) -> None:
    """A peer comes to hold something, as if it had heard it."""
    engine = engine_of(body)
    body.turn(lambda now: engine.members.learn(record, state, engine.node.wall(now)))


def forgets(body: Body, record: PeerRecord) -> None:
    """A peer never heard of somebody."""
    engine_of(body).members.forget(record.id)
