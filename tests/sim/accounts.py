"""Who got what of whom, counted: what each peer was given and what it was told that it lost are laid side by side.

For each stream at each receiver the numbers of messages that were delivered and of those that `MessagesLost` named must tile one range
without a hole and without an overlap. Where that range begins is the receiver's baseline, at most what was published when it was ready.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from zmqgossip.core.events import MessagesLost, NeighbourDown, NeighbourSlow
from zmqgossip.core.outbox import Flushed
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import PeerId
from zmqgossip.sim import Body, World
from zmqgossip.sim.body import State
from zmqgossip.sim.ledger import Stream, StreamKey


def engine_of(body: Body) -> PeerEngine:
    assert isinstance(body.engine, PeerEngine)
    return body.engine


def named_lost(body: Body, key: StreamKey | None = None) -> list[tuple[int, int]]:
    """Ranges of messages that a peer was told it lost, of one stream or of all."""
    told = [event for _, event in body.events if isinstance(event, MessagesLost)]
    return [(event.first, event.last) for event in told if key is None or (event.origin, event.epoch) == key]


def tiles(body: Body, key: StreamKey) -> list[tuple[int, int]]:
    """Ranges of messages of one stream, delivered or named, sorted."""
    headers = [segment.header for _, segment in body.segments]
    got = [(header.first, header.first + header.message_count - 1) for header in headers if (header.origin, header.epoch) == key]
    assert got == sorted(got), f"{body.label} was given messages out of order: {got}"
    return sorted(got + named_lost(body, key))


def published_by(stream: Stream, at: float) -> int:
    """Messages of a stream that were published before a moment."""
    return sum(publication.count for publication in stream.publications if publication.at < at)


def holes(world: World) -> list[str]:
    """Where delivered and named do not tile one range, or it begins above what was published when the receiver was ready."""
    found = []
    for body in world.bodies:
        if body.gossip is None or body.ready_at is None:
            continue
        for key, stream in world.ledger.streams.items():
            if stream.origin is body:
                continue
            ranges = tiles(body, key)
            if not ranges:
                continue
            for (_, last), (first, _) in pairwise(ranges):
                if first != last + 1:
                    found.append(f"{body.label} of {stream.origin.label}: after {last} comes {first}")
            if ranges[0][0] > published_by(stream, body.ready_at) + 1:
                found.append(f"{body.label} of {stream.origin.label}: begins at {ranges[0][0]}")
    return found


def short(world: World) -> list[str]:
    """Running peers that were neither given nor told the fate of all that a running origin has published."""
    found = []
    for body in world.peers:
        if body.state is not State.RUNNING or body.ready_at is None:
            continue
        for key, stream in world.ledger.streams.items():
            if stream.origin is body or stream.origin.state is not State.RUNNING:
                continue
            if stream.message_count != stream.origin.published:
                found.append(f"{stream.origin.label} published {stream.message_count} of {stream.origin.published}")
            ranges = tiles(body, key)
            end = ranges[-1][1] if ranges else 0
            if end < stream.message_count and published_by(stream, body.ready_at) < stream.message_count:
                found.append(f"{body.label} of {stream.origin.label}: ends at {end} of {stream.message_count}")
    return found


def called_slow(world: World) -> dict[PeerId, None]:
    """Ids of all peers that somebody has found slow."""
    events = [event for body in world.bodies for _, event in body.events]
    return {event.peer.id: None for event in events if isinstance(event, NeighbourSlow)}


def lost_a_link(world: World) -> dict[PeerId, None]:
    """Ids of all peers that a link of has gone: nobody has to wait for them any more."""
    ends: dict[PeerId, None] = {}
    for body in world.bodies:
        for _, event in body.events:
            if isinstance(event, NeighbourDown):
                ends[event.peer.id] = None
                ends[engine_of(body).me.id] = None
    return ends


def unjust_losses(world: World) -> list[str]:
    """Losses named at peers that nobody found slow and whose links all stood, of origins that still live."""
    excused = called_slow(world) | lost_a_link(world)
    found = []
    for body in world.bodies:
        if body.gossip is None or engine_of(body).me.id in excused:
            continue
        for key, stream in world.ledger.streams.items():
            if stream.origin.live:
                found += [f"{body.label} lost {ranges} of {stream.origin.label}" for ranges in named_lost(body, key)]
    return found


def restless(world: World) -> list[str]:
    """What is still unsettled, where it must be quiet: streams, marks, wants, windows, flushes."""
    found = []
    roots: dict[int, str] = {}
    for body in world.peers:
        if body.state is not State.RUNNING or body.ready_at is None:
            continue
        gossip = engine_of(body).gossip
        unsettled = [
            f"{stream.origin.hex()[:4]} at {stream.contiguous}/{stream.highest}, {len(stream.marks)} marks, {len(stream.beyond)} beyond"
            for stream in gossip.streams.all()
            if not stream.settled
        ]
        if unsettled:
            found.append(f"{body.label} has not settled {unsettled}")
        if not gossip.publisher.wants_more:
            found.append(f"{body.label} still waits for its window")
        roots.setdefault(gossip.streams.root, body.label)
    if len(roots) > 1:
        found.append(f"settled streams differ: {roots}")
    return found


class _Told(dict[int, Flushed]):
    """How a peer's flushes ended; says so at once."""

    def __init__(self, ended: Callable[[int, Flushed], None]) -> None:
        self._ended = ended

    def __setitem__(self, token: int, flushed: Flushed) -> None:
        assert token not in self, f"flush {token} ended twice"
        super().__setitem__(token, flushed)
        self._ended(token, flushed)


class FlushBook:
    """Flushes of a world, each judged in the very moment when it ends.

    Attributes:
        problems: those that said true and were not, in words.
        ended: tokens, with whether they were complete.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.problems: list[str] = []
        self.ended: dict[int, bool] = {}
        self._asked: dict[int, tuple[Body, int, float, float]] = {}
        self._next = 1

    def flush(self, name: str, timeout_s: float) -> int:
        body = self.world.nodes[name]
        token = self._next
        if body.state is State.RUNNING:
            self._next += 1
            self._asked[token] = (body, body.published, self.world.now, timeout_s)
            if not isinstance(body.flushes, _Told):
                body.flushes = _Told(self._has_ended)
            self.world.flush(name, token, timeout_s)
        return token

    def _has_ended(self, token: int, flushed: Flushed) -> None:
        body, published, since, _ = self._asked.pop(token)
        self.ended[token] = flushed.complete
        if flushed.complete:
            self._judge(f"flush {token} of {body.label}", body, published, since, flushed.slow)

    def _judge(self, name: str, origin: Body, owed: int, since: float, slow: tuple[PeerId, ...]) -> None:
        engine = engine_of(origin)
        key = (engine.me.id, engine.me.epoch)
        stream = self.world.ledger.streams.get(key)
        living = {record.id: None for record in engine.gossip.living()}
        for body in self.world.peers:
            me = engine_of(body).me.id
            if stream is None or body is origin or me not in living or me in slow or body.ready_at is None:
                continue
            if published_by(stream, body.ready_at) >= owed:
                continue
            ranges = tiles(body, key)
            got = ranges[-1][1] if ranges else 0
            if got < owed:
                self.problems.append(f"{self.world.now:.3f}: {name} said true at {owed}: {body.label} has {got}")
            lost = [event for at, event in body.events if at >= since and isinstance(event, MessagesLost)]
            if any((event.origin, event.epoch) == key and event.first <= owed for event in lost):
                self.problems.append(f"{self.world.now:.3f}: {name} said true at {owed}: {body.label} lost some since {since:.3f}")

    def stuck(self) -> list[str]:
        """Flushes that should have ended by now."""
        now = self.world.now
        late = {token: asked for token, asked in self._asked.items() if now > asked[2] + asked[3] + 0.001}
        return [f"flush {token} of {asked[0].label} has not ended" for token, asked in late.items() if asked[0].state is State.RUNNING]
