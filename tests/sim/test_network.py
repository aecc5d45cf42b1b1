"""The virtual network behaves as ZeroMQ over TCP does. All by a toy engine that does only what it is told."""

from __future__ import annotations

import pytest

from tests.sim.toys import ToyWorld
from zmqgossip.core.types import Endpoint
from zmqgossip.sim import Weather

RETRY_S = 130.0  # TCP's longest pause between two repeats, and some


# -- DEALER and ROUTER ----------------------------------------------------------------------------------------------------


def test_a_dealer_connects_to_a_router_that_listens() -> None:
    world = ToyWorld("a", "b")
    world.do("a", lambda out: out.open(5, world.router("b")))
    world.run(1)
    assert world.toy("a").calls[1:] == [(pytest.approx(0.02), "connected", 5)]


def test_a_request_names_its_sender_and_the_reply_finds_the_way_back() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.toy("b").answers["request"] = lambda route, frame, address: world.toy("b").outbox.reply(route, frame + b"!")
    world.request("a", 5, b"hello")
    world.run(1)
    ((_route, frame, address),) = world.toy("b").heard("request")
    assert (frame, address) == (b"hello", "10.0.0.1")
    assert world.toy("a").heard("reply") == [(5, b"hello!")]


def test_every_connection_has_a_route_of_its_own() -> None:
    world = ToyWorld("a", "b", "c")
    for name, key in (("a", 1), ("a", 2), ("c", 1)):
        world.connect(name, key, "b")
        world.request(name, key)
    world.run(1)
    assert len({route for route, _, _ in world.toy("b").heard("request")}) == 3


def test_a_refused_dealer_is_told_once_and_stays_quiet() -> None:
    world = ToyWorld("a", "b")
    world.do("a", lambda out: out.open(5, Endpoint("10.0.0.2", 9)))
    world.run(10)
    assert world.toy("a").calls[1:] == [(pytest.approx(0.02), "disconnected", 5)]


def test_a_dealer_to_a_host_that_does_not_exist_hears_nothing() -> None:
    world = ToyWorld("a")
    world.do("a", lambda out: out.open(5, Endpoint("10.9.9.9", 7001)))
    world.run(10)
    assert world.toy("a").kinds() == []


def test_frames_of_one_connection_never_overtake() -> None:
    world = ToyWorld("a", "b", weather=Weather(delay_s=0.001, jitter_s=0.1, loss=0.3))
    world.do("a", lambda out: out.open(5, world.router("b")))
    world.run(30)
    for number in range(100):
        world.request("a", 5, bytes([number]))
        world.run(0.001)
    world.run(1000)
    assert [frame[0] for _, frame, _ in world.toy("b").heard("request")] == list(range(100))


def test_a_request_without_a_connection_is_dropped_and_counted() -> None:
    world = ToyWorld("a", "b")
    world.request("a", 5, b"nobody")
    world.do("a", lambda out: out.open(6, world.router("b")), lambda out: out.request(6, b"too early"))
    world.run(1)
    assert world.toy("b").heard("request") == []
    assert world.network.counters.get("dropped.not_connected") == 2


def test_what_was_sent_just_before_close_goes_out_and_the_reply_is_dropped() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.toy("b").answers["request"] = lambda route, frame, address: world.toy("b").outbox.reply(route, frame)
    world.do("a", lambda out: out.request(5, b"bye"), lambda out: out.close(5))
    world.run(1)
    assert [frame for _, frame, _ in world.toy("b").heard("request")] == [b"bye"]
    assert world.toy("a").heard("reply") == []
    assert world.network.counters.get("dropped.reply_late") == 1


def test_a_reply_to_a_connection_that_is_gone_is_dropped_and_counted() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.do("a", lambda out: out.request(5, b"x"), lambda out: out.close(5))
    world.run(1)
    route = world.toy("b").heard("request")[0][0]
    world.do("b", lambda out: out.reply(route, b"late"))
    world.run(1)
    assert world.network.counters.get("dropped.no_route") == 1
    assert world.toy("a").heard("disconnected") == []  # who closes is not told


def test_open_under_a_known_key_replaces_the_connection() -> None:
    world = ToyWorld("a", "b", "c")
    world.connect("a", 5, "b")
    world.do("a", lambda out: out.open(5, world.router("c")))
    world.run(1)
    world.request("a", 5)
    world.run(1)
    assert world.toy("b").heard("request") == []
    assert len(world.toy("c").heard("request")) == 1
    world.crash("b")
    world.run(1)
    assert world.toy("a").heard("disconnected") == []


def test_a_full_pipe_drops_and_counts() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.network.pipe_max = 10
    world.pause("b")
    for _ in range(15):
        world.request("a", 5)
    world.run(1)
    world.resume("b")
    assert len(world.toy("b").heard("request")) == 10
    assert world.network.counters.get("dropped.pipe_full") == 5
    world.request("a", 5, b"room again")
    world.run(1)
    assert len(world.toy("b").heard("request")) == 11


# -- SUB and XPUB ---------------------------------------------------------------------------------------------------------


def test_a_published_frame_reaches_those_whose_topic_is_its_prefix_once() -> None:
    world = ToyWorld("a", "b", "c", "d")
    world.subscribe("b", 1, "a", b"E", b"E\x01")
    world.subscribe("c", 1, "a", b"E\x02")
    world.subscribe("d", 1, "a", b"")
    world.do("a", lambda out: out.publish(b"E\x01frame"))
    world.run(1)
    assert world.toy("b").heard("gossip") == [(1, b"E\x01frame")]
    assert world.toy("c").heard("gossip") == []
    assert world.toy("d").heard("gossip") == [(1, b"E\x01frame")]


def test_an_xpub_shows_only_topics_that_are_new_to_it_in_byte_order() -> None:
    world = ToyWorld("a", "b", "c")
    world.subscribe("b", 1, "a", b"Lb", b"E", b"D")
    world.subscribe("c", 1, "a", b"Lc", b"E", b"D")
    assert world.toy("a").heard("subscription") == [(b"D",), (b"E",), (b"Lb",), (b"Lc",)]


def test_a_topic_that_the_last_subscriber_dropped_is_new_again() -> None:
    world = ToyWorld("a", "b")
    world.subscribe("b", 1, "a", b"E")
    world.do("b", lambda out: out.close(1))
    world.run(1)
    world.do("a", lambda out: out.publish(b"Ex"))
    world.run(1)
    world.subscribe("b", 2, "a", b"E")
    assert world.toy("a").heard("subscription") == [(b"E",), (b"E",)]
    assert world.toy("b").heard("gossip") == []


def test_what_is_published_at_a_subscription_reaches_the_new_subscriber() -> None:
    world = ToyWorld("a", "b")
    world.toy("a").answers["subscription"] = lambda topic: world.toy("a").outbox.publish(topic + b" up")
    world.subscribe("b", 7, "a", b"E", b"Lb")
    assert world.toy("b").heard("gossip") == [(7, b"E up"), (7, b"Lb up")]


def test_a_sub_dials_for_ever_and_finds_the_next_process_at_its_endpoint() -> None:
    world = ToyWorld("a", "b")
    world.subscribe("b", 1, "a", b"E")
    world.crash("a")
    world.run(60)
    world.restart("a")
    world.run(1)
    assert world.toy("a").heard("subscription") == [(b"E",)]
    world.do("a", lambda out: out.publish(b"E again"))
    world.run(1)
    assert world.toy("b").heard("gossip") == [(1, b"E again")]
    assert world.toy("b").heard("disconnected") == []  # a SUB does not tell


def test_gossip_is_dropped_as_a_pub_does_when_the_weather_says_so() -> None:
    world = ToyWorld("a", "b")
    world.subscribe("b", 1, "a", b"E")
    world.set_weather(Weather(gossip_drop=0.5))
    for _ in range(400):
        world.do("a", lambda out: out.publish(b"E"))
    world.run(1)
    arrived = len(world.toy("b").heard("gossip"))
    assert 140 < arrived < 260
    assert world.network.counters.get("dropped.gossip") == 400 - arrived


# -- processes ------------------------------------------------------------------------------------------------------------


def test_a_crash_ends_the_connections_of_everybody_who_had_one() -> None:
    world = ToyWorld("a", "b", "c")
    world.connect("a", 5, "c")
    world.connect("b", 6, "c")
    world.crash("c")
    world.run(1)
    assert world.toy("a").heard("disconnected") == [(5,)]
    assert world.toy("b").heard("disconnected") == [(6,)]


def test_a_crash_loses_what_had_not_left_the_process() -> None:
    arrived = []
    for seed in range(30):
        world = ToyWorld("a", "b", seed=seed)
        world.subscribe("b", 1, "a", b"E")
        for _ in range(5):
            world.do("a", lambda out: out.publish(b"E"))
            world.run(0.002)
        world.crash("a")
        world.run(1)
        arrived.append(len(world.toy("b").heard("gossip")))
    assert len(set(arrived)) > 1
    assert all(0 <= count <= 5 for count in arrived)


def test_a_process_that_ends_by_itself_sends_what_it_had_sent_and_hangs_up() -> None:
    world = ToyWorld("a", "b")
    world.subscribe("b", 1, "a", b"E")
    world.connect("b", 2, "a")
    world.toy("a").answers["leave"] = lambda: world.toy("a").outbox.publish(b"E farewell")
    world.leave("a")
    world.run(1)
    assert world.toy("b").heard("gossip") == [(1, b"E farewell")]
    assert world.toy("b").heard("disconnected") == [(2,)]
    assert not world.nodes["a"].live


def test_a_machine_that_is_switched_off_says_nothing_and_takes_nothing() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.crash("b", silently=True)
    world.do(
        "a", lambda out: out.request(5, b"x"), lambda out: out.open(6, world.router("b")), lambda out: out.knock(7, [world.router("b")])
    )
    world.run(10)
    assert world.toy("a").kinds() == ["connected", "knock"]
    assert world.toy("a").heard("knock") == [(7, ["SILENT"])]
    world.restart("b")
    world.run(RETRY_S)
    assert world.toy("a").heard("disconnected") == [(5,)]  # the new kernel knows nothing of the old connection
    assert world.toy("a").heard("connected") == [(5,), (6,)]  # the open dial went on


def test_a_restarted_process_is_a_new_engine_with_a_new_label_on_the_same_endpoint() -> None:
    world = ToyWorld("a", "b")
    before = world.nodes["b"]
    world.restart("b")
    after = world.nodes["b"]
    assert (after.label, after.endpoint) == ("b.2", before.endpoint)
    assert after.engine is not before.engine
    world.connect("a", 5, "b")


def test_a_paused_process_gets_all_that_waited_and_then_one_late_wake_up() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.subscribe("b", 1, "a", b"E")
    world.do("b", lambda out: setattr(world.toy("b"), "next_deadline", world.now + 1))
    world.pause("b")
    start = len(world.toy("b").calls)
    world.do("a", lambda out: out.request(5, b"1"), lambda out: out.publish(b"E2"), lambda out: out.request(5, b"3"))
    world.run(20)
    assert world.toy("b").calls[start:] == []
    world.resume("b")
    world.run(5)
    calls = world.toy("b").calls[start:]
    assert [call[1] for call in calls] == ["request", "gossip", "request", "timers"]
    assert [call[0] for call in calls] == [pytest.approx(20.2)] * 4


def test_a_dealer_to_a_paused_process_connects_when_it_resumes() -> None:
    """Its kernel accepts, but ZMTP's greeting comes from the process: the monitor says CONNECTED without HANDSHAKE_SUCCEEDED."""
    world = ToyWorld("a", "b")
    world.pause("b")
    world.do("a", lambda out: out.open(5, world.router("b")))
    world.run(5)
    assert world.toy("a").heard("connected") == []
    world.resume("b")
    assert world.toy("a").heard("connected") == [(5,)]


def test_a_dealer_to_a_paused_process_that_is_killed_is_told() -> None:
    world = ToyWorld("a", "b")
    world.pause("b")
    world.do("a", lambda out: out.open(5, world.router("b")))
    world.run(5)
    world.crash("b")
    world.run(1)
    assert world.toy("a").heard("disconnected") == [(5,)]


# -- knocking -------------------------------------------------------------------------------------------------------------


def test_knocks_tell_a_listener_a_refusal_and_silence_apart() -> None:
    world = ToyWorld("a", "b", "c", "d")
    world.pause("c")
    world.crash("d")
    endpoints = [world.router("b"), world.router("c"), world.router("d"), Endpoint("10.9.9.9", 1)]
    world.do("a", lambda out: out.knock(1, endpoints[:3]), lambda out: out.knock(2, endpoints))
    world.run(2)
    assert world.toy("a").calls[1:] == [
        (pytest.approx(0.02), "knock", 1, ["ACCEPTED", "ACCEPTED", "REFUSED"]),
        (pytest.approx(1.0), "knock", 2, ["ACCEPTED", "ACCEPTED", "REFUSED", "SILENT"]),
    ]


def test_a_knock_across_a_partition_is_silent() -> None:
    world = ToyWorld("a", "b")
    world.partition(["a"])
    world.do("a", lambda out: out.knock(1, [world.router("b"), world.xpub("b")]))
    world.run(2)
    assert world.toy("a").heard("knock") == [(1, ["SILENT", "SILENT"])]


# -- partitions and cuts --------------------------------------------------------------------------------------------------


def test_a_partition_delays_frames_until_it_heals_and_breaks_nothing() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.subscribe("b", 1, "a", b"E")
    world.partition(["a"], ["b"])
    world.do("a", lambda out: out.request(5, b"1"), lambda out: out.request(5, b"2"), lambda out: out.publish(b"E3"))
    world.run(20)
    assert world.toy("b").kinds() == []
    world.heal()
    world.request("a", 5, b"4")  # behind those that wait
    world.run(20)
    assert [frame for _, frame, _ in world.toy("b").heard("request")] == [b"1", b"2", b"4"]
    assert world.toy("b").heard("gossip") == [(1, b"E3")]
    assert world.toy("a").heard("disconnected") == []


def test_a_partition_holds_only_what_a_pipe_holds() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.network.pipe_max = 10
    world.partition(["a"])
    for number in range(25):
        world.request("a", 5, bytes([number]))
    world.heal()
    world.run(20)
    assert [frame[0] for _, frame, _ in world.toy("b").heard("request")] == list(range(10))
    assert world.network.counters.get("dropped.pipe_full") == 15


def test_tcp_finds_out_that_a_way_is_open_again_at_its_next_repeat() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.partition(["a"])
    world.request("a", 5)
    world.run(10)
    world.heal()
    world.run(RETRY_S)
    (at,) = [call[0] for call in world.toy("b").calls if call[1] == "request"]
    assert at == pytest.approx(0.1 + 0.2 * (2**6 - 1) + 0.01)  # the sixth repeat of one that began with 0.2 s


def test_a_dial_into_a_partition_hangs_and_connects_after_it_healed() -> None:
    world = ToyWorld("a", "b")
    world.partition(["a"])
    world.do("a", lambda out: out.open(5, world.router("b")))
    world.run(10)
    assert world.toy("a").kinds() == []
    world.heal()
    world.run(10)
    assert world.toy("a").kinds() == ["connected"]


def test_a_dial_that_was_given_up_in_a_partition_never_connects() -> None:
    world = ToyWorld("a", "b")
    world.partition(["a"])
    world.do("a", lambda out: out.open(5, world.router("b")))
    world.run(1)
    world.do("a", lambda out: out.close(5))
    world.heal()
    world.run(RETRY_S)
    assert world.toy("a").kinds() == []


def test_news_of_a_crash_waits_for_the_partition_to_heal() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.partition(["a"])
    world.crash("b")
    world.run(10)
    assert world.toy("a").heard("disconnected") == []
    world.heal()
    world.run(10)
    assert world.toy("a").heard("disconnected") == [(5,)]


def test_a_cut_stops_one_direction() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.connect("b", 6, "a")
    world.cut("a", "b")
    world.request("a", 5)
    world.request("b", 6, b"y")
    world.run(10)
    assert world.toy("b").heard("request") == []
    assert len(world.toy("a").heard("request")) == 1
    world.do("b", lambda out: out.knock(7, [world.router("a")]))
    world.run(2)
    assert world.toy("b").heard("knock") == [(7, ["SILENT"])]  # a connection needs both
    world.mend("a", "b")
    world.run(RETRY_S)
    assert len(world.toy("b").heard("request")) == 1


def test_everybody_can_be_cut_off_from_one_node() -> None:
    world = ToyWorld("a", "b", "c")
    for name in ("a", "b"):
        world.connect(name, 5, "c")
    world.cut("*", "c")
    for name in ("a", "b"):
        world.request(name, 5)
    world.run(10)
    assert world.toy("c").heard("request") == []


def test_a_partition_may_name_hosts_and_what_it_does_not_name_is_one_group() -> None:
    world = ToyWorld("a", "b", "c", "d")
    for name, other in (("a", "b"), ("c", "d"), ("a", "c")):
        world.connect(name, 5 if other != "c" else 6, other)
    world.partition(["10.0.0.1", "b"])
    world.do("a", lambda out: out.request(5, b"x"), lambda out: out.request(6, b"x"))
    world.request("c", 5)
    world.run(1)
    assert [len(world.toy(name).heard("request")) for name in "bcd"] == [1, 0, 1]


# -- weather --------------------------------------------------------------------------------------------------------------


def test_loss_shows_as_delay_and_never_as_a_gap() -> None:
    world = ToyWorld("a", "b")
    world.connect("a", 5, "b")
    world.set_weather(Weather(delay_s=0.01, jitter_s=0, loss=0.2), "a", "b")
    for _ in range(200):
        world.request("a", 5)
        world.run(1)
    world.run(100)
    delays = [call[0] % 1 for call in world.toy("b").calls if call[1] == "request"]
    assert len(delays) == 200
    assert 20 < sum(delay > 0.15 for delay in delays) < 90


def test_weather_of_a_pair_counts_before_that_of_a_node_and_that_before_everybodys() -> None:
    world = ToyWorld("a", "b", "c")
    world.connect("a", 5, "b")
    world.connect("a", 6, "c")
    world.set_weather(Weather(delay_s=2, jitter_s=0), "a")
    world.set_weather(Weather(delay_s=3, jitter_s=0), "a", "b")
    start = world.now
    world.do("a", lambda out: out.request(5, b"x"), lambda out: out.request(6, b"x"))
    world.run(10)
    assert [world.toy(name).calls[-1][0] - start for name in "bc"] == [pytest.approx(3), pytest.approx(2)]


def test_a_pair_keeps_its_share_of_the_spread() -> None:
    world = ToyWorld("a", "b", "c", weather=Weather(delay_s=0.01, spread_s=1.0, jitter_s=0))
    delays = {name: {world.paths.delay_s("a", name) for _ in range(5)} | {world.paths.delay_s(name, "a")} for name in "bc"}
    assert [len(each) for each in delays.values()] == [1, 1]
    assert delays["b"] != delays["c"]


def test_traffic_is_counted_by_frames_and_bytes() -> None:
    world = ToyWorld("a", "b", "c")
    for name in "bc":
        world.subscribe(name, 1, "a", b"E")
    world.do("a", lambda out: out.publish(b"E" + bytes(99)))
    world.run(1)
    assert world.network.traffic == {0: [2, 200]}
