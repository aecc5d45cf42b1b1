"""Publishing: what the application gives is packed into segments, and goes out as fast as everybody keeps up.

What came since the last turn shares a segment: under load thousands of messages one header, idle each goes at once. The *window* is what
may be under way and not acknowledged, in bytes and in segments: it grows with acknowledgements from 64 KiB up to what neighbours can keep
for repair and what the pipes hold, divided by the number of peers that publish. Beyond it messages wait here, and whoever publishes waits.

A flush sends an empty segment when all before it has gone, and asks again until those who have it are all that live and are ready, but
the slow. Few are under way at once: whoever flushes meanwhile shares the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice

from zmqgossip.core.backlog import Backlog, Publication
from zmqgossip.core.gossip_messages import FlushReport, Messages
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Flushed, Segment
from zmqgossip.core.stream import Stream
from zmqgossip.core.streams import Streams
from zmqgossip.core.types import PeerId, PeerRecord
from zmqgossip.core.wire import FLAG_FLUSH, FLAG_MARK, FLAG_MEMBERSHIP, encode_messages, life_hash

FLUSH_DUE = "flush due"
WINDOW_MIN = 65_536
MARKS_A_WINDOW = 4
"""Fewer make acknowledgements come in lumps, more cost digests: two a mark at every node."""
ACTIVE_S = 5.0
"""A stream that asked for a mark within this shares the window."""
COUNT_AGAIN_S = 0.1
"""Between two looks at how many publish."""
SAME_TIME_S = 0.005
"""Messages of one segment that were published within this have the time of the first: an eighth of the bytes of small ones."""
FLUSHES_UNDER_WAY = 4
"""Flush segments that are not done: whoever flushes meanwhile shares the next. More would crowd the digests of everybody."""
FLUSH_AGAIN_S = 0.05
"""Before a flush is sent again, or looked at again with another list of members."""
FLUSH_AGAIN_MAX_S = 0.5
CHOICES_MAX = 1024
"""Of those that are slow to somebody and have it all the same: so many are looked at, in a ms or two. That is all choices of ten peers."""
U64 = 1 << 64
Living = Callable[[], Sequence[PeerRecord]]
Knows = Callable[[PeerId], bool]
"""Whether somebody is held in the table, alive or gone."""


@dataclass(slots=True, eq=False)
class _Flush:
    """A flush that somebody waits for. `number` is that of its segment; 0 while it waits for those before it."""

    token: int
    until: float
    behind: int
    number: int = 0
    again_at: float = 0.0
    again_s: float = FLUSH_AGAIN_S
    judged_at: float = -FLUSH_AGAIN_S
    slow: tuple[PeerId, ...] = ()


@dataclass(slots=True)
class _Sent:
    """Segments that are under way, oldest first: number and bytes."""

    segments: deque[tuple[int, int]] = field(default_factory=deque)
    bytes: int = 0
    since_mark: int = 0
    segments_since_mark: int = 0


class Publisher:
    """One peer's own stream.

    Attributes:
        message_count: msg_count of the last message that was published.
        is_leaving: the window is not waited for any more.
    """

    __slots__ = (
        "_confirmed", "_counted_at", "_flushes", "_node", "_sent", "_sharing", "_streams", "_taken", "_waiting", "_window",
        "is_leaving", "message_count", "stream",
    )  # fmt: skip

    def __init__(self, me: PeerRecord, node: Node, streams: Streams) -> None:
        self._node = node
        self._streams = streams
        self.stream: Stream = streams.of(me.id, me.epoch)
        self.stream.begin(0, 0)
        streams.own = self.stream
        self._confirmed = 0  # the largest number that a neighbour has said it has
        self.message_count = 0
        self.is_leaving = False
        self._waiting = Backlog()
        self._taken = 0  # publications that were given, of which the last ones may wait
        self._window = WINDOW_MIN
        self._sent = _Sent()
        self._flushes: list[_Flush] = []
        self._sharing = 1
        self._counted_at = -COUNT_AGAIN_S

    @property
    def number(self) -> int:
        """Of the last segment."""
        return self.stream.highest

    @property
    def wants_more(self) -> bool:
        """Nothing waits for the window."""
        return not self._waiting

    @property
    def waiting_bytes(self) -> int:
        """What waits for the window."""
        return self._waiting.bytes

    @property
    def unconfirmed_count(self) -> int:
        """Messages that no neighbour is known to have."""
        return len(self._waiting) + (self._count_above(self._confirmed) if self._confirmed < self.number else 0)

    def confirmed(self, number: int) -> None:
        """A neighbour has all up to `number`; it may go, that stays true."""
        self._confirmed = max(self._confirmed, number)

    def _count_above(self, number: int) -> int:
        frames = [frame for at, frame in self.stream.kept.items() if at > number]
        headers = [self._node.codec.decode_segment(frame) for frame in frames]
        return sum(header.message_count for header in headers)

    # -- messages ---------------------------------------------------------------------------------------------------------

    def give(self, batch: Sequence[Publication]) -> None:
        """Takes publications, which were checked before."""
        self._waiting.add(batch)
        self._taken += len(batch)

    def next_segment(self, me: PeerRecord, now: float) -> Segment | None:
        """The next segment to go out: messages if the window has room for them, or a flush whose turn has come."""
        if self._flushes and self._may_flush():
            return self._flush_segment(me)
        if not self._waiting or not self._has_room(now):
            return None
        topics, payloads, times = self._waiting.take(self._node.config.segment_bytes_max)
        flags = FLAG_MARK if self._wants_mark(sum(map(len, payloads)), now) else 0
        column = topics[:1] if topics.count(topics[0]) == len(topics) else topics
        stamps = times if times[-1] - times[0] > SAME_TIME_S else times[:1]
        body = encode_messages(Messages(me.host, me.port, stamps, column, payloads))
        segment = self._segment(me, len(payloads), flags, body)
        self._node.counters.add("published.messages", len(payloads))
        return segment

    def notices(self, me: PeerRecord, body: bytes) -> Segment:
        """A membership change: it waits for no window."""
        return self._segment(me, 0, FLAG_MEMBERSHIP, body)

    def _segment(self, me: PeerRecord, count: int, flags: int, body: bytes) -> Segment:
        node, number = self._node, self.number + 1
        frame = node.codec.encode_segment(me.id, me.epoch, number, self.message_count + 1, count, flags, body)
        self.message_count += count
        self._sent.segments.append((number, len(frame)))
        self._sent.bytes += len(frame)
        self._sent.since_mark = 0 if flags & FLAG_MARK else self._sent.since_mark + len(frame)
        self._sent.segments_since_mark = 0 if flags & FLAG_MARK else self._sent.segments_since_mark + 1
        node.outbox.publish(frame)
        node.counters.add("published.segments")
        return Segment(frame, node.codec.decode_segment(frame), None)

    # -- the window -------------------------------------------------------------------------------------------------------

    def _limits(self, now: float) -> tuple[int, int]:
        """Bytes and segments that may be under way."""
        config = self._node.config
        if now - self._counted_at >= COUNT_AGAIN_S:
            others = sum(now - stream.marked_at < ACTIVE_S for stream in self._streams.all() if stream is not self.stream)
            self._sharing, self._counted_at = others + 1, now
        bytes_max = min(self._window, config.kept_bytes_max // 2 // self._sharing)
        return max(bytes_max, 1), max(config.pipe_segments // 2 // self._sharing, 1)

    def _has_room(self, now: float) -> bool:
        """Whether another segment may go. One may always where none under way has a mark: it carries one, or nothing would make room.

        That happens when others begin to publish and the window shrinks below what is under way, and to notices, which have no marks.
        """
        bytes_max, segments_max = self._limits(now)
        sent = self._sent
        if self.is_leaving or sent.segments_since_mark >= len(sent.segments):
            return True
        return sent.bytes < bytes_max and len(sent.segments) < segments_max

    def _wants_mark(self, size: int, now: float) -> bool:
        """When half of the window is under way, on the first segment past each quarter of it, and on the one that fills it.

        Before that nobody is near to waiting, and every mark costs each node two digests.
        """
        if self.is_leaving:  # nobody is waited for, and more marks than a digest holds would make it unreadable
            return False
        bytes_max, segments_max = self._limits(now)
        sent = self._sent
        under_way, total = sent.bytes + size, len(sent.segments) + 1
        if under_way >= bytes_max or total >= segments_max:
            return True
        if under_way < bytes_max // 2 and total < segments_max // 2:
            return False
        return sent.since_mark + size >= bytes_max // MARKS_A_WINDOW or sent.segments_since_mark >= segments_max // MARKS_A_WINDOW

    def acknowledged(self) -> None:
        """Marks of this stream are done: what is up to them is at everybody who is not slow."""
        done, sent = self.stream.done, self._sent
        freed = 0
        while sent.segments and sent.segments[0][0] <= done:
            freed += sent.segments.popleft()[1]
        sent.bytes -= freed
        self._window = min(self._window + freed, self._node.config.kept_bytes_max // 2)

    # -- flush ------------------------------------------------------------------------------------------------------------

    def flush(self, token: int, timeout_s: float, now: float) -> None:
        self._flushes.append(_Flush(token, now + timeout_s, self._taken))
        self._arm(now)

    @property
    def flushes_open(self) -> int:
        """Flushes that have not ended."""
        return len(self._flushes)

    def _arm(self, now: float) -> None:
        if self._flushes:
            due = min(min(flush.again_at, flush.until) if flush.again_at > now else flush.until for flush in self._flushes)
            self._node.timers.set((FLUSH_DUE, 0), due)

    def _may_flush(self) -> bool:
        """Whether the turn of a flush has come: all before it has gone out, and few others are under way."""
        behind = self._taken - len(self._waiting)
        wanted = any(not flush.number and flush.behind <= behind for flush in self._flushes)
        return wanted and sum(mark.flush for mark in self.stream.marks.values()) < FLUSHES_UNDER_WAY

    def _flush_segment(self, me: PeerRecord) -> Segment:
        """One segment for all flushes whose turn has come."""
        segment = self._segment(me, 0, FLAG_MARK | FLAG_FLUSH, b"")
        behind = self._taken - len(self._waiting)
        for flush in self._flushes:
            if not flush.number and flush.behind <= behind:
                flush.number = segment.header.number
        return segment

    def look_at_flushes(self, living: Living, knows: Knows, now: float) -> None:
        """Ends those that everybody has, or whose time is over; the others are sent again soon.

        One that is slow and unknown here may be ready, and lack it: that flush is not complete.
        """
        everybody: Sequence[PeerRecord] | None = None
        for flush in list(self._flushes):
            report = self.stream.flushes.get(flush.number) if flush.number else None
            if report is not None and now >= flush.judged_at + FLUSH_AGAIN_S:
                flush.judged_at = now
                everybody = living() if everybody is None else everybody
                missed = who_missed(report, everybody) if all(map(knows, report.slow)) else None
                if missed is not None:
                    self._end(flush, complete=True, slow=missed)
                    continue
                flush.slow = tuple(report.slow)
            if 0 < flush.number <= self.stream.done and flush.again_at == 0.0:  # also where its report was crowded out
                flush.again_at = now + flush.again_s
                flush.again_s = min(2 * flush.again_s, FLUSH_AGAIN_MAX_S)
            if flush.until <= now:
                self._end(flush, complete=False, slow=flush.slow)
            elif 0.0 < flush.again_at <= now:
                flush.number, flush.again_at, flush.judged_at = 0, 0.0, -FLUSH_AGAIN_S
        self._arm(now)

    def _end(self, flush: _Flush, *, complete: bool, slow: tuple[PeerId, ...]) -> None:
        self._flushes.remove(flush)
        self._node.outbox.flushed(Flushed(flush.token, complete, slow))
        self._node.counters.add("flushes.complete" if complete else "flushes.incomplete")

    def end_flushes(self) -> None:
        """This peer leaves: nobody hears of it any more."""
        for flush in list(self._flushes):
            self._end(flush, complete=False, slow=flush.slow)


def who_missed(report: FlushReport, everybody: Sequence[PeerRecord]) -> tuple[PeerId, ...] | None:
    """The slow ones that do not have it, if all others do; None if somebody else lacks it.

    A slow neighbour of one node may have it of another. How many have is known, so every choice of so many is tried, up to a limit.
    """
    hashes = {record.id: life_hash(record.id, record.epoch) for record in everybody}
    wanted = (sum(hashes.values()) - report.total) % U64
    named = [peer for peer in report.slow if peer in hashes]
    have_count = len(named) - (len(everybody) - report.count)
    if not 0 <= have_count <= len(named):
        return None
    surplus = (sum(hashes[peer] for peer in named) - wanted) % U64
    for have in islice(combinations(named, have_count), CHOICES_MAX):
        if sum(hashes[peer] for peer in have) % U64 == surplus:
            return tuple(peer for peer in named if peer not in have)
    return None
