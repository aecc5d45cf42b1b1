"""Whole networks agree on who is there: in full tables everybody on everybody, in partial ones everybody on its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from tests.sim.healing import alike, forgets, holds, ready_world, stranger
from zmqgossip.core.config import LAN
from zmqgossip.core.events import MembersFull, PeerDead, PeerJoined, PeerLeft
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import PeerState
from zmqgossip.core.view import Link
from zmqgossip.sim import Weather, World, checkers
from zmqgossip.sim.accounts import engine_of
from zmqgossip.sim.paths import ANY

DEAD, LEFT = PeerState.DEAD, PeerState.LEFT
PARTIAL = replace(LAN, members_full_max=10, candidates_max=8)


def in_parts(seed: int, peers: int = 24) -> World:
    """A network that is too large for full tables, ready and quiet."""
    world = World(seed=seed, config=PARTIAL, seeds=3)
    world.add_peers(peers)
    world.run_until(world.all_ready, 20)
    world.run(5)
    assert all(engine_of(body).members.partial for body in world.peers)
    return world


@pytest.mark.parametrize("seed", [1])
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


# -- who leaves as it comes -----------------------------------------------------------------------------------------------


def found_dead(world: World, gone: set[bytes]) -> list[str]:
    """Who of those that are there was told that one of `gone` is dead."""
    return [body.name for body in world.peers for _, event in body.events if isinstance(event, PeerDead) and event.peer.id in gone]


@pytest.mark.parametrize("delay_s", [0.0002, 0.005, 0.02])
@pytest.mark.parametrize("slow", [("p1", ANY), (ANY, "p1"), ("p4", ANY), (ANY, "p4"), (ANY, "s1")])
def test_four_that_leave_while_their_links_come_up_are_found_dead_by_nobody(slow: tuple[str, str], delay_s: float) -> None:
    for step in range(12):  # from before the first HELLO until all links are up
        world = World(seed=step, seeds=1, one_host=True, weather=Weather(delay_s=delay_s, jitter_s=delay_s))
        world.add_peers(3)
        world.run_until(world.all_ready, 20)
        world.run(2.0)
        world.set_weather(Weather(delay_s=0.06, jitter_s=0.02), *slow)
        world.add_peers(4)
        gone = {engine_of(world.nodes[name]).me.id for name in ("p4", "p5", "p6", "p7")}
        world.run(0.02 + 0.04 * step)
        for name in ("p4", "p5", "p6", "p7"):
            world.leave(name)
        world.run(4.0)
        assert [body.name for body in world.peers] == ["p1", "p2", "p3"]
        assert found_dead(world, gone) == [], f"they left after {0.02 + 0.04 * step:.2f} s"


def test_who_could_tell_its_seeds_alone_that_it_goes_has_left() -> None:
    world = ready_world(1)
    leaver, others = world.nodes["p3"], [body for body in world.peers if body.name != "p3"]
    me = engine_of(leaver).me
    for link in engine_of(leaver).view.links():
        link.connected = False  # as if its DEALERs were being made anew, for longer than it lives
    world.set_weather(Weather(gossip_drop=1.0), "p3", ANY)
    world.leave("p3")
    world.run(1.0)
    assert not leaver.live and found_dead(world, {me.id}) == []
    assert {held.state for body in others if (held := engine_of(body).members.get(me.id)) is not None} <= {LEFT, PeerState.ALIVE}
    world.run(WITHIN_S)
    assert found_dead(world, {me.id}) == []
    assert [held.state for body in others if (held := engine_of(body).members.get(me.id)) is not None] == [LEFT] * len(others)


# -- full tables ----------------------------------------------------------------------------------------------------------

WITHIN_S = 2.5
"""Two probe intervals, and what a walk takes."""


@pytest.mark.parametrize("seed", [1])
def test_missing_members_are_learnt_again_and_ghosts_go_within_two_probe_intervals(seed: int) -> None:
    world = ready_world(seed)
    first, *others = world.peers
    dead, left = stranger(world, 5), stranger(world, 6)
    for body in others:
        holds(body, dead)
        holds(body, dead, DEAD)
        holds(body, left)
        holds(body, left, LEFT)
    holds(first, dead)
    holds(first, left)
    for name, missing in (("p2", "p5"), ("p3", "p7"), ("p3", "p8")):
        forgets(world.nodes[name], engine_of(world.nodes[missing]).me)

    def healed() -> bool:
        return alike(world) and not checkers.wrong_tables(world)

    assert not healed()
    world.run_until(healed, WITHIN_S)
    states = [held.state for held in map(engine_of(first).members.get, (dead.id, left.id)) if held is not None]
    assert states == [DEAD, LEFT], "who left and who died"


def test_a_living_peer_that_one_holds_dead_is_told_and_comes_back() -> None:
    world = ready_world(3)
    engine = engine_of(world.nodes["p7"])
    holds(world.nodes["p4"], engine.me, DEAD)
    world.run_until(lambda: alike(world) and not checkers.held_dead(world), WITHIN_S)
    assert engine.me.revision == 1


def test_who_was_cut_off_learns_who_left_and_who_died() -> None:
    world = ready_world(4)
    away = world.nodes["p1"]
    world.partition(["p1"])
    world.run(6)
    world.crash("p2", "p3")
    world.leave("p4")
    world.run(3)
    joined = world.add_peer()
    world.run(5)
    world.heal()
    world.run(15)
    world.check(*checkers.LIVENESS)
    assert alike(world) and engine_of(away).members.is_living(engine_of(joined).me.id)
    states = {name: engine_of(away).members.get(engine_of(world.nodes[name]).me.id) for name in ("p2", "p3", "p4")}
    assert {name: held.state for name, held in states.items() if held is not None} == {"p2": DEAD, "p3": DEAD, "p4": LEFT}


@pytest.mark.parametrize("seed", [1])
def test_a_group_that_died_with_all_its_neighbours_leaves_every_table_when_its_leases_are_over(seed: int) -> None:
    world = ready_world(seed, peers=14)
    names = ["p1", "p2", "p3", "p4"]
    group = {engine_of(world.nodes[name]).me.id: None for name in names}
    for body in world.peers:
        for link in engine_of(body).view.links():
            if (link.peer.id in group) != (body.name in names):
                body.turn(unlinked(engine_of(body), link))
    world.crash(*names)
    world.run(3)
    assert len(checkers.wrong_tables(world)) == 4 * len(world.peers), "nobody has noticed"
    world.run_until(lambda: alike(world) and not checkers.wrong_tables(world), LAN.lease_s + 2 * LAN.presence_interval_s)


def unlinked(engine: PeerEngine, link: Link) -> Callable[[float], None]:
    """The link is gone at this end, without a word, and nobody is dialled for it."""

    def forget(now: float) -> None:
        link.theirs = b""
        engine.overlay.stopped = True
        engine.membership.lose(link, "a test", now)
        engine.overlay.stopped = False

    return forget


def test_what_no_walk_settles_costs_ever_fewer_walks() -> None:
    world = ready_world(5, peers=6)
    ghost = stranger(world, 5)
    for number, body in enumerate(world.peers):
        if number % 2:
            holds(body, ghost)
        engine_of(body).hearsay.on_table = lambda members, now: None  # type: ignore[method-assign]
        engine_of(body).membership.look_for_ghosts = lambda now: None  # type: ignore[method-assign]
    world.run(10)
    early = world.counts("walks.of_table")
    world.run(60)
    late = world.counts("walks.of_table")
    world.run(60)
    assert early > 0 and world.counts("walks.of_table") - late < (late - early) / 2 < 200


def test_a_ghost_that_nobody_lists_leaves_every_table_and_none_of_the_living_is_ever_visited() -> None:
    world = ready_world(5, peers=8)
    world.run(20)
    ghost = stranger(world, 5)
    for body in world.peers:
        holds(body, ghost)
    tables = [engine_of(body).members for body in world.peers]
    world.run_until(lambda: not any(table.is_living(ghost.id) for table in tables), 2 * LAN.lease_s + 5 * LAN.presence_interval_s)
    assert all((held := table.get(ghost.id)) is not None and held.state is PeerState.DEAD for table in tables)
    visits = sum(engine_of(body).counters.get("visits.made") for body in world.peers)
    assert 3 <= visits <= 3 * len(tables) and world.counts("refuted") == 0
    world.run(60)
    assert visits == sum(engine_of(body).counters.get("visits.made") for body in world.peers)
    assert not checkers.wrong_tables(world) and not checkers.held_dead(world)


TROUBLES = ("join", "join", "leave", "crash", "power off", "cut", "partition", "mend", "pause", "gossip is lost", "fine")


@pytest.mark.parametrize("seed", range(2))
def test_after_any_troubles_and_some_quiet_all_tables_are_right_and_alike(seed: int) -> None:
    world = ready_world(100 + seed, peers=9)
    luck = Random(seed)
    for what in luck.choices(TROUBLES, k=14):
        trouble(world, what, luck)
        world.run(luck.random() * 1.5)
    world.heal()
    world.clear_weather()
    for body in world.peers:
        world.resume(body.name)
    world.run(35)
    world.check(*checkers.ALL)
    assert alike(world)


def trouble(world: World, what: str, luck: Random) -> None:
    names = [body.name for body in world.peers]
    one, other = luck.sample(names, 2)
    match what:
        case "join":
            world.add_peer()
        case "leave" if len(names) > 5:
            world.leave(one)
        case "crash" | "power off" if len(names) > 5:
            world.crash(one, silently=what == "power off")
        case "cut":
            world.cut(one, other)
        case "partition":
            world.partition(luck.sample(names, len(names) // 2))
        case "mend":
            world.heal()
        case "pause":
            world.pause(one)
            world.at(luck.random() * 6, world.resume, one)
        case "gossip is lost":
            world.set_weather(Weather(gossip_drop=0.6, loss=0.05))
        case "fine":
            world.clear_weather()
