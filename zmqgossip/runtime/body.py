"""The body of one engine: its sockets, and the execution of its outbox.

It knows bytes, keys and routes, and nothing of the protocol. Everything here runs in the loop's thread.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from zmqgossip.core import outbox
from zmqgossip.core.events import Event, LoopLate
from zmqgossip.core.outbox import Answered, Flushed, Knock, Question, Route, Segment
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import Endpoint
from zmqgossip.runtime import sockets
from zmqgossip.runtime.knocker import Knocker
from zmqgossip.runtime.loop import Loop
from zmqgossip.runtime.outgoing import Outgoing
from zmqgossip.runtime.poller import can_be_read
from zmqgossip.runtime.sockets import Socket

DRAIN_MAX = 256
"""Frames that one control socket may hand over in a turn, so that nobody starves the others."""
GOSSIP_FRAMES = 16
"""Frames that a SUB hands over before another one has its turn: a millisecond at most, and what follows from them is done at once."""
NOBLOCK = int(zmq.NOBLOCK)
"""A plain number: the enumeration costs more than the call that it is for."""
WALL_CHECK_S = 1.0
Engine = PeerEngine | SeedEngine
Told = Event | Segment | Question | Answered | Flushed
Tell = Callable[[float, Any], None]
"""Takes the Unix time and a `Told`."""


@dataclass(slots=True, eq=False)
class _Line:
    """A DEALER and its monitor; `up` once its handshake went well."""

    dealer: Socket
    monitor: Socket
    up: bool = False


class Body:
    """Sockets of one engine. `tell(wall, item)` gets its events and deliveries, in order.

    Attributes:
        outgoing: where a peer's engine gets from what is to be published.
        turn_over: is called when all that a turn had to tell is told.
    """

    def __init__(self, loop: Loop, engine: Engine, router: Socket, xpub: Socket | None, domain: bytes, tell: Tell) -> None:
        self.domain = domain
        self.engine = engine
        self._outbox = engine.node.outbox
        self._engine_due = engine.node.timers.next
        self.outgoing: Outgoing | None = None
        self.turn_over: Callable[[], object] = lambda: None
        self._loop = loop
        self._tell = tell
        self._router = router
        self._xpub = xpub
        self._lines: dict[int, _Line] = {}
        self._subs: dict[int, Socket] = {}
        self._knocker = Knocker(loop.watch_plain, self._knocked, engine.node.config.knock_timeout_s)
        self._spoke: dict[int, None] = {}  # descriptors of connections that have sent a valid frame
        self._monitors = sockets.listener_monitors([router] if xpub is None else [router, xpub])
        self._wall_checked_at = 0.0
        self._later: list[Callable[[float], None]] = []  # what the engine is told in the next turn
        loop.watch(router, self._drain_router, control=True)
        loop.watch(self._monitors[0], self._drain_router_monitor, control=True)
        if xpub is not None:
            loop.watch(xpub, self._drain_xpub, control=True)
            loop.watch(self._monitors[1], self._drain_xpub_monitor, control=True)
        self._effects: dict[int, Callable[..., None]] = {
            outbox.REQUEST: self._request,
            outbox.REPLY: self._reply,
            outbox.PUBLISH: self._publish,
            outbox.OPEN: self._open,
            outbox.CLOSE: self._close_key,
            outbox.SUBSCRIBE: self._subscribe,
            outbox.KNOCK: self._knock,
            outbox.DELIVER: self._tell_now,
            outbox.EVENT: self._tell_now,
            outbox.ASKED: self._tell_now,
            outbox.ANSWERED: self._tell_now,
            outbox.TOPICS: self._topics,
            outbox.FLUSHED: self._tell_now,
        }
        loop.add(self)

    # -- turns ------------------------------------------------------------------------------------------------------------

    @property
    def next_deadline(self) -> float | None:
        if self._later:
            return 0.0
        due, knocked = self._engine_due(), self._knocker.next_deadline
        if due is None or knocked is None:
            return knocked if due is None else due
        return min(due, knocked)

    def turn(self, now: float) -> None:
        """The end of a turn: what is due, then everything that the engine wants done."""
        if now - self._wall_checked_at > WALL_CHECK_S:
            self._wall_checked_at = now
            self.engine.node.wall_offset = time.time() - now
        self._knocker.expire(now)
        if self._later:
            self._tell_later(now)
        due = self._engine_due()
        if due is not None and due <= now:
            self.engine.on_timers(now)
        if self._loop.takes_gossip:
            self.take_in(now)
        self.flush(now)
        self.turn_over()

    def _tell_later(self, now: float) -> None:
        later, self._later = self._later, []
        for tell in later:
            tell(now)
            self.flush(now)

    def take_in(self, now: float, *, in_any_case: bool = False) -> None:
        """Gives the engine what waits to be published, if it wants more. It comes last in a turn, when the engine knows all else."""
        if self.outgoing is None:
            return
        assert isinstance(self.engine, PeerEngine)
        if in_any_case or self.engine.wants_more:
            published = self.outgoing.take(looks_again=self._loop.looks_again)
            if published:
                self.engine.publish(published, now)
        self.outgoing.settle(self.engine.backlog_bytes)

    def tell_late(self, now: float, late_s: float) -> None:
        """The loop was late."""
        self._tell_now(now, LoopLate(late_s))
        self.turn_over()

    def flush(self, now: float) -> None:
        """Executes the outbox. What an effect causes at once (a connect that is refused) is told in the next turn."""
        while self._outbox.effects:
            for kind, *arguments in self._outbox.drain():
                self._effects[kind](now, *arguments)

    def _tell_now(self, now: float, item: Told) -> None:
        self._tell(self.engine.node.wall(now), item)

    def connected(self, address: str) -> None:
        """A client was let in."""
        if isinstance(self.engine, SeedEngine):
            self.engine.on_client(address, time.monotonic())
        else:
            self.engine.counters.add("connections.let_in")

    # -- sockets to engine ------------------------------------------------------------------------------------------------

    def _drain_router(self, now: float) -> None:
        for _ in range(DRAIN_MAX):
            try:
                parts: Sequence[Any] = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if len(parts) != 2:
                self.engine.node.refuse("parts", _property(parts[-1], "Peer-Address"))
                continue
            route, frame = parts
            refused = self.engine.counters.refused_count
            self.engine.on_request(route.bytes, frame.bytes, _property(frame, "Peer-Address"), now)
            if self.engine.counters.refused_count == refused:
                self._spoke[frame.get(zmq.SRCFD)] = None
            self.flush(now)

    def _drain_router_monitor(self, now: float) -> None:
        counters = self.engine.counters
        self._loop.use(self._router)
        self._drain_router(now)  # what a connection has sent is there before its end is told
        while (read := sockets.read_monitor(self._monitors[0])) is not None:
            event, descriptor = read
            if event == zmq.Event.ACCEPTED:
                counters.add("connections.accepted")
            elif event == zmq.Event.DISCONNECTED:
                spoke = self._spoke.pop(descriptor, True) is None
                counters.add("connections.closed" if spoke else "connections.without_a_valid_frame")

    def _drain_xpub(self, now: float) -> None:
        assert self._xpub is not None and isinstance(self.engine, PeerEngine)
        for _ in range(DRAIN_MAX):
            try:
                message = self._xpub.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if message[:1] == b"\x01":
                self.engine.on_subscription(message[1:], now)
                self.flush(now)
            elif message[:1] == b"\x00":
                self.engine.on_unsubscription(message[1:], now)
            else:
                self.engine.node.refuse("upstream", "a subscriber")

    def _drain_xpub_monitor(self, now: float) -> None:
        while (read := sockets.read_monitor(self._monitors[1])) is not None:
            if read[0] == zmq.Event.ACCEPTED:
                self.engine.counters.add("watchers.accepted")
            elif read[0] == zmq.Event.HANDSHAKE_SUCCEEDED:
                self.engine.counters.add("watchers.handshakes")
            elif read[0] == zmq.Event.DISCONNECTED:
                self.engine.counters.add("watchers.closed")

    def _drain_dealer(self, key: int, now: float) -> None:
        for _ in range(DRAIN_MAX):
            line = self._lines.get(key)
            if line is None:
                return
            try:
                parts = line.dealer.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(parts) != 1:
                self.engine.node.refuse("parts", "an answer")
                continue
            self.engine.on_reply(key, parts[0], now)
            self.flush(now)

    def _drain_dealer_monitor(self, key: int, now: float) -> None:
        line = self._lines.get(key)
        while line is not None and (read := sockets.read_monitor(line.monitor)) is not None:
            if read[0] != zmq.Event.HANDSHAKE_SUCCEEDED:
                self._drain_dealer(key, now)
                if self._lines.get(key) is not line:  # a frame that was still there has ended it, or begun it anew
                    return
                self._close_line(key)
                self.engine.on_disconnected(key, now)
            elif not line.up:
                line.up = True
                self.engine.on_connected(key, now)
            self.flush(now)
            line = self._lines.get(key) if self._lines.get(key) is line else None

    def _drain_sub(self, key: int, now: float) -> bool:
        """Reads some frames, and says whether there may be more. No effect is executed in between, so the socket stays."""
        assert isinstance(self.engine, PeerEngine)
        socket = self._subs.get(key)
        if socket is None:
            return False
        more = True
        size = count = 0
        for _ in range(GOSSIP_FRAMES):
            try:
                frame = socket.recv(NOBLOCK, copy=False)  # which knows whether it is the last part; to ask the socket costs twice as much
            except zmq.Again:
                more = False
                break
            if frame.more:
                socket.recv_multipart(NOBLOCK)
                self.engine.node.refuse("parts", "a publisher")
                continue
            gossip = frame.bytes
            count, size = count + 1, size + len(gossip)
            self.engine.on_gossip(key, gossip, now)
            if not can_be_read(socket):  # to be told by an exception costs five times as much
                more = False
                break
        self._loop.gathering.carried(count, size)
        self.flush(now)
        return more

    def _knocked(self, key: int, results: Sequence[Knock], now: float) -> None:
        self._later.append(lambda at: self.engine.on_knock(key, results, at))

    # -- engine to sockets ------------------------------------------------------------------------------------------------

    def _request(self, now: float, key: int, frame: bytes) -> None:
        line = self._lines.get(key)
        if line is None:
            self.engine.counters.add("dropped.not_connected")
            return
        self._loop.use(line.dealer)
        try:
            line.dealer.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self._request_again(now, key, line, frame)

    def _request_again(self, now: float, key: int, line: _Line, frame: bytes) -> None:
        """libzmq looks for a new connection only now and then while sending; asking for its events makes it look."""
        reason = "not_connected"  # or full: without POLLOUT nothing tells which
        try:
            if line.dealer.getsockopt(zmq.EVENTS):
                line.dealer.send(frame, zmq.NOBLOCK)
                return
        except zmq.Again:
            reason = "dealer_full"
        if not (isinstance(self.engine, PeerEngine) and self.engine.on_not_sent(key, frame, now)):
            self.engine.counters.add(f"dropped.{reason}")

    def _reply(self, now: float, route: Route, frame: bytes) -> None:
        self._loop.use(self._router)
        try:
            self._router.send_multipart([route, frame], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            reason = "route_gone" if error.errno == errno.EHOSTUNREACH else "route_full"
            self.engine.counters.add(f"dropped.{reason}")

    def _publish(self, now: float, frame: bytes) -> None:
        assert self._xpub is not None
        self._loop.use(self._xpub)
        self._loop.gathering.carried(1, len(frame))
        self._xpub.send(frame, NOBLOCK)

    def _open(self, now: float, key: int, endpoint: Endpoint) -> None:
        if key in self._lines:
            self._close_line(key)
        try:
            dealer, monitor = sockets.dealer(self._loop.context, endpoint)
        except zmq.ZMQError:  # no socket or descriptor left, or an address that this machine cannot connect to
            self.engine.counters.add("dropped.no_socket")
            self._later.append(lambda at: self.engine.on_not_opened(key, at))
            return
        self._lines[key] = _Line(dealer, monitor)
        self._loop.watch(dealer, lambda at: self._drain_dealer(key, at), control=True)
        self._loop.watch(monitor, lambda at: self._drain_dealer_monitor(key, at), control=True)

    def _close_line(self, key: int) -> None:
        line = self._lines.pop(key)
        self._loop.unwatch(line.dealer)
        self._loop.unwatch(line.monitor)
        sockets.close(line.dealer, line.monitor)

    def _close_key(self, now: float, key: int) -> None:
        if key in self._lines:
            self._close_line(key)
        if key in self._subs:
            self._close_sub(key)

    def _subscribe(self, now: float, key: int, endpoint: Endpoint, topics: Sequence[bytes]) -> None:
        if key in self._subs:
            self._close_sub(key)
        try:
            socket = sockets.sub(self._loop.context, endpoint, topics)
        except zmq.ZMQError:  # the link does not come up in time, then
            self.engine.counters.add("dropped.no_socket")
            return
        self._subs[key] = socket
        self._loop.watch(socket, lambda at: self._drain_sub(key, at), control=False)

    def _topics(self, now: float, key: int, add: Sequence[bytes], remove: Sequence[bytes]) -> None:
        socket = self._subs.get(key)
        if socket is None:
            return
        self._loop.use(socket)
        for topic in add:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        for topic in remove:
            socket.setsockopt(zmq.UNSUBSCRIBE, topic)

    def _close_sub(self, key: int) -> None:
        socket = self._subs.pop(key)
        self._loop.unwatch(socket)
        sockets.close(socket)

    def _knock(self, now: float, key: int, endpoints: Sequence[Endpoint]) -> None:
        self._knocker.knock(key, endpoints, now)

    # -- the end ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes every socket. The engine has said goodbye before, or will not any more."""
        self._loop.remove(self)
        if self.outgoing is not None:
            self.outgoing.close()  # also where a bug of ours has ended the loop: nobody waits for it in vain
        self._knocker.close()
        for key in list(self._lines):
            self._close_line(key)
        for key in list(self._subs):
            self._close_sub(key)
        for socket, monitor in zip([self._router, self._xpub], self._monitors, strict=False):
            if socket is not None:
                self._loop.unwatch(socket)
                self._loop.unwatch(monitor)
                sockets.close(socket, monitor)


def _property(frame: Any, name: str) -> str:
    """A property of the connection that a frame came on, '' if it has none."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""
