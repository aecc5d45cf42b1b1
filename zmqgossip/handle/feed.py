"""A feed: what happens, for one reader, who may be a thread or a task of asyncio.

The loop's thread puts things in as they come, whole and undecoded; the reader unpacks them in its own thread, a batch at a time,
and is then given the items by the interpreter itself, without a line of Python for each. Reading ends when the node does. A feed is
bounded: a reader who does not keep up loses the newest things, and they are counted. `patient.py` has the feed that does better.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from operator import length_hint
from types import TracebackType
from typing import Any, Generic, TypeVar

from zmqgossip.core.errors import NodeClosed, Timeout
from zmqgossip.handle.awaiting import wake
from zmqgossip.handle.process import Process
from zmqgossip.runtime.arguments import until_of

T = TypeVar("T")
ITEMS_MAX = 100_000
"""Things that wait for the reader, segments as a whole."""
BYTES_MAX = 64 * 1024 * 1024
"""Their bytes: the memory that one reader who does not read can cost."""
BATCH_MAX = 64
BATCH_BYTES_MAX = 65_536
"""Things that are unpacked at once, and their bytes: a task hands back its event loop between two batches, and the first item of a batch
waits until all of it is unpacked."""


class Feed(Generic[T]):
    """An iterator and an async iterator of what happens. For one reader; close it, or leave its `with`, when nobody reads any more.

    A reader may stop and go on later, with another loop too: it goes on where it stopped.

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
        self._gates: deque[threading.Lock] = deque()  # of threads that wait; a Condition does the same with five times the Python
        self._waiting: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._is_closed = False
        self._let_go = False  # closed by its reader, who wants nothing more
        self._error: BaseException | None = None
        self._tasks: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}  # that wait
        # What is unpacked. Every reader's loop takes from the one iterator `_rest`, which so is always where the reading stopped; the
        # batch that it iterates is emptied when the reading shall end. Of readers by mistake each has unpacked a batch, and they queue.
        self._batch: list[T] = []
        self._rest: Iterator[T] = iter(self._batch)
        self._unpacked: deque[list[T]] = deque()

    # -- the loop's thread ------------------------------------------------------------------------------------------------

    def put(self, thing: Any, size: int = 0) -> bool:
        """Adds one thing of `size` bytes. False: it is lost, because the reader does not keep up."""
        taken = self.add(thing, size)
        self.wake()
        return taken

    def add(self, thing: Any, size: int = 0) -> bool:
        """`put` without waking the reader: `wake` follows when all is added that comes at once."""
        with self._lock:
            if self._is_closed:  # nobody misses it
                return True
            if not self.has_room(size):
                self.dropped_count += 1
                return False
            self._waiting.append((thing, size))
            self._bytes += size
        return True

    def wake(self) -> None:
        """Tells a reader who waits that something was added."""
        self._open_gates()
        if self._tasks:
            with self._lock:
                self._wake()

    def has_room(self, size: int) -> bool:
        """Whether one thing of `size` bytes would be taken now."""
        return len(self._waiting) < ITEMS_MAX and self._bytes + size <= BYTES_MAX

    @property
    def is_full(self) -> bool:
        """Whether whoever fills it should hold on: never, of a feed that cannot do more than drop."""
        return False

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come: the reader gets what is there, then `error`, or the end of the iteration."""
        with self._lock:
            self._is_closed = True
            self._error = self._error or error
            self._wake()

    def _wake(self) -> None:
        self._open_gates()
        if self._tasks:
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
            TypeError, InvalidTimeout: the timeout is no number, or negative, or NaN.
        """
        self._process.check()
        for item in self._rest:
            return item
        until = until_of(timeout)
        for item in chain.from_iterable(self._batches(until)):
            return item
        if self._is_closed and not self._waiting:
            raise NodeClosed("nothing more will come: the feed, or its node, is closed")
        raise Timeout("nothing came", timeout or 0.0, "wait longer, or look whether anybody is there")

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._batches(None))

    def __next__(self) -> T:
        self._process.check()
        for item in self._rest:
            return item
        for item in self:
            return item
        raise StopIteration

    def _batches(self, until: float | None) -> Iterator[Iterator[T]]:
        """What is unpacked, batch by batch, until the time is over or the feed has ended. Raises the error that it ended with.

        What unpacks to nothing may come without an end. So the last look is the one after which the time is over.
        """
        self._process.check()
        goes_on = True
        while True:
            while (rest := self._unpacked_rest()) is not None:
                yield rest
                self._process.check()
            if not goes_on:
                return
            goes_on = self._unpack_waiting(until)

    def _unpacked_rest(self) -> Iterator[T] | None:
        """The iterator of what is unpacked and not read yet."""
        if length_hint(self._rest):  # what a list's iterator says of it is exact
            return self._rest
        with self._lock:
            if not length_hint(self._rest):
                if not self._unpacked:
                    return None
                self._batch = self._unpacked.popleft()
                self._rest = iter(self._batch)
            return self._rest

    def _unpack_waiting(self, until: float | None) -> bool:
        """Unpacks some of what waits; False when nothing comes until then, or the feed has ended."""
        if not self._wait_filled(until):
            return False
        with self._lock:
            taken = self._take_batch()
            ended = self._is_closed
        if not taken:
            if self._error is not None:
                raise self._error
            return not ended  # else another reader was faster
        items = list(chain.from_iterable(map(self._unpack, taken)))
        with self._lock:
            if self._let_go:
                return False
            if items:
                self._unpacked.append(items)
        return until is None or time.monotonic() < until

    def _wait_filled(self, until: float | None) -> bool:
        """Whether something waits, or the feed has ended, before the time is over."""
        while True:
            with self._lock:
                if self._waiting or self._is_closed:
                    return True
                gate = threading.Lock()
                gate.acquire()
                self._gates.append(gate)
            left = -1.0 if until is None else min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
            if not gate.acquire(timeout=left):
                with suppress(ValueError):
                    self._gates.remove(gate)
                return bool(self._waiting or self._is_closed)

    def _open_gates(self) -> None:
        """Lets everybody look again who waits. What was added before is seen by whoever closes a gate after this."""
        gates = self._gates
        while gates:
            gates.popleft().release()

    def _take_batch(self) -> list[Any]:
        taken: list[Any] = []
        size = 0
        while self._waiting and len(taken) < BATCH_MAX and size < BATCH_BYTES_MAX:
            thing, its_size = self._waiting.popleft()
            taken.append(thing)
            size += its_size
        self._bytes -= size
        return taken

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            while (rest := self._unpacked_rest()) is not None:
                for item in rest:
                    yield item
                self._process.check()
            if not await self._refilled():
                return

    async def __anext__(self) -> T:
        while True:
            rest = self._unpacked_rest()
            for item in rest or ():
                return item
            if not await self._refilled():
                raise StopAsyncIteration

    async def _refilled(self) -> bool:
        """Waits until something is there, and unpacks it; false at the end. Others have their turn between two batches."""
        self._process.check()
        await self._filling()
        self._unpack_waiting(0.0)
        return not self._is_closed or bool(self._waiting or self._unpacked)

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
            self._batch.clear()  # its iterator, which a loop may be in, ends with it
            first = not self._is_closed
            self._is_closed = True
            self._wake()
        if first and self._on_closed is not None:
            self._on_closed(self)

    def __enter__(self) -> Feed[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
