"""What a node tells, on its way from the loop's thread to whoever takes it, one item after the other.

This is the face for programs that want all that happens in one order, as the command line does. It is bounded: a user who stops
taking must not fill the memory; what is dropped then is counted, and messages are named.
"""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from typing import Protocol

from zmqgossip.core.errors import WireError
from zmqgossip.core.events import Event, ProbeReceived, ReplyReceived
from zmqgossip.core.gossip_messages import Messages
from zmqgossip.core.outbox import Answered, Flushed, Question, Segment
from zmqgossip.core.types import Endpoint
from zmqgossip.core.wire import decode_messages
from zmqgossip.runtime.body import Told
from zmqgossip.runtime.losses import Losses


class Sink(Protocol):
    """Whoever is told what happens at a node. All are called in the loop's thread and must be quick."""

    def put(self, at: float, item: Told, where: Endpoint | None) -> None:
        """Something happened, at Unix time `at`; `where` is the seed that it happened at, None for a peer."""

    def turn_over(self) -> None:
        """That was all for now: time to wake whoever waits for it."""

    def fail(self, error: BaseException) -> None:
        """The loop has ended by a bug."""


TOLD_EVERY_S = 1.0
"""Between two tellings of what was lost: who takes too little must not be given a line for each."""
QUEUE_MAX = 100_000
"""Items that wait for the user; ten times as many where the loss of an event would leave a wrong picture."""
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Segments that wait for the user. A user who stops taking must not fill the memory; what is dropped then is counted."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Application messages of one segment.

    Attributes:
        messages: the decoded body: the origin's host and port, and the messages.
        first: msg_count of the first of them.
        brought: where the neighbour that brought it can be reached; None for one's own.
        hops: how often it was passed on before.
    """

    messages: Messages
    first: int
    brought: Endpoint | None
    hops: int

    @property
    def origin(self) -> Endpoint:
        return Endpoint(self.messages.host, self.messages.port)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that happened, and when (Unix seconds). `where` is the seed that it happened at, None for a peer."""

    at: float
    what: Event | Delivery
    where: Endpoint | None = None


class Outlet:
    """The queue between the loop's thread and the user's: bounded, and awake at once."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[float, Event | Segment, Endpoint | None] | BaseException | None] = queue.SimpleQueue()
        self._bytes_put = 0  # written by the loop's thread only
        self._bytes_taken = 0  # by the user's only: their difference waits
        self._losses = Losses()
        self._told_at = 0.0  # of losses, for the last time
        self.dropped_count = 0
        self.refused_count = 0

    def put(self, at: float, item: Told, where: Endpoint | None) -> None:
        if isinstance(item, (Question, Answered, Flushed)):  # nobody who takes from here asks, or has said that it answers
            return
        if self._is_full(item):
            self.dropped_count += 1
            if isinstance(item, Segment) and item.brought is not None:
                self._losses.add([item])
            return
        if isinstance(item, Segment):
            self._bytes_put += len(item.frame)
        self._queue.put((at, item, where))

    def turn_over(self) -> None:
        """Whoever takes was awake at once. What was lost because it takes too little is told once a second, in its turn."""
        is_due = self._losses and time.monotonic() - self._told_at >= TOLD_EVERY_S
        if is_due and self._queue.qsize() < 10 * QUEUE_MAX:  # nor may telling fill the memory, where nobody takes anything
            self._told_at = time.monotonic()
            for lost in self._losses.drain():
                self._queue.put((time.time(), lost, None))

    def _is_full(self, item: Event | Segment) -> bool:
        waiting = self._queue.qsize()
        if isinstance(item, (Segment, ProbeReceived, ReplyReceived)):
            return waiting >= QUEUE_MAX or self._bytes_put - self._bytes_taken > QUEUE_BYTES_MAX
        return waiting >= 10 * QUEUE_MAX

    def wake(self) -> None:
        """Makes a waiting `take` return None; may be called from a signal handler."""
        self._queue.put(None)

    def fail(self, error: BaseException) -> None:
        """The loop has ended by a bug: `take` raises it."""
        self._queue.put(error)

    def take(self, timeout_s: float | None) -> Item | None:
        try:
            taken = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if taken is None:
            return None
        if isinstance(taken, BaseException):
            raise taken
        at, item, where = taken
        if isinstance(item, Event):
            return Item(at, item, where)
        self._bytes_taken += len(item.frame)
        try:
            messages = decode_messages(item.frame, item.header)
        except WireError:
            self.refused_count += 1
            return None
        return Item(at, Delivery(messages, item.header.first, item.brought.endpoint if item.brought else None, item.header.hops), where)
