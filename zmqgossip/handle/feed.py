"""A feed: what happens, for one reader, who may be a thread or a task of asyncio.

The loop's thread puts things in as they come, whole and undecoded; the reader unpacks them in its own thread. Reading ends when
the node does. A feed is bounded: a reader who does not keep up loses the newest things, and they are counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

from zmqgossip.core.errors import NodeClosed, Timeout
from zmqgossip.handle.awaiting import wake
from zmqgossip.handle.process import Process

T = TypeVar("T")
ITEMS_MAX = 100_000
"""Things that wait for the reader, segments as a whole."""
BYTES_MAX = 64 * 1024 * 1024
"""Their bytes: the memory that one reader who does not read can cost."""
BATCH_MAX = 64
"""Things that are unpacked at once: a task hands back its event loop between two batches, and `close` need not wait for more."""


class Feed(Generic[T]):
    """An iterator and an async iterator of what happens. For one reader; close it, or leave its `with`, when nobody reads any more.

    Args:
        unpack: what one thing that was put means to the reader: any number of items, none if it does not concern it.
        closed: is called once when the feed is closed by its reader.

    Attributes:
        dropped_count: things that were lost because the reader did not keep up.
    """

    def __init__(self, unpack: Callable[[Any], Iterable[T]], closed: Callable[[Feed[Any]], None] | None = None) -> None:
        self.dropped_count = 0
        self._unpack = unpack
        self._on_closed = closed
        self._process = Process()
        self._lock = threading.RLock()  # a signal handler may close the feed that its own thread is just reading
        self._filled = threading.Condition(self._lock)
        self._waiting: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._is_closed = False
        self._let_go = False  # closed by its reader, who wants nothing more
        self._error: BaseException | None = None
        self._tasks: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}  # that wait
        self._unpacked: deque[T] = deque()  # the reader's own

    # -- the loop's thread ------------------------------------------------------------------------------------------------

    def put(self, thing: Any, size: int = 0) -> bool:
        """Adds one thing of `size` bytes. False: it is lost, because the reader does not keep up."""
        with self._lock:
            if self._is_closed:  # nobody misses it
                return True
            if not self.has_room(size):
                self.dropped_count += 1
                return False
            self._waiting.append((thing, size))
            self._bytes += size
            self._wake()
        return True

    def has_room(self, size: int) -> bool:
        """Whether one thing of `size` bytes would be taken now."""
        return len(self._waiting) < ITEMS_MAX and self._bytes + size <= BYTES_MAX

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come: the reader gets what is there, then `error`, or the end of the iteration."""
        with self._lock:
            self._is_closed = True
            self._error = self._error or error
            self._wake()

    def _wake(self) -> None:
        self._filled.notify_all()
        for waiting, loop in self._tasks.items():
            wake(loop, waiting)
        self._tasks.clear()

    # -- the reader -------------------------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> T:
        """The next item.

        Args:
            timeout: seconds to wait for it, None for as long as it takes.

        Raises:
            Timeout: none has come.
            NodeClosed: none will come any more, or this is a forked child.
        """
        item = self._next(timeout)
        if item is not None:
            return item
        if self._is_closed and not self._waiting:
            raise NodeClosed("nothing more will come: the feed, or its node, is closed")
        raise Timeout("nothing came", timeout or 0.0, "wait longer, or look whether anybody is there")

    def _next(self, timeout: float | None) -> T | None:
        """One item; None when the time is over or the feed has ended. Raises the error that it ended with."""
        until = None if timeout is None else time.monotonic() + timeout
        while (item := self._unpacked_one()) is None:
            if not self._unpack_waiting(until):
                return None
        return item

    def _unpacked_one(self) -> T | None:
        self._process.check()
        try:
            return self._unpacked.popleft()
        except IndexError:  # asked, it might be empty a moment later: another thread closes, or reads too
            return None

    def _unpack_waiting(self, until: float | None) -> bool:
        """Unpacks some of what waits; False when nothing comes until then, or the feed has ended.

        What unpacks to nothing may come without an end. So the last look is the one after which the time is over.
        """
        with self._lock:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not self._filled.wait_for(lambda: self._waiting or self._is_closed, left):
                return False
            taken = self._take_batch()
        if not taken:
            if self._error is not None:
                raise self._error
            return False
        for thing in taken:
            items = self._unpack(thing)
            with self._lock:
                if self._let_go:
                    return False
                self._unpacked.extend(items)
        return bool(self._unpacked) or until is None or time.monotonic() < until

    def _take_batch(self) -> list[Any]:
        taken = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
        self._bytes -= sum(size for _, size in taken)
        return [thing for thing, _ in taken]

    def __iter__(self) -> Feed[T]:
        return self

    def __next__(self) -> T:
        item = self._next(None)
        if item is None:
            raise StopIteration
        return item

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        while (item := self._unpacked_one()) is None:
            await self._filling()  # between two batches: others have their turn
            self._unpack_waiting(0.0)
            if self._is_closed and not self._waiting and not self._unpacked:
                raise StopAsyncIteration
        return item

    async def _filling(self) -> None:
        """Until something waits. It always lets the other tasks have their turn: a stream may be faster than its reader for ever."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        with self._lock:
            if self._waiting or self._is_closed:
                wake(loop, waiting)
            else:
                self._tasks[waiting] = loop
        try:
            await waiting
        finally:
            with self._lock:
                self._tasks.pop(waiting, None)  # of a task that was cancelled

    def close(self) -> None:
        """Ends the reading; what still waits is let go. A second call does nothing."""
        if not self._process.is_here:
            return
        with self._lock:
            self._let_go = True
            self._waiting.clear()
            self._bytes = 0
            self._unpacked.clear()
            first = not self._is_closed
            self._is_closed = True
            self._wake()
        if first and self._on_closed is not None:
            self._on_closed(self)

    def __enter__(self) -> Feed[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
