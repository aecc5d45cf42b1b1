"""A small network in memory: several engines talk to each other through the real codec.

Nothing is lost and nothing takes time, but for what a test does. Frames of one connection keep their order; connections overtake
one another as a test's luck has it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.core.harness import ACCEPTED, CLUSTER, REFUSED, START, TURNS_MAX, WALL, peer, seed_at
from zmqgossip.core import outbox
from zmqgossip.core.config import DEFAULT, ProtocolConfig
from zmqgossip.core.events import Event
from zmqgossip.core.outbox import Answered, Flushed, Knock, Question, Segment
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import Endpoint, PeerState


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
    flushed: list[Flushed] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)


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

    def peer(self, number: int, *, seeds: Sequence[Place] = (), knobs: ProtocolConfig = DEFAULT, cluster: int = CLUSTER) -> Place:
        record = peer(number)
        places = [place.endpoint for place in seeds] or [seed_at(99)]
        engine = PeerEngine(record, places, cluster, knobs, Random(number), WALL - START)
        return self._add(Place(engine, record.endpoint, record.publish_endpoint))

    def seed(self, number: int, *, knobs: ProtocolConfig = DEFAULT, cluster: int = CLUSTER) -> Place:
        engine = SeedEngine(seed_at(number), cluster, knobs, Random(1000 + number), WALL - START)
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
        self.settle_until(lambda: False)

    def settle_until(self, done: Callable[[], bool]) -> None:
        """Things under way arrive one by one, in no time, until `done` or until there are none."""
        for _ in range(TURNS_MAX):
            if done():
                return
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
                case outbox.TOPICS:
                    self._topics(place, *args)
                case outbox.FLUSHED:
                    place.flushed += args
                case outbox.KNOCK:
                    self._knock(place, *args)
                case outbox.DELIVER:
                    place.delivered += args
                case outbox.EVENT:
                    place.events += args
                case outbox.ASKED:
                    place.asked += args
                case outbox.ANSWERED:
                    place.answered += args

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

    def _topics(self, place: Place, key: int, add: tuple[bytes, ...], remove: tuple[bytes, ...]) -> None:
        if key not in place.subs:
            return
        target, topics = place.subs[key]
        place.subs[key] = (target, (*[topic for topic in topics if topic not in remove], *add))
        for topic in add:
            target.topics[topic] += 1
            if target.topics[topic] == 1:
                self._later((place, key, "topics"), target, lambda topic=topic: target.engine.on_subscription(topic, self.now))
        for topic in remove:
            target.topics[topic] -= 1
            if target.topics[topic] == 0:
                self._later((place, key, "topics"), target, lambda topic=topic: target.engine.on_unsubscription(topic, self.now))

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
