"""Everything that is published reaches everybody once and in order, or is named: whole networks with random troubles.

A schedule is drawn by hypothesis as a list of what happens (`schedules`), and counted afterwards (`accounts`). Times are virtual.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from tests.sim.schedules import DEADLY, GENTLE, KNOBS, ROUGH, play, verdict
from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import Endpoint, PeerRecord
from zmqgossip.sim import Body, Weather, World, checkers
from zmqgossip.sim.accounts import FlushBook, engine_of, holes, named_lost, restless, short
from zmqgossip.sim.world import WALL_S

few = settings(max_examples=5, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 10_000)


def schedules(kinds: tuple[str, ...], length: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(kinds), min_size=length // 2, max_size=length)


@few
@given(seed=SEEDS, steps=schedules(GENTLE, 16), knobs=st.sampled_from(list(KNOBS)), peers=st.integers(2, 5))
def test_nothing_is_lost_by_loss_reordering_full_pipes_short_pauses_and_joins(seed: int, steps: list[str], knobs: str, peers: int) -> None:
    run = play(seed, steps, KNOBS[knobs], peers=peers, quiet_s=15.0)
    assert verdict(run, gentle=True) == []


@few
@given(seed=SEEDS, steps=schedules(ROUGH, 20), knobs=st.sampled_from(list(KNOBS)), peers=st.integers(2, 5))
def test_cuts_and_long_pauses_cost_no_message_without_its_name(seed: int, steps: list[str], knobs: str, peers: int) -> None:
    run = play(seed, steps, KNOBS[knobs], peers=peers)
    assert verdict(run, gentle=False) == []


@few
@given(seed=SEEDS, steps=schedules(DEADLY, 20), knobs=st.sampled_from(list(KNOBS)), peers=st.integers(2, 6))
def test_crashes_and_restarts_cost_survivors_no_message_of_each_other(seed: int, steps: list[str], knobs: str, peers: int) -> None:
    run = play(seed, steps, KNOBS[knobs], peers=peers)
    assert verdict(run, gentle=False) == []


# -- schedules that found something ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("knobs", ["small", "small, one parent"])
def test_windows_that_shrink_while_nothing_under_way_has_a_mark_open_again(knobs: str) -> None:
    run = play(6, ["trickle", "flush", "trickle", "trickle", "join", "trickle", "trickle", "join", "trickle"], KNOBS[knobs], quiet_s=10.0)
    assert verdict(run, gentle=True) == []


# -- cases that were thought of beforehand --------------------------------------------------------------------------------


def network(seed: int, peers: int, knobs: ProtocolConfig = LAN) -> World:
    world = World(seed=seed, config=knobs, seeds=2)
    world.add_peers(peers)
    world.run_until(world.all_ready, 20)
    world.run(3)
    return world


def add_peer_in_bucket(world: World, name: str, bucket: int) -> None:
    """A peer whose id is chosen by its last byte."""
    number = 100 + len(world.nodes)
    host, seeds = f"10.9.0.{number}", tuple(world.seed_endpoints)

    def make(body: Body, rng: Random) -> PeerEngine:
        record = PeerRecord(rng.randbytes(15) + bytes((bucket,)), int((world.now + WALL_S) * 1000), 0, host, 7001, 7002)
        return PeerEngine(record, seeds, world.cluster, world.config, rng, WALL_S)

    world.add(name, Endpoint(host, 7001), Endpoint(host, 7002), make)


def in_order_and_whole(world: World) -> list[str]:
    checks = (checkers.wrong_deliveries, checkers.disorder, checkers.undelivered, holes, short)
    return [problem for check in checks for problem in check(world)]


def quiet(world: World) -> list[str]:
    return in_order_and_whole(world) + restless(world) + [str(named_lost(body)) for body in world.peers if named_lost(body)]


def break_link(world: World, name: str, other: str) -> None:
    """One end gives up the link with another."""
    engine = engine_of(world.nodes[name])
    link = engine.view.by_peer(engine_of(world.nodes[other]).me.id)
    assert link is not None
    world.nodes[name].turn(lambda now: engine.membership.lose(link, "a test", now))


@pytest.mark.parametrize("parents", [1, 2])
def test_two_origins_in_one_bucket_are_heard_by_all_and_nothing_is_pulled_after_ten_seconds(parents: int) -> None:
    world = World(seed=parents, config=replace(LAN, parents=parents), seeds=2)
    add_peer_in_bucket(world, "a", 7)
    add_peer_in_bucket(world, "b", 7)
    world.add_peers(8)
    world.run_until(world.all_ready, 20)

    def publish(times: int) -> None:
        for _ in range(times):
            for name in ("a", "b"):
                world.publish(name)
                world.run(0.05)

    publish(100)
    pulls = world.counts("pulls.sent")
    publish(60)
    world.run(4)
    assert world.counts("pulls.sent") == pulls
    assert quiet(world) == []


def test_a_newcomer_in_mid_stream_owes_nothing_before_its_baseline_and_lacks_nothing_after_it() -> None:
    world = network(3, 6)
    for number in range(120):
        if number in (20, 21, 60):
            world.add_peer()
        for name in ("p1", "p4"):
            world.publish(name)
        world.run(0.01)
    world.run(8)
    assert quiet(world) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_newcomer_during_a_flush_is_counted_or_not_but_the_flush_is_right_and_ends(seed: int) -> None:
    world = network(seed, 4)
    book = FlushBook(world)
    for _ in range(15):
        if seed + 3 == len(book.ended):
            world.add_peer()
        world.publish("p1")
        book.flush("p1", 5.0)
        world.run(0.08)
    world.run(8)
    assert book.problems == [] and book.stuck() == [] and list(book.ended.values()) == [True] * 15
    assert quiet(world) == []


@pytest.mark.parametrize(("first", "last"), [(0, 1), (4, 5), (0, 5)])
def test_the_first_or_the_last_segments_of_a_stream_that_no_push_brings_come_by_a_pull(first: int, last: int) -> None:
    world = network(1, 2)
    for number in range(5):
        world.set_weather(Weather(gossip_drop=float(first <= number < last)), "p1", "p2")
        world.publish("p1", "t", b"%d" % number)
    world.set_weather(Weather(), "p1", "p2")
    world.run(6)
    assert world.counts("pulls.sent") >= 1
    assert quiet(world) == []


def test_a_flush_is_true_though_every_digest_is_lost() -> None:
    world = network(2, 4)
    book = FlushBook(world)
    book.flush("p1", 5.0)
    world.run(0.0025)  # the mark has come everywhere, the answers have not left
    world.set_weather(Weather(gossip_drop=1.0))
    world.run(4)
    assert book.ended == {1: True} and book.problems == []


@pytest.mark.parametrize("after_s", [0.0, 0.0015, 0.002, 0.003, 0.01, 0.05])
def test_a_flush_is_right_though_the_link_to_the_parent_goes_between_reception_and_done(after_s: float) -> None:
    for relay in ("p2", "p3", "p4"):
        world = network(4, 5)
        book = FlushBook(world)
        world.publish("p1")
        book.flush("p1", 6.0)
        world.run(after_s)
        if engine_of(world.nodes[relay]).view.by_peer(engine_of(world.nodes["p1"]).me.id):
            break_link(world, relay, "p1")
        world.run(7)
        assert book.ended == {1: True} and book.problems == []


def test_a_flush_waits_for_a_relay_that_is_stopped_and_names_it_after_five_seconds() -> None:
    for stopped_s, is_named in ((1.0, False), (20.0, True)):
        world = network(5, 5, replace(LAN, misses_max=100))
        book = FlushBook(world)
        world.publish("p1")
        world.pause("p2")
        token = book.flush("p1", 12.0)
        world.run(stopped_s)
        world.resume("p2")
        world.run(8)
        assert book.ended == {1: True} and book.problems == []
        assert (engine_of(world.nodes["p2"]).me.id in world.nodes["p1"].flushes[token].slow) is is_named
        assert in_order_and_whole(world) == []


def test_two_newcomers_that_know_only_each_other_become_ready() -> None:
    world = World(seed=1, seeds=1)
    world.add_peers(2)
    assert world.run_until(world.all_ready, 10) < 5
    world.publish("p1")
    world.publish("p2")
    world.run(8)
    assert quiet(world) == []


@pytest.mark.parametrize("knobs", ["usual", "small"])
def test_both_halves_of_a_healed_partition_exchange_what_is_kept_and_name_the_rest(knobs: str) -> None:
    world = network(6, 6, KNOBS[knobs])
    world.partition(["p1", "p2", "p3", "s1"])
    world.run(10)
    for number in range(60):
        for name in ("p1", "p5"):
            world.publish(name, "t", bytes(1000))
        world.run(0.05 if number % 10 else 0.5)
    world.heal()
    world.run(40)
    assert [*checkers.wrong_deliveries(world), *checkers.disorder(world), *holes(world), *short(world), *restless(world)] == []
    lost = sum(last - first + 1 for body in world.peers for first, last in named_lost(body))
    assert (lost > 0) is (knobs == "small")


def test_all_publish_flat_out_through_small_windows_and_full_pipes_and_nothing_stands_still() -> None:
    world = network(7, 5, KNOBS["small"])
    world.network.pipe_max = 20
    book = FlushBook(world)
    for number in range(12):
        for body in world.peers:
            world.publish_batch(body.name, [("t", bytes(300))] * 20)
        book.flush(f"p{number % 5 + 1}", 30.0)
        world.run(0.1)
    world.run(40)
    assert book.problems == [] and all(book.ended.values()) and len(book.ended) == 12
    assert quiet(world) == []


# -- what it costs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parents", "most"), [(1, 0.1), (2, 1.1)])
def test_after_a_while_few_copies_come_beyond_the_first(parents: int, most: float) -> None:
    world = World(seed=1, config=replace(LAN, parents=parents), seeds=2, keep=False)
    world.add_peers(8)
    world.run_until(world.all_ready, 20)

    def publish(rounds: int) -> None:
        for _ in range(rounds):
            for body in world.peers:
                world.publish(body.name)
                world.run(0.5 / 8)

    publish(20)
    kinds = ("duplicates.known", "duplicates.own", "duplicates.pulled")
    copies, deliveries = sum(map(world.counts, kinds)), world.ledger.delivered_count
    publish(8)
    redundancy = (sum(map(world.counts, kinds)) - copies) / (world.ledger.delivered_count - deliveries)
    degree = sum(engine_of(body).view.up_count for body in world.peers) / 8
    assert redundancy <= most and redundancy < (degree - 1) / 2
