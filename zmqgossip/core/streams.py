"""What this node has of every origin's stream: what came in a row, what waits beyond a gap, what is kept for others.

What came out of turn is handed on when the gap before it closes: order within a stream is kept. What was handed on is kept for
neighbours that lack it, within a budget for all streams together. No loop runs over a range that a remote named.

A stream that is quiet and the same everywhere is *settled*: what neighbours said of it is forgotten, and one number that stands
for all settled streams tells two nodes whether they have the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heapreplace

from zmqgossip.core.gossip_messages import BUCKETS, Position
from zmqgossip.core.outbox import Segment
from zmqgossip.core.stream import Stream, StreamKey
from zmqgossip.core.types import PeerId
from zmqgossip.core.wire import NUMBER_MAX, position_hash


class Streams:
    """All streams that this node remembers, bounded; of those that are settled the one that was settled first goes first.

    Of a stream that is forgotten its position is remembered, again bounded: when it comes back, nothing is delivered twice.

    Attributes:
        own: the stream of this node, which is never forgotten.
        dropped: called with a stream that is not one of these any more.
        forgotten: streams that had no place any more.
        beyond_bytes, kept_bytes: of all streams together.
        root: of the hashes of all settled streams.
    """

    __slots__ = (
        "_buckets", "_folds", "_kept_max", "_lives", "_past", "_streams", "_streams_max", "begun", "beyond_bytes", "dropped", "forgotten",
        "kept_bytes", "own", "root",
    )  # fmt: skip

    def __init__(self, streams_max: int, kept_max: int) -> None:
        self._streams: dict[StreamKey, Stream] = {}
        self._lives: dict[PeerId, dict[int, Stream]] = {}  # by origin and epoch
        self._buckets: dict[int, dict[StreamKey, Stream]] = {}
        self._past: dict[StreamKey, Position] = {}
        self._streams_max = streams_max
        self._kept_max = kept_max
        self.own: Stream | None = None
        self.dropped: Callable[[Stream], object] = lambda stream: None
        self.begun = False
        self.forgotten = 0
        self.beyond_bytes = 0
        self.kept_bytes = 0
        self._folds = [0] * BUCKETS
        self.root = 0

    # -- which there are --------------------------------------------------------------------------------------------------

    def begin(self, positions: Sequence[Position], past: Sequence[Position]) -> None:
        """Streams start behind their positions, all others, those to come too, at 0. Those of the past are only remembered."""
        self.begun = True
        listed = {(one.origin, one.epoch): one for one in positions if 0 < one.contiguous < NUMBER_MAX}
        faded = {(one.origin, one.epoch): one for one in past if 0 < one.contiguous < NUMBER_MAX}
        for old in faded.values():
            if (old.origin, old.epoch) not in self._streams and (old.origin, old.epoch) not in listed:
                self._remember(old)
        room = self._streams_max - len(self._streams)
        unknown = [key for key in listed if key not in self._streams and key not in self._past]
        for origin, epoch in unknown[len(unknown) - min(room, len(unknown)) :]:  # the last ones, which were active last
            self.of(origin, epoch)
        listed = faded | listed  # something of those that have faded may have come meanwhile
        for key, stream in self._streams.items():
            if stream is not self.own:  # which has begun long ago
                one = listed.get(key)
                stream.begin(one.contiguous if one is not None else 0, one.messages if one is not None else 0)
                for number in [number for number in stream.beyond if number <= stream.contiguous]:
                    self.beyond_bytes -= len(stream.beyond.pop(number).frame)

    def of(self, origin: PeerId, epoch: int) -> Stream:
        """The stream of that origin and epoch, made if it is new; one that was forgotten goes on where it was."""
        key = (origin, epoch)
        stream = self._streams.get(key)
        if stream is None:
            stream = Stream(origin, epoch)
            past = self._past.pop(key, None)
            if self.begun:
                stream.begin(past.contiguous if past is not None else 0, past.messages if past is not None else 0)
            if len(self._streams) >= self._streams_max:
                self._forget_one()
            self._streams[key] = stream
            self._lives.setdefault(origin, {})[epoch] = stream
            self._buckets.setdefault(stream.bucket, {})[key] = stream
        return stream

    def _forget_one(self) -> None:
        """The first that is settled; the oldest if none is."""
        others = (stream for stream in self._streams.values() if stream is not self.own)
        oldest = next(others, None)
        if oldest is not None:
            gone = oldest if oldest.settled else next((stream for stream in others if stream.settled), oldest)
            self.drop(gone)
            self.forgotten += 1

    def drop(self, stream: Stream) -> None:
        """It is no stream of these any more."""
        self.unsettle(stream)
        self.release(stream, stream.contiguous + 1)
        self.beyond_bytes -= sum(len(segment.frame) for segment in stream.beyond.values())
        stream.beyond = {}
        del self._streams[stream.key]
        del self._buckets[stream.bucket][stream.key]
        lives = self._lives[stream.origin]
        del lives[stream.epoch]
        if not lives:
            del self._lives[stream.origin]
        if stream.contiguous:
            self._remember(stream.position)
        self.dropped(stream)

    def _remember(self, position: Position) -> None:
        self._past[position.origin, position.epoch] = position
        if len(self._past) > self._streams_max:
            del self._past[next(iter(self._past))]

    def get(self, origin: PeerId, epoch: int) -> Stream | None:
        """A stream that is known; asking makes and moves nothing."""
        return self._streams.get((origin, epoch))

    def past(self, origin: PeerId, epoch: int) -> int:
        """How far a stream was that has been forgotten; 0 of others."""
        return self.past_position(origin, epoch).contiguous

    def past_position(self, origin: PeerId, epoch: int) -> Position:
        """Where a stream was that has been forgotten; at 0 others."""
        return self._past.get((origin, epoch)) or Position(origin, epoch, 0, 0)

    def past_positions(self) -> list[Position]:
        """Of all streams that have been forgotten, those that were forgotten last at the end."""
        return list(self._past.values())

    def newest_epoch(self, origin: PeerId) -> int:
        """Of the streams of one id of which a segment is here; 0 where none is. A digest alone ends no life."""
        return max((epoch for epoch, stream in self._lives.get(origin, {}).items() if stream.highest), default=0)

    def lives(self, origin: PeerId) -> list[Stream]:
        """The streams of one id."""
        return list(self._lives.get(origin, {}).values())

    def older(self, origin: PeerId, epoch: int) -> list[Stream]:
        """The streams of earlier lives of one id."""
        return [stream for before, stream in self._lives.get(origin, {}).items() if before < epoch]

    def positions(self) -> list[Position]:
        """How far each stream is here that has begun at all; those that are not settled last, before them those that settled last."""
        return [stream.position for stream in sorted(self._streams.values(), key=lambda one: not one.settled) if stream.contiguous]

    def in_bucket(self, bucket: int) -> list[Stream]:
        return list(self._buckets.get(bucket, {}).values())

    def all(self) -> list[Stream]:
        return list(self._streams.values())

    @property
    def missing(self) -> int:
        """Numbers in gaps, over all streams."""
        return sum(stream.missing for stream in self._streams.values())

    def sizes(self) -> dict[str, int]:
        """How much is remembered."""
        return {
            "streams": len(self._streams),
            "streams_settled": sum(stream.settled for stream in self._streams.values()),
            "positions_past": len(self._past),
            "kept_bytes": self.kept_bytes,
            "beyond_bytes": self.beyond_bytes,
            "marks": sum(len(stream.marks) for stream in self._streams.values()),
        }

    def __len__(self) -> int:
        return len(self._streams)

    # -- segments ---------------------------------------------------------------------------------------------------------

    def add(self, stream: Stream, segment: Segment) -> list[Segment]:
        """Takes a segment that is new; what has come to be in order by it, in that order."""
        number = segment.header.number
        stream.highest = max(stream.highest, number)
        if not stream.begun or number != stream.contiguous + 1:
            stream.beyond[number] = segment
            self.beyond_bytes += len(segment.frame)
            return []
        stream.contiguous = number
        self.keep(stream, number, segment.frame)
        return [segment, *self.advance(stream)] if stream.beyond else [segment]

    def advance(self, stream: Stream) -> list[Segment]:
        """What waits beyond a gap that has closed."""
        released: list[Segment] = []
        while (segment := stream.beyond.pop(stream.contiguous + 1, None)) is not None:
            self.beyond_bytes -= len(segment.frame)
            stream.contiguous += 1
            self.keep(stream, stream.contiguous, segment.frame)
            released.append(segment)
        return released

    def jump(self, stream: Stream, number: int) -> list[Segment]:
        """What is below `number` is given up; what is in order by that. Never backwards."""
        if not stream.contiguous < number < NUMBER_MAX:
            return []
        self.release(stream, stream.contiguous + 1)
        for skipped in [one for one in stream.beyond if one < number]:
            self.beyond_bytes -= len(stream.beyond.pop(skipped).frame)
        stream.contiguous = number - 1
        stream.oldest = number
        stream.highest = max(stream.highest, stream.contiguous)
        return self.advance(stream)

    def finish(self, stream: Stream) -> list[Segment]:
        """All that waits beyond gaps, in its order: what is missing is given up, and nothing more is expected."""
        waiting = [stream.beyond[number] for number in sorted(stream.beyond)]
        self.beyond_bytes -= sum(len(segment.frame) for segment in waiting)
        stream.beyond = {}
        if waiting:
            self.release(stream, stream.contiguous + 1)
            stream.contiguous = waiting[-1].header.number
            stream.oldest = stream.contiguous + 1
        return waiting

    # -- what is kept for others ------------------------------------------------------------------------------------------

    def keep(self, stream: Stream, number: int, frame: bytes) -> None:
        stream.kept[number] = frame
        stream.kept_bytes += len(frame)
        self.kept_bytes += len(frame)
        if self.kept_bytes > self._kept_max:
            self._evict(self._kept_max * 7 // 8)

    def _evict(self, upto: int) -> None:
        """The oldest of the largest share goes first; above the last mark that is done only where nothing else is left."""
        for only_spare in (True, False):
            heap: list[tuple[int, int, Stream, int]] = []
            for place, stream in enumerate(self._streams.values()):
                floor = stream.contiguous + 1 if stream.settled or not only_spare else stream.done + 1
                if stream.oldest < floor:
                    heap.append((-stream.kept_bytes, place, stream, floor))
            heapify(heap)
            while heap and self.kept_bytes > upto:
                _, place, stream, floor = heap[0]
                self.release(stream, stream.oldest + 1)
                if stream.oldest < floor:
                    heapreplace(heap, (-stream.kept_bytes, place, stream, floor))
                else:
                    heappop(heap)

    def release(self, stream: Stream, upto: int) -> None:
        """Keeps nothing below `upto` any more. The loop is over what is kept."""
        while stream.oldest < upto:
            frame = stream.kept.pop(stream.oldest, None)
            if frame is None:
                stream.oldest = upto
                return
            stream.oldest += 1
            stream.kept_bytes -= len(frame)
            self.kept_bytes -= len(frame)

    @staticmethod
    def held(stream: Stream, ranges: Sequence[tuple[int, int]], bytes_max: int) -> list[bytes]:
        """Frames of those numbers that are here, as many as fit; the first one does always."""
        found: list[bytes] = []
        for first, last in ranges:
            waiting = sorted(number for number in stream.beyond if first <= number <= last) if stream.beyond else []
            for number in (*range(max(first, stream.oldest), min(last, stream.contiguous) + 1), *waiting):
                frame = stream.kept[number] if number in stream.kept else stream.beyond[number].frame
                bytes_max -= len(frame)
                if bytes_max < 0 and found:
                    return found
                found.append(frame)
        return found

    # -- settled streams --------------------------------------------------------------------------------------------------

    @property
    def folds(self) -> list[int]:
        """For each of the 256 buckets, the hashes of its settled streams in one."""
        return list(self._folds)

    def settle(self, stream: Stream) -> None:
        """It is quiet and the same everywhere: what neighbours said of it is forgotten."""
        assert not stream.settled and not stream.beyond and not stream.marks
        stream.settled = True
        self._streams[stream.key] = self._streams.pop(stream.key)  # to the end of the line for forgetting
        stream.theirs, stream.flushes, stream.gone, stream.faster, stream.pulled = {}, {}, {}, {}, ({}, {})
        stream.folded = position_hash(stream.origin, stream.epoch, stream.contiguous)
        self._fold(stream)

    def unsettle(self, stream: Stream) -> None:
        """Something of it has changed."""
        if stream.settled:
            stream.settled = False
            self._fold(stream)

    def _fold(self, stream: Stream) -> None:
        self._folds[stream.bucket] ^= stream.folded
        self.root ^= stream.folded
