"""What this node has of every origin's stream: what came in a row, what waits beyond a gap, what is kept for others.

A stream is the segments of one life of one process, numbered from 1. Up to `contiguous` all is behind this node, so telling a
duplicate costs memory per stream and not per message. What came out of turn waits in `beyond` and is handed on when the gap
closes: order within a stream is kept. What was handed on is kept for neighbours that lack it, within a budget for all streams
together. No loop runs over a range that a remote named.

A stream that is quiet and the same everywhere is *settled*: what neighbours said of it is forgotten, and one number that stands
for all settled streams tells two nodes whether they have the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from zmqgossip.core.gossip_messages import BUCKETS, Entry, FlushReport, Position
from zmqgossip.core.outbox import Segment
from zmqgossip.core.types import FIRST_ID, PeerId
from zmqgossip.core.wire import NUMBER_MAX, bucket_of, position_hash

StreamKey = tuple[PeerId, int]
"""Origin and epoch: a process that starts again begins a new stream."""
_NEVER = -1e9
UNCHANGED = 1e18
"""For `unsaid_at`: all that there is was said."""
UNPLANNED = 1e18
"""For `planned`: the digests do not look at it at any time."""


@dataclass(slots=True, eq=False)
class Mark:
    """A mark that is not done here.

    Attributes:
        parent: key of the link that brought it, 0 when there is none, or it is gone; `parent_id` is what others are told.
        waiting: keys of the links that have not said that they are done, or have it of somebody else.
        asked: neighbours that were waited for at first, or were done already; `others_at` is when half of them were.
        flush: who it is for is counted.
        reports: of nodes that had it of this one: by who they are, because a link may be replaced and its report said again.
        slow: ids of neighbours that are not waited for.
    """

    parent: int
    parent_id: PeerId
    came_at: float
    waiting: dict[int, None]
    flush: bool = False
    asked: int = 0
    others_at: float | None = None
    reports: dict[PeerId, FlushReport] = field(default_factory=dict)
    slow: dict[PeerId, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Theirs:
    """What one neighbour last said of one stream."""

    contiguous: int
    done: int
    hops: int
    marks: dict[int, PeerId]
    moved_at: float = _NEVER  # when `contiguous` was seen to grow


class Gone(NamedTuple):
    """What a neighbour that no longer keeps the next number has: from `oldest` to `contiguous`, which is `messages` messages."""

    oldest: int
    contiguous: int
    messages: int


class Stream:
    """One stream. Numbers are of segments but for `messages`.

    Attributes:
        contiguous: up to here all is behind this node; 0 before its beginning is known.
        messages: msg_count of the last message up to there.
        highest: the largest number seen.
        oldest: from here to `contiguous` all is kept.
        hops: of the last segment that was pushed here first.
        theirs: what linked neighbours said of it, by key of the link.
        marks: those above `done`, by number.
        gone: by key of the link, what neighbours have where the next number is no longer kept.
        jumped_at: when it last went on behind something that was lost; until `lacks_until` a flush is told so.
        unsaid_at: of the first change that no digest has told of.
        due: when a digest is to tell of it; `planned` is when that is looked at, which may be sooner.
    """

    __slots__ = (
        "begun", "beyond", "bucket", "changed_at", "contiguous", "done", "due", "ending_at", "epoch", "faster", "flushes",
        "folded", "gone", "gone_since", "highest", "hops", "jumped_at", "kept", "kept_bytes", "key", "lacks_until", "marked_at", "marks",
        "messages", "oldest", "origin", "planned", "settled", "step", "theirs", "unsaid_at",
    )  # fmt: skip

    def __init__(self, origin: PeerId, epoch: int) -> None:
        self.origin = origin
        self.epoch = epoch
        self.key: StreamKey = (origin, epoch)
        self.bucket = bucket_of(origin)
        self.begun = False
        self.contiguous = 0
        self.messages = 0
        self.highest = 0
        self.oldest = 1
        self.kept: dict[int, bytes] = {}
        self.kept_bytes = 0
        self.beyond: dict[int, Segment] = {}
        self.hops = 0
        self.changed_at = self.jumped_at = self.lacks_until = self.marked_at = _NEVER
        self.unsaid_at = UNCHANGED
        self.due = 0.0
        self.planned = UNPLANNED
        self.step = 0.0
        self.theirs: dict[int, Theirs] = {}
        self.marks: dict[int, Mark] = {}
        self.done = 0
        self.flushes: dict[int, FlushReport] = {}
        self.faster: dict[int, int] = {}  # links that said fewer hops, how often in a row
        self.gone: dict[int, Gone] = {}
        self.gone_since = 0.0
        self.settled = False
        self.folded = 0
        self.ending_at: float | None = None

    def __contains__(self, number: int) -> bool:
        """Whether `number` was seen, or is behind this node without."""
        return number in self.beyond or (self.begun and number <= self.contiguous)

    @property
    def missing(self) -> int:
        """Numbers in gaps."""
        return max(0, self.highest - self.contiguous - len(self.beyond)) if self.begun else 0

    def begin(self, contiguous: int, messages: int) -> None:
        """Everything up to `contiguous` is behind this node, seen or not; 0: nothing is."""
        self.begun = True
        self.contiguous, self.messages = contiguous, messages
        self.done = contiguous
        self.oldest = contiguous + 1
        self.highest = max(self.highest, contiguous)
        self.marks = {number: mark for number, mark in self.marks.items() if number > contiguous}

    def ranges(self, upto: int, count_max: int) -> list[tuple[int, int]]:
        """The first ranges of numbers that are missing, none above `upto`."""
        found: list[tuple[int, int]] = []
        following = self.contiguous + 1
        for number in sorted(self.beyond):
            if number > upto or len(found) == count_max:
                break
            if number > following:
                found.append((following, number - 1))
            following = number + 1
        if following <= upto and len(found) < count_max:
            found.append((following, upto))
        return found

    @property
    def position(self) -> Position:
        return Position(self.origin, self.epoch, self.contiguous, self.messages)

    @property
    def entry(self) -> Entry:
        """What a digest says of it."""
        marks = [(number, mark.parent_id) for number, mark in self.marks.items()]
        return Entry(self.origin, self.epoch, self.contiguous, self.hops, self.done, marks, list(self.flushes.values()))


class Streams:
    """All streams that this node remembers, bounded; of those that are settled the one that was settled first goes first.

    Of a stream that is forgotten its position is remembered, again bounded: when it comes back, nothing is delivered twice.

    Attributes:
        own: the stream of this node, which is never forgotten.
        dropped: called with a stream that is not one of these any more.
        forgotten: streams that had no place any more.
        beyond_bytes, kept_bytes: of all streams together.
        root: of the hashes of all settled streams; `folds` are those of the 256 buckets.
    """

    __slots__ = (
        "_buckets", "_kept_max", "_lives", "_past", "_streams", "_streams_max", "begun", "beyond_bytes", "dropped", "folds", "forgotten",
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
        self.folds = [0] * BUCKETS
        self.root = 0

    # -- which there are --------------------------------------------------------------------------------------------------

    def begin(self, positions: Sequence[Position]) -> None:
        """Streams start behind their positions, all others, those to come too, at 0."""
        self.begun = True
        listed = {(one.origin, one.epoch): one for one in positions if 0 < one.contiguous < NUMBER_MAX}
        room = self._streams_max - len(self._streams)
        unknown = [key for key in listed if key not in self._streams]
        for origin, epoch in unknown[len(unknown) - min(room, len(unknown)) :]:  # the last ones, which were active last
            self.of(origin, epoch)
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
            self._past[stream.key] = stream.position
            if len(self._past) > self._streams_max:
                del self._past[next(iter(self._past))]
        self.dropped(stream)

    def get(self, origin: PeerId, epoch: int) -> Stream | None:
        """A stream that is known; asking makes and moves nothing."""
        return self._streams.get((origin, epoch))

    def past(self, origin: PeerId, epoch: int) -> int:
        """How far a stream was that has been forgotten; 0 of others."""
        position = self._past.get((origin, epoch))
        return 0 if position is None else position.contiguous

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

    def settle(self, stream: Stream) -> None:
        """It is quiet and the same everywhere: what neighbours said of it is forgotten."""
        assert not stream.settled and not stream.beyond and not stream.marks
        stream.settled = True
        self._streams[stream.key] = self._streams.pop(stream.key)  # to the end of the line for forgetting
        stream.theirs, stream.flushes, stream.gone, stream.faster = {}, {}, {}, {}
        stream.folded = position_hash(stream.origin, stream.epoch, stream.contiguous)
        self._fold(stream)

    def unsettle(self, stream: Stream) -> None:
        """Something of it has changed."""
        if stream.settled:
            stream.settled = False
            self._fold(stream)

    def _fold(self, stream: Stream) -> None:
        self.folds[stream.bucket] ^= stream.folded
        self.root ^= stream.folded


NOBODY = FIRST_ID
"""A parent that is gone, or never was: to every neighbour it is somebody else."""
