"""The virtual network: TCP connections between processes as ZeroMQ uses them, and the frames on them.

The rules are libzmq's and the kernel's, as measured: a DEALER is told once that its connection has ended and never dials again by
itself, a SUB dials for ever; a stopped process still accepts; a closed path ends nothing, it makes frames wait; a full pipe drops
and counts. Whether a path is open and how slow it is, `paths` knows; what a frame means, nobody here does.

Not modelled: TCP giving up after a quarter of an hour of silence, bandwidth, acknowledgements that a one-way cut would hold back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING

from zmqgossip.core.counters import Counters
from zmqgossip.core.outbox import Knock
from zmqgossip.core.types import Endpoint
from zmqgossip.sim.clock import Clock
from zmqgossip.sim.connection import Arrival, Connection, Pipe
from zmqgossip.sim.paths import RETRY_FIRST_S, SYN_RETRY_FIRST_S, Paths, next_repeat_s
from zmqgossip.sim.trace import Trace, code_of

if TYPE_CHECKING:
    from zmqgossip.sim.body import Body

PIPE_MAX = 600
"""Frames in one direction of a connection: the sender's and the receiver's high-water marks, 300 each."""
RECONNECT_S = 0.1  # ZMQ_RECONNECT_IVL
KNOCK_SILENT_S = 1.0  # how long a body waits for a TCP connect that hangs
_FIN = b""


class Network:
    """Who listens where, who is connected to whom, and what is on its way.

    Attributes:
        traffic: message code -> [frames, bytes] that went into a pipe.
        frame_bytes_max: the largest of them.
        counters: what was dropped and why, and what connections did.
        pipe_max: frames a pipe holds before its sender drops.
    """

    __slots__ = (
        "_holding", "_hosts", "_listeners", "_places", "_refused", "_route", "_stuck",
        "clock", "counters", "frame_bytes_max", "paths", "pipe_max", "rng", "trace", "traffic",
    )  # fmt: skip

    def __init__(self, clock: Clock, paths: Paths, trace: Trace, rng: Random) -> None:
        self.clock = clock
        self.paths = paths
        self.trace = trace
        self.rng = rng
        self.pipe_max = PIPE_MAX
        self.counters = Counters()
        self.traffic: dict[int, list[int]] = {}
        self.frame_bytes_max = 0
        self._listeners: dict[Endpoint, Body] = {}
        self._places: dict[Endpoint, str] = {}  # who has ever listened there: its host is up
        self._hosts: dict[str, str] = {}  # an address and the first place on it
        self._refused: dict[Endpoint, dict[Connection, None]] = {}  # SUBs that dial where nobody listens
        self._stuck: dict[Connection, None] = {}  # dials that hang
        self._holding: dict[Pipe, None] = {}  # pipes at a closed path
        self._route = 0

    # -- processes --------------------------------------------------------------------------------------------------------

    def bind(self, body: Body) -> None:
        """A process begins to listen. SUBs that were refused there come back by themselves."""
        for endpoint in (body.endpoint, body.publish_endpoint):
            if endpoint is None:
                continue
            assert endpoint not in self._listeners, f"{endpoint} is taken by {self._listeners[endpoint].label}"
            self._listeners[endpoint] = body
            self._places[endpoint] = body.name
            self._hosts.setdefault(endpoint.host, body.name)
            for sub in self._refused.pop(endpoint, {}):
                sub.place = sub.up.receiver = sub.down.sender = body.name
                self.clock.at(self.clock.now + self.rng.random() * RECONNECT_S, self._dial, sub)

    def end(self, body: Body, abrupt: bool) -> None:
        """A process goes, and its kernel says so on every connection. `abrupt`: what had not left it yet is lost."""
        for endpoint in (body.endpoint, body.publish_endpoint):
            if endpoint is not None and self._listeners.get(endpoint) is body:
                del self._listeners[endpoint]
        for key in [*body.dealers, *body.subs]:
            for own in self.close(body, key):
                if abrupt:
                    own.up.lost_after = self._somewhere_on_the_way(own.up)
        for connection in body.incoming:
            connection.target_open = False
            if abrupt:
                connection.down.lost_after = self._somewhere_on_the_way(connection.down)
            self._send(connection.down, self._hung_up, connection, _FIN)
        body.incoming.clear()
        body.routes.clear()
        waiting, now = list(body.inbox), self.clock.now
        body.inbox.clear()
        for action, args in waiting:
            if action == self._handshake:
                self.clock.at(now + self.paths.delay_s(args[0].asker.name, body.name), action, *args)

    def _somewhere_on_the_way(self, pipe: Pipe) -> float:
        return self.clock.now + self.rng.random() * max(pipe.last_at - self.clock.now, 0.0)

    # -- connecting -------------------------------------------------------------------------------------------------------

    def open(self, body: Body, key: int, endpoint: Endpoint) -> None:
        """A DEALER under `key`, in place of the one that is there."""
        old = body.dealers.get(key)
        if old is not None:
            self._close(old)
        body.dealers[key] = connection = Connection(body, key, endpoint, self._place_of(endpoint), None)
        self._dial(connection)

    def subscribe(self, body: Body, key: int, endpoint: Endpoint, topics: tuple[bytes, ...]) -> None:
        """A SUB under `key`, in place of the one that is there."""
        old = body.subs.get(key)
        if old is not None:
            self._close(old)
        body.subs[key] = connection = Connection(body, key, endpoint, self._place_of(endpoint), topics)
        self._dial(connection)

    def establish(self, body: Body, key: int, endpoint: Endpoint, topics: tuple[bytes, ...] | None) -> list[bytes]:
        """A connection that stands as if it had been made long ago, and nobody is told; of topics, those that are new to the XPUB."""
        target = self._listeners[endpoint]
        connection = Connection(body, key, endpoint, target.name, topics)
        connection.target, connection.target_open = target, True
        target.incoming[connection] = None
        if topics is None:
            body.dealers[key] = connection
            self._give_route(connection, target)
            return []
        body.subs[key] = connection
        connection.in_force = dict.fromkeys(sorted(topics))
        return [topic for topic in connection.in_force if target.xpub.subscribe(connection, topic)]

    def close(self, body: Body, key: int) -> list[Connection]:
        """Ends the DEALER and the SUB of `key`; returns them. What was sent before still goes out."""
        found = [connection for connection in (body.dealers.pop(key, None), body.subs.pop(key, None)) if connection is not None]
        for connection in found:
            self._close(connection)
        return found

    def _place_of(self, endpoint: Endpoint) -> str:
        return self._places.get(endpoint) or self._hosts.get(endpoint.host, "")

    def _dial(self, connection: Connection) -> None:
        """The first SYN. A host that does not exist does not answer at all."""
        if not connection.asker_open:
            return
        connection.since = self.clock.now
        if connection.place:
            self._try(connection)
        elif connection.topics is not None:
            self._refused.setdefault(connection.endpoint, {})[connection] = None

    def _try(self, connection: Connection) -> None:
        name, place, paths = connection.asker.name, connection.place, self.paths
        if not paths.both_ways(name, place):
            self._stuck[connection] = None
            return
        round_trip_s = paths.delay_s(name, place) + paths.delay_s(place, name) + paths.syn_repeats_s(name, place)
        self.clock.at(self.clock.now + round_trip_s, self._handshake, connection)

    def _handshake(self, connection: Connection) -> None:
        """TCP has an answer; with a listener, ZMTP's greetings follow, for which both processes must run."""
        asker = connection.asker
        if not connection.asker_open or asker.dark or asker.hold(self._handshake, connection):
            return
        target = self._listeners.get(connection.endpoint)
        if not self.paths.both_ways(asker.name, connection.place) or (target is not None and target.dark):
            self._stuck[connection] = None
        elif target is None:
            self._refuse(connection)
        elif not target.hold(self._handshake, connection):
            connection.target = target
            connection.target_open = True
            target.incoming[connection] = None
            if connection.topics is None:
                self._connect_dealer(connection, target)
            else:
                self._connect_sub(connection, connection.topics)

    def _refuse(self, connection: Connection) -> None:
        self.counters.add("connection.refused")
        if connection.topics is None:
            self._tell_disconnected(connection)
        else:
            self._refused.setdefault(connection.endpoint, {})[connection] = None

    def _connect_dealer(self, connection: Connection, target: Body) -> None:
        self._give_route(connection, target)
        self.counters.add("connection.dealer")
        asker = connection.asker
        self.trace.note(self.clock.now, asker.label, "connected", str(connection.key), target.label)
        asker.turn(asker.engine.on_connected, connection.key)

    def _give_route(self, connection: Connection, target: Body) -> None:
        self._route += 1
        connection.route = b"\0" + self._route.to_bytes(4, "big")
        target.routes[connection.route] = connection

    def _connect_sub(self, connection: Connection, topics: Iterable[bytes]) -> None:
        """Subscriptions arrive one by one in byte order; the XPUB shows only those that are new to it."""
        self.counters.add("connection.sub")
        for topic in sorted(topics):
            self._subscribed(connection, topic)

    def _subscribed(self, connection: Connection, topic: bytes) -> None:
        target = connection.target
        if target is None or not connection.target_open:
            return
        connection.in_force[topic] = None
        if target.xpub.subscribe(connection, topic) and target.gossip is not None:
            self.trace.note(self.clock.now, target.label, "subscription", topic, connection.asker.label)
            target.turn(target.gossip.on_subscription, topic)

    def _unsubscribed(self, connection: Connection, topic: bytes) -> None:
        target = connection.target
        if target is None or topic not in connection.in_force:
            return
        del connection.in_force[topic]
        if target.xpub.unsubscribe(connection, topic) and target.gossip is not None and target.live:
            self.trace.note(self.clock.now, target.label, "unsubscription", topic, connection.asker.label)
            target.turn(target.gossip.on_unsubscription, topic)

    def change_topics(self, body: Body, key: int, add: Iterable[bytes], remove: Iterable[bytes]) -> None:
        """Other topics for a SUB: one that is not connected yet sends them with its first ones."""
        connection = body.subs.get(key)
        if connection is None or connection.topics is None:
            return
        for sign, topics in ((b"\1", add), (b"\0", remove)):
            for topic in topics:
                if sign == b"\1":
                    connection.topics[topic] = None
                else:
                    connection.topics.pop(topic, None)
                if connection.target is not None:
                    self._send(connection.up, self._topic_changed, connection, sign + topic)

    def _topic_changed(self, connection: Connection, frame: bytes) -> None:
        target = connection.target
        if target is None or target.hold(self._topic_changed, connection, frame) or target.dark:
            return
        connection.up.load -= 1
        if frame[:1] == b"\1":
            self._subscribed(connection, frame[1:])
        else:
            self._unsubscribed(connection, frame[1:])

    # -- disconnecting ----------------------------------------------------------------------------------------------------

    def _close(self, connection: Connection) -> None:
        """The asker ends it. The other end learns it behind all frames that were sent."""
        connection.asker_open = False
        self._stuck.pop(connection, None)
        refused = self._refused.get(connection.endpoint)
        if refused is not None:
            refused.pop(connection, None)
        if connection.target_open:
            self._send(connection.up, self._hung_up_by_asker, connection, _FIN)

    def _hung_up_by_asker(self, connection: Connection, _frame: bytes) -> None:
        target = connection.target
        if target is None or target.hold(self._hung_up_by_asker, connection, _frame):
            return
        connection.up.load -= 1
        if connection.target_open:
            connection.target_open = False
            target.incoming.pop(connection, None)
            target.routes.pop(connection.route, None)
            for topic in list(connection.in_force):
                self._unsubscribed(connection, topic)

    def _hung_up(self, connection: Connection, _frame: bytes) -> None:
        """The target is gone, and the asker hears of it."""
        asker = connection.asker
        if not connection.asker_open or asker.hold(self._hung_up, connection, _frame):
            return
        if connection.topics is None:
            self._tell_disconnected(connection)
            return
        connection.asker_open = False
        again = Connection(asker, connection.key, connection.endpoint, connection.place, connection.topics)
        asker.subs[connection.key] = again
        self.clock.at(self.clock.now + RECONNECT_S * (0.5 + self.rng.random()), self._dial, again)

    def _tell_disconnected(self, connection: Connection) -> None:
        connection.asker_open = False
        asker = connection.asker
        if asker.dealers.get(connection.key) is connection:
            del asker.dealers[connection.key]
        self.counters.add("connection.ended")
        self.trace.note(self.clock.now, asker.label, "disconnected", str(connection.key), connection.place)
        asker.turn(asker.engine.on_disconnected, connection.key)

    # -- frames -----------------------------------------------------------------------------------------------------------

    def request(self, body: Body, key: int, frame: bytes) -> None:
        connection = body.dealers.get(key)
        if connection is None or connection.target is None:
            self.counters.add("dropped.not_connected")
        elif self._fits(connection.up):
            self._count(frame, 1)
            self._send(connection.up, self._request, connection, frame)

    def reply(self, body: Body, route: bytes, frame: bytes) -> None:
        connection = body.routes.get(route)
        if connection is None:
            self.counters.add("dropped.no_route")
        elif self._fits(connection.down):
            self._count(frame, 1)
            self._send(connection.down, self._reply, connection, frame)

    def publish(self, body: Body, frame: bytes) -> None:
        paths = self.paths
        copies = 0
        for connection in body.xpub.takers(frame):
            if paths.drops_gossip(body.name, connection.asker.name):
                self.counters.add("dropped.gossip")
            elif self._fits(connection.down):
                copies += 1
                self._send(connection.down, self._gossip, connection, frame)
        if copies:
            self._count(frame, copies)

    def _fits(self, pipe: Pipe) -> bool:
        if pipe.load < self.pipe_max:
            return True
        self.counters.add("dropped.pipe_full")
        return False

    def _count(self, frame: bytes, copies: int) -> None:
        size, code = len(frame), code_of(frame)
        self.frame_bytes_max = max(self.frame_bytes_max, size)
        sums = self.traffic.setdefault(code, [0, 0])
        sums[0] += copies
        sums[1] += copies * size

    def _send(self, pipe: Pipe, arrival: Arrival, connection: Connection, frame: bytes) -> None:
        pipe.load += 1
        if pipe.held or not self.paths.open(pipe.sender, pipe.receiver):
            if not pipe.held:
                pipe.held_since = self.clock.now
                self._holding[pipe] = None
            pipe.held.append((arrival, connection, frame))
        else:
            self._launch(pipe, arrival, connection, frame)

    def _launch(self, pipe: Pipe, arrival: Arrival, connection: Connection, frame: bytes) -> None:
        pipe.last_at = max(self.clock.now + self.paths.delay_s(pipe.sender, pipe.receiver), pipe.last_at)
        self.clock.at(pipe.last_at, arrival, connection, frame)

    def _request(self, connection: Connection, frame: bytes) -> None:
        target = connection.target
        if target is None or target.hold(self._request, connection, frame) or target.dark:
            return
        connection.up.load -= 1
        if not connection.target_open or self.clock.now > connection.up.lost_after:
            self.counters.add("dropped.request_late")
            return
        asker = connection.asker
        self.trace.note(self.clock.now, target.label, "request", frame, asker.label)
        target.turn(target.engine.on_request, connection.route, frame, asker.address)

    def _reply(self, connection: Connection, frame: bytes) -> None:
        asker = connection.asker
        if asker.hold(self._reply, connection, frame) or asker.dark:
            return
        connection.down.load -= 1
        if not connection.asker_open or self.clock.now > connection.down.lost_after:
            self.counters.add("dropped.reply_late")
            return
        self.trace.note(self.clock.now, asker.label, "reply", frame, connection.place)
        asker.turn(asker.engine.on_reply, connection.key, frame)

    def _gossip(self, connection: Connection, frame: bytes) -> None:
        asker = connection.asker
        if asker.hold(self._gossip, connection, frame) or asker.dark or asker.gossip is None:
            return
        connection.down.load -= 1
        if not connection.asker_open or self.clock.now > connection.down.lost_after:
            self.counters.add("dropped.gossip_late")
            return
        self.trace.note(self.clock.now, asker.label, "gossip", frame, connection.place)
        asker.turn(asker.gossip.on_gossip, connection.key, frame)

    # -- knocking ---------------------------------------------------------------------------------------------------------

    def knock(self, body: Body, key: int, endpoints: Sequence[Endpoint]) -> None:
        """Plain TCP connects, all at once; the answer comes with the last of them."""
        waits_s = [self._knock_s(body.name, self._place_of(endpoint)) for endpoint in endpoints]
        wait_s = min(max(waits_s, default=0.0), KNOCK_SILENT_S)
        late = tuple(each_s >= KNOCK_SILENT_S for each_s in waits_s)
        self.clock.at(self.clock.now + wait_s, self._knocked, body, key, tuple(endpoints), late)

    def _knock_s(self, name: str, place: str) -> float:
        paths = self.paths
        if not place or not paths.both_ways(name, place):
            return KNOCK_SILENT_S
        return paths.delay_s(name, place) + paths.delay_s(place, name) + paths.syn_repeats_s(name, place)

    def _knocked(self, body: Body, key: int, endpoints: tuple[Endpoint, ...], late: tuple[bool, ...]) -> None:
        if not body.live or body.hold(self._knocked, body, key, endpoints, late):
            return
        results = [Knock.SILENT if tardy else self._met(body, where) for where, tardy in zip(endpoints, late, strict=True)]
        if Knock.SILENT in results and not any(late):  # a machine that is off: known only after the time-out
            late = tuple(result is Knock.SILENT for result in results)
            self.clock.at(self.clock.now + KNOCK_SILENT_S, self._knocked, body, key, endpoints, late)
            return
        self.trace.note(self.clock.now, body.label, "knock", ", ".join(result.name for result in results))
        body.turn(body.engine.on_knock, key, results)

    def _met(self, body: Body, endpoint: Endpoint) -> Knock:
        place, listener = self._place_of(endpoint), self._listeners.get(endpoint)
        if not place or not self.paths.both_ways(body.name, place) or (listener is not None and listener.dark):
            return Knock.SILENT
        return Knock.REFUSED if listener is None else Knock.ACCEPTED

    # -- healing ----------------------------------------------------------------------------------------------------------

    def paths_changed(self) -> None:
        """A way may be open again: TCP finds out at its next repeat."""
        now = self.clock.now
        for pipe in self._holding:
            wait_s = next_repeat_s(now - pipe.held_since, RETRY_FIRST_S)
            self.clock.at(pipe.held_since + wait_s, self._release, pipe)
        for connection in self._stuck:
            wait_s = next_repeat_s(now - connection.since, SYN_RETRY_FIRST_S)
            self.clock.at(connection.since + wait_s, self._retry, connection)

    def _release(self, pipe: Pipe) -> None:
        if pipe.held and self.paths.open(pipe.sender, pipe.receiver):
            self._holding.pop(pipe, None)
            held = list(pipe.held)
            pipe.held.clear()
            for arrival, connection, frame in held:
                self._launch(pipe, arrival, connection, frame)

    def _retry(self, connection: Connection) -> None:
        if connection in self._stuck:
            del self._stuck[connection]
            self._try(connection)
