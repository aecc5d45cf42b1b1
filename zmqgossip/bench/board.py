"""The board: memory that all processes of a run share, with a row for each. Counts are written and read there without a word.

A row belongs to one receiver, which alone writes it. The first row belongs to nobody: in it the publisher writes one cell and the bench
the others. Rows are as long as a cache line, so that nobody's counting slows another's. The memory has no name: it goes with the last
process that holds it.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import TypeAlias

Row: TypeAlias = memoryview
"""Cells of 64 bits with sign."""

CELLS = 8
ROW_BYTES = 8 * CELLS

SEEN, LOST, DUPLICATES, LATE, DONE = range(5)
"""Of a receiver: the next number that it expects, what is missing below it, copies, what filled a gap, whether it has seen the end."""
STOP, PUBLISHED, SLOW = range(3)
"""Of the first row: whether publishing shall end, how many messages there are in all, and whether who can dawdle shall."""


class Board:
    """Rows of counts. Made by the bench; a child opens it by the descriptor that it inherits.

    Args:
        rows: how many, with the first.
        number: the descriptor in a child; None makes new memory.
    """

    def __init__(self, rows: int, number: int | None = None) -> None:
        self.rows = rows
        self.number = _memory(rows * ROW_BYTES) if number is None else number
        self._memory = mmap.mmap(self.number, rows * ROW_BYTES)
        self._cells = memoryview(self._memory).cast("q")

    def row(self, place: int) -> Row:
        return self._cells[place * CELLS : (place + 1) * CELLS]

    def copy(self) -> list[list[int]]:
        """All rows as they are at one moment, nearly."""
        cells = memoryview(bytes(self._memory)).cast("q").tolist()
        return [cells[start : start + CELLS] for start in range(0, len(cells), CELLS)]

    def close(self) -> None:
        """In the bench, at the end of a run; a child just ends."""
        os.close(self.number)


def _memory(size: int) -> int:
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("zmqgossip-bench")
    else:
        number, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(number, size)
    return number
