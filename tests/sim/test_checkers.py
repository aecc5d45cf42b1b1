"""The checkers find what is wrong: each is shown the fault that it is there for, and a good run."""

from __future__ import annotations

from functools import partial

import pytest

from tests.sim.toys import ToyWorld
from zmqgossip.core.events import Ready
from zmqgossip.core.gossip_messages import MARKS_MAX, Messages
from zmqgossip.core.outbox import Segment
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.stream import Mark
from zmqgossip.core.types import FIRST_ID, PeerState
from zmqgossip.core.wire import SEGMENT_BYTES_MAX, Codec, encode_messages
from zmqgossip.sim import Violation, World, checkers
from zmqgossip.sim.ledger import Track

ORIGIN = b"o" * 16


def segment(world: World, number: int, payload: bytes = b"", first: int | None = None) -> bytes:
    body = encode_messages(Messages("10.0.0.1", 7001, [0.0], ["t"], [payload]))
    return Codec(world.cluster).encode_segment(ORIGIN, 1, number, first or number, 1, 0, body)


def publish(world: ToyWorld, name: str, frame: bytes) -> None:
    world.nodes[name].published += 1
    world.do(name, lambda out: out.publish(frame))


def deliver(world: ToyWorld, name: str, frame: bytes) -> None:
    header = Codec(world.cluster).decode_segment(frame)
    world.do(name, lambda out: out.deliver(Segment(frame, header, None)))


@pytest.fixture
def toys() -> ToyWorld:
    """An origin a and receivers b and c, all ready."""
    world = ToyWorld("a", "b", "c")
    for name in "abc":
        world.do(name, lambda out: out.event(Ready(1)))
    world.run(1)
    return world


@pytest.fixture
def world() -> World:
    """Six peers that have settled."""
    world = World(seed=5)
    world.add_peers(6)
    world.run_until(world.all_ready, 10)
    world.run(5)
    return world


def peer(world: World, name: str) -> PeerEngine:
    engine = world.nodes[name].engine
    assert isinstance(engine, PeerEngine)
    return engine


def seed(world: World, name: str) -> SeedEngine:
    engine = world.nodes[name].engine
    assert isinstance(engine, SeedEngine)
    return engine


# -- messages -------------------------------------------------------------------------------------------------------------


def test_a_delivery_to_all_is_good(toys: ToyWorld) -> None:
    for number in (1, 2, 3):
        publish(toys, "a", segment(toys, number))
        for name in "abc":
            deliver(toys, name, segment(toys, number))
    toys.check(checkers.wrong_deliveries, checkers.undelivered, checkers.disorder)
    assert toys.ledger.delivered_count == 6


def test_a_second_delivery_is_found(toys: ToyWorld) -> None:
    publish(toys, "a", segment(toys, 1))
    deliver(toys, "b", segment(toys, 1))
    deliver(toys, "b", segment(toys, 1))
    assert checkers.wrong_deliveries(toys) == ["1.000000: b delivered a's segment 1 a second time"]


def test_an_altered_delivery_is_found(toys: ToyWorld) -> None:
    publish(toys, "a", segment(toys, 1, b"truth"))
    deliver(toys, "b", segment(toys, 1, b"lie"))
    assert checkers.wrong_deliveries(toys) == ["1.000000: b delivered a's segment 1 altered"]


def test_a_delivery_of_what_nobody_published_is_found(toys: ToyWorld) -> None:
    deliver(toys, "b", segment(toys, 9))
    assert checkers.wrong_deliveries(toys) == ["1.000000: b delivered a segment 9 that nobody published"]


def test_an_origin_that_miscounts_is_found(toys: ToyWorld) -> None:
    publish(toys, "a", segment(toys, 1))
    publish(toys, "a", segment(toys, 2, first=5))
    publish(toys, "a", segment(toys, 2, first=3))
    assert checkers.wrong_deliveries(toys) == ["1.000000: a counted 5 after 1", "1.000000: a published its segment 2 twice"]


def test_a_missing_delivery_is_found_with_its_time(toys: ToyWorld) -> None:
    for number in (1, 2, 3):
        publish(toys, "a", segment(toys, number))
        toys.run(1)
    for number in (1, 3):
        deliver(toys, "b", segment(toys, number))
    deliver(toys, "c", segment(toys, 1))
    assert checkers.undelivered(toys) == [
        "b lacks a's message 2 of 2.000000",
        "c lacks a's message 2 of 2.000000",
        "c lacks a's message 3 of 3.000000",
    ]
    assert checkers.undelivered(toys, since=2.5) == ["c lacks a's message 3 of 3.000000"]


def test_a_message_that_the_engine_never_published_is_found(toys: ToyWorld) -> None:
    toys.nodes["a"].published = 1
    publish(toys, "a", segment(toys, 1))
    for name in "bc":
        deliver(toys, name, segment(toys, 1))
    assert checkers.undelivered(toys) == ["a published 1 of 2 messages"]


def test_nothing_is_owed_to_whoever_was_not_ready_or_is_gone_or_paused() -> None:
    world = ToyWorld("a", "b", "c", "d", "e")
    for name in "abc":
        world.do(name, lambda out: out.event(Ready(1)))
    publish(world, "a", segment(world, 1))
    world.run(1)
    world.do("d", lambda out: out.event(Ready(1)))  # too late
    world.crash("b")
    world.pause("c")
    world.check(checkers.undelivered)


def test_nothing_is_owed_by_an_origin_that_has_died_or_was_not_ready() -> None:
    world = ToyWorld("a", "b")
    world.do("b", lambda out: out.event(Ready(1)))
    publish(world, "a", segment(world, 1))
    world.check(checkers.undelivered)
    world.do("a", lambda out: out.event(Ready(1)))
    publish(world, "a", segment(world, 2))
    assert len(checkers.undelivered(world)) == 1
    world.crash("a")
    world.check(checkers.undelivered)


def test_an_older_message_after_a_newer_one_is_disorder(toys: ToyWorld) -> None:
    for number in (1, 2):
        publish(toys, "a", segment(toys, number))
    deliver(toys, "b", segment(toys, 2))
    deliver(toys, "b", segment(toys, 1))
    assert checkers.disorder(toys) == ["b got 1 of a's messages late"]
    toys.check(checkers.wrong_deliveries)


def test_a_track_tells_the_first_time_from_the_next() -> None:
    track = Track()
    assert [track.add(index) for index in (0, 3, 1, 3, 0)] == [True, True, True, False, False]
    assert track.disorder == 2


def test_latencies_are_kept(toys: ToyWorld) -> None:
    publish(toys, "a", segment(toys, 1))
    toys.run(0.25)
    deliver(toys, "b", segment(toys, 1))
    toys.run(0.25)
    deliver(toys, "c", segment(toys, 1))
    assert [toys.ledger.latency_s(share) for share in (0.0, 0.5, 1.0)] == [0.25, 0.5, 0.5]


# -- tables ---------------------------------------------------------------------------------------------------------------


def test_a_settled_network_passes_all_checks(world: World) -> None:
    world.check(*checkers.ALL)


def test_a_live_peer_that_is_held_dead_is_found(world: World) -> None:
    victim = peer(world, "p2").me
    peer(world, "p1").members.apply(victim, PeerState.DEAD, 0.0)
    assert checkers.held_dead(world) == ["p1 holds p2 DEAD"]
    assert checkers.wrong_tables(world) == ["p1 does not know p2"]
    world.pause("p2")  # who hangs may be held anything
    assert checkers.held_dead(world) == []


def test_a_suspect_and_a_ghost_are_found(world: World) -> None:
    peer(world, "p1").members.apply(peer(world, "p2").me, PeerState.SUSPECT, 0.0)
    world.crash("p3")
    assert "p1 holds p2 SUSPECT" in checkers.wrong_tables(world)
    assert "p1 holds p3 ALIVE, who is gone" in checkers.wrong_tables(world)
    assert any(problem.endswith("lists p3, who is gone") for problem in checkers.wrong_lists(world))


def test_a_peer_that_too_few_seeds_list_is_found(world: World) -> None:
    for name in ("s1", "s2", "s3", "s4"):
        registry = seed(world, name).registry
        entry = registry.get(peer(world, "p1").me.id)
        if entry is not None:
            registry.remove(entry, PeerState.DEAD, world.now)
    assert checkers.wrong_lists(world) == ["p1 is listed by 0 seeds of at least 3"]
    assert len(checkers.held_dead(world)) >= 3


def test_fewer_seeds_than_wanted_suffice_when_others_are_down(world: World) -> None:
    world.crash("s1", "s2")
    world.run(5)
    assert all(len(seed(world, name).registry.page(FIRST_ID, 100)[0]) == 6 for name in ("s3", "s4"))
    world.check(checkers.wrong_lists)


def test_an_overlay_in_two_parts_is_found(world: World) -> None:
    island = ["p1", checkers.up_links(world)["p1"][0]]
    ids = [peer(world, name).me.id for name in island]
    for name in island:
        view = peer(world, name).view
        for link in view.links():
            if link.peer.id not in ids:
                view.remove(link)
    (problem,) = checkers.split_overlay(world)
    assert problem.startswith(f"the overlay is in 2 parts: {' '.join(island)} | ")
    assert len(problem.split(" | ")[1].split()) == 4


def test_a_frame_over_its_limit_is_found(world: World) -> None:
    world.network.frame_bytes_max = 10**6
    assert checkers.over_limits(world) == [f"a frame had 1000000 bytes of at most {SEGMENT_BYTES_MAX}"]


def test_streams_over_their_limits_are_found(world: World) -> None:
    streams, limits = peer(world, "p1").gossip.streams, peer(world, "p1").node.config
    streams.kept_bytes = limits.kept_bytes_max + 1
    streams.beyond_bytes = limits.beyond_bytes_max + 1
    stream = streams.of(ORIGIN, 1)
    stream.marks = {number: Mark(0, ORIGIN, 0.0, {}) for number in range(1, MARKS_MAX + 2)}
    assert checkers.over_limits(world) == [
        "p1 has 67108865 kept bytes of at most 67108864",
        "p1 has 33554433 bytes beyond gaps of at most 33554432",
        "p1 has 65 marks of one stream of at most 64",
    ]


def test_check_raises_with_the_seed_all_problems_and_the_trace(world: World) -> None:
    world.crash("p3")
    with pytest.raises(Violation) as caught:
        world.check(checkers.wrong_tables, partial(checkers.undelivered, since=0.0))
    text = str(caught.value)
    assert text.startswith("5 problems\np1 holds p3 ALIVE, who is gone\n")
    assert "seed 5, " in text
    assert text.splitlines()[-1].split()[1:] == ["p3", "crash"]
