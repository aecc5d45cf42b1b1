"""The virtual clock: what happens when, in one order that never depends on the machine.

A heap of (time, order, action). Equal times go in the order in which they were planned, so a run is the same everywhere.
Nothing is ever taken out of the heap: who plans something that may lapse looks again when it comes due. What an action
does is the business of whoever planned it.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Action = Callable[..., object]


class Clock:
    """Virtual time in seconds, from 0.

    Attributes:
        done_count: actions that were done; brought up to date when an `advance` ends.
    """

    __slots__ = ("_heap", "_order", "done_count", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.done_count = 0
        self._heap: list[tuple[float, int, Action, tuple[Any, ...]]] = []
        self._order = 0

    def at(self, when: float, action: Action, *args: Any) -> None:
        """Plans `action(*args)` for `when`; what is past comes next."""
        self._order += 1
        heappush(self._heap, (when if when > self.now else self.now, self._order, action, args))

    def advance(self, until: float) -> int:
        """Does everything that comes up to and at `until`; returns how many actions that were."""
        heap = self._heap
        done = 0
        try:
            while heap and heap[0][0] <= until:
                self.now, _, action, args = heappop(heap)
                done += 1
                action(*args)
        finally:
            self.done_count += done
        self.now = max(self.now, until)
        return done

    def __len__(self) -> int:
        return len(self._heap)
