"""What tests of streams, marks, repair and trees share: a peer on a bench whose neighbours have their baseline and speak of streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.core.harness import CODEC, WALL, Far, PeerBench, config, neighbour, peer, segment
from zmqgossip.core import outbox
from zmqgossip.core.gossip_messages import Ask, Digest, Entry, FlushReport, Position, Pull, Pulled, Synced
from zmqgossip.core.outbox import Flushed
from zmqgossip.core.stream import Stream
from zmqgossip.core.types import PeerId, PeerRecord
from zmqgossip.core.wire import FLAG_FLUSH, FLAG_MARK, life_hash

ORIGIN = peer(77)
"""Somebody whose segments come by way of neighbours."""


def synced(bench: PeerBench, number: int) -> Far:
    """A neighbour that is linked and has its baseline."""
    far = neighbour(bench, number)
    far.asks(Synced(far.link.mine, 0))
    return far


def entry(origin: PeerRecord, contiguous: int, *, done: int = 0, hops: int = 1, marks: Sequence[tuple[int, PeerId]] = ()) -> Entry:
    return Entry(origin.id, origin.epoch, contiguous, hops, done, list(marks))


def says(far: Far, *entries: Entry) -> None:
    """A digest, on the SUB."""
    far.gossip(b"D" + CODEC.encode(Digest(list(entries))))


def answers(far: Far, *entries: Entry) -> None:
    """A digest, at the DEALER: the answer to ASK."""
    far.reply(Digest(list(entries)))


def stream_of(bench: PeerBench, origin: PeerRecord = ORIGIN) -> Stream:
    stream = bench.engine.gossip.streams.get(origin.id, origin.epoch)
    assert stream is not None
    return stream


def own(bench: PeerBench) -> Stream:
    return bench.engine.gossip.publisher.stream


def publish(bench: PeerBench, *payloads: bytes) -> None:
    bench.call(bench.engine.publish, [("topic", payload, WALL) for payload in payloads])


def pulls(bench: PeerBench) -> list[tuple[int, Pull, int]]:
    """Key, body and exchange number of each PULL."""
    decoded = [(key, *CODEC.decode(frame)) for key, frame in bench.of(outbox.REQUEST)]
    return [(key, body, exchange) for key, body, exchange in decoded if isinstance(body, Pull)]


def gives(far: Far, origin: PeerRecord, numbers: Sequence[int], *, oldest: int = 1, contiguous: int = 0, messages: int = 0) -> None:
    """The answer to the last PULL of this neighbour: segments, then PULLED."""
    exchange = next(exchange for key, _, exchange in reversed(pulls(far.bench)) if key == far.key)
    for number in numbers:
        far.bench.call(far.bench.engine.on_reply, far.key, segment(origin, number))
    last = contiguous or max(numbers, default=0)
    far.bench.reply(far.key, Pulled(origin.id, origin.epoch, oldest, last, messages or last), exchange)


def digests(bench: PeerBench, since: float = 0.0) -> list[tuple[float, Digest]]:
    """What it said of its streams on the digest topic, and when."""
    frames = [(at, effect[1]) for at, effect in bench.effects if effect[0] == outbox.PUBLISH and effect[1][:1] == b"D" and at >= since]
    decoded = [(at, CODEC.decode(frame[1:])[0]) for at, frame in frames]
    return [(at, body) for at, body in decoded if isinstance(body, Digest)]


def entries(bench: PeerBench, origin: PeerRecord = ORIGIN, since: float = 0.0) -> list[Entry]:
    """What it said of one stream."""
    found = [one for _, body in digests(bench, since) for one in body.entries]
    return [one for one in found if (one.origin, one.epoch) == (origin.id, origin.epoch)]


def asked(bench: PeerBench) -> list[tuple[int, Ask]]:
    return bench.sent(Ask)


def numbers(bench: PeerBench, origin: PeerRecord = ORIGIN) -> list[int]:
    """The segments of one origin that were given to the user."""
    return [one.header.number for one in bench.deliveries if one.header.origin == origin.id]


def flushes(bench: PeerBench) -> list[Flushed]:
    return [flushed for (flushed,) in bench.of(outbox.FLUSHED)]


def marked(origin: PeerRecord, number: int) -> bytes:
    return segment(origin, number, flags=FLAG_MARK)


def flush_segment(origin: PeerRecord, number: int) -> bytes:
    return CODEC.encode_segment(origin.id, origin.epoch, number, number, 0, FLAG_MARK | FLAG_FLUSH, b"")


def report(mark: int, parent: PeerRecord, *below: PeerRecord, slow: Sequence[PeerRecord] = ()) -> FlushReport:
    """That those are done with a flush."""
    total = sum(life_hash(one.id, one.epoch) for one in below) % (1 << 64)
    return FlushReport(mark, parent.id, len(below), total, [one.id for one in slow])


def position(origin: PeerRecord, contiguous: int) -> Position:
    return Position(origin.id, origin.epoch, contiguous, contiguous)


def begun(*neighbours: int, **knobs: Any) -> tuple[PeerBench, list[Far]]:
    """A peer with its baseline and neighbours of those numbers, quiet."""
    bench = PeerBench(knobs=config(**knobs))
    bench.attended = True
    bench.join()
    fars = [synced(bench, number) for number in neighbours]
    bench.forget()
    return bench, fars
