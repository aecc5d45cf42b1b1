"""What the core's tests share: builders, and one engine on a bench.

On a *bench* one engine runs, and the test plays its body and everybody else. Time is a number: it passes when the test says so,
and every deadline is met on the way. Several engines that talk to each other are a *mesh* (mesh.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from hypothesis import settings

from zmqgossip.core import outbox
from zmqgossip.core.codes import Body
from zmqgossip.core.config import DEFAULT, ProtocolConfig
from zmqgossip.core.events import Event, FrameRefused
from zmqgossip.core.gossip_messages import BaselinePart, Deaths, Messages, Notice, NotYet, Position, Sync
from zmqgossip.core.messages import Check, Checked, Hello, LinkUp, Presence, Present, Receipt, Register, Registered, Welcome
from zmqgossip.core.outbox import Effect, Knock, Segment
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import Endpoint, Member, PeerId, PeerRecord, PeerState
from zmqgossip.core.view import Link
from zmqgossip.core.wire import (
    FLAG_MEMBERSHIP,
    TOPIC_DIGEST,
    TOPIC_GOSSIP,
    Codec,
    cluster_hash,
    decode_messages,
    decode_notices,
    encode_messages,
    encode_notices,
    link_topic,
)

CLUSTER = cluster_hash("test")
CODEC = Codec(CLUSTER)
START = 1000.0
"""Monotonic seconds at which every test begins."""
WALL = 1_700_000_000.0
"""Unix seconds at that moment."""
EPOCH = int(WALL) * 1000
TICKET = b"a ticket"


def ticket_of(record: PeerRecord) -> bytes:
    """The secret that a peer shares with its seeds here."""
    return b"t" + record.id[-7:]


SEED_PORT = 7000
TURNS_MAX = 100_000
"""Turns of one wait. An engine that leaves a deadline in the past fails here instead of hanging."""

steady = settings(max_examples=60, deadline=None, derandomize=True, database=None)
"""For properties: the same examples on every machine, however slow it is, and no file is left behind."""

E = TypeVar("E", bound=Event)
B = TypeVar("B", bound=Body)

ACCEPTED, REFUSED, SILENT = Knock.ACCEPTED, Knock.REFUSED, Knock.SILENT


# -- builders -------------------------------------------------------------------------------------------------------------


def peer(number: int, *, epoch: int = EPOCH, revision: int = 0, ready: bool = False) -> PeerRecord:
    """The record of peer `number`, from 1: its id sorts as the number does, and its host is its own."""
    host = f"10.0.{number >> 8}.{number & 255}"
    return PeerRecord(number.to_bytes(16, "big"), epoch, revision, host, 5000, 6000, ready)


def seed_at(number: int) -> Endpoint:
    return Endpoint(f"10.99.0.{number}", SEED_PORT)


def members(records: Iterable[PeerRecord], state: PeerState = PeerState.ALIVE) -> list[Member]:
    return [Member(record, state, WALL) for record in records]


def receipt(issuer: PeerRecord, holder: PeerRecord, *, at: float = WALL) -> Receipt:
    """What `issuer` gives to `holder` when they link."""
    return Receipt(issuer.id, issuer.epoch, holder.id, holder.epoch, at, b"")


def config(**changes: Any) -> ProtocolConfig:
    """The default profile, but for `changes`."""
    return replace(DEFAULT, **changes)


def segment(origin: PeerRecord, number: int, payloads: Sequence[bytes] = (b"x",), *, first: int = 0, flags: int = 0) -> bytes:
    """A gossip frame as its origin publishes it; of one message a segment unless `first` says otherwise."""
    body = encode_messages(Messages(origin.host, origin.port, [WALL], ["topic"], list(payloads)))
    return CODEC.encode_segment(origin.id, origin.epoch, number, first or number, len(payloads), flags, body)


def notice_segment(origin: PeerRecord, number: int, *notices: Notice) -> bytes:
    """A gossip frame of membership changes."""
    return CODEC.encode_segment(origin.id, origin.epoch, number, 1, 0, FLAG_MEMBERSHIP, encode_notices(list(notices)))


def deaths_frame(*records: PeerRecord) -> bytes:
    """A neighbour's word that those are dead, as it publishes it."""
    return TOPIC_DIGEST + CODEC.encode(Deaths(list(records)))


def spoiled(frame: bytes) -> bytes:
    """The frame with a byte damaged: of a segment's origin, or of an exchange's body."""
    return frame[:28] + bytes([frame[28] ^ 1]) + frame[29:]


def notices_of(frame: bytes) -> list[Notice]:
    header = CODEC.decode_segment(frame)
    return decode_notices(frame, header) if header.flags & FLAG_MEMBERSHIP else []


def messages_of(frame: bytes) -> Messages:
    return decode_messages(frame, CODEC.decode_segment(frame))


def payloads_of(segments: Iterable[Segment]) -> list[bytes]:
    """What was given to the user, in the order in which it was."""
    return [payload for segment in segments for payload in decode_messages(segment.frame, segment.header).payloads]


# -- one engine -----------------------------------------------------------------------------------------------------------


class Bench:
    """One engine; the test is its body and all others.

    Attributes:
        effects: everything that it wanted done, as (when, effect); `forget` empties it.
        open: the DEALERs that stand now: key -> endpoint.
        refusals: what the user was told of frames that were not taken; it is not among the effects.
    """

    def __init__(self, engine: PeerEngine | SeedEngine) -> None:
        self.now = START
        self.effects: list[tuple[float, Effect]] = []
        self.open: dict[int, Endpoint] = {}
        self.refusals: list[FrameRefused] = []
        self._any = engine

    # -- input ------------------------------------------------------------------------------------------------------------

    def call(self, what: Callable[..., object], *args: Any) -> None:
        """One turn: a call into the engine, and its outbox drained."""
        what(*args, self.now)
        self.drain()

    def drain(self) -> None:
        for effect in self._any.outbox.drain():
            if effect[0] == outbox.EVENT and isinstance(effect[1], FrameRefused):
                self.refusals.append(effect[1])
                continue
            self.effects.append((self.now, effect))
            if effect[0] == outbox.OPEN:
                self.open[effect[1]] = effect[2]
            elif effect[0] == outbox.CLOSE:
                self.open.pop(effect[1], None)

    def wait(self, seconds: float) -> None:
        """Time passes; every deadline is met on time."""
        until = self.now + seconds
        for _ in range(TURNS_MAX):
            due = self._any.next_deadline
            if due is None or due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            self.call(self._any.on_timers)
        raise AssertionError("a deadline stays in the past")

    def sleep(self, seconds: float) -> None:
        """The process is away for `seconds`, then has one late turn."""
        self.now += seconds
        self.call(self._any.on_timers)

    def connect(self, key: int) -> None:
        assert key in self.open
        self.call(self._any.on_connected, key)

    def disconnect(self, key: int) -> None:
        """A DEALER lost its connection, or found nobody: the body has closed it already."""
        self.open.pop(key, None)
        self.call(self._any.on_disconnected, key)

    def request(self, body: Body, *, address: str = "10.0.0.1", route: bytes = b"route") -> None:
        """`body` comes in at the ROUTER."""
        self.call(self._any.on_request, route, CODEC.encode(body, 7), address)

    def reply(self, key: int, body: Body, exchange: int = 7) -> None:
        """`body` comes in at the DEALER under `key`."""
        self.call(self._any.on_reply, key, CODEC.encode(body, exchange))

    def knocked(self, key: int, *results: Knock) -> None:
        self.call(self._any.on_knock, key, results)

    # -- output -----------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """What it did so far is of no interest."""
        self.effects.clear()

    def of(self, kind: int) -> list[tuple[Any, ...]]:
        """The effects of one kind, without kind and time."""
        return [effect[1:] for _, effect in self.effects if effect[0] == kind]

    def events(self, kind: type[E]) -> list[E]:
        return [event for (event,) in self.of(outbox.EVENT) if isinstance(event, kind)]

    def sent(self, kind: type[B]) -> list[tuple[int, B]]:
        """Bodies of one class that went out on DEALERs, with their keys."""
        decoded = [(key, CODEC.decode(frame)[0]) for key, frame in self.of(outbox.REQUEST)]
        return [(key, body) for key, body in decoded if isinstance(body, kind)]

    def sent_at(self, kind: type[Body]) -> list[float]:
        """When they went out."""
        return [at for at, effect in self.effects if effect[0] == outbox.REQUEST and isinstance(CODEC.decode(effect[2])[0], kind)]

    def replies(self, kind: type[B]) -> list[B]:
        """Bodies of one class that the ROUTER answered."""
        decoded = [CODEC.decode(frame)[0] for _, frame in self.of(outbox.REPLY)]
        return [body for body in decoded if isinstance(body, kind)]

    @property
    def knocks(self) -> list[tuple[int, tuple[Endpoint, ...]]]:
        return [(key, endpoints) for key, endpoints in self.of(outbox.KNOCK)]

    def keys_of(self, endpoint: Endpoint) -> list[int]:
        """The DEALERs to an address that stand now."""
        return [key for key, at in self.open.items() if at == endpoint]

    def count(self, counter: str) -> int:
        return self._any.counters.get(counter)


class PeerBench(Bench):
    """A peer, number 1 unless said otherwise, with `seeds` configured seeds.

    Attributes:
        attended: every presence update is answered, so that no seed is missed while time passes.
        shown: topics for all that its XPUB has shown.
    """

    def __init__(self, number: int = 1, *, seeds: int = 1, luck: int = 1, knobs: ProtocolConfig = DEFAULT) -> None:
        places = [seed_at(place) for place in range(1, seeds + 1)]
        self.engine = PeerEngine(peer(number), places, CLUSTER, knobs, Random(luck), WALL - START)
        self.attended = False
        self.shown: set[bytes] = set()
        super().__init__(self.engine)

    def drain(self) -> None:
        seen = len(self.effects)
        super().drain()
        if self.attended:
            for _, effect in self.effects[seen:]:
                if effect[0] == outbox.REQUEST and isinstance(CODEC.decode(effect[2])[0], Presence) and effect[1] in self.open:
                    self.reply(effect[1], Present(0, []))

    def start(self) -> None:
        self.call(self.engine.start)

    def join(self, *records: PeerRecord) -> int:
        """Starts; the first seed that is asked lists it and names `records`. The key of that seed."""
        self.start()
        key = self.asked_seeds[0]
        self.listed_by(key, *records)
        return key

    @property
    def asked_seeds(self) -> list[int]:
        """The DEALERs to seeds that stand now."""
        return [key for key, endpoint in self.open.items() if endpoint.port == SEED_PORT]

    def listed_by(self, key: int, *records: PeerRecord) -> None:
        self.connect(key)
        self.reply(key, Registered(True, len(records), members(records)))

    def told(self, seed: int, *records: PeerRecord, state: PeerState = PeerState.ALIVE) -> None:
        """A seed names others."""
        self.reply(seed, Present(len(records), members(records, state)))

    def gossip(self, key: int, frame: bytes) -> None:
        self.call(self.engine.on_gossip, key, frame)

    def subscription(self, topic: bytes) -> None:
        self.call(self.engine.on_subscription, topic)

    def link(self, record: PeerRecord) -> Link:
        """The one link with that peer."""
        link = self.engine.view.by_peer(record.id)
        assert link is not None
        return link

    def state_of(self, record: PeerRecord) -> PeerState | None:
        held = self.engine.members.get(record.id)
        return None if held is None else held.state

    @property
    def segments(self) -> list[bytes]:
        """The gossip frames that it published or forwarded."""
        return [frame for (frame,) in self.of(outbox.PUBLISH) if frame[:1] == b"E"]

    @property
    def notices(self) -> list[Notice]:
        """The membership changes that it published itself."""
        own = [frame for frame in self.segments if CODEC.decode_segment(frame).origin == self.engine.me.id]
        return [notice for frame in own for notice in notices_of(frame)]

    @property
    def deaths(self) -> list[PeerRecord]:
        """Those whom it told its neighbours to be dead."""
        frames = [frame for (frame,) in self.of(outbox.PUBLISH) if frame[:1] == TOPIC_DIGEST]
        bodies = [CODEC.decode(frame[1:])[0] for frame in frames]
        return [record for body in bodies if isinstance(body, Deaths) for record in body.records]

    @property
    def deliveries(self) -> list[Segment]:
        return [segment for (segment,) in self.of(outbox.DELIVER)]


class Far:
    """The far end of a link with a peer on a bench, played by the test step by step."""

    def __init__(self, bench: PeerBench, record: PeerRecord, nonce: bytes = b"far nonc") -> None:
        self.bench = bench
        self.record = record
        self.nonce = nonce

    @property
    def link(self) -> Link:
        return self.bench.link(self.record)

    @property
    def key(self) -> int:
        return self.link.key

    def hello(self, *, target: PeerId | None = None, route: bytes = b"route") -> None:
        me = self.bench.engine.me
        hello = Hello(self.record, target or me.id, self.nonce, ["plain"], receipt(self.record, me))
        self.bench.request(hello, address=self.record.host, route=route)

    def connects(self) -> None:
        self.bench.connect(self.key)

    def welcome(self) -> None:
        self.reply(Welcome(self.record, self.nonce, self.link.mine, "plain", receipt(self.record, self.bench.engine.me)))

    def subscribes(self) -> None:
        """What it subscribes to appears at the bench's XPUB: all of gossip, and its link topic last. (Known topics are not shown again.)"""
        for topic in (TOPIC_DIGEST, TOPIC_GOSSIP):
            if topic not in self.bench.shown:
                self.bench.shown.add(topic)
                self.bench.subscription(topic)
        self.bench.subscription(link_topic(self.record.id, self.link.mine))

    def link_up(self) -> None:
        self.bench.gossip(self.key, link_topic(self.bench.engine.me.id, self.nonce) + CODEC.encode(LinkUp(self.nonce)))

    def comes_up(self) -> Far:
        """The rest of the handshake, whoever dialled, and an empty baseline if it is asked for one."""
        return self.links_up(baseline=True)

    def links_up(self, *, baseline: bool = False) -> Far:
        """The rest of the handshake, and not a word about a baseline unless it is said so."""
        if not self.link.connected:
            self.connects()
        if not self.link.theirs:
            self.welcome()
        self.subscribes()
        self.link_up()
        if baseline and self.asked_at is not None:
            self.gives_baseline()
        return self

    @property
    def asked_at(self) -> int | None:
        """The exchange number of the last SYNC that this neighbour was asked and that is still open; None without one."""
        if self.bench.engine.membership.baseline.complete:
            return None
        decoded = [(key, *CODEC.decode(frame)) for key, frame in self.bench.of(outbox.REQUEST)]
        return next((exchange for key, body, exchange in reversed(decoded) if key == self.key and isinstance(body, Sync)), None)

    def gives_baseline(self, *positions: Position) -> None:
        """Answers SYNC, in one part."""
        assert self.asked_at is not None
        self.bench.reply(self.key, BaselinePart(0, 1, list(positions)), self.asked_at)

    def says_not_yet(self) -> None:
        assert self.asked_at is not None
        self.bench.reply(self.key, NotYet(), self.asked_at)

    def reply(self, body: Body) -> None:
        self.bench.reply(self.key, body)

    def asks(self, body: Body) -> None:
        self.bench.request(body, address=self.record.host)

    def crashes(self) -> None:
        """Its connection drops, and three knocks at both ports are refused."""
        key = self.key
        self.bench.disconnect(key)
        self.bench.wait(0.2)
        for _ in range(3):
            self.bench.knocked(key, REFUSED, REFUSED)
        assert self.bench.engine.view.by_key(key) is None

    def gossip(self, frame: bytes) -> None:
        self.bench.gossip(self.key, frame)


def neighbour(bench: PeerBench, number: int) -> Far:
    """A neighbour that dialled, its link up both ways."""
    far = Far(bench, peer(number), number.to_bytes(8, "big"))
    far.hello()
    return far.comes_up()


class SeedBench(Bench):
    """A seed. Peers speak to it from their own addresses, on a route that is their id."""

    def __init__(self, *, luck: int = 1, knobs: ProtocolConfig = DEFAULT) -> None:
        self.engine = SeedEngine(seed_at(1), CLUSTER, knobs, Random(luck), WALL - START)
        super().__init__(self.engine)

    def hears(self, record: PeerRecord, body: Body) -> None:
        self.request(body, address=record.host, route=record.id)

    def told(self, record: PeerRecord, kind: type[B]) -> list[B]:
        """What that peer was answered, of one class."""
        decoded = [CODEC.decode(frame)[0] for route, frame in self.of(outbox.REPLY) if route == record.id]
        return [body for body in decoded if isinstance(body, kind)]

    def visit(self, record: PeerRecord) -> int:
        """The key of the one visit that is under way to that peer."""
        (key,) = self.keys_of(record.endpoint)
        return key

    def answers_visit(self, record: PeerRecord, *, who: PeerRecord | None = None) -> None:
        """Somebody at that peer's address answers CHECK: `who`, or the peer itself."""
        key = self.visit(record)
        self.connect(key)
        check = next(body for at, body in reversed(self.sent(Check)) if at == key)
        self.reply(key, Checked(who or record, check.nonce, check.ticket == ticket_of(who or record)))

    def enlist(self, *records: PeerRecord) -> list[bytes]:
        """Registers peers that answer at once; their tickets."""
        tickets = []
        for record in records:
            self.hears(record, Register(record, ticket_of(record)))
            self.answers_visit(record)
            self.knocked(self.knocks[-1][0], ACCEPTED)
            answer = self.told(record, Registered)[-1]
            assert answer.listed
            tickets.append(ticket_of(record))
        return tickets

    def state_of(self, record: PeerRecord) -> PeerState | None:
        """ALIVE or SUSPECT on the list, DEAD or LEFT among the tombstones."""
        entry = self.engine.registry.get(record.id)
        if entry is not None:
            return entry.state
        grave = self.engine.registry.tombstone(record.id)
        return None if grave is None else grave.state
