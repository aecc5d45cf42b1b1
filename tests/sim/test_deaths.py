"""Deaths that go from neighbour to neighbour, in a whole network: true ones reach everybody, false ones the one concerned."""

from __future__ import annotations

from zmqgossip.core.members import Members
from zmqgossip.core.peer import PeerEngine
from zmqgossip.sim import World
from zmqgossip.sim.body import Body
from zmqgossip.sim.settled import settle

PEERS = 40


def engine_of(body: Body) -> PeerEngine:
    assert isinstance(body.engine, PeerEngine)
    return body.engine


def network(seed: int) -> World:
    world = World(seed=seed)
    settle(world, PEERS)
    world.run(2)
    return world


def says_dead(world: World, liar: str, victim: str) -> None:
    engine, record = engine_of(world.nodes[liar]), engine_of(world.nodes[victim]).me
    world.nodes[liar].turn(lambda now: engine.membership.visited(record, now))


def test_who_is_called_dead_hears_it_through_neighbours_that_know_better_and_refutes() -> None:
    for seed in (1, 2, 3):
        world = network(seed)
        says_dead(world, "p31", "p7")
        world.run(1.0)
        victim = engine_of(world.nodes["p7"])
        assert victim.me.revision == 1
        assert all(engine_of(body).members.is_living(victim.me.id) for body in world.peers if body.name != "p7")


def test_a_quarter_that_dies_is_dead_to_all_within_two_seconds_without_a_flood() -> None:
    world = network(4)
    dead = [engine_of(world.nodes[f"p{number}"]).me.id for number in range(1, PEERS // 4 + 1)]
    published = world.counts("published.segments")
    world.crash(*[f"p{number}" for number in range(1, PEERS // 4 + 1)])
    world.run(2.0)
    assert not any(engine_of(body).members.is_living(peer) for body in world.peers for peer in dead)
    assert world.counts("published.segments") == published and world.counts("deaths.told") >= len(dead)


def test_a_table_that_is_begun_as_another_is_the_same_as_one_that_is_made_entry_by_entry() -> None:
    world = network(5)
    first, other = engine_of(world.nodes["p1"]), engine_of(world.nodes["p2"])
    made = Members(other.me.id, 1000, 1000, 60.0, other.outbox)
    made.become(other.me)
    made.begin([member for member in [*first.members.living(), *other.members.living()] if member.record.id != other.me.id])
    found = other.members
    assert (found.ready_count, found.folds, found.root) == (made.ready_count, made.folds, made.root)
    assert sorted(member.record.id for member in found.living()) == sorted(member.record.id for member in made.living())
