"""Watching: a SUB on a peer's publishing socket, and nothing else. It changes nothing at the peer and slows nobody.

What passes at one peer is everything, once: each segment is published there once, its own and those that it passes on; but for
what the peer had to pull when all its neighbours had it, which it publishes to nobody. A watcher that is too slow misses
segments, because ZeroMQ drops them at the peer for this subscriber alone; the numbers tell how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import zmq

from zmqgossip.core.counters import Counters
from zmqgossip.core.errors import WireError
from zmqgossip.core.gossip_messages import Deaths, Notice
from zmqgossip.core.types import Endpoint, PeerId, PeerState
from zmqgossip.core.wire import FLAG_MEMBERSHIP, TOPIC_DIGEST, TOPIC_GOSSIP, Codec, cluster_hash, decode_messages, decode_notices
from zmqgossip.runtime import islands, sockets

STREAMS_MAX = 10_000
RANGES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Seen:
    """One application message that passed.

    Attributes:
        code: 1133 if the watched peer made it, 1155 if it passed it on.
        origin: who made it.
        number: its msg_count.
        sent_at: Unix time of its making.
    """

    code: int
    origin: Endpoint
    number: int
    topic: str
    payload: bytes
    sent_at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """One membership change that passed, and the id of who announced it; None of a death, which neighbours tell one another."""

    origin: PeerId | None
    notice: Notice


@dataclass(frozen=True, slots=True)
class Missed:
    """Segments did not get here; `count` more than before, `total` by now."""

    count: int
    total: int


@dataclass(frozen=True, slots=True)
class Connection:
    """The connection to the watched peer came up, or is not there: it dropped, or nobody listens. It is tried again for ever."""

    up: bool


class Watch:
    """An open watch. Use it from one thread, and close it there.

    `deaths`: those that the peer tells are wanted too; with them come its digests, which are left aside.

    Attributes:
        counters: frames that were refused, by reason.
        missed: segments that did not get here.
    """

    def __init__(self, publishing: Endpoint, cluster: str, *, deaths: bool = False) -> None:
        self.counters = Counters()
        self.missed = 0
        self._codec = Codec(cluster_hash(cluster))
        self._streams = islands.Seen(STREAMS_MAX, RANGES_MAX)
        self._context: sockets.Context = zmq.Context()
        topics = [TOPIC_GOSSIP, TOPIC_DIGEST] if deaths else [TOPIC_GOSSIP]
        self._socket, self._monitor = sockets.watching_sub(self._context, publishing, topics)
        self._up: bool | None = None
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)

    def take(self, timeout_s: float) -> Iterator[Seen | Heard | Missed | Connection]:
        """What one frame brought, or how the connection stands now; nothing when nothing comes in time."""
        ready = dict(self._poller.poll(max(0, int(timeout_s * 1000))))
        if self._monitor in ready:
            yield from self._look()
        if self._socket not in ready:
            return
        frame = self._socket.recv()
        try:
            yield from self._read_deaths(frame[1:]) if frame[:1] == TOPIC_DIGEST else self._read(frame)
        except WireError as error:
            self.counters.add(f"refused.{error.reason}")

    def _look(self) -> Iterator[Connection]:
        while (read := sockets.read_monitor(self._monitor)) is not None:
            up = read[0] == zmq.Event.HANDSHAKE_SUCCEEDED
            if up is not self._up:
                self._up = up
                yield Connection(up)

    def _read_deaths(self, frame: bytes) -> Iterator[Heard]:
        body, _ = self._codec.decode(frame)
        if isinstance(body, Deaths):
            yield from (Heard(None, Notice(record, PeerState.DEAD)) for record in body.records)

    def _read(self, frame: bytes) -> Iterator[Seen | Heard | Missed]:
        header = self._codec.decode_segment(frame)
        stream = self._streams.of(header.origin, header.epoch)
        before = stream.missing
        if not stream.add(header.number):
            self.counters.add("duplicates")
            return
        if stream.missing != before:
            self.missed += stream.missing - before
            yield Missed(stream.missing - before, self.missed)
        if header.flags & FLAG_MEMBERSHIP:
            yield from (Heard(header.origin, notice) for notice in decode_notices(frame, header))
            return
        if not header.message_count:  # a flush
            return
        body = decode_messages(frame, header)
        origin = Endpoint(body.host, body.port)
        for number, (topic, payload, sent_at) in enumerate(body.rows(), header.first):
            yield Seen(header.code, origin, number, topic, payload, sent_at)

    def close(self) -> None:
        """Ends the socket and its context."""
        sockets.close(self._socket, self._monitor)
        self._context.destroy(linger=0)
