"""Deadlines under keys. A timer is a key, never a callback: whoever set it is told by name.

Setting a key again moves it. Old entries stay in the heap and are skipped when they surface, so moving costs one push.
Equal deadlines come due in the order in which they were set: a run is the same from one machine to the next.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TypeAlias

TimerKey = tuple[str, int]
"""What is due and whose: the second part is a number that its owner chose (a link's key, say), 0 where there is only one."""

_Entry: TypeAlias = tuple[float, int, TimerKey]


class Timers:
    __slots__ = ("_deadlines", "_first", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._deadlines: dict[TimerKey, _Entry] = {}  # the very entry of the heap that counts
        self._first: _Entry | None = None  # the earliest that counts, at the top of the heap; None when it has to be looked for
        self._order = 0

    def set(self, key: TimerKey, at: float) -> None:
        """Makes `key` due at `at` (monotonic seconds), whatever stood there before."""
        self._order += 1
        first = self._first
        if first is not None and first[2] == key:
            first = self._first = None
        entry = self._deadlines[key] = (at, self._order, key)
        heappush(self._heap, entry)
        if first is not None and at < first[0]:
            self._first = entry
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._deadlines):
            self._heap = list(self._deadlines.values())
            heapify(self._heap)

    def cancel(self, key: TimerKey) -> None:
        if self._deadlines.pop(key, None) is self._first:
            self._first = None

    def when(self, key: TimerKey) -> float | None:
        entry = self._deadlines.get(key)
        return None if entry is None else entry[0]

    def next(self) -> float | None:
        """The earliest deadline, or None. It is asked for after every turn, and nearly always the same as before."""
        if self._first is not None:
            return self._first[0]
        heap, deadlines = self._heap, self._deadlines
        while heap:
            first = heap[0]
            if deadlines.get(first[2]) is first:
                self._first = first
                return first[0]
            heappop(heap)  # moved, or cancelled
        return None

    def pop_due(self, now: float) -> TimerKey | None:
        """The earliest key that is due, taken out; None when nothing is."""
        due = self.next()
        if due is None or due > now:
            return None
        key = heappop(self._heap)[2]
        del self._deadlines[key]
        self._first = None
        return key

    def __len__(self) -> int:
        return len(self._deadlines)
