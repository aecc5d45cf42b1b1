"""One stream: the segments of one life of one process, numbered from 1, as far as they are here; what neighbours say of it; its marks.

Up to `contiguous` all is behind this node, so telling a duplicate costs memory per stream and not per message. What came out of turn
waits in `beyond` until the gap closes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from zmqgossip.core.gossip_messages import Entry, FlushReport, Position
from zmqgossip.core.outbox import Segment
from zmqgossip.core.types import FIRST_ID, PeerId
from zmqgossip.core.wire import bucket_of

StreamKey = tuple[PeerId, int]
"""Origin and epoch: a process that starts again begins a new stream."""
_NEVER = -1e9
UNCHANGED = 1e18
"""For `unsaid_at`: all that there is was said."""
UNPLANNED = 1e18
"""For `planned`: the digests do not look at it at any time."""
NOBODY = FIRST_ID
"""A parent that is gone, or never was: to every neighbour it is somebody else."""


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
        pulled: what the last answers to pulls brought and nobody has pushed: in those before the last one, and in that.
        unsaid_at: of the first change that no digest has told of.
        fades_at: when it would fade where the baseline came from, if nothing more of it comes.
        due: when a digest is to tell of it; `planned` is when that is looked at, which may be sooner.
    """

    __slots__ = (
        "begun", "beyond", "bucket", "changed_at", "contiguous", "done", "due", "ending_at", "epoch", "fades_at", "faster", "flushes",
        "folded", "gone", "gone_since", "highest", "hops", "jumped_at", "kept", "kept_bytes", "key", "lacks_until", "marked_at", "marks",
        "messages", "oldest", "origin", "planned", "pulled", "settled", "step", "theirs", "unsaid_at",
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
        self.fades_at = math.inf
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
        self.pulled: tuple[dict[int, None], dict[int, None]] = ({}, {})
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
