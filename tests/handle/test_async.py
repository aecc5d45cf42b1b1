"""The async face: the same object in tasks, which may be cancelled at any time, and in event loops that come and go."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.handle.network import END_S, SOON_S, Network, known
from tests.support import wait_for
from zmqgossip import Message, NodeClosed, PayloadTooLarge, Peer, PeerGone, Seed, Timeout

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def nothing_reported(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio and concurrent.futures log what nobody retrieved, and callbacks that failed."""
    with caplog.at_level(logging.WARNING):
        yield
        gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def next_of(feed: Any) -> Message:
    message: Message = await asyncio.wait_for(anext(feed), SOON_S)
    return message


def test_the_same_object_serves_tasks_and_threads(network: Network) -> None:
    async def main() -> None:
        async with network.peer() as peer:
            await peer.aready(SOON_S)
            await asyncio.to_thread(wait_for, lambda: network.peers[1].id in known(peer), SOON_S, "it knows whom it asks")
            peer.on_request(lambda request: request.payload)
            with peer.subscribe("async.*") as feed, network.peers[0].subscribe("async.*") as other:
                await asyncio.to_thread(network.peers[0].publish, "async.a", b"1")
                assert (await next_of(feed)).payload == b"1"
                await peer.apublish("async.b", b"2")
                assert (await next_of(other)).payload == b"2"
            assert await peer.arequest(network.peers[1].id, b"x", SOON_S) == b"re x"
            await peer.asend(network.peers[1].id, b"x", SOON_S)
        with pytest.raises(NodeClosed):
            peer.publish("async.c", b"")

    network.peers[1].on_request(lambda request: b"re " + request.payload)
    asyncio.run(main())


def test_a_seed_is_an_async_context_too(network: Network) -> None:
    async def main() -> None:
        async with Seed("127.0.0.1:0", cluster="async", profile="lan") as seed:
            one, two = (Peer(seeds=seed.endpoints, cluster="async", profile="lan") for _ in range(2))
            async with one, two:
                await asyncio.gather(one.aready(SOON_S), two.aready(SOON_S))
        with pytest.raises(NodeClosed):
            seed.members()

    asyncio.run(main())


def test_errors_reach_the_task(network: Network) -> None:
    async def main() -> None:
        first = network.peers[0]
        with pytest.raises(PayloadTooLarge):
            await first.apublish("x", bytes(100_000))
        with pytest.raises(PeerGone):
            await first.arequest(bytes(16), b"")
        with pytest.raises(TypeError):
            await first.apublish("x", "text")  # type: ignore[arg-type]
        async with Peer(seeds=["127.0.0.1:1"], cluster="test") as alone:
            with pytest.raises(Timeout, match=r"no neighbour was found within 0\.05 s"):
                await alone.aready(0.05)

    asyncio.run(main())


def test_a_task_that_is_cancelled_while_it_waits_to_be_ready_leaves_the_others_waiting(network: Network) -> None:
    async def main() -> None:
        async with Peer(seeds=["127.0.0.1:1"], cluster="test") as alone:
            waiting = [asyncio.create_task(alone.aready()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
            assert not waiting[1].done() and not alone._tidings.ready.cancelled()
        ends = await asyncio.wait_for(asyncio.gather(*waiting[1:], return_exceptions=True), END_S)
        assert [type(end) for end in ends] == [NodeClosed, NodeClosed]

    asyncio.run(main())


def test_a_task_that_is_cancelled_while_it_asks_harms_neither_peer(network: Network) -> None:
    first, second, _ = network.peers
    go_on, asked = threading.Event(), threading.Event()

    def answer(request: Any) -> bytes:
        asked.set()
        go_on.wait(SOON_S)
        return b"answer"

    second.on_request(answer)

    async def main() -> None:
        asking = asyncio.create_task(first.arequest(second.id, b"", SOON_S))
        await asyncio.to_thread(asked.wait, SOON_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        go_on.set()
        assert await first.arequest(second.id, b"", SOON_S) == b"answer"

    asyncio.run(main())
    assert not first._tidings._asked


def test_a_task_that_is_cancelled_while_it_reads_loses_no_message(network: Network) -> None:
    first, second, _ = network.peers

    async def main() -> None:
        with second.subscribe("cancelled") as feed:
            for number in range(10):
                reading = asyncio.create_task(next_of(feed))
                await asyncio.sleep(0)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                await first.apublish("cancelled", b"%d" % number)
            assert [(await next_of(feed)).payload for _ in range(10)] == [b"%d" % number for number in range(10)]

    asyncio.run(main())


def test_event_loops_may_follow_one_another_on_one_peer_and_one_feed(network: Network) -> None:
    first, second, _ = network.peers
    with second.subscribe("loops") as feed:

        async def main(payload: bytes) -> None:
            await second.aready(SOON_S)
            await first.apublish("loops", payload)
            assert (await next_of(feed)).payload == payload

        for payload in (b"1", b"2", b"3"):
            asyncio.run(main(payload))


def test_an_event_loop_that_ends_while_its_tasks_wait_leaves_nothing_to_report(network: Network) -> None:
    second = network.peers[1]
    go_on = threading.Event()
    second.on_request(lambda request: b"late" if go_on.wait(SOON_S) else b"")

    async def main(peer: Peer, feed: Any) -> list[asyncio.Task[Any]]:
        waiting = [
            asyncio.create_task(next_of(feed)),
            asyncio.create_task(peer.arequest(second.id, b"", SOON_S)),
            asyncio.create_task(alone.aready()),
        ]
        await asyncio.sleep(0)
        return waiting

    with network.fresh() as peer, peer.subscribe("ends") as feed, Peer(seeds=["127.0.0.1:1"], cluster="test") as alone:
        asyncio.run(main(peer, feed))
        go_on.set()
        network.peers[0].publish("ends", b"still")
        assert feed.get(SOON_S).payload == b"still"
        wait_for(lambda: not peer._tidings._asked, what="the answer that nobody hears")


def test_waiting_tasks_end_with_the_peer(network: Network) -> None:
    second = network.peers[1]
    go_on = threading.Event()
    second.on_request(lambda request: b"late" if go_on.wait(SOON_S) else b"")

    async def main() -> None:
        peer = await asyncio.to_thread(network.peer().start)
        await peer.aready(SOON_S)
        feed, events = peer.subscribe(), peer.events()

        async def read(some: Any) -> str:
            async for _ in some:
                pass
            return "the end"

        while second.id not in known(peer):
            await asyncio.sleep(0.01)
        tasks = [asyncio.create_task(some) for some in (read(feed), read(events), peer.arequest(second.id, b"", SOON_S))]
        await asyncio.sleep(0)
        await asyncio.wait_for(peer.aclose(), END_S)
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), END_S)
        assert ends[:2] == ["the end", "the end"]
        assert isinstance(ends[2], NodeClosed)

    asyncio.run(main())
    go_on.set()


def test_a_task_that_is_cancelled_while_it_enters_leaves_no_peer_behind(network: Network) -> None:
    async def main() -> None:
        peer = network.peer()

        async def enter() -> None:
            async with peer:
                raise AssertionError("it was cancelled before")

        entering = asyncio.create_task(enter())
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        while not peer._is_closed:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), SOON_S))
