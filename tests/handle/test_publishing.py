"""Publishing through the handle: who waits, who must not, and what is out when it returns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.handle.network import END_S, PATIENT, SOON_S, Network, in_thread
from tests.support import wait_for
from zmqgossip import LoopLate, Message, NodeClosed, PayloadTooLarge, Peer, Timeout, WouldBlock
from zmqgossip.core.outbox import Flushed
from zmqgossip.core.peer import PeerEngine
from zmqgossip.handle import feed as feed_module
from zmqgossip.runtime import loop as loop_module

pytestmark = pytest.mark.sockets


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Peer], Callable[[], None]]]:
    """Makes a peer's engine want nothing more, until the function that it returns is called."""
    held: list[PeerEngine] = []
    wants_more = PeerEngine.wants_more.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(PeerEngine, "wants_more", property(lambda engine: engine not in held and wants_more(engine)))

    def hold(peer: Peer) -> Callable[[], None]:
        engine = peer._running()._engine
        held.append(engine)
        peer.stats()  # which comes after the turn that may be under way

        def release() -> None:
            held.remove(engine)
            peer._running().look()

        return release

    return hold


def fill(peer: Peer) -> int:
    """Publishes until there is no room, and returns how many went in."""
    count = 0
    while True:
        try:
            peer.publish("fill", bytes(50_000), timeout=0)
        except WouldBlock:
            return count
        count += 1


def test_what_was_published_comes_before_what_is_said_afterwards(network: Network, peer: Peer) -> None:
    with network.peers[0].subscribe("first.*") as feed:
        for number in range(20):
            peer.publish("first.a", b"%d" % number)
        assert peer.stats()["published.messages"] == 20
        assert [feed.get(SOON_S).payload for _ in range(20)] == [b"%d" % number for number in range(20)]


def test_who_finds_no_room_waits_for_it_and_nothing_is_lost(network: Network, peer: Peer, hold: Any) -> None:
    with network.peers[0].subscribe(">") as feed:
        release = hold(peer)
        count = fill(peer)
        with pytest.raises(Timeout, match=r"no room within 0\.01 s"):
            peer.publish("late", b"", timeout=0.01)
        with in_thread(peer.publish, "late", b"at last") as outcome:
            wait_for(lambda: peer._running().outgoing._waiting)
            release()
        assert outcome == [None]
        assert [message.topic for message in (feed.get(SOON_S) for _ in range(count + 1))] == ["fill"] * count + ["late"]


def test_a_callback_never_waits(network: Network, peer: Peer, hold: Any) -> None:
    caught: list[BaseException] = []
    done = threading.Event()

    @peer.on("full.call")
    def called(message: Message) -> None:
        try:
            peer.publish("full.answer", b"")
        except WouldBlock as error:
            caught.append(error)
        done.set()

    hold(peer)
    fill(peer)
    network.peers[0].publish("full.call", b"")
    assert done.wait(SOON_S)
    assert "a callback must not wait" in str(caught[0])


def test_nobody_waits_while_a_feed_of_the_same_peer_is_full(
    network: Network, peer: Peer, hold: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[bytes, bool]] = []
    monkeypatch.setattr(PeerEngine, "on_room", lambda engine, has_room, now: told.append((engine.me.id, has_room)))
    monkeypatch.setattr(feed_module, "ITEMS_MAX", 4)
    first = network.peers[0]
    with peer.subscribe("flood") as feed:
        release = hold(peer)
        fill(peer)
        with in_thread(peer.publish, "waits", b"") as outcome:
            wait_for(lambda: peer._running().outgoing._waiting)
            for _ in range(5):
                first.publish("flood", b"")
                first.stats()  # which comes after it, so that each message is a segment
        assert isinstance(outcome[0], WouldBlock)
        with pytest.raises(WouldBlock, match="a feed of this peer's is full"):
            peer.publish("more", b"")
        wait_for(lambda: told == [(peer.id, False)], what="the engine knows it")
        for _ in range(5):
            feed.get(SOON_S)
        wait_for(lambda: told == [(peer.id, False), (peer.id, True)], what="the engine knows that there is room again")
        release()
        peer.publish("more", b"", SOON_S)


def test_a_full_feed_that_is_forgotten_makes_room_again(network: Network, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(PeerEngine, "on_room", lambda engine, has_room, now: told.append(has_room))
    monkeypatch.setattr(feed_module, "ITEMS_MAX", 2)
    feed = peer.subscribe("forget")
    for _ in range(3):
        network.peers[0].publish("forget", b"")
        network.peers[0].stats()
    wait_for(lambda: told == [False])
    del feed
    wait_for(lambda: told == [False, True])


def test_the_end_is_told_to_who_waits_and_what_was_taken_goes_out_before_the_goodbye(hold: Any) -> None:
    with Network(peers=2, **PATIENT) as network, network.fresh() as peer, network.peers[0].subscribe(">") as feed:
        hold(peer)
        count = fill(peer)
        with in_thread(peer.publish, "waits", b"") as outcome:
            wait_for(lambda: peer._running().outgoing._waiting)
            assert peer.close(SOON_S) == 0
        assert isinstance(outcome[0], NodeClosed)
        assert [feed.get(SOON_S).topic for _ in range(count)] == ["fill"] * count
        assert peer.close() == 0


def test_who_goes_without_a_goodbye_is_told_what_was_not_sent(network: Network, hold: Any) -> None:
    with network.fresh() as peer:
        hold(peer)
        count = fill(peer)
        assert peer.close(timeout=0) == count


def test_who_waits_is_told_when_a_bug_ends_the_node(network: Network, hold: Any) -> None:
    with network.fresh() as peer, peer.subscribe() as feed:
        hold(peer)
        fill(peer)
        with in_thread(peer.publish, "waits", b"") as outcome:
            wait_for(lambda: peer._running().outgoing._waiting)
            peer._running()._loop.post(lambda: [].pop())
        assert isinstance(outcome[0], NodeClosed)
        with pytest.raises(IndexError):
            feed.get(SOON_S)


def test_a_late_loop_is_told_and_counted(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    with peer.events(LoopLate) as late:
        monkeypatch.setattr(loop_module, "LATE_S", -1.0)
        monkeypatch.setattr(loop_module, "TOLD_EVERY_S", 0.0)  # it may have been late before, and have told so
        peer.flush()
        assert isinstance(event := late.get(SOON_S), LoopLate) and event.late_s >= 0.0
        stats = peer.stats()
    assert stats["loop.late"] >= 1 and stats.get("loop.lag_ms_max", 0) >= 0


# -- many -----------------------------------------------------------------------------------------------------------------


def test_many_arrive_in_order_with_numbers_without_a_hole(network: Network, peer: Peer) -> None:
    some = [b"%d" % number for number in range(2_000)]
    with network.peers[0].subscribe("many.*") as feed:
        assert peer.publish_many("many.list", some) == peer.publish_many("many.any", iter(some)) == 2_000
        messages = [feed.get(SOON_S) for _ in range(4_000)]
    assert [message.payload for message in messages] == some + some
    assert [message.number for message in messages] == list(range(messages[0].number, messages[0].number + 4_000))


def test_an_error_in_the_middle_of_many_says_how_many_went_out(network: Network, peer: Peer, hold: Any) -> None:
    with network.peers[0].subscribe("middle") as feed:
        with pytest.raises(PayloadTooLarge) as caught:
            peer.publish_many("middle", [b"1", b"2", bytes(100_000), b"3"])
        assert caught.value.published_count == 2
        with pytest.raises(TypeError):
            peer.publish_many("middle", b"bytes, which are numbers")  # type: ignore[arg-type]
        assert [feed.get(SOON_S).payload for _ in range(2)] == [b"1", b"2"]
    hold(peer)
    with pytest.raises(WouldBlock) as blocked:
        peer.publish_many("middle", [bytes(50_000)] * 100, timeout=0)
    assert 0 < blocked.value.published_count == len(peer._running().outgoing)


# -- flush ----------------------------------------------------------------------------------------------------------------


def test_a_flush_comes_after_what_was_published_though_the_engine_wants_no_more(peer: Peer, hold: Any, monkeypatch: Any) -> None:
    published: list[int] = []

    def flush(engine: PeerEngine, token: int, timeout_s: float, now: float) -> None:
        published.append(engine.counters.get("published.messages"))
        engine.outbox.flushed(Flushed(token, timeout_s == 1.0, ()))

    monkeypatch.setattr(PeerEngine, "flush", flush)
    hold(peer)
    for _ in range(3):
        peer.publish("flush", b"")
        assert peer.flush(timeout=1.0) is True and peer.flush(timeout=2.0) is False
    assert asyncio.run(peer.aflush(1.0)) is True
    assert published == [1, 1, 2, 2, 3, 3, 3] and not peer._tidings._flushing


def test_a_flush_that_has_no_end_ends_with_the_peer(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr(PeerEngine, "flush", lambda *_: asked.set())
    with network.fresh() as peer:
        with in_thread(peer.flush, SOON_S) as outcome:
            assert asked.wait(SOON_S)
            peer.close()
        assert isinstance(outcome[0], NodeClosed)
        with pytest.raises(NodeClosed):
            peer.flush()


# -- tasks ----------------------------------------------------------------------------------------------------------------


def test_a_task_waits_for_room_and_others_have_their_turn(network: Network, peer: Peer, hold: Any) -> None:
    async def main() -> None:
        release = hold(peer)
        fill(peer)
        with pytest.raises(WouldBlock):
            await peer.apublish("task", b"", timeout=0)
        with pytest.raises(Timeout, match=r"no room within 0\.01 s"):
            await peer.apublish("task", b"", timeout=0.01)
        publishing = [asyncio.create_task(peer.apublish("task", b"%d" % number)) for number in range(3)]
        await asyncio.sleep(0)
        publishing[1].cancel()
        await asyncio.sleep(0)
        release()
        ends = await asyncio.wait_for(asyncio.gather(*publishing, return_exceptions=True), SOON_S)
        assert ends[0] is ends[2] is None and isinstance(ends[1], asyncio.CancelledError)
        assert not peer._running().outgoing._waiting

    with network.peers[0].subscribe("task") as feed:
        asyncio.run(main())
        assert sorted(feed.get(SOON_S).payload for _ in range(2)) == [b"0", b"2"]


def test_many_of_a_task_wait_for_room_together_and_end_with_the_peer(network: Network, hold: Any) -> None:
    async def main(peer: Peer) -> None:
        assert await peer.apublish_many("tasks", [b"x"] * 1_000) == 1_000
        hold(peer)
        publishing = asyncio.create_task(peer.apublish_many("tasks", [bytes(50_000)] * 100))
        while not peer._running().outgoing._waiting:
            await asyncio.sleep(0)
        await peer.aclose()
        with pytest.raises(NodeClosed) as caught:
            await asyncio.wait_for(publishing, END_S)
        assert 0 < caught.value.published_count < 100

    with network.fresh() as peer:
        asyncio.run(main(peer))
