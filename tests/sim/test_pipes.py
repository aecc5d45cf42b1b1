"""What TCP and high-water marks do to frames, seen from the engines at both ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.toys import ToyWorld
from zmqgossip.core.config import LAN
from zmqgossip.core.events import NeighbourDown
from zmqgossip.sim import Weather, World, checkers, settle
from zmqgossip.sim.accounts import engine_of, holes, named_lost
from zmqgossip.sim.paths import SYN_RETRY_FIRST_S
from zmqgossip.sim.pipes import GIVES_UP_S, UNACKNOWLEDGED_MAX

CALM = Weather(delay_s=0.01, jitter_s=0)


def small(seed: int, peers: int = 6) -> World:
    world = World(seed=seed)
    settle(world, peers)
    return world


# -- high-water marks -----------------------------------------------------------------------------------------------------


def test_a_pipe_gets_its_credit_back_in_batches_of_half_its_mark() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.network.pipe_max = 10
    for number in range(4):  # all taken in, and less than half a pipe: no credit for them yet
        world.request("a", 5, bytes([number]))
        world.run(0.1)
    world.pause("b")
    for _ in range(10):
        world.request("a", 5)
    assert world.network.counters.get("dropped.pipe_full") == 4
    world.run(1)
    world.resume("b")
    assert len(world.toy("b").heard("request")) == 10
    for _ in range(10):
        world.request("a", 5)
        world.run(0.1)
    assert len(world.toy("b").heard("request")) == 20


def test_what_full_pipes_dropped_is_pulled_and_nobody_misses_a_message() -> None:
    world = small(1)
    world.network.pipe_max = 8
    for _ in range(60):
        for name in ("p1", "p2"):
            world.publish(name, "t", bytes(50))
        if world.network.counters.get("dropped.pipe_full"):
            break
    world.run(10)
    assert world.network.counters.get("dropped.pipe_full") > 0
    world.check(*checkers.ALL)
    assert holes(world) == []


# -- duplicates and order -------------------------------------------------------------------------------------------------


def test_a_frame_that_comes_twice_comes_twice_to_the_engine_and_once_to_the_user() -> None:
    world = small(2)
    world.set_weather(Weather(gossip_twice=1.0))
    for _ in range(3):
        world.publish("p1", "t", b"x")
        world.run(0.2)
    world.run(3)
    (publisher, *others) = world.peers
    assert [len(body.segments) for body in others] == [3] * 5
    assert sum(engine_of(body).counters.get("duplicates.known") for body in others) >= 15
    world.check(*checkers.ALL)
    assert publisher.published == 3


def test_weather_that_doubles_frames_does_so_by_its_share() -> None:
    world = ToyWorld("a", "b", weather=replace(CALM, gossip_twice=0.5))
    world.subscribe("b", 1, "a", b"E")
    for _ in range(400):
        world.do("a", lambda out: out.publish(b"E"))
        world.run(0.001)
    world.run(1)
    assert 540 < len(world.toy("b").heard("gossip")) < 660
    world.clear_weather()
    world.do("a", lambda out: out.publish(b"E last"))
    world.run(1)
    assert world.toy("b").heard("gossip").count((1, b"E last")) == 1


def test_frames_of_two_connections_overtake_each_other() -> None:
    world = ToyWorld("a", "b", "c", weather=CALM)
    for key, name in ((1, "a"), (2, "b")):
        world.subscribe("c", key, name, b"E")
    world.set_weather(replace(CALM, delay_s=1.0), "a", "c")
    world.do("a", lambda out: out.publish(b"E first"))
    world.run(0.1)
    world.do("b", lambda out: out.publish(b"E second"))
    world.run(2)
    assert world.toy("c").heard("gossip") == [(2, b"E second"), (1, b"E first")]


# -- one-way cuts ---------------------------------------------------------------------------------------------------------


def test_against_a_one_way_cut_a_window_of_bytes_gets_through_and_then_nothing() -> None:
    """Acknowledgements go the way that is cut."""
    world = ToyWorld("a", "b", weather=CALM)
    world.connect("a", 5, "b")
    world.cut("b", "a")
    size = UNACKNOWLEDGED_MAX // 8
    for number in range(12):
        world.request("a", 5, bytes([number]) * size)
    world.run(20)
    assert [frame[0] for _, frame, _ in world.toy("b").heard("request")] == list(range(8))
    world.heal()
    world.run(60)
    assert [frame[0] for _, frame, _ in world.toy("b").heard("request")] == list(range(12))
    assert world.toy("a").heard("disconnected") == []


# -- silence --------------------------------------------------------------------------------------------------------------


def test_a_connection_of_which_nothing_is_acknowledged_for_a_quarter_of_an_hour_ends() -> None:
    world = ToyWorld("a", "b", weather=CALM)
    world.connect("a", 5, "b")
    world.partition(["a"])
    world.request("a", 5)
    world.run(GIVES_UP_S - 1)
    assert world.toy("a").heard("disconnected") == []
    world.run(2)
    assert world.toy("a").heard("disconnected") == [(5,)]
    assert world.network.counters.get("connection.timed_out") == 1
    world.heal()
    world.run(300)
    assert world.toy("b").heard("request") == []  # what waited went with the connection
    assert world.nodes["b"].incoming == {}  # and the other end has heard of it


def test_a_connection_on_which_nobody_speaks_outlives_any_partition() -> None:
    world = ToyWorld("a", "b", weather=CALM)
    world.connect("a", 5, "b")
    world.partition(["a"])
    world.run(2 * GIVES_UP_S)
    world.heal()
    world.request("a", 5)
    world.run(1)
    assert len(world.toy("b").heard("request")) == 1
    assert world.toy("a").heard("disconnected") == []


def test_a_sub_whose_publisher_gave_it_up_subscribes_again_when_it_hears_of_it() -> None:
    world = ToyWorld("a", "b", weather=CALM)
    world.subscribe("b", 1, "a", b"E")
    world.partition(["a"])
    world.do("a", lambda out: out.publish(b"E lost"))
    world.run(GIVES_UP_S + 1)
    assert world.toy("a").heard("unsubscription") == [(b"E",)]
    world.heal()
    world.run(300)
    assert world.toy("a").heard("subscription") == [(b"E",), (b"E",)]
    world.do("a", lambda out: out.publish(b"E again"))
    world.run(1)
    assert world.toy("b").heard("gossip") == [(1, b"E again")]


def test_a_connection_to_a_machine_that_is_off_ends_though_other_paths_change_meanwhile() -> None:
    world = ToyWorld("a", "b", "c", weather=CALM)
    world.connect("a", 5, "b")
    world.crash("b", silently=True)
    world.request("a", 5)
    for _ in range(3):
        world.run(GIVES_UP_S / 4)
        world.pause("c")
        world.resume("c")
    assert world.toy("a").heard("disconnected") == []
    world.run(GIVES_UP_S / 4 + 1)
    assert world.toy("a").heard("disconnected") == [(5,)]


def test_peers_lose_their_links_to_a_silent_machine_long_before_tcp_does() -> None:
    world = small(3)
    world.crash("p1", silently=True)
    world.run(LAN.liveness_interval_s * LAN.misses_max + 3)
    downs = [event for body in world.peers for _, event in body.events if isinstance(event, NeighbourDown)]
    assert downs
    assert world.network.counters.get("connection.timed_out") == 0


# -- connecting -----------------------------------------------------------------------------------------------------------


def test_a_dial_beyond_the_backlog_of_a_stopped_process_hangs_and_comes_in_when_it_goes_on() -> None:
    world = ToyWorld("a", "b", "c", weather=CALM)
    world.network.backlog_max = 1
    world.pause("c")
    for name in "ab":
        world.do(name, lambda out: out.open(5, world.router("c")))
        world.run(1)
    world.do("a", lambda out: out.knock(7, [world.router("c")]))
    world.run(2)
    assert world.toy("a").heard("knock") == [(7, ["SILENT"])]
    world.resume("c")
    assert world.toy("a").heard("connected") == [(5,)]
    assert world.toy("b").heard("connected") == []
    world.run(8 * SYN_RETRY_FIRST_S)
    assert world.toy("b").heard("connected") == [(5,)]


# -- processes ------------------------------------------------------------------------------------------------------------


def test_a_peer_that_stored_its_id_comes_back_as_a_newer_life_of_the_same() -> None:
    world = small(4)
    before = engine_of(world.nodes["p2"]).me
    world.publish("p2", "t", b"first life")
    world.run(2)
    world.restart("p2", keeps_id=True)
    after = engine_of(world.nodes["p2"]).me
    assert after.id == before.id
    assert after.epoch > before.epoch
    world.run(5)
    world.publish("p2", "t", b"second life")
    world.run(10)
    world.check(*checkers.SAFETY, checkers.undelivered, checkers.held_dead, checkers.split_overlay)
    for body in world.peers:
        if body.name != "p2":
            assert [segment.header.epoch for _, segment in body.segments] == [before.epoch, after.epoch]
            assert named_lost(body) == []


def test_a_stored_id_gets_a_newer_epoch_even_within_the_same_millisecond_and_the_next_life_a_new_id() -> None:
    world = small(5)
    first = engine_of(world.nodes["p3"]).me
    second = engine_of(world.restart("p3", keeps_id=True)).me
    assert (second.id, second.epoch) == (first.id, first.epoch + 1)
    assert engine_of(world.restart("p3")).me.id != first.id


@pytest.mark.parametrize("replay", ["zmqgossip simulate crash --seed 6", ""])
def test_a_report_names_the_command_that_plays_the_run_again(replay: str) -> None:
    world = small(6)
    world.replay = replay
    lines = world.report().splitlines()
    assert lines[0].startswith("seed 6,")
    assert [line for line in lines if line.startswith("replay")] == ([f"replay: {replay}"] if replay else [])
