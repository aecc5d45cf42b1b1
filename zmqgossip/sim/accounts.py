"""Who got what of whom, counted: what each peer was given and what it was told that it lost are laid side by side.

For each stream at each receiver the numbers of messages that were delivered and of those that `MessagesLost` named must tile one range
without a hole and without an overlap. Where that range begins is the receiver's baseline, at most what was published when it was ready.
Whether a loss that has its name was just is for `excuses`; whether tables are right, for `checkers`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from operator import attrgetter
from typing import TypeAlias

from zmqgossip.core.events import MessagesLost
from zmqgossip.core.outbox import Flushed
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import PeerId
from zmqgossip.sim.body import Body, State
from zmqgossip.sim.ledger import Stream, StreamKey
from zmqgossip.sim.world import World

_Range: TypeAlias = tuple[int, int, bool]
"""First, last, and whether they were lost by name."""


def engine_of(body: Body) -> PeerEngine:
    assert isinstance(body.engine, PeerEngine)
    return body.engine


def life_of(body: Body) -> StreamKey:
    """The id and the epoch of a process: what its stream is called."""
    me = engine_of(body).me
    return me.id, me.epoch


def named_lost(body: Body, key: StreamKey | None = None) -> list[tuple[int, int]]:
    """Ranges of messages that a peer was told it lost, of one stream or of all."""
    told = [event for _, event in body.events if isinstance(event, MessagesLost)]
    return [(event.first, event.last) for event in told if key is None or (event.origin, event.epoch) == key]


def published_by(stream: Stream, at: float) -> int:
    """Messages of a stream that were published before a moment."""
    place = bisect_left(stream.publications, at, key=attrgetter("at"))
    return stream.publications[place - 1].first + stream.publications[place - 1].count - 1 if place else 0


# -- nothing twice, nothing in silence ------------------------------------------------------------------------------------


class _Page:
    """What one peer was given and told so far: how much of its lists was read, and up to which message each stream is accounted for."""

    __slots__ = ("ends", "events_read", "segments_read")

    def __init__(self) -> None:
        self.segments_read = 0
        self.events_read = 0
        self.ends: dict[StreamKey, int] = {}


class Book:
    """All tiles of a run, read on from where the last look ended: it may be asked after every step."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pages: dict[Body, _Page] = {}

    def look(self) -> list[str]:
        """Where delivered and named do not tile one range since the last look, or the range begins too late."""
        found: list[str] = []
        for body in self._world.bodies:
            if body.gossip is not None:
                found += self._read(body)
        return found

    def end(self, body: Body, key: StreamKey) -> int:
        """The last message of a stream whose fate a peer knows; 0 before the first."""
        page = self._pages.get(body)
        return 0 if page is None else page.ends.get(key, 0)

    def _read(self, body: Body) -> list[str]:
        page = self._pages.setdefault(body, _Page())
        news: dict[StreamKey, list[_Range]] = {}
        own = life_of(body)
        for _, segment in body.segments[page.segments_read :]:
            header = segment.header
            if (header.origin, header.epoch) != own:
                last = header.first + header.message_count - 1
                news.setdefault((header.origin, header.epoch), []).append((header.first, last, False))
        for _, event in body.events[page.events_read :]:
            if isinstance(event, MessagesLost):
                news.setdefault((event.origin, event.epoch), []).append((event.first, event.last, True))
        page.segments_read, page.events_read = len(body.segments), len(body.events)
        return [problem for key, ranges in news.items() for problem in self._tile(body, page, key, sorted(ranges))]

    def _tile(self, body: Body, page: _Page, key: StreamKey, ranges: list[_Range]) -> list[str]:
        stream = self._world.ledger.streams.get(key)
        if stream is None:
            return [f"{body.label} was told of losses in a stream that nobody published: {ranges}"]
        name = f"{body.label} of {stream.origin.label}"
        found = []
        for first, last, is_lost in ranges:
            end = page.ends.get(key)
            if end is None:
                if body.ready_at is not None and first > published_by(stream, body.ready_at) + 1:
                    found.append(f"{name}: begins at {first}, of {published_by(stream, body.ready_at)} when it was ready")
            elif first != end + 1:
                found.append(f"{name}: after {end} comes {first}{' as lost' if is_lost else ''}")
            if is_lost and not first <= last <= stream.message_count:
                found.append(f"{name}: {first} to {last} are lost, of {stream.message_count} that there are")
            page.ends[key] = max(last, end or 0)
        return found


def holes(world: World) -> list[str]:
    """Where delivered and named do not tile one range, or it begins above what was published when the receiver was ready."""
    return Book(world).look()


def short(world: World, book: Book | None = None) -> list[str]:
    """Running peers that were neither given nor told the fate of all that a running origin has published."""
    found = []
    if book is None:
        book = Book(world)
        book.look()
    running = [body for body in world.peers if body.state is State.RUNNING and body.ready_at is not None]
    for key, stream in world.ledger.streams.items():
        if stream.origin.state is not State.RUNNING:
            continue
        if stream.message_count != stream.origin.published:
            found.append(f"{stream.origin.label} published {stream.message_count} of {stream.origin.published}")
        for body in running:
            end = book.end(body, key)
            if body is stream.origin or end >= stream.message_count or body.ready_at is None:
                continue
            if published_by(stream, body.ready_at) < stream.message_count:
                found.append(f"{body.label} of {stream.origin.label}: ends at {end} of {stream.message_count}")
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


# -- flushes --------------------------------------------------------------------------------------------------------------


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
        key = life_of(origin)
        stream = self.world.ledger.streams.get(key)
        living = {(record.id, record.epoch): None for record in engine_of(origin).gossip.living()}
        for body in self.world.peers:
            me = life_of(body)
            if stream is None or body is origin or me not in living or me[0] in slow or body.ready_at is None:
                continue
            if published_by(stream, body.ready_at) >= owed:
                continue
            got = _last_of(body, key)
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


def _last_of(body: Body, key: StreamKey) -> int:
    """The last message of a stream that a peer was given, or told that it lost."""
    headers = (segment.header for _, segment in reversed(body.segments))
    given = next((header for header in headers if (header.origin, header.epoch) == key), None)
    return max([given.first + given.message_count - 1 if given is not None else 0, *(last for _, last in named_lost(body, key))])
