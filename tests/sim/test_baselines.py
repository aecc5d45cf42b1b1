"""The yardsticks: a flood reaches everybody with the copies that the graph says, Plumtree becomes a tree and mends it."""

from __future__ import annotations

import pytest

from zmqgossip.sim import Weather, World
from zmqgossip.sim.baselines.flood import Flood
from zmqgossip.sim.baselines.plumtree import Plumtree
from zmqgossip.sim.baselines.relay import Kind, beside
from zmqgossip.sim.checkers import up_links, wrong_deliveries
from zmqgossip.sim.figures import look
from zmqgossip.sim.settled import settle

LINKS = Weather(delay_s=0.01, spread_s=0.04, jitter_s=0.0)
PEERS = 24


def network(kind: Kind, peers: int = PEERS) -> tuple[World, dict[str, list[str]]]:
    """A settled network of ours, and one of another kind on its links."""
    world = World(seed=3, weather=LINKS)
    settle(world, peers)
    links = up_links(world)
    return beside(world, links, kind), links


def say(world: World, times: int, origin: str = "p1") -> tuple[float, int]:
    """RMR and deliveries of so many messages, one after the other."""
    before = look(world)
    for number in range(times):
        world.publish(origin, "t", b"%d" % number)
        world.run(1.0)
    after = look(world)
    deliveries = after.deliveries - before.deliveries
    return (after.copies - before.copies) / deliveries - 1, deliveries


@pytest.mark.parametrize("kind", [Flood, Plumtree])
def test_a_yardstick_delivers_each_message_once_to_everybody_on_our_links(kind: Kind) -> None:
    world, links = network(kind)
    _, deliveries = say(world, 5)
    assert deliveries == 5 * (len(links) - 1)
    assert wrong_deliveries(world) == []


def test_a_flood_sends_every_message_over_every_link_both_ways() -> None:
    world, links = network(Flood)
    rmr, deliveries = say(world, 4)
    copies = sum(len(others) for others in links.values())
    assert (rmr + 1) * deliveries == pytest.approx(4 * copies)


def test_a_yardstick_has_the_delays_of_the_run_that_it_stands_beside() -> None:
    world, _ = network(Flood)
    say(world, 1)
    ours = World(seed=3, weather=LINKS)
    settle(ours, PEERS)
    ours.publish("p1")
    ours.run(1.0)
    assert sorted(ours.ledger.latencies) == sorted(world.ledger.latencies)  # the first message floods by design


def test_plumtree_becomes_a_tree() -> None:
    world, _ = network(Plumtree)
    first, _ = say(world, 1)
    assert first > 3
    rmr, _ = say(world, 5)
    assert rmr == 0


def test_plumtree_mends_a_tree_whose_edge_breaks_and_loses_nothing() -> None:
    world, _ = network(Plumtree)
    say(world, 5)
    names = [body.name for body in world.peers if body.name != "p1"]
    carrier = max(names, key=lambda name: len(engine(world, name).eager))
    world.crash(carrier)
    grafts = world.counts("pulls.sent")
    _, deliveries = say(world, 1)
    assert deliveries == PEERS - 2
    assert world.counts("pulls.sent") > grafts
    say(world, 3)
    again = world.counts("pulls.sent")
    rmr, deliveries = say(world, 3)
    assert (rmr, deliveries) == (0, 3 * (PEERS - 2))
    assert world.counts("pulls.sent") == again


def test_plumtree_asks_the_next_holder_when_the_first_does_not_answer() -> None:
    world, links = network(Plumtree)
    say(world, 5)
    name = min(links, key=lambda each: len(engine(world, each).eager) if each != "p1" else PEERS)
    (parent,) = [body.name for body in world.peers if engine_key(world, name, body.name) in engine(world, name).eager]
    world.cut(parent, name)
    others = [other for other in links[name] if other != parent]
    for other in others[:-1]:
        world.cut(name, other)  # they say that they have it, and do not hear the question
    _, deliveries = say(world, 1)
    assert deliveries == PEERS - 1


def engine(world: World, name: str) -> Plumtree:
    found = world.nodes[name].engine
    assert isinstance(found, Plumtree)
    return found


def engine_key(world: World, name: str, other: str) -> int:
    """What a peer calls a neighbour; 0 if it is none."""
    endpoint = world.nodes[other].endpoint
    return next((each.key for each in engine(world, name).neighbours if each.endpoint == endpoint), 0)
