"""What the core's tests share: builders, one engine on a bench, and a small network in memory.

On a *bench* one engine runs and the test plays everybody else. In a *mesh* several engines talk to each other through the real
codec, without loss or delay. Time is a number in both: it passes when a test says so, and every deadline is met on the way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

from zmqgossip.core import outbox
from zmqgossip.core.config import DEFAULT, ProtocolConfig
from zmqgossip.core.events import Event
from zmqgossip.core.messages import (
    Body,
    Check,
    Checked,
    Hello,
    LinkUp,
    Message,
    Messages,
    Notice,
    Presence,
    Present,
    Register,
    Registered,
    Welcome,
)
from zmqgossip.core.outbox import Effect, Knock, Segment
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import Endpoint, Member, PeerId, PeerRecord, PeerState
from zmqgossip.core.view import Link
from zmqgossip.core.wire import (
    FLAG_MEMBERSHIP,
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
SEED_PORT = 7000
TURNS_MAX = 100_000
"""Turns of one wait. An engine that leaves a deadline in the past fails here instead of hanging."""

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


def config(**changes: Any) -> ProtocolConfig:
    """The default profile, but for `changes`."""
    return replace(DEFAULT, **changes)


def segment(origin: PeerRecord, number: int, payloads: Sequence[bytes] = (b"x",), *, first: int = 1) -> bytes:
    """A gossip frame as its origin publishes it."""
    body = encode_messages(Messages(origin.host, origin.port, first, [Message(WALL, "topic", payload) for payload in payloads]))
    return CODEC.encode_segment(origin.id, origin.epoch, number, len(payloads), 0, body)


def notice_segment(origin: PeerRecord, number: int, *notices: Notice) -> bytes:
    """A gossip frame of membership changes."""
    return CODEC.encode_segment(origin.id, origin.epoch, number, 0, FLAG_MEMBERSHIP, encode_notices(list(notices)))


def spoiled(frame: bytes) -> bytes:
    """The frame with its last byte damaged."""
    return frame[:-1] + bytes([frame[-1] ^ 1])


def notices_of(frame: bytes) -> list[Notice]:
    header = CODEC.decode_segment(frame)
    return decode_notices(frame, header) if header.flags & FLAG_MEMBERSHIP else []


def messages_of(frame: bytes) -> Messages:
    return decode_messages(frame, CODEC.decode_segment(frame))


# -- one engine -----------------------------------------------------------------------------------------------------------


class Bench:
    """One engine; the test is its body and all others.

    Attributes:
        effects: everything that it wanted done, as (when, effect); `forget` empties it.
        open: the DEALERs that stand now: key -> endpoint.
    """

    def __init__(self, engine: PeerEngine | SeedEngine) -> None:
        self.now = START
        self.effects: list[tuple[float, Effect]] = []
        self.open: dict[int, Endpoint] = {}
        self._any = engine

    # -- input ------------------------------------------------------------------------------------------------------------

    def call(self, what: Callable[..., object], *args: Any) -> None:
        """One turn: a call into the engine, and its outbox drained."""
        what(*args, self.now)
        self.drain()

    def drain(self) -> None:
        for effect in self._any.outbox.drain():
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
        self.call(self._any.on_disconnected, key)

    def request(self, body: Body, *, address: str = "10.0.0.1", route: bytes = b"route") -> None:
        """`body` comes in at the ROUTER."""
        self.call(self._any.on_request, route, CODEC.encode(body, 7), address)

    def reply(self, key: int, body: Body) -> None:
        """`body` comes in at the DEALER under `key`."""
        self.call(self._any.on_reply, key, CODEC.encode(body, 7))

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
    """

    def __init__(self, number: int = 1, *, seeds: int = 1, luck: int = 1, knobs: ProtocolConfig = DEFAULT) -> None:
        places = [seed_at(place) for place in range(1, seeds + 1)]
        self.engine = PeerEngine(peer(number), places, CLUSTER, knobs, Random(luck), WALL - START)
        self.attended = False
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
        self.reply(key, Registered(True, TICKET, len(records), members(records)))

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
        me = self.bench.engine.me.id
        self.bench.request(Hello(self.record, target or me, self.nonce, ["plain"]), address=self.record.host, route=route)

    def connects(self) -> None:
        self.bench.connect(self.key)

    def welcome(self) -> None:
        self.reply(Welcome(self.record, self.nonce, self.link.mine, "plain"))

    def subscribes(self) -> None:
        """Its link topic appears at the bench's XPUB."""
        self.bench.subscription(link_topic(self.record.id, self.link.mine))

    def link_up(self) -> None:
        self.bench.gossip(self.key, link_topic(self.bench.engine.me.id, self.nonce) + CODEC.encode(LinkUp(self.nonce)))

    def comes_up(self) -> Far:
        """The rest of the handshake, whoever dialled."""
        if not self.link.connected:
            self.connects()
        if not self.link.theirs:
            self.welcome()
        self.subscribes()
        self.link_up()
        return self

    def reply(self, body: Body) -> None:
        self.bench.reply(self.key, body)

    def asks(self, body: Body) -> None:
        self.bench.request(body, address=self.record.host)

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
        self.reply(key, Checked(who or record, check.nonce))

    def enlist(self, *records: PeerRecord) -> list[bytes]:
        """Registers peers that answer at once; their tickets."""
        tickets = []
        for record in records:
            self.hears(record, Register(record))
            self.answers_visit(record)
            self.knocked(self.knocks[-1][0], ACCEPTED)
            answer = self.told(record, Registered)[-1]
            assert answer.listed
            tickets.append(answer.ticket)
        return tickets

    def state_of(self, record: PeerRecord) -> PeerState | None:
        """ALIVE or SUSPECT on the list, DEAD or LEFT among the tombstones."""
        entry = self.engine.registry.get(record.id)
        if entry is not None:
            return entry.state
        grave = self.engine.registry.tombstone(record.id)
        return None if grave is None else grave.state


# -- several engines ------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Place:
    """One process of a mesh."""

    engine: Any
    endpoint: Endpoint
    publish: Endpoint | None
    alive: bool = True
    hung: bool = False
    dealers: dict[int, tuple[Place, bytes]] = field(default_factory=dict)  # key -> where to, and the route there
    subs: dict[int, tuple[Place, tuple[bytes, ...]]] = field(default_factory=dict)
    topics: Counter[bytes] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    delivered: list[Segment] = field(default_factory=list)


class Mesh:
    """Engines that talk to each other. Frames of one connection keep their order; connections overtake one another as `luck` has it.

    Attributes:
        knocks: what a knock at an address meets; without an entry the truth.
    """

    def __init__(self, luck: int | None = None) -> None:
        self.now = START
        self.places: list[Place] = []
        self.knocks: dict[Endpoint, Knock] = {}
        self._luck = None if luck is None else Random(luck)
        self._lanes: dict[tuple[Any, ...], deque[tuple[int, Place, Callable[[], object]]]] = {}
        self._order = 0
        self._routes: dict[bytes, tuple[Place, int]] = {}

    def peer(self, number: int, *, seeds: Sequence[Place] = (), knobs: ProtocolConfig = DEFAULT) -> Place:
        record = peer(number)
        places = [place.endpoint for place in seeds] or [seed_at(99)]
        engine = PeerEngine(record, places, CLUSTER, knobs, Random(number), WALL - START)
        return self._add(Place(engine, record.endpoint, record.publish_endpoint))

    def seed(self, number: int, *, knobs: ProtocolConfig = DEFAULT) -> Place:
        engine = SeedEngine(seed_at(number), CLUSTER, knobs, Random(1000 + number), WALL - START)
        return self._add(Place(engine, seed_at(number), None))

    def _add(self, place: Place) -> Place:
        self.places.append(place)
        return place

    # -- time and faults --------------------------------------------------------------------------------------------------

    def do(self, place: Place, name: str, *args: Any) -> None:
        """Calls a method of an engine; what follows happens when time passes or at `settle`."""
        getattr(place.engine, name)(*args, self.now)
        self._flush(place)

    def settle(self) -> None:
        """Everything under way arrives, in no time."""
        for _ in range(TURNS_MAX):
            lanes = [lane for lane, waiting in self._lanes.items() if not waiting[0][1].hung]
            if not lanes:
                return
            lane = self._luck.choice(lanes) if self._luck else min(lanes, key=lambda lane: self._lanes[lane][0][0])
            _, place, action = self._lanes[lane].popleft()
            if not self._lanes[lane]:
                del self._lanes[lane]
            if place.alive:
                action()
                self._flush(place)
        raise AssertionError("the engines never fall silent")

    def run(self, seconds: float) -> None:
        """Time passes: everything arrives and every deadline of those that are not hung is met."""
        until = self.now + seconds
        for _ in range(TURNS_MAX):
            self.settle()
            due = [(place.engine.next_deadline, place) for place in self.places if place.alive and not place.hung]
            at, place = min(((at, place) for at, place in due if at is not None), key=lambda pair: pair[0], default=(until + 1, None))
            if place is None or at > until:
                self.now = until
                return
            self.now = max(self.now, at)
            self.do(place, "on_timers")
        raise AssertionError("a deadline stays in the past")

    def crash(self, place: Place) -> None:
        """kill -9: its connections drop, its ports refuse."""
        place.alive = False
        for other in self.places:
            for key in [key for key, (target, _) in other.dealers.items() if target is place]:
                self._disconnect(other, key)
            for key in [key for key, (target, _) in other.subs.items() if target is place]:
                del other.subs[key]
        for key in list(place.subs):
            self._unsubscribe(place, key)

    def hang(self, place: Place) -> None:
        """SIGSTOP: its kernel goes on accepting."""
        place.hung = True

    def resume(self, place: Place) -> None:
        place.hung = False

    # -- effects ----------------------------------------------------------------------------------------------------------

    def _later(self, lane: tuple[Any, ...], place: Place, action: Callable[[], object]) -> None:
        self._order += 1
        self._lanes.setdefault(lane, deque()).append((self._order, place, action))

    def _flush(self, place: Place) -> None:
        for kind, *args in place.engine.outbox.drain():
            match kind:
                case outbox.REQUEST:
                    self._request(place, *args)
                case outbox.REPLY:
                    self._reply(*args)
                case outbox.PUBLISH:
                    self._publish(place, *args)
                case outbox.OPEN:
                    self._open(place, *args)
                case outbox.CLOSE:
                    self._close(place, *args)
                case outbox.SUBSCRIBE:
                    self._subscribe(place, *args)
                case outbox.KNOCK:
                    self._knock(place, *args)
                case outbox.DELIVER:
                    place.delivered += args
                case outbox.EVENT:
                    place.events += args

    def _at(self, endpoint: Endpoint) -> Place | None:
        """Who listens there, on either port."""
        return next((place for place in self.places if place.alive and endpoint in (place.endpoint, place.publish)), None)

    def _open(self, place: Place, key: int, endpoint: Endpoint) -> None:
        place.dealers.pop(key, None)
        target = self._at(endpoint)
        if target is None:
            self._later((place, key), place, lambda: place.engine.on_disconnected(key, self.now))
            return
        route = b"%d" % self._order
        place.dealers[key] = (target, route)
        self._routes[route] = (place, key)
        self._later((route, "back"), place, lambda: self._if_open(place, key, route, "on_connected"))

    def _if_open(self, place: Place, key: int, route: bytes, name: str, *args: Any) -> None:
        if place.dealers.get(key, (None, b""))[1] == route:
            getattr(place.engine, name)(key, *args, self.now)

    def _disconnect(self, place: Place, key: int) -> None:
        del place.dealers[key]
        self._later((place, key), place, lambda: place.engine.on_disconnected(key, self.now))

    def _close(self, place: Place, key: int) -> None:
        place.dealers.pop(key, None)
        if key in place.subs:
            self._unsubscribe(place, key)

    def _request(self, place: Place, key: int, frame: bytes) -> None:
        if key in place.dealers:
            target, route = place.dealers[key]
            self._later((route, "there"), target, lambda: target.engine.on_request(route, frame, place.endpoint.host, self.now))

    def _reply(self, route: bytes, frame: bytes) -> None:
        place, key = self._routes[route]
        self._later((route, "back"), place, lambda: self._if_open(place, key, route, "on_reply", frame))

    def _subscribe(self, place: Place, key: int, endpoint: Endpoint, topics: tuple[bytes, ...]) -> None:
        target = self._at(endpoint)
        if target is None:
            return
        place.subs[key] = (target, topics)
        for topic in sorted(topics):
            target.topics[topic] += 1
            if target.topics[topic] == 1:
                self._later((place, key, "topics"), target, lambda topic=topic: target.engine.on_subscription(topic, self.now))

    def _unsubscribe(self, place: Place, key: int) -> None:
        target, topics = place.subs.pop(key)
        target.topics.subtract(topics)

    def _publish(self, place: Place, frame: bytes) -> None:
        for other in self.places:
            for key, (target, topics) in other.subs.items():
                if target is place and frame.startswith(topics):
                    self._later((place, other, key), other, lambda other=other, key=key: other.engine.on_gossip(key, frame, self.now))

    def _knock(self, place: Place, key: int, endpoints: Sequence[Endpoint]) -> None:
        truth = [ACCEPTED if self._at(endpoint) else REFUSED for endpoint in endpoints]
        results = [self.knocks.get(endpoint, met) for endpoint, met in zip(endpoints, truth, strict=True)]
        self._later((place, "knock"), place, lambda: place.engine.on_knock(key, results, self.now))

    def introduce(self, place: Place, *others: Place) -> None:
        """A peer hears of others and dials as many as it wants; there need be no seed."""
        for other in others:
            place.engine.members.learn(other.engine.me, PeerState.ALIVE, WALL)
        place.engine.overlay.fill(place.engine.me, self.now)
        self._flush(place)
