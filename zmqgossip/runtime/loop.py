"""One thread that polls ZeroMQ sockets and drives any number of engines.

A turn: sleep until a socket has something, somebody calls, or the next deadline; read the clock once; drain control sockets
(ROUTER, DEALER, monitors), then gossip, in fair shares and only for some milliseconds, so that control never waits long behind it;
then calls and timers. There is no tick. Where much gossip flows, some turns are for all else, and leave it to gather (`gathering`).
Sockets belong to this thread; everybody else hands over a callable and a wake-up.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import zmq

from zmqgossip.core.errors import NodeClosed
from zmqgossip.runtime.gathering import Gathering
from zmqgossip.runtime.poller import Poller
from zmqgossip.runtime.sockets import Context, Socket
from zmqgossip.runtime.zap import Zap

if TYPE_CHECKING:
    from zmqgossip.runtime.body import Body

T = TypeVar("T")
Handler = Callable[[float], object]
"""Reads a source. Of gossip it reads some, and returns whether there is more."""
Call = tuple[Callable[[], Any], "Future[Any] | None"]
STOP_TIMEOUT_S = 2.0
GOSSIP_S = 0.005
"""A turn's time for gossip: what asks for an answer waits no longer than that behind it."""
LATE_S = 0.25
"""A loop later than this is told of. It is half the shortest reply time-out that is usual (`lan`): twice as late, neighbours would miss
an answer. And it is fifty times what a thread waits for one other that computes (sys.getswitchinterval), so it never is chance."""
TOLD_EVERY_S = 10.0
"""Seconds between two such events: a loop that is late is so for long, and need not be told a hundred times."""
SOCKETS_MAX = 16_384
"""Of one context; 1,023 by default, which a few engines with their DEALERs and monitors could use up."""


class Loop:
    """A thread with a context of its own. Use it as `loop.call(function)` from outside, never its sockets.

    `failed(error)` is called in the thread when a bug of ours ends it, so that nobody waits for it in vain.

    Attributes:
        gathering: what bodies tell of the gossip that they carry.
        takes_gossip: this turn takes gossip, and what was published.
        looks_again: the loop takes what is published soon without being woken for it.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self.context: Context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        self.gathering = Gathering()
        self.takes_gossip = True
        self.looks_again = False
        self._poller = Poller()
        self._handlers: dict[Any, tuple[bool, Handler]] = {}  # socket or descriptor: is it control, and what reads it
        self._bodies: list[Body] = []
        self._calls: deque[Call] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._running = True
        self._turns = 0
        self.late_count = 0  # turns later than LATE_S
        self.lag_max_s = 0.0
        self._told_late_at = -TOLD_EVERY_S
        self._pid = os.getpid()
        self._zap = Zap(self.context, self._connected)
        self._handlers[self._wake_out.fileno()] = (True, self._drain_wake)
        self._poller.register_plain(self._wake_out.fileno(), write=False)
        self.watch(self._zap.socket, lambda _: self._zap.drain(), control=True)
        self._thread = threading.Thread(target=self._run, name="zmqgossip", daemon=True)
        self._thread.start()

    # -- from any thread --------------------------------------------------------------------------------------------------

    def post(self, function: Callable[[], object]) -> None:
        """Runs `function` in the loop's thread, soon. Raises NodeClosed after the end, or in a forked child."""
        self._hand_over((function, None))

    def call(self, function: Callable[[], T], timeout_s: float | None = None) -> T:
        """Runs `function` in the loop's thread and returns, or raises, what it does. Raises NodeClosed, TimeoutError."""
        if self.is_caller:
            return function()
        return self.submit(function).result(timeout_s)

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Has `function` run in the loop's thread; what it returns or raises comes through the future. Raises NodeClosed."""
        future: Future[T] = Future()
        self._hand_over((function, future))
        return future

    def _hand_over(self, call: Call) -> None:
        if os.getpid() != self._pid:
            raise NodeClosed("a forked child cannot use its parent's node; make one of its own")
        self._calls.append(call)
        if not self._running:
            self._refuse_calls()
            raise NodeClosed("the node is closed")
        if not self.wake():
            self._refuse_calls()

    def wake(self) -> bool:
        """Has the loop take a turn soon; false when its thread has ended. Takes no lock."""
        try:
            self._wake_in.send(b"\0")
        except BlockingIOError:  # it is full of wake-ups already
            return True
        except OSError:
            return False
        return True

    @property
    def is_caller(self) -> bool:
        """Whether the loop's own thread asks this."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Ends the thread, the bodies' sockets and the context. A second call does nothing."""
        if not self._running or os.getpid() != self._pid:
            return
        with suppress(NodeClosed):  # it ended in this very moment
            self.post(self._end)
        if not self.is_caller:
            self._thread.join(STOP_TIMEOUT_S)

    # -- in the loop's thread ---------------------------------------------------------------------------------------------

    def add(self, body: Body) -> None:
        self._bodies.append(body)

    def remove(self, body: Body) -> None:
        self._bodies.remove(body)

    def watch(self, source: Socket, handler: Handler, *, control: bool) -> None:
        """Calls `handler(now)` whenever `source` can be read."""
        self._handlers[source] = (control, handler)
        self._poller.register(source, control=control)

    def use(self, source: Socket) -> None:
        """A socket was sent on: what came in meanwhile is looked for before the next sleep."""
        self._poller.use(source)

    def handler_of(self, source: Socket) -> Handler:
        """What reads a socket that is watched."""
        return self._handlers[source][1]

    def unwatch(self, source: Socket) -> None:
        self._poller.unregister(source)
        del self._handlers[source]

    def watch_plain(self, plain: socket.socket, handler: Handler | None) -> None:
        """Calls `handler(now)` when a plain socket's connect has ended; None ends the watching."""
        descriptor = plain.fileno()
        if handler is None:
            self._poller.unregister_plain(descriptor)
            del self._handlers[descriptor]
        else:
            self._handlers[descriptor] = (True, handler)
            self._poller.register_plain(descriptor, write=True)

    def _connected(self, domain: bytes, address: str) -> None:
        for body in self._bodies:
            if body.domain == domain:
                body.connected(address)

    def _drain_wake(self, _now: float) -> None:
        try:
            while self._wake_out.recv(4096):
                continue
        except BlockingIOError:
            return

    def _run(self) -> None:
        try:
            while self._running:
                self._turn()
        except BaseException as error:
            self._failed(error)
        finally:
            self._running = False
            try:
                self._close()
            finally:
                self._refuse_calls()

    def _make_calls(self) -> None:
        for _ in range(len(self._calls)):  # those that are there: threads that call without end must not keep sockets from being read
            function, future = self._calls.popleft()
            if future is None:
                function()
                continue
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except Exception as error:  # whatever it is belongs to the caller
                future.set_exception(error)

    def _refuse_calls(self) -> None:
        """Nobody makes them any more: whoever waits is told."""
        while True:
            try:
                _, future = self._calls.popleft()
            except IndexError:  # this thread and the loop's may both be here
                return
            if future is not None and future.set_running_or_notify_cancel():
                future.set_exception(NodeClosed("the node is closed"))

    def _turn(self) -> None:
        asleep = time.monotonic()
        due = self._next_due(asleep)
        ready = self._wait(asleep, due)
        now = time.monotonic()
        gossip = []
        for source in ready:
            control, handler = self._handlers.get(source, (False, None))
            if not control:
                gossip.append(source)
            elif handler is not None:
                handler(now)
        if gossip:
            self._drain_gossip(gossip, now)
        if self.takes_gossip:
            self.looks_again = self.gathering.begin(now)
        if self._calls:
            self._make_calls()
        for body in list(self._bodies):
            body.turn(now)
        self._watch_time(now if due is None else min(now, due), now)

    def _wait(self, now: float, due: float | None) -> list[Any]:
        """Sleeps until a source is ready or the next deadline; what is ready. While gossip gathers, that is not looked at.

        Where the gathering is over there is no sleep: the look that was promised (`looks_again`) comes before the next one.
        """
        until = self.gathering.until
        if now >= until:
            self.takes_gossip = True
            return self._poller.poll(0.0 if self.looks_again else None if due is None else max(0.0, due - now))
        ready = self._poller.poll(max(0.0, (until if due is None else min(due, until)) - now), control_only=True)
        self.takes_gossip = time.monotonic() >= until
        return list(dict.fromkeys([*ready, *self._poller.poll(0.0)])) if self.takes_gossip else ready

    def _next_due(self, now: float) -> float | None:
        """When the next turn is due if nothing comes; not before now."""
        if self._calls:
            return now
        earliest: float | None = None
        for body in self._bodies:
            due = body.next_deadline
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return now if earliest is not None and earliest < now else earliest

    def _drain_gossip(self, sources: list[Any], now: float) -> None:
        """Reads some of each in turn, and begins with another one every time: none starves the others, nor do all of them the rest."""
        self._turns += 1
        waiting = deque(sources)
        waiting.rotate(-(self._turns % len(sources)))
        until = now + GOSSIP_S
        while waiting:
            source = waiting.popleft()
            handler = self._handlers.get(source, (False, None))[1]
            if handler is not None and handler(now):
                waiting.append(source)
            if time.monotonic() >= until:
                return

    def _watch_time(self, due: float, began: float) -> None:
        """How late this turn came, or the next one will come because it took so long."""
        now = time.monotonic()
        late = max(began - due, now - began)
        if late > self.lag_max_s:
            self.lag_max_s = late
        if late > LATE_S:
            self.late_count += 1
            if now - self._told_late_at >= TOLD_EVERY_S:
                self._told_late_at = now
                for body in list(self._bodies):
                    body.tell_late(now, late)

    def _end(self) -> None:
        self._running = False

    def _close(self) -> None:
        for body in list(self._bodies):
            body.close()
        self._zap.close()
        self._poller.close()
        self._wake_in.close()
        self._wake_out.close()
        self.context.term()
