"""What a monitor has seen of one origin's sequence: which numbers came, and where the gaps are. It asks nobody for what it missed.

Numbers are kept as islands, closed ranges in rising order. A stream without gaps is one island, whatever its length, so
telling a duplicate costs memory per gap and not per message. No loop runs over a range that a remote named.
"""

from __future__ import annotations

from bisect import bisect_left

from zmqgossip.core.types import PeerId

StreamKey = tuple[PeerId, int]
"""Origin and epoch: a process that starts again begins a new stream."""


class Islands:
    """The numbers seen of one stream.

    Attributes:
        highest: the largest number seen.
        missing: numbers below `highest`, and above the first one seen or the start of the stream, that have not come.
    """

    __slots__ = ("_ends", "_ranges_max", "_starts", "highest", "missing")

    def __init__(self, ranges_max: int) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._ranges_max = ranges_max
        self.highest = 0
        self.missing = 0

    def __contains__(self, number: int) -> bool:
        """Whether `number` was seen."""
        place = bisect_left(self._ends, number)
        return place < len(self._starts) and self._starts[place] <= number

    def add(self, number: int) -> bool:
        """Notes `number`; whether it is new. The usual case, the next one, is one comparison."""
        ends = self._ends
        if ends and number == ends[-1] + 1:
            ends[-1] = self.highest = number
            return True
        return self._insert(number)

    def _insert(self, number: int) -> bool:
        starts, ends = self._starts, self._ends
        place = bisect_left(ends, number)
        if place < len(starts) and starts[place] <= number:
            return False
        if number > self.highest:
            self.missing += number - self.highest - 1 if starts else 0
            self.highest = number
        elif number > starts[0]:
            self.missing -= 1
        else:  # before the first one seen: an older number came late
            self.missing += starts[0] - number - 1
        joins_left = place > 0 and ends[place - 1] == number - 1
        joins_right = place < len(starts) and starts[place] == number + 1
        if joins_left and joins_right:
            ends[place - 1] = ends.pop(place)
            starts.pop(place)
        elif joins_left:
            ends[place - 1] = number
        elif joins_right:
            starts[place] = number
        else:
            starts.insert(place, number)
            ends.insert(place, number)
            self._merge_oldest()
        return True

    def _merge_oldest(self) -> None:
        """Too many islands: the oldest gap is given up, its numbers count as seen."""
        if len(self._starts) > self._ranges_max:
            self.missing -= self._starts[1] - self._ends[0] - 1
            self._starts.pop(1)
            self._ends.pop(0)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return list(zip(self._starts, self._ends, strict=True))


class Seen:
    """The numbers seen of all streams that are remembered, bounded; the one that was quiet longest goes first."""

    __slots__ = ("_ranges_max", "_streams", "_streams_max")

    def __init__(self, streams_max: int, ranges_max: int) -> None:
        self._streams: dict[StreamKey, Islands] = {}
        self._streams_max = streams_max
        self._ranges_max = ranges_max

    def of(self, origin: PeerId, epoch: int) -> Islands:
        """What was seen of that origin and epoch, made if it is new. Moves it to the end of the line for forgetting."""
        key = (origin, epoch)
        islands = self._streams.pop(key, None)
        if islands is None:
            islands = Islands(self._ranges_max)
            if len(self._streams) >= self._streams_max:
                del self._streams[next(iter(self._streams))]
        self._streams[key] = islands
        return islands

    def __len__(self) -> int:
        return len(self._streams)
