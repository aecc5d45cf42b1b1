"""Losses by name: which messages of whom the application did not take in time."""

from __future__ import annotations

from collections.abc import Iterable

from zmqgossip.core.events import MessagesLost
from zmqgossip.core.outbox import Segment
from zmqgossip.core.types import PeerId

WHY = "the application did not take them in time"
Range = tuple[int, int]
"""The first and the last of a row of numbers."""


class Losses:
    """Segments that were dropped, until they are told."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[PeerId, int], list[Range]] = {}

    def add(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            header = segment.header
            first, last = header.first, header.first + header.message_count - 1
            ranges = self._ranges.setdefault((header.origin, header.epoch), [])
            if ranges and ranges[-1][1] + 1 == first:  # as a rule: what is long not told takes no more memory for it
                ranges[-1] = (ranges[-1][0], last)
            else:
                ranges.append((first, last))

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def drain(self) -> list[MessagesLost]:
        """One event for each row of numbers without a hole."""
        if not self._ranges:
            return []
        lost, self._ranges = self._ranges, {}
        return [MessagesLost(origin, epoch, first, last, WHY) for (origin, epoch), ranges in lost.items() for first, last in merged(ranges)]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in as few ranges as hold them, in their order."""
    rows: list[Range] = []
    for first, last in sorted(ranges):
        if rows and first <= rows[-1][1] + 1:
            rows[-1] = (rows[-1][0], max(last, rows[-1][1]))
        else:
            rows.append((first, last))
    return rows
