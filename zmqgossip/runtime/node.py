"""Nodes: a peer, and the seeds of one process, each an engine with a body on a loop of its own.

A node binds its ports when it is made, so that a taken one is an error of the caller's and not a line in a log. What happens
afterwards goes to its sink, in order. Sockets and engine live in the loop's thread; every method here may be called from any.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from zmqgossip.core.codes import Status
from zmqgossip.core.config import DEFAULT, ProtocolConfig
from zmqgossip.core.errors import NodeClosed
from zmqgossip.core.messages import Answer
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import ID_BYTES, Endpoint, Member, PeerId, PeerRecord
from zmqgossip.core.wire import cluster_hash
from zmqgossip.runtime import sockets
from zmqgossip.runtime.body import Body
from zmqgossip.runtime.loop import Loop
from zmqgossip.runtime.outgoing import Outgoing
from zmqgossip.runtime.outlet import Item, Outlet, Sink

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a peer listens, and where others reach it.

    Attributes:
        host: address to bind; announced to others unless `announce` names another.
        port: of the ROUTER; 0 takes any free one.
        publish_port: of the XPUB; 0 takes any free one.
    """

    host: str = "127.0.0.1"
    port: int = 0
    publish_port: int = 0
    announce: str | None = None


class PeerNode:
    """A peer of the network, from the first line of its constructor until `close`.

    Attributes:
        outgoing: what is to be published; the loop takes it from there.

    Args:
        seeds: numeric endpoints of the configured seeds.
        cluster: the cluster's name; peers and seeds of another one do not speak to this one.
        config: every knob of the protocol.
        sink: is told what happens; None for an Outlet, which `take` reads.
        body: what executes the engine's effects.

    Raises:
        PortInUse, CannotBind: nothing is left open then.
    """

    def __init__(
        self,
        seeds: Sequence[Endpoint],
        cluster: str,
        place: Place | None = None,
        *,
        config: ProtocolConfig = DEFAULT,
        sink: Sink | None = None,
        body: type[Body] = Body,
    ) -> None:
        self.outgoing: Outgoing
        self._outlet = Outlet()
        self._sink = sink or self._outlet
        self._loop = Loop(self._sink.fail)
        try:
            self._engine, self._body = self._loop.call(lambda: self._bind(tuple(seeds), cluster, place or Place(), config, body))
        except BaseException:
            self._loop.stop()
            raise

    def _bind(
        self, seeds: tuple[Endpoint, ...], cluster: str, place: Place, config: ProtocolConfig, body: type[Body]
    ) -> tuple[PeerEngine, Body]:
        rng = random.SystemRandom()
        domain = b"zmqgossip.peer"
        router, port = sockets.router(self._loop.context, place.host, place.port, domain, sockets.BACKLOG_PEER)
        try:
            xpub, publish_port = sockets.xpub(self._loop.context, place.host, place.publish_port, b"zmqgossip.xpub")
        except BaseException:
            sockets.close(router)
            raise
        wall, now = time.time(), time.monotonic()
        me = PeerRecord(rng.randbytes(ID_BYTES), int(wall * 1000), 0, place.announce or place.host, port, publish_port)
        engine = PeerEngine(me, seeds, cluster_hash(cluster), config, rng, wall - now)
        try:
            own = body(self._loop, engine, router, xpub, domain, lambda at, item: self._sink.put(at, item, None))
        except BaseException:  # no descriptor left for a monitor
            sockets.close(router)
            sockets.close(xpub)
            raise
        own.outgoing = self.outgoing = Outgoing(engine.message_bytes_max, self._loop.wake)
        own.turn_over = self._sink.turn_over
        return engine, own

    # -- what it does -----------------------------------------------------------------------------------------------------

    def submit(self, act: Callable[[PeerEngine, float], T]) -> Future[T]:
        """Has `act(engine, now)` done in the loop's thread, and what follows from it. Raises NodeClosed."""
        return self._loop.submit(lambda: self._turn(act))

    def _turn(self, act: Callable[[PeerEngine, float], T], *, takes_all: bool = False) -> T:
        now = time.monotonic()
        try:
            self._body.take_in(now, in_any_case=takes_all)  # what was published before comes first
            return act(self._engine, now)
        finally:
            self._body.flush(now)

    def _do(self, act: Callable[[PeerEngine, float], T]) -> T:
        return self._loop.call(lambda: self._turn(act))

    def start(self, ready_wanted: int = 0) -> None:
        """Registers with the seeds and links up. `ready_wanted`: other peers that the caller will wait for."""

        def start(engine: PeerEngine, now: float) -> None:
            engine.ready_wanted = ready_wanted
            engine.start(now)

        self._do(start)

    def publish(self, topic: str, payload: bytes, timeout_s: float | None = None) -> None:
        """Publishes one message, and waits while too much waits before it. Raises PayloadTooLarge, InvalidTopic, NodeClosed, Timeout."""
        self.outgoing.publish(topic, payload, timeout_s)

    def flush(self, token: int, timeout_s: float) -> Future[None]:
        """Has the engine flush what was published until now; a Flushed with `token` follows at the sink. Raises NodeClosed."""
        return self._loop.submit(lambda: self._turn(lambda engine, now: engine.flush(token, timeout_s, now), takes_all=True))

    def tell_room(self, has_room: bool) -> None:
        """Whether the user's queues have room; what is told of it comes in a turn of its own."""
        with suppress(NodeClosed):
            self._loop.post(lambda: self._turn(lambda engine, now: engine.on_room(has_room, now)))

    def look(self) -> None:
        """Has the loop take a turn, and so the sink, too."""
        self._loop.wake()

    @property
    def is_caller(self) -> bool:
        """Whether the node's own thread asks this, which must not wait for itself."""
        return self._loop.is_caller

    def answer(self, token: int, status: Status, payload: bytes, text: str) -> None:
        """Answers a Question. Raises PayloadTooLarge, NodeClosed."""
        self._do(lambda engine, now: engine.answer(token, status, payload, text, now))

    def refuse_questions(self, refusal: Answer | None) -> None:
        """What everybody who asks is answered; None lets questions through to the sink."""

        def refuse() -> None:
            self._engine.direct.refusal = refusal

        self._loop.call(refuse)

    def leave(self) -> None:
        """Begins to say goodbye, after all that was published; the event `Left` tells when that is done. Nothing is published any more."""
        self.outgoing.close()
        self._loop.post(lambda: self._turn(lambda engine, now: engine.leave(now), takes_all=True))

    def close(self) -> int:
        """Ends the sockets and the thread at once; `leave` first is the polite way. A second call does nothing.

        Returns how many messages were published that no neighbour is known to have.
        """
        self.outgoing.close()
        self._loop.stop()
        return len(self.outgoing) + self._engine.unconfirmed

    # -- how it is --------------------------------------------------------------------------------------------------------

    @property
    def me(self) -> PeerRecord:
        """This peer's own record, with the ports that were bound."""
        return self._engine.me

    @property
    def ready_count(self) -> int:
        """Other peers that are known to be ready; where not all are known, those that seeds list are taken to be."""
        return self._engine.census.ready_count

    @property
    def neighbours(self) -> list[PeerRecord]:
        """Neighbours whose link is up both ways, by their newest records."""

        def look() -> list[PeerRecord]:
            held = [(link.peer, self._engine.members.get(link.peer.id)) for link in self._engine.view.up()]
            return [peer if member is None else member.record for peer, member in held]

        return self._loop.call(look)

    def members(self) -> list[Member]:
        """Every other peer that it knows to live, suspects among them."""
        return self._loop.call(lambda: [member for member in self._engine.members.living() if member.record.id != self.me.id])

    def member(self, peer: PeerId) -> Member | None:
        """What it holds of one peer, the dead and the left too."""
        return self._loop.call(lambda: self._engine.members.get(peer))

    def counters(self) -> dict[str, int]:
        """All counters, by name."""
        return self._do(lambda engine, now: self._count())

    def _count(self) -> dict[str, int]:
        counts = self._engine.counters.as_dict()
        counts["loop.late"] = self._loop.late_count
        counts["loop.lag_ms_max"] = round(self._loop.lag_max_s * 1000)
        counts["dropped.members_full"] = self._engine.members.refused_count
        counts["dropped.streams_forgotten"] = self._engine.gossip.streams.forgotten
        counts["gaps.missing"] = self._engine.gossip.streams.missing
        counts["dropped.user_queue_full"] = self._outlet.dropped_count
        counts["refused.messages"] = self._outlet.refused_count
        return {name: count for name, count in counts.items() if count}

    def sizes(self) -> dict[str, int]:
        """How large everything is that grows; docs/PYTHON.md says what each is."""
        return self._loop.call(self._measure)

    def _measure(self) -> dict[str, int]:
        return self._engine.sizes(time.monotonic())

    # -- what happened, without a sink ------------------------------------------------------------------------------------

    def take(self, timeout_s: float | None = None) -> Item | None:
        """The next thing that happened; None after the time-out or a `wake`."""
        return self._outlet.take(timeout_s)

    def wake(self) -> None:
        """Makes a waiting `take` return. May be called from a signal handler."""
        self._outlet.wake()


class SeedsNode:
    """Seeds that live in one process, on one loop.

    Args:
        endpoints: where to bind; port 0 takes any free one.
        sink: is told what happens; None for an Outlet, which `take` reads.
        body: what executes the engines' effects.

    Raises:
        PortInUse, CannotBind: nothing is left open then.
    """

    def __init__(
        self,
        endpoints: Sequence[tuple[str, int]],
        cluster: str,
        config: ProtocolConfig = DEFAULT,
        *,
        sink: Sink | None = None,
        body: type[Body] = Body,
    ) -> None:
        self._outlet = Outlet()
        self._sink = sink or self._outlet
        self._loop = Loop(self._sink.fail)
        try:
            self._engines: list[SeedEngine] = self._loop.call(lambda: self._bind(list(endpoints), cluster, config, body))
        except BaseException:
            self._loop.stop()
            raise

    def _bind(self, endpoints: list[tuple[str, int]], cluster: str, config: ProtocolConfig, body: type[Body]) -> list[SeedEngine]:
        engines: list[SeedEngine] = []
        for place, (host, port) in enumerate(endpoints):
            domain = b"zmqgossip.seed.%d" % place
            router, bound = sockets.router(self._loop.context, host, port, domain, sockets.BACKLOG_SEED)
            me = Endpoint(host, bound)
            engine = SeedEngine(me, cluster_hash(cluster), config, random.SystemRandom(), time.time() - time.monotonic())
            try:
                own = body(self._loop, engine, router, None, domain, lambda at, item, me=me: self._sink.put(at, item, me))  # type: ignore[misc]
            except BaseException:  # no descriptor left for a monitor
                sockets.close(router)
                raise
            own.turn_over = self._sink.turn_over
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

    def members(self) -> dict[Endpoint, list[Member]]:
        """Whom each seed lists."""
        return self._loop.call(lambda: {engine.me: engine.registry.living() for engine in self._engines})

    def listed(self) -> dict[Endpoint, int]:
        """How many peers each seed lists."""
        return self._loop.call(lambda: {engine.me: len(engine.registry) for engine in self._engines})

    def close(self) -> None:
        """Ends the sockets and the thread. A second call does nothing."""
        self._loop.stop()
