"""Gathering: while much gossip flows, the loop leaves it for some milliseconds and then takes what has come together.

A turn costs a node 50 us and more beside its segments: to be woken, to ask its sockets, to look what is due, to wake a reader; and on a
machine that is short of time each thread that wakes has lost its caches. Where a thousand segments a second come one by one that is half of
all the work. Network cards do the same with their interrupts (J. Mogul and K. Ramakrishnan, Eliminating receive livelock in an
interrupt-driven kernel, ACM Transactions on Computer Systems 15(3), 1997). A message that comes alone waits for nothing.
"""

from __future__ import annotations

GATHER_S = 0.005
"""How long gossip waits at a node where much of it flows. Measured in docs/decisions/0010."""
UNITS_PER_S = 2000.0
"""Much: so many small segments, or two hundred of the largest. A tenth of what a node can do."""
UNIT_BYTES = 8192
"""A segment is one unit, and one more for so many bytes."""
BURST = 100.0
"""So much may come at once without being much: 50 ms of the rate."""


class Gathering:
    """Whether much gossip flows through a loop: a bucket that leaks at a constant rate, and is never more than twice too full.

    Attributes:
        until: when gossip is taken again (monotonic seconds).
    """

    __slots__ = ("_at", "_level", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self._level = 0.0
        self._at = 0.0

    def carried(self, frames: int, size: int) -> None:
        """So many frames of gossip came or went, `size` bytes together."""
        self._level += frames + size / UNIT_BYTES

    def begin(self, now: float) -> bool:
        """A turn takes what has come. Whether the next may wait, which then is until `until`."""
        level = min(self._level, 2 * BURST) - (now - self._at) * UNITS_PER_S
        self._level, self._at = max(level, 0.0), now
        if level < BURST:
            return False
        self.until = now + GATHER_S
        return True
