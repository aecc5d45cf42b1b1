"""The virtual network: TCP connections between processes as ZeroMQ uses them, and the frames on them.

The rules are libzmq's and the kernel's, as measured: a DEALER is told once that its connection has ended and never dials again by
itself, a SUB dials for ever; a stopped process still accepts; a closed path ends nothing, it makes frames wait; a full pipe drops
and counts. How frames get from one end to the other is in `pipes`, whether a path is open and how slow it is, `paths` knows; what a
frame means, nobody here does.

Not modelled: bandwidth; a DEALER that is told that its pipe is full (it drops and counts, as the other sockets do); a kernel that
gives up a SYN after two minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from zmqgossip.core.counters import Counters
from zmqgossip.core.types import Endpoint
from zmqgossip.sim.body import State
from zmqgossip.sim.clock import Clock
from zmqgossip.sim.connection import Arrival, Connection, Pipe
from zmqgossip.sim.knocks import Knocks
from zmqgossip.sim.paths import SYN_RETRY_FIRST_S, Paths, next_repeat_s
from zmqgossip.sim.pipes import Pipes
from zmqgossip.sim.trace import Trace, code_of

if TYPE_CHECKING:
    from zmqgossip.sim.body import Body

BACKLOG_MAX = 1_024
"""Connections that wait for a stopped process to accept them: its listener's backlog, a peer's as the runtime sets it."""
RECONNECT_S = 0.1  # ZMQ_RECONNECT_IVL
RUNNING = State.RUNNING
_FIN = b""


class Network:
    """Who listens where, who is connected to whom, and what is on its way.

    Attributes:
        traffic: message code -> [frames, bytes] that went into a pipe.
        frame_bytes_max: the largest of them.
        counters: what was dropped and why, and what connections did.
        backlog_max: connections that wait for a process which does not accept them; a dial beyond hangs.
    """

    __slots__ = (
        "_hosts", "_listeners", "_places", "_refused", "_route", "_stuck", "backlog_max",
        "clock", "counters", "frame_bytes_max", "knocks", "paths", "pipes", "rng", "trace", "traffic",
    )  # fmt: skip

    def __init__(self, clock: Clock, paths: Paths, trace: Trace, rng: Random) -> None:
        self.clock = clock
        self.paths = paths
        self.trace = trace
        self.rng = rng
        self.counters = Counters()
        self.pipes = Pipes(clock, paths, self.counters, self._timed_out)
        self.knocks = Knocks(self)
        self.backlog_max = BACKLOG_MAX
        self.traffic: dict[int, list[int]] = {}
        self.frame_bytes_max = 0
        self._listeners: dict[Endpoint, Body] = {}
        self._places: dict[Endpoint, str] = {}  # who has ever listened there: its host is up
        self._hosts: dict[str, str] = {}  # an address and the first place on it
        self._refused: dict[Endpoint, dict[Connection, None]] = {}  # SUBs that dial where nobody listens
        self._stuck: dict[Connection, None] = {}  # dials that hang
        self._route = 0

    @property
    def pipe_max(self) -> int:
        """Frames a pipe holds before its sender drops."""
        return self.pipes.frames_max

    @pipe_max.setter
    def pipe_max(self, frames: int) -> None:
        self.pipes.frames_max = frames

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
            self.pipes.send(connection.down, self._hung_up, connection, _FIN)
        body.incoming.clear()
        body.routes.clear()
        now, waiting, body.inbox = self.clock.now, body.inbox, []
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
        body.dealers[key] = connection = Connection(body, key, endpoint, self.place_of(endpoint), None)
        self._dial(connection)

    def subscribe(self, body: Body, key: int, endpoint: Endpoint, topics: tuple[bytes, ...]) -> None:
        """A SUB under `key`, in place of the one that is there."""
        old = body.subs.get(key)
        if old is not None:
            self._close(old)
        body.subs[key] = connection = Connection(body, key, endpoint, self.place_of(endpoint), topics)
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

    def place_of(self, endpoint: Endpoint) -> str:
        """Who answers for an endpoint: who ever listened there, else the first of that host; "" if there is no such host."""
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
        if not self.paths.both_ways(asker.name, connection.place) or (target is not None and self.hangs(target)):
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

    def listener_at(self, endpoint: Endpoint) -> Body | None:
        """The process that listens there now."""
        return self._listeners.get(endpoint)

    def hangs(self, target: Body) -> bool:
        """Whether its kernel lets a SYN go unanswered: the machine is off, or too many wait for a process that is stopped."""
        return target.dark or sum(action == self._handshake for action, _ in target.inbox) >= self.backlog_max

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
                    self.pipes.send(connection.up, self._topic_changed, connection, sign + topic)

    def _topic_changed(self, connection: Connection, frame: bytes) -> None:
        target = connection.target
        if target is None or self._waits(target, connection.up, self._topic_changed, connection, frame):
            return
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
            self.pipes.send(connection.up, self._hung_up_by_asker, connection, _FIN)

    def _hung_up_by_asker(self, connection: Connection, _frame: bytes) -> None:
        target = connection.target
        if target is None or not connection.target_open or target.hold(self._hung_up_by_asker, connection, _frame):
            return
        connection.target_open = False
        target.incoming.pop(connection, None)
        target.routes.pop(connection.route, None)
        for topic in list(connection.in_force):
            self._unsubscribed(connection, topic)

    def _hung_up(self, connection: Connection, _frame: bytes) -> None:
        """The target is gone, and the asker hears of it."""
        asker = connection.asker
        if not connection.asker_open or asker.dark or asker.hold(self._hung_up, connection, _frame):
            return
        if connection.topics is None:
            self._tell_disconnected(connection)
            return
        connection.asker_open = False
        again = Connection(asker, connection.key, connection.endpoint, connection.place, connection.topics)
        asker.subs[connection.key] = again
        self.clock.at(self.clock.now + RECONNECT_S * (0.5 + self.rng.random()), self._dial, again)

    def _timed_out(self, connection: Connection, pipe: Pipe) -> None:
        """The kernel at the sending end of a pipe has ended the connection; the other one learns it when a word gets through."""
        if pipe is connection.up:
            self._hung_up(connection, _FIN)
            self.pipes.send(pipe, self._hung_up_by_asker, connection, _FIN)
        else:
            self._hung_up_by_asker(connection, _FIN)
            self.pipes.send(pipe, self._hung_up, connection, _FIN)

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
        elif self.pipes.fits(connection.up):
            self._count(frame, 1)
            self.pipes.send(connection.up, self._request, connection, frame)

    def reply(self, body: Body, route: bytes, frame: bytes) -> None:
        connection = body.routes.get(route)
        if connection is None:
            self.counters.add("dropped.no_route")
        elif self.pipes.fits(connection.down):
            self._count(frame, 1)
            self.pipes.send(connection.down, self._reply, connection, frame)

    def publish(self, body: Body, frame: bytes) -> None:
        paths, pipes, arrival = self.paths, self.pipes, self._gossip
        sent = 0
        for connection in body.xpub.takers(frame):
            copies = paths.gossip_copies(body.name, connection.asker.name) if paths.meddles else 1
            if not copies:
                self.counters.add("dropped.gossip")
            for _ in range(copies):
                if pipes.fits(connection.down):
                    sent += 1
                    pipes.send(connection.down, arrival, connection, frame)
        if sent:
            self._count(frame, sent)

    def _count(self, frame: bytes, copies: int) -> None:
        size, code = len(frame), code_of(frame)
        self.frame_bytes_max = max(self.frame_bytes_max, size)
        sums = self.traffic.setdefault(code, [0, 0])
        sums[0] += copies
        sums[1] += copies * size

    def _waits(self, receiver: Body, pipe: Pipe, arrival: Arrival, connection: Connection, frame: bytes) -> bool:
        """Whether nobody takes a frame that has arrived: the process is stopped, or the machine is off."""
        state = receiver.state
        if state is RUNNING or state is State.GONE:
            self.pipes.took(pipe)
            return False
        if not receiver.hold(arrival, connection, frame):
            self.pipes.met_nobody(pipe, arrival, connection, frame, receiver)
        return True

    def _request(self, connection: Connection, frame: bytes) -> None:
        target = connection.target
        if target is None or self._waits(target, connection.up, self._request, connection, frame):
            return
        if not connection.target_open or self.clock.now > connection.up.lost_after:
            self.counters.add("dropped.request_late")
            return
        asker = connection.asker
        self.trace.note(self.clock.now, target.label, "request", frame, asker.label)
        target.turn(target.engine.on_request, connection.route, frame, asker.address)

    def _reply(self, connection: Connection, frame: bytes) -> None:
        asker = connection.asker
        if self._waits(asker, connection.down, self._reply, connection, frame):
            return
        if not connection.asker_open or self.clock.now > connection.down.lost_after:
            self.counters.add("dropped.reply_late")
            return
        self.trace.note(self.clock.now, asker.label, "reply", frame, connection.place)
        asker.turn(asker.engine.on_reply, connection.key, frame)

    def _gossip(self, connection: Connection, frame: bytes) -> None:
        asker = connection.asker
        if asker.gossip is None or self._waits(asker, connection.down, self._gossip, connection, frame):
            return
        if not connection.asker_open or self.clock.now > connection.down.lost_after:
            self.counters.add("dropped.gossip_late")
            return
        self.trace.note(self.clock.now, asker.label, "gossip", frame, connection.place)
        asker.turn(asker.gossip.on_gossip, connection.key, frame)

    # -- healing ----------------------------------------------------------------------------------------------------------

    def paths_changed(self) -> None:
        """A way may be open again: TCP finds out at its next repeat."""
        now = self.clock.now
        self.pipes.paths_changed()
        for connection in self._stuck:
            wait_s = next_repeat_s(now - connection.since, SYN_RETRY_FIRST_S)
            self.clock.at(connection.since + wait_s, self._retry, connection)

    def _retry(self, connection: Connection) -> None:
        if connection in self._stuck:
            del self._stuck[connection]
            self._try(connection)
