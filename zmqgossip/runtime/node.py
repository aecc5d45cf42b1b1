"""The handles that users hold: a peer, and the seeds of one process.

A handle binds its ports when it is made, so that a taken one is an error of the caller's and not a line in a log. What happens
afterwards comes out of `take()` in order. Sockets and engine live in the loop's thread; every method here may be called from any.
"""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from zmqgossip.core.config import DEFAULT, ProtocolConfig
from zmqgossip.core.errors import WireError
from zmqgossip.core.events import Event, ProbeReceived, ReplyReceived
from zmqgossip.core.messages import Messages
from zmqgossip.core.outbox import Segment
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import ID_BYTES, Endpoint, PeerRecord
from zmqgossip.core.wire import cluster_hash, decode_messages
from zmqgossip.runtime import sockets
from zmqgossip.runtime.body import Body
from zmqgossip.runtime.loop import Loop

QUEUE_MAX = 100_000
"""Items that wait for the user; ten times as many where the loss of an event would leave a wrong picture."""
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Segments that wait for the user. A user who stops taking must not fill the memory; what is dropped then is counted."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Application messages of one segment.

    Attributes:
        messages: the decoded body: the origin's host and port, the first msg_count, and the messages.
        brought: where the neighbour that brought it can be reached; None for one's own.
        hops: how often it was passed on before.
    """

    messages: Messages
    brought: Endpoint | None
    hops: int

    @property
    def origin(self) -> Endpoint:
        return Endpoint(self.messages.host, self.messages.port)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that happened, and when (Unix seconds). `where` is the seed that it happened at, None for a peer."""

    at: float
    what: Event | Delivery
    where: Endpoint | None = None


class _Outlet:
    """The queue between the loop's thread and the user's: bounded, and awake at once."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[float, Event | Segment, Endpoint | None] | BaseException | None] = queue.SimpleQueue()
        self._bytes_put = 0  # written by the loop's thread only
        self._bytes_taken = 0  # by the user's only: their difference waits
        self.dropped_count = 0
        self.refused_count = 0

    def put(self, at: float, item: Event | Segment, where: Endpoint | None) -> None:
        if self._is_full(item):
            self.dropped_count += 1
            return
        if isinstance(item, Segment):
            self._bytes_put += len(item.frame)
        self._queue.put((at, item, where))

    def _is_full(self, item: Event | Segment) -> bool:
        waiting = self._queue.qsize()
        if isinstance(item, (Segment, ProbeReceived, ReplyReceived)):
            return waiting >= QUEUE_MAX or self._bytes_put - self._bytes_taken > QUEUE_BYTES_MAX
        return waiting >= 10 * QUEUE_MAX

    def wake(self) -> None:
        """Makes a waiting `take` return None; may be called from a signal handler."""
        self._queue.put(None)

    def fail(self, error: BaseException) -> None:
        """The loop has ended by a bug: `take` raises it."""
        self._queue.put(error)

    def take(self, timeout_s: float | None) -> Item | None:
        try:
            taken = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if taken is None:
            return None
        if isinstance(taken, BaseException):
            raise taken
        at, item, where = taken
        if isinstance(item, Event):
            return Item(at, item, where)
        self._bytes_taken += len(item.frame)
        try:
            messages = decode_messages(item.frame, item.header)
        except WireError:
            self.refused_count += 1
            return None
        return Item(at, Delivery(messages, item.brought[1] if item.brought else None, item.header.hops), where)


class Peer:
    """A peer of the network, from the first line of its constructor until `close`.

    Args:
        seeds: numeric endpoints of the configured seeds.
        cluster: the cluster's name; peers and seeds of another one do not speak to this one.
        host: address to bind; announced to others unless `announce` names another.
        port: of the ROUTER; 0 takes any free one.
        publish_port: of the XPUB; 0 takes any free one.
        config: every knob of the protocol.

    Raises:
        PortInUse, CannotBind: nothing is left open then.
    """

    def __init__(
        self,
        seeds: Sequence[Endpoint],
        cluster: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        publish_port: int = 0,
        announce: str | None = None,
        config: ProtocolConfig = DEFAULT,
    ) -> None:
        self._outlet = _Outlet()
        self._loop = Loop(self._outlet.fail)
        try:
            self._engine, self._body = self._loop.call(
                lambda: self._bind(tuple(seeds), cluster, host, port, publish_port, announce or host, config)
            )
        except BaseException:
            self._loop.stop()
            raise

    def _bind(
        self, seeds: tuple[Endpoint, ...], cluster: str, host: str, port: int, publish_port: int, announce: str, config: ProtocolConfig
    ) -> tuple[PeerEngine, Body]:
        rng = random.SystemRandom()
        domain = b"zmqgossip.peer"
        router, port = sockets.router(self._loop.context, host, port, domain, sockets.BACKLOG_PEER)
        try:
            xpub, publish_port = sockets.xpub(self._loop.context, host, publish_port, b"zmqgossip.xpub")
        except BaseException:
            sockets.close(router)
            raise
        wall, now = time.time(), time.monotonic()
        me = PeerRecord(rng.randbytes(ID_BYTES), int(wall * 1000), 0, announce, port, publish_port)
        engine = PeerEngine(me, seeds, cluster_hash(cluster), config, rng, wall - now)
        body = Body(self._loop, engine, router, xpub, domain, lambda at, item: self._outlet.put(at, item, None))
        return engine, body

    @property
    def me(self) -> PeerRecord:
        """This peer's own record, with the ports that were bound."""
        return self._engine.me

    @property
    def ready_count(self) -> int:
        """Other peers that are known to be ready."""
        return self._engine.members.ready_count

    @property
    def neighbours(self) -> list[PeerRecord]:
        """Neighbours whose link is up both ways."""
        return self._loop.call(lambda: [link.peer for link in self._engine.view.up()])

    def start(self, ready_wanted: int = 0) -> None:
        """Registers with the seeds and links up. `ready_wanted`: other peers that the caller will wait for."""

        def start() -> None:
            now = time.monotonic()
            self._engine.ready_wanted = ready_wanted
            self._engine.start(now)
            self._body.flush(now)

        self._loop.call(start)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publishes one message. Raises PayloadTooLarge, NodeClosed."""

        def publish() -> None:
            now = time.monotonic()
            self._engine.publish([(topic, payload)], now)
            self._body.flush(now)

        self._loop.call(publish)

    def take(self, timeout_s: float | None = None) -> Item | None:
        """The next thing that happened; None after the time-out or a `wake`."""
        return self._outlet.take(timeout_s)

    def wake(self) -> None:
        """Makes a waiting `take` return. May be called from a signal handler."""
        self._outlet.wake()

    def leave(self) -> None:
        """Begins to say goodbye; the event `Left` tells when that is done."""

        def leave() -> None:
            now = time.monotonic()
            self._engine.leave(now)
            self._body.flush(now)

        self._loop.post(leave)

    def counters(self) -> dict[str, int]:
        """All counters, by name."""
        return self._loop.call(self._count)

    def _count(self) -> dict[str, int]:
        counts = self._engine.counters.as_dict()
        counts["dropped.members_full"] = self._engine.members.refused_count
        counts["dropped.streams_forgotten"] = self._engine.gossip.streams.forgotten
        counts["gaps.missing"] = self._engine.gossip.streams.missing
        counts["dropped.user_queue_full"] = self._outlet.dropped_count
        counts["refused.messages"] = self._outlet.refused_count
        return {name: count for name, count in counts.items() if count}

    def close(self) -> None:
        """Ends the sockets and the thread at once; `leave` first is the polite way. A second call does nothing."""
        self._loop.stop()


class Seeds:
    """Seeds that live in one process, on one loop.

    Args:
        endpoints: where to bind; port 0 takes any free one.

    Raises:
        PortInUse, CannotBind: nothing is left open then.
    """

    def __init__(self, endpoints: Sequence[tuple[str, int]], cluster: str, config: ProtocolConfig = DEFAULT) -> None:
        self._outlet = _Outlet()
        self._loop = Loop(self._outlet.fail)
        try:
            self._engines: list[SeedEngine] = self._loop.call(lambda: self._bind(list(endpoints), cluster, config))
        except BaseException:
            self._loop.stop()
            raise

    def _bind(self, endpoints: list[tuple[str, int]], cluster: str, config: ProtocolConfig) -> list[SeedEngine]:
        engines: list[SeedEngine] = []
        for place, (host, port) in enumerate(endpoints):
            domain = b"zmqgossip.seed.%d" % place
            router, bound = sockets.router(self._loop.context, host, port, domain, sockets.BACKLOG_SEED)
            me = Endpoint(host, bound)
            engine = SeedEngine(me, cluster_hash(cluster), config, random.SystemRandom(), time.time() - time.monotonic())
            Body(self._loop, engine, router, None, domain, lambda at, item, me=me: self._outlet.put(at, item, me))  # type: ignore[misc]
            engines.append(engine)
        return engines

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where the seeds listen, with the ports that were bound."""
        return [engine.me for engine in self._engines]

    def take(self, timeout_s: float | None = None) -> Item | None:
        """The next thing that happened at one of the seeds; None after the time-out or a `wake`."""
        return self._outlet.take(timeout_s)

    def wake(self) -> None:
        """Makes a waiting `take` return. May be called from a signal handler."""
        self._outlet.wake()

    def counters(self) -> dict[Endpoint, dict[str, int]]:
        """All counters of each seed, by name."""
        return self._loop.call(lambda: {engine.me: engine.counters.as_dict() for engine in self._engines})

    def listed(self) -> dict[Endpoint, int]:
        """How many peers each seed lists."""
        return self._loop.call(lambda: {engine.me: len(engine.registry) for engine in self._engines})

    def close(self) -> None:
        """Ends the sockets and the thread. A second call does nothing."""
        self._loop.stop()
