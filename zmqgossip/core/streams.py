"""One origin's sequence as this node has seen it: which numbers came, and where the gaps are.

Numbers are kept as islands, closed ranges in rising order. A stream without gaps is one island, whatever its length, so
telling a duplicate costs memory per gap and not per message. No loop runs over a range that a remote named.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from zmqgossip.core.messages import Position
from zmqgossip.core.types import PeerId

StreamKey = tuple[PeerId, int]
"""Origin and epoch: a process that starts again begins a new stream."""


class Stream:
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

    def start_at(self, contiguous: int) -> None:
        """Everything up to `contiguous` is behind this node, seen or not; 0: nothing is."""
        beyond = [(start, end) for start, end in self.ranges if end > contiguous]
        if beyond and beyond[0][0] <= contiguous + 1:
            contiguous = beyond.pop(0)[1]
        self._starts = [0, *(start for start, _ in beyond)]
        self._ends = [contiguous, *(end for _, end in beyond)]
        self.highest = self._ends[-1]
        self.missing = sum(start - end - 1 for start, end in zip(self._starts[1:], self._ends, strict=False))

    @property
    def contiguous(self) -> int:
        """The number up to which nothing is missing; of a stream without a beginning, what came first in a row."""
        return self._ends[0] if self._ends else 0

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return list(zip(self._starts, self._ends, strict=True))


class Streams:
    """All streams that this node remembers, bounded; the one that was quiet longest goes first."""

    __slots__ = ("_begun", "_ranges_max", "_streams", "_streams_max", "forgotten")

    def __init__(self, streams_max: int, ranges_max: int) -> None:
        self._streams: dict[StreamKey, Stream] = {}
        self._streams_max = streams_max
        self._ranges_max = ranges_max
        self._begun = False
        self.forgotten = 0

    def begin(self, positions: Sequence[Position]) -> None:
        """Streams start behind their positions, all others, those to come too, at 0."""
        self._begun = True
        listed = {(one.origin, one.epoch): one.contiguous for one in positions}
        room = self._streams_max - len(self._streams)
        unknown = [key for key in listed if key not in self._streams]
        for origin, epoch in unknown[len(unknown) - min(room, len(unknown)) :]:  # the last ones, which were active last
            self.of(origin, epoch)
        for key, stream in self._streams.items():
            stream.start_at(listed.get(key, 0))

    def positions(self) -> list[Position]:
        """How far each stream is here."""
        return [Position(origin, epoch, stream.contiguous) for (origin, epoch), stream in self._streams.items()]

    def of(self, origin: PeerId, epoch: int) -> Stream:
        """The stream of that origin and epoch, made if it is new. Moves it to the end of the line for forgetting."""
        key = (origin, epoch)
        stream = self._streams.pop(key, None)
        if stream is None:
            stream = Stream(self._ranges_max)
            if self._begun and not self.forgotten:  # it may be one that was forgotten, and goes on where nobody knows
                stream.start_at(0)
            if len(self._streams) >= self._streams_max:
                del self._streams[next(iter(self._streams))]
                self.forgotten += 1
        self._streams[key] = stream
        return stream

    def has(self, origin: PeerId, epoch: int, number: int) -> bool:
        """Whether that number was seen; asking makes and forgets nothing."""
        stream = self._streams.get((origin, epoch))
        return stream is not None and number in stream

    def highest(self, origin: PeerId, epoch: int) -> int:
        """The largest number seen of a stream, 0 of one that is not known; asking makes none."""
        stream = self._streams.get((origin, epoch))
        return 0 if stream is None else stream.highest

    @property
    def missing(self) -> int:
        """Numbers in gaps, over all streams."""
        return sum(stream.missing for stream in self._streams.values())

    def __len__(self) -> int:
        return len(self._streams)
