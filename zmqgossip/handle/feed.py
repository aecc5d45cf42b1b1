"""A feed: what happens, for one reader, who may be a thread or a task of asyncio.

The loop's thread puts things in as they come, whole and undecoded; the reader unpacks them in its own thread. Reading ends when
the node does. A feed is bounded: a reader who does not keep up loses the newest things, and they are counted.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

from zmqgossip.core.errors import NodeClosed, Timeout

T = TypeVar("T")
ITEMS_MAX = 100_000
"""Things that wait for the reader, segments as a whole."""
BYTES_MAX = 64 * 1024 * 1024
"""Their bytes: the memory that one reader who does not read can cost."""


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
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._waiting: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._is_closed = False
        self._error: BaseException | None = None
        self._tasks: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._unpacked: deque[T] = deque()  # the reader's own

    # -- the loop's thread ------------------------------------------------------------------------------------------------

    def put(self, thing: Any, size: int = 0) -> bool:
        """Adds one thing of `size` bytes; whether there was room."""
        with self._lock:
            if self._is_closed:
                return False
            if len(self._waiting) >= ITEMS_MAX or self._bytes + size > BYTES_MAX:
                self.dropped_count += 1
                return False
            self._waiting.append((thing, size))
            self._bytes += size
            self._wake()
        return True

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come: the reader gets what is there, then `error`, or the end of the iteration."""
        with self._lock:
            self._is_closed = True
            self._error = self._error or error
            self._wake()

    def _wake(self) -> None:
        self._filled.notify_all()
        tasks, self._tasks = self._tasks, []
        for loop, future in tasks:
            with suppress(RuntimeError):  # that event loop has ended, and its reader with it
                loop.call_soon_threadsafe(_set, future)

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
        if os.getpid() != self._pid:
            raise NodeClosed("a forked child cannot read its parent's feed; make a node of its own")
        until = None if timeout is None else time.monotonic() + timeout
        while not self._unpacked:
            with self._lock:
                left = None if until is None else max(0.0, until - time.monotonic())
                if not self._filled.wait_for(lambda: self._waiting or self._is_closed, left):
                    return None
                taken = self._take_all()
            if not taken:
                if self._error is not None:
                    raise self._error
                return None
            for thing in taken:
                self._unpacked.extend(self._unpack(thing))
        return self._unpacked.popleft()

    def _take_all(self) -> list[Any]:
        things = [thing for thing, _ in self._waiting]
        self._waiting.clear()
        self._bytes = 0
        return things

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
        while True:
            item = self._next(0)
            if item is not None:
                return item
            loop = asyncio.get_running_loop()
            with self._lock:
                if self._waiting:
                    continue
                if self._is_closed:
                    raise StopAsyncIteration
                future = loop.create_future()
                self._tasks.append((loop, future))
            await future

    def close(self) -> None:
        """Ends the reading; what still waits is let go. A second call does nothing."""
        with self._lock:
            self._waiting.clear()
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


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():  # its task may have been cancelled
        future.set_result(None)
