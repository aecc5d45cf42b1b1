"""The publishing face of a peer: from the user's threads and tasks into the queue that the node's thread takes from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial

from zmqgossip.core.errors import ZmqGossipError
from zmqgossip.handle.awaiting import settled, wake
from zmqgossip.handle.tidings import Tidings
from zmqgossip.runtime.arguments import bytes_of, until_of, wait_of
from zmqgossip.runtime.node import PeerNode
from zmqgossip.runtime.outgoing import Attempt, Outgoing, Pouring, no_room

FLUSH_TIMEOUT_S = 5.0


class Publishing:
    """What of a peer publishes."""

    _tidings: Tidings
    _outgoing: Outgoing | None = None
    """The node's, from the start on."""

    def _running(self) -> PeerNode:
        raise NotImplementedError

    def publish(self, topic: str, payload: bytes, timeout: float | None = None) -> None:
        """Publishes one message to everybody. It returns when the message is in the queue, which the node's thread empties.

        When too much waits there, because others do not keep up, it waits for room. It never waits in a callback, nor while a
        feed of this peer's is full, for the room might depend on that very thread.

        Args:
            topic: dot-separated tokens, 200 characters at most.
            payload: bytes, a bytearray or a memoryview; at most 65,536 bytes, or as many as the knob `message_bytes_max` says.
            timeout: seconds to wait for room; None for as long as it takes, 0 not at all.

        Raises:
            PayloadTooLarge: the payload has more than `message_bytes_max` bytes.
            InvalidTopic: no receiver would take that topic.
            WouldBlock: there is no room, and it must not wait.
            Timeout: there was no room in time.
            NodeClosed: the peer was closed, or not started, or this is a forked child.
            TypeError: the topic is no str, the payload no bytes, or the timeout no number.
            InvalidTimeout: the timeout is negative, or NaN.
        """
        outgoing = self._outgoing
        if timeout is not None:
            wait_of(timeout)
        if outgoing is None or not outgoing.put(topic, payload):
            self._queue().publish(topic, payload, timeout)

    def publish_many(self, topic: str, payloads: Iterable[bytes], timeout: float | None = None) -> int:
        """Publishes many messages under one topic, faster than one by one, and returns how many.

        A list or a tuple is cheapest. Anything else that can be iterated may take its time, or have no end: each message goes out
        as it comes.

        Args and errors: as of `publish`; the time-out is for all together. Where one payload is bad, all before it are published.
        Every ZmqGossipError has a `published_count`, which says how many were.
        """
        outgoing, until = self._queue(), until_of(timeout)
        pouring = Pouring(outgoing, topic, payloads)
        try:
            for attempt in pouring:
                outgoing.wait(attempt, until, timeout)
        except ZmqGossipError as error:
            error.published_count = pouring.count
            raise
        return pouring.count

    def flush(self, timeout: float = FLUSH_TIMEOUT_S) -> bool:
        """Waits until everybody has what this peer has published until now.

        Args:
            timeout: seconds.

        Returns:
            Whether every ready member that this peer holds living has all of it, but for those that one of their neighbours found too
            slow to be waited for, or that have lost some. `NeighbourSlow` names those of them that are neighbours of this peer.
            False at once in a cluster of more than `members_full_max` peers, where nobody knows who everybody is.

        Raises:
            NodeClosed: the peer was closed, or not started, or this is a forked child.
            TypeError: the timeout is no number.
            InvalidTimeout: it is negative, or NaN.
        """
        return self._tidings.flush(self._running(), wait_of(timeout)).result()

    async def apublish(self, topic: str, payload: bytes, timeout: float | None = None) -> None:
        """`publish` for tasks: others have their turn while it waits for room."""
        outgoing = self._queue()
        if timeout is not None:
            wait_of(timeout)
        if not outgoing.put(topic, payload):
            await _room(outgoing, partial(outgoing.put, topic, bytes_of(payload)), until_of(timeout), timeout)

    async def apublish_many(self, topic: str, payloads: Iterable[bytes], timeout: float | None = None) -> int:
        """`publish_many` for tasks."""
        outgoing, until = self._queue(), until_of(timeout)
        pouring = Pouring(outgoing, topic, payloads)
        try:
            for attempt in pouring:
                await _room(outgoing, attempt, until, timeout)
        except ZmqGossipError as error:
            error.published_count = pouring.count
            raise
        return pouring.count

    async def aflush(self, timeout: float = FLUSH_TIMEOUT_S) -> bool:
        """`flush` for tasks."""
        return await settled(self._tidings.flush(self._running(), wait_of(timeout)))

    def _queue(self) -> Outgoing:
        """The node's queue. Raises NodeClosed."""
        return self._running().outgoing


async def _room(outgoing: Outgoing, attempt: Attempt, until: float | None, timeout: float | None) -> None:
    """Tries until it succeeds, as `Outgoing.wait` does for threads."""
    loop = asyncio.get_running_loop()
    while True:
        waiting = loop.create_future()
        tell = partial(wake, loop, waiting)
        outgoing.call_when_room(tell)  # before it tries: room that comes in between is not missed
        try:
            if attempt():
                return
            outgoing.check_may_wait(timeout)
            async with asyncio.timeout_at(None if until is None else loop.time() + until - time.monotonic()):
                await waiting
        except TimeoutError:
            raise no_room(timeout) from None
        finally:
            outgoing.forget(tell)
