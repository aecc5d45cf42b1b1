"""Sets of numbers as ranges (first, last): there may be millions, and few ranges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Range = tuple[int, int]


def merged(ranges: Iterable[Sequence[int]]) -> list[Range]:
    """The same numbers in as few ranges as hold them, ascending."""
    found: list[Range] = []
    for first, last in sorted((first, last) for first, last in ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        elif first <= last:
            found.append((first, last))
    return found


def without(these: Sequence[Range], those: Sequence[Range]) -> list[Range]:
    """The numbers of `these` that are not in `those`; both merged."""
    found: list[Range] = []
    place = 0
    for begin, last in these:
        first = begin
        while place < len(those) and those[place][1] < first:
            place += 1
        ahead = place
        while ahead < len(those) and those[ahead][0] <= last:
            if those[ahead][0] > first:
                found.append((first, those[ahead][0] - 1))
            first = those[ahead][1] + 1
            ahead += 1
        if first <= last:
            found.append((first, last))
    return found


def size(ranges: Iterable[Range]) -> int:
    """How many numbers."""
    return sum(last - first + 1 for first, last in ranges)
