"""Messages to all: publish, subscribe, patterns, feeds of messages and of events, and what is known of the others."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from itertools import islice

import pytest

from tests.handle.network import PATIENT, SOON_S, Network, in_thread
from tests.support import wait_for
from zmqgossip import Endpoint, Message, MessagesLost, PeerJoined, PeerLeft, PeerReady, SeedAccepted, Timeout
from zmqgossip.core.events import Event, ReplyReceived
from zmqgossip.handle import feed as feed_module
from zmqgossip.handle.feed import Feed
from zmqgossip.handle.tidings import Tidings

pytestmark = pytest.mark.sockets


def test_a_message_says_what_who_when_and_how_it_came(network: Network) -> None:
    first, second, third = network.peers
    with second.subscribe("said.*") as feed:
        before = time.time()
        first.publish("said.first", b"one")
        third.publish("said.third", bytearray(b"two"))
        messages = {message.topic: message for message in (feed.get(SOON_S), feed.get(SOON_S))}
    message = messages["said.first"]
    assert isinstance(message, Message) and message.payload == b"one"
    assert (message.origin.id, message.origin.host, message.origin.port) == (first.id, first.me.host, first.me.port)
    assert str(message.origin) == f"127.0.0.1:{first.me.port}"
    assert before - 0.01 <= message.sent_at <= time.time() + 0.01 and message.number >= 1 and message.hops in (0, 1), (
        "the other one may have passed it on sooner"
    )
    assert messages["said.third"].payload == b"two" and messages["said.third"].origin.id == third.id


def test_numbers_of_one_origin_have_no_hole(network: Network) -> None:
    first, second, _ = network.peers
    with second.subscribe("numbered") as feed:
        for _ in range(50):
            first.publish("numbered", b"")
        numbers = [feed.get(SOON_S).number for _ in range(50)]
    assert numbers == list(range(numbers[0], numbers[0] + 50))


def test_a_peer_does_not_get_its_own_messages(network: Network) -> None:
    first, second, _ = network.peers
    with first.subscribe("own") as feed:
        first.publish("own", b"its own")
        second.publish("own", b"another's")
        assert feed.get(SOON_S).payload == b"another's"


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("p.a", ["p.a"]),
        ("p.*", ["p.a", "p.b"]),
        ("p.*.c", ["p.b.c"]),
        ("p.>", ["p.a", "p.b", "p.b.c", "p.b.c.d"]),
        ("*.b.>", ["p.b.c", "p.b.c.d"]),
        (">", ["p", "p.a", "p.b", "p.b.c", "p.b.c.d"]),
    ],
)
def test_patterns_choose_topics(network: Network, pattern: str, fits: list[str]) -> None:
    first, second, _ = network.peers
    with second.subscribe(pattern) as feed, second.subscribe("end") as end:
        for topic in ("p", "p.a", "p.b", "p.b.c", "p.b.c.d", "end"):
            first.publish(topic, b"")
        end.get(SOON_S)
        got = [feed.get(0).topic for _ in fits]
        assert got == fits
        if pattern != ">":
            with pytest.raises(Timeout):
                feed.get(0)


def test_several_feeds_get_everything_each_and_an_iteration_is_one(network: Network) -> None:
    first, second, third = network.peers
    feeds = [second.subscribe("each.>"), second.subscribe("each.*"), third.subscribe("each.>")]
    for number in range(30):
        first.publish("each.one", b"%d" % number)
    for feed in feeds:
        with feed:
            assert [message.payload for message in islice(feed, 30)] == [b"%d" % number for number in range(30)]


def test_a_subscription_from_before_the_start_misses_nothing(network: Network) -> None:
    peer = network.peer()
    feed, events = peer.subscribe("early"), peer.events(SeedAccepted)
    called: list[bytes] = []
    peer.on("early")(lambda message: called.append(message.payload))
    with peer:
        peer.ready(SOON_S)
        network.peers[0].publish("early", b"the first")
        assert feed.get(SOON_S).payload == b"the first"
        assert isinstance(events.get(SOON_S), SeedAccepted)
        wait_for(lambda: called == [b"the first"], what="the callback")


def test_numbers_have_no_hole_when_eight_threads_publish_at_once(network: Network) -> None:
    first, second, _ = network.peers
    start = threading.Barrier(8)

    def publish(name: int) -> None:
        start.wait(SOON_S)
        for number in range(100):
            first.publish(f"threads.{name}", b"%d" % number)

    with second.subscribe("threads.*") as feed:
        threads = [threading.Thread(target=publish, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        messages = [feed.get(SOON_S) for _ in range(800)]
        for thread in threads:
            thread.join(SOON_S)
    numbers = [message.number for message in messages]
    assert numbers == list(range(numbers[0], numbers[0] + 800))
    for name in range(8):
        own = [message.payload for message in messages if message.topic == f"threads.{name}"]
        assert own == [b"%d" % number for number in range(100)]


def test_feeds_come_and_go_while_messages_stream_in(network: Network) -> None:
    first, second, _ = network.peers
    done = threading.Event()

    def publish() -> None:
        while not done.is_set():
            first.publish("stream", bytes(100))
            first.stats()  # which waits until it has gone out: not all at once

    with second.subscribe("stream") as lasting, in_thread(publish):
        for _ in range(200):
            with second.subscribe("stream") as feed, in_thread(list, feed) as outcome:
                feed.get(SOON_S)
                feed.close()
            assert isinstance(outcome[0], list)
        done.set()
        began = lasting.get(SOON_S).number
        assert [lasting.get(SOON_S).number for _ in range(100)] == list(range(began + 1, began + 101))
    assert not second._tidings._feeds


def test_what_a_reader_had_no_room_for_is_told_by_name_and_counted_at_the_feed_and_for_good_in_the_stats(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "ITEMS_MAX", 8)
    first, second, _ = network.peers
    before = second.stats().get("dropped.user_queue_full", 0)
    with second.subscribe("before") as earlier:
        first.publish("before", b"")
        earlier.get(SOON_S)  # whatever was under way has come
    with second.subscribe("many") as feed, second.events(MessagesLost) as losses:
        for number in range(17):  # one more than twice what the feed holds: so much it takes for some time
            first.publish("many", b"%d" % number)
            first.stats()  # which comes after it, so that each message is a segment
        lost = losses.get(SOON_S)
        kept = [feed.get(0) for _ in range(7)]
        assert [message.payload for message in kept] == [b"%d" % number for number in range(10, 17)]
        assert feed.dropped_count == 10
    assert isinstance(lost, MessagesLost)
    assert (lost.origin, lost.epoch, lost.why) == (first.id, first.me.epoch, "the application did not take them in time")
    assert (lost.first, lost.last) == (kept[0].number - 10, kept[0].number - 1)
    assert second.stats()["dropped.user_queue_full"] == before + 10


def test_a_feed_that_nobody_holds_any_more_costs_nothing(network: Network) -> None:
    first, second, _ = network.peers
    held = []
    for _ in range(3):
        feed = second.subscribe("forgotten")
        held.append(weakref.ref(feed))
        first.publish("forgotten", b"")
        for message in feed:
            assert message.topic == "forgotten"
            break
        del feed
        gc.collect()
    assert [weak() for weak in held] == [None, None, None]
    with second.subscribe("forgotten"):
        assert len(second._tidings._feeds) == 1


# -- who and how ----------------------------------------------------------------------------------------------------------


def test_everybody_knows_everybody(network: Network) -> None:
    peers = network.peers
    ids = {peer.id for peer in peers}
    for peer in peers:
        assert {member.record.id for member in peer.members()} >= ids - {peer.id}
        wait_for(lambda peer=peer: {one.id for one in peer.neighbours()} >= ids - {peer.id}, what="a link to everybody")  # type: ignore[misc]
        assert peer.me.ready and peer.id == peer.me.id and len(peer.id) == 16
        wait_for(lambda peer=peer: all(one.ready for one in peer.neighbours()), what="news of who is ready")  # type: ignore[misc]
    wait_for(lambda: {member.record.id for member in network.seed.members()} >= ids, what="the seed lists everybody")
    assert network.seed.endpoints == [str(Endpoint("127.0.0.1", int(network.seed.endpoints[0].rpartition(":")[2])))]


def next_of(feed: Feed[Event], identity: bytes, *kinds: type) -> Event:
    """The next event of one peer; of others there may be news too, but only of these kinds, if any are given."""
    while True:
        event = feed.get(SOON_S)
        assert not kinds or isinstance(event, kinds)
        if isinstance(event, PeerJoined | PeerReady | PeerLeft) and event.peer.id == identity:
            return event


def test_events_are_typed_and_chosen_by_kind(network: Network) -> None:
    first = network.peers[0]
    with first.events() as everything, first.events(PeerReady, PeerLeft) as some, network.seed.events() as at_seed:
        with network.peer(protocol=PATIENT) as peer:
            peer.ready(SOON_S)
            identity = peer.id
            assert isinstance(next_of(some, identity, PeerReady, PeerLeft), PeerReady)
            peer.close(SOON_S)
        assert isinstance(next_of(some, identity, PeerReady, PeerLeft), PeerLeft)
        kinds: list[type] = []
        while PeerLeft not in kinds:
            kinds.append(type(next_of(everything, identity)))
        assert {PeerJoined, PeerReady} <= set(kinds)
        assert at_seed.get(SOON_S) is not None


def test_events_that_a_feed_was_not_asked_for_take_no_room_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "ITEMS_MAX", 8)
    tidings, lost = Tidings(patience_s=1.0), MessagesLost(bytes(16), 1, 1, 2, "gone")
    feeds = [tidings.events([MessagesLost]), tidings.events([])]
    for _ in range(20):
        tidings.put(0.0, ReplyReceived(Endpoint("127.0.0.1", 1), 1.0, 1, 2), None)
    tidings.put(0.0, lost, None)
    assert [(feed.get(0), feed.dropped_count) for feed in feeds] == [(lost, 0), (lost, 0)]
    tidings.end()


def test_stats_are_counters_and_sizes(network: Network) -> None:
    stats = network.peers[0].stats()
    assert stats["members"] >= 2 and stats["neighbours"] >= 2 and list(stats) == sorted(stats)
    assert all(type(count) is int for count in stats.values())
    (seed,) = network.seed.stats().values()
    assert seed["members"] >= 3
