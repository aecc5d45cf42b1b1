"""What was published and has not been taken by the node yet: the queue between the threads that publish and the loop's.

Its way in takes no lock, only operations that the interpreter does as one: a signal handler may publish while the thread that it
interrupts is publishing, and a forked child finds nothing locked. The loop takes all of it once a turn, so that under load
thousands of messages cost one wake-up. It is bounded in bytes, roughly: threads that come at once may each add one message beyond.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import repeat, starmap

from zmqgossip.core.errors import NodeClosed, Timeout, WouldBlock
from zmqgossip.core.topics import check_message
from zmqgossip.runtime.arguments import bytes_of, text_of, until_of

Published = tuple[str, bytes, float]
"""Topic, payload, and Unix time of the publishing."""
Attempt = Callable[[], bool]
"""Tries to put something in; false when the queue is full."""
BYTES_MAX = 1024 * 1024
"""What may wait, with what the engine holds back: some milliseconds of work, and longer than a turn of the loop under load takes."""
MESSAGE_BYTES = 64
"""What a message costs beside its payload, so that empty ones are bounded too."""
TOPICS_MAX = 1024
"""Topics that are known to be good."""
PIECE_MAX = 256
PIECE_BYTES_MAX = 65_536
"""Messages that are put in at once, and their bytes: beyond, one by one costs little more."""
CLOSED = "the peer was closed"


class Outgoing:
    """The queue. Any thread, callback, signal handler and task may put messages in.

    Args:
        message_bytes_max: bytes of the payload of one message.
        wake: makes the loop take a turn soon.
        bytes_max: bytes that may wait.

    Attributes:
        forbids: why the calling thread must not wait for room, None if it may.
    """

    def __init__(self, message_bytes_max: int, wake: Callable[[], object], bytes_max: int = BYTES_MAX) -> None:
        self.forbids: Callable[[], str | None] = lambda: None
        self._message_bytes_max = message_bytes_max
        self._wake = wake
        self._limit = self._bytes_max = bytes_max  # the second is lower by what the engine holds back, and -1 at the end
        self._bytes = 0
        self._is_awake = False  # the loop will look without being told again
        self._is_closed = False
        self._is_childs = False
        self._messages: deque[Published] = deque()
        self._good: dict[str, tuple[str, int]] = {}  # topics: as a plain str, and how long a payload may be
        self._waiting: deque[Callable[[], object]] = deque()  # are called when there may be room
        _all.add(self)

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._messages)

    # -- whoever publishes ------------------------------------------------------------------------------------------------

    def put(self, topic: str, payload: bytes) -> bool:
        """Adds one message; false when that is not possible now, and `wait` says why. Raises PayloadTooLarge, InvalidTopic, TypeError."""
        try:
            topic, payload_max = self._good[topic]
        except (KeyError, TypeError):
            topic, payload_max = self._learn(topic)
        if type(payload) is not bytes:
            payload = bytes_of(payload)
        size = len(payload)
        if size > payload_max:
            check_message(topic, size, self._message_bytes_max)
        if self._bytes >= self._bytes_max:
            return False
        self._messages.append((topic, payload, time.time()))
        self._bytes += size + MESSAGE_BYTES
        if not self._is_awake:
            self._rouse()
        return True

    def put_piece(self, topic: str, piece: list[bytes] | tuple[bytes, ...], size: int) -> bool:
        """Adds messages that were checked before, `size` bytes together."""
        if self._bytes >= self._bytes_max:
            return False
        self._messages.extend(zip(repeat(topic), piece, repeat(time.time())))
        self._bytes += size + MESSAGE_BYTES * len(piece)
        if not self._is_awake:
            self._rouse()
        return True

    def payload_max(self, topic: str) -> tuple[str, int]:
        """The topic as a plain str, and the bytes of its longest payload. Raises InvalidTopic, TypeError."""
        try:
            return self._good[topic]
        except (KeyError, TypeError):
            return self._learn(topic)

    def _learn(self, topic: str) -> tuple[str, int]:
        plain = text_of(topic)
        payload_max = check_message(plain, 0, self._message_bytes_max)
        if len(self._good) >= TOPICS_MAX:
            self._good.clear()
        self._good[plain] = (plain, payload_max)
        return plain, payload_max

    def _rouse(self) -> None:
        """Once for all that comes until the loop looks. Not even an interrupt may leave it said and not done."""
        try:
            self._is_awake = True
            self._wake()
        except BaseException:
            self._is_awake = False
            raise

    def publish(self, topic: str, payload: bytes, timeout: float | None = None) -> None:
        """Adds one message, and waits for room if there is none. See `wait` for what it raises, and `put`."""
        if not self.put(topic, payload):
            self.wait(partial(self.put, topic, bytes_of(payload)), until_of(timeout), timeout)

    def wait(self, attempt: Attempt, until: float | None, timeout: float | None) -> None:
        """Tries until it succeeds.

        Args:
            until: when to give up, by the monotonic clock; None never.
            timeout: what the user said, for the error.

        Raises:
            Timeout: there was no room in time.
            WouldBlock: the time-out is 0, or this thread must not wait.
            NodeClosed: the node was closed, meanwhile or before, or this is a forked child.
        """
        while True:
            gate = threading.Lock()
            gate.acquire()
            self.call_when_room(gate.release)  # before it tries: room that comes in between is not missed
            try:
                if attempt():
                    return
                self.check_may_wait(timeout)
                left = -1.0 if until is None else min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
                if not gate.acquire(timeout=left):
                    raise no_room(timeout)
            finally:
                self.forget(gate.release)

    def check_may_wait(self, timeout: float | None) -> None:
        """Sees to it that the loop makes room soon. Raises NodeClosed when waiting is in vain, WouldBlock when it is forbidden."""
        if self._is_childs:
            raise NodeClosed("a forked child cannot use what its parent has opened; make a node of its own there")
        if self._is_closed:
            raise NodeClosed(CLOSED)
        why = "the time-out is 0" if timeout is not None and timeout <= 0 else self.forbids()
        if why is not None:
            raise WouldBlock(why)
        if not self._is_awake:  # an interrupt came between a message and its wake-up: what waits might wait for long
            self._rouse()

    def call_when_room(self, function: Callable[[], object]) -> None:
        """Calls `function` once, from any thread, when it is worth trying again."""
        self._waiting.append(function)

    def forget(self, function: Callable[[], object]) -> None:
        """It need not be called any more."""
        with suppress(ValueError):
            self._waiting.remove(function)

    # -- the loop's thread ------------------------------------------------------------------------------------------------

    def take(self, *, looks_again: bool = False) -> list[Published]:
        """All that waits, in its order. `looks_again`: the loop takes what comes from now on soon, without being woken for it."""
        self._is_awake = looks_again  # before it looks: who adds something from now on wakes the loop again
        messages = list(starmap(self._messages.popleft, repeat((), len(self._messages))))
        self._bytes = 0  # what was added in this very moment is not counted: roughly is good enough
        return messages

    def settle(self, held_back: int) -> None:
        """The engine holds back so many bytes of what was taken: so much less may wait here."""
        self._bytes_max = self._limit - held_back
        if self._is_closed or self._is_childs:
            self._bytes_max = -1
        elif self._waiting and self._bytes < self._bytes_max:
            self.nudge()

    # -- any thread -------------------------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Has whoever waits try again, or learn why not."""
        for _ in range(len(self._waiting)):
            with suppress(IndexError):
                self._waiting.popleft()()

    def close(self) -> None:
        """Nothing more comes in: who waits, and who comes, gets NodeClosed. What waits may still be taken."""
        self._is_closed = True
        self._bytes_max = -1
        self.nudge()

    def in_child(self) -> None:
        """This is a forked child: neither the loop nor whoever waits came along."""
        self._is_childs = True
        self._bytes_max = -1


class Pouring:
    """Many messages of one topic on their way in. Iterate it: each item is an attempt that found no room, and has to be waited for.

    Attributes:
        count: messages that were put in by now.
    """

    def __init__(self, outgoing: Outgoing, topic: str, payloads: Iterable[bytes]) -> None:
        self.count = 0
        self._outgoing = outgoing
        self._topic = topic
        self._payloads = payloads

    def __iter__(self) -> Iterator[Attempt]:
        payloads = self._payloads
        if not isinstance(payloads, (list, tuple)):  # it may take its time, or have no end: each goes out as it comes
            yield from self._one_by_one(payloads)
            return
        put_piece = self._outgoing.put_piece
        topic, payload_max = self._outgoing.payload_max(self._topic)
        for start in range(0, len(payloads), PIECE_MAX):
            piece = payloads[start : start + PIECE_MAX]
            if set(map(type, piece)) != {bytes} or max(map(len, piece)) > payload_max or (size := sum(map(len, piece))) > PIECE_BYTES_MAX:
                yield from self._one_by_one(piece)
                continue
            attempt = partial(put_piece, topic, piece, size)
            if not attempt():
                yield attempt
            self.count += len(piece)

    def _one_by_one(self, payloads: Iterable[bytes]) -> Iterator[Attempt]:
        topic, put = self._topic, self._outgoing.put
        for payload in payloads:
            if not put(topic, payload):
                yield partial(put, topic, bytes_of(payload))
            self.count += 1


def no_room(timeout: float | None) -> Timeout:
    return Timeout("the queue of what is to be published had no room", timeout or 0.0, "publish less, or wait longer")


def _in_child() -> None:
    for outgoing in _all:
        outgoing.in_child()


_all: weakref.WeakSet[Outgoing] = weakref.WeakSet()
os.register_at_fork(after_in_child=_in_child)
