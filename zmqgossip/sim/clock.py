"""The virtual clock: what happens when, in one order that never depends on the machine.

Actions stand in slots of a millisecond, and a slot is put in order when its time has come: with tens of thousands of frames under way one
heap of all of them would be most of the cost. Equal times go in the order in which they were planned, so a run is the same everywhere.
Nothing is ever taken out: who plans something that may lapse looks again when it comes due. What an action does is the business of
whoever planned it.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias

Action = Callable[..., object]
Planned: TypeAlias = tuple[float, int, Action, tuple[Any, ...]]
SLOTS_PER_S = 1000


class Clock:
    """Virtual time in seconds, from 0.

    Attributes:
        done_count: actions that were done; brought up to date when an `advance` ends.
    """

    __slots__ = ("_due", "_due_slot", "_order", "_slots", "_waiting", "done_count", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.done_count = 0
        self._order = 0
        self._due: list[Planned] = []  # a heap of what is planned up to the end of `_due_slot`
        self._due_slot = 0
        self._slots: dict[int, list[Planned]] = {}  # later ones, in no order
        self._waiting: list[int] = []  # a heap of the numbers of those

    def at(self, when: float, action: Action, *args: Any) -> None:
        """Plans `action(*args)` for `when`; what is past comes next."""
        self._order += 1
        if when < self.now:
            when = self.now
        slot = int(when * SLOTS_PER_S)
        if slot <= self._due_slot:
            heappush(self._due, (when, self._order, action, args))
            return
        planned = self._slots.get(slot)
        if planned is None:
            self._slots[slot] = [(when, self._order, action, args)]
            heappush(self._waiting, slot)
        else:
            planned.append((when, self._order, action, args))

    def advance(self, until: float) -> int:
        """Does everything that comes up to and at `until`; returns how many actions that were."""
        last_slot = int(until * SLOTS_PER_S)
        done = 0
        try:
            while self._fetch(last_slot):
                due = self._due
                while due and due[0][0] <= until:
                    self.now, _, action, args = heappop(due)
                    done += 1
                    action(*args)
                if due:
                    break
        finally:
            self.done_count += done
        self.now = max(self.now, until)
        return done

    def _fetch(self, last_slot: int) -> bool:
        """Puts the next slot in order, if the one before is done. Whether there is anything up to that slot."""
        if not self._due and self._waiting and self._waiting[0] <= last_slot:
            self._due_slot = heappop(self._waiting)
            self._due = self._slots.pop(self._due_slot)
            heapify(self._due)
        return bool(self._due)

    def __len__(self) -> int:
        return len(self._due) + sum(len(planned) for planned in self._slots.values())
