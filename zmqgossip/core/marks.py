"""Marks: how an origin learns that everybody has what it sent. An echo, as in Segall's propagation of information with feedback
(A. Segall, Distributed network protocols, IEEE Transactions on Information Theory 29(1), 1983), over whatever way a segment took.

A mark is a flag of a segment. Its *parent* at a node is the neighbour that brought that very segment first, by push or by pull.
Nobody passes on what it does not have, so parents never form a ring. A node is done with a mark when all up to it is behind it, and each
neighbour that had its baseline when the mark came is done too, or has the mark of somebody else. What a node says of its marks stands in
its digests; a parent that is gone is never exchanged for another: the node says *nobody*, which is somebody else to everyone.

A flush is a mark on an empty segment. With its echo go up the number of nodes below, and the sum of the hashes of who they are, so that its
origin knows whether they are all that live. A neighbour that is slow is not waited for, and named; who has lost something names itself.
"""

from __future__ import annotations

from zmqgossip.core.digests import Digests
from zmqgossip.core.gossip_messages import MARKS_MAX, Entry, FlushReport
from zmqgossip.core.node import Node
from zmqgossip.core.stream import NOBODY, Mark, Stream, Theirs
from zmqgossip.core.streams import Streams
from zmqgossip.core.types import PeerId
from zmqgossip.core.view import Link, View
from zmqgossip.core.wire import life_hash

HOLD_DUE = "hold due"
FLUSHES_KEPT = 8
"""Reports of flushes that are repeated: one that a neighbour has missed is made up for by the next digest."""
SLOW_NAMED_MAX = 256
QUIET_S = 1.0
"""A neighbour that lacks something says so once a second at least."""
LACKS_S = 20.0
"""A node that lost messages of a stream names itself as one that lacks some in the first flush after that, and so much longer: the
flush may be sent again."""
U64 = 1 << 64


class Marks:
    """One peer's marks: of its own stream, and of all others."""

    __slots__ = ("_digests", "_is_full", "_is_holding", "_me", "_node", "_own_hash", "_streams", "_view")

    def __init__(self, me: PeerId, epoch: int, node: Node, view: View, streams: Streams, digests: Digests) -> None:
        self._me = me
        self._own_hash = life_hash(me, epoch)
        self._node = node
        self._view = view
        self._streams = streams
        self._digests = digests
        self._is_full = self._is_holding = False  # the application's queue; and whether that keeps others waiting

    # -- coming -----------------------------------------------------------------------------------------------------------

    def came(self, stream: Stream, number: int, bringer: Link | None, now: float, *, flush: bool, is_leaf: bool) -> None:
        """A segment with a mark is here for the first time.

        Args:
            bringer: None for this peer's own.
            is_leaf: nobody takes this bucket here, so nobody gets it by a push. Then only those are waited for that are far behind, which
                saves a round of digests. A flush waits for all, or its count would miss who pulls it here.
        """
        if number <= stream.done or number in stream.marks:
            return
        if len(stream.marks) >= MARKS_MAX and bringer is not None:
            self._node.counters.add("dropped.marks_full")
            return
        key, parent = (bringer.key, bringer.peer.id) if bringer is not None else (0, self._me)
        mark = Mark(key, parent, now, {}, flush)
        for link in self._view.synced():
            if link.key == key or link.leaving:
                continue
            is_slow = link.slow or self._is_away(stream, number, link, now)
            mark.asked += not is_slow
            if is_slow:
                mark.slow[link.peer.id] = None
            elif self._waits_for(stream, number, link) and not (is_leaf and not flush and self._may_pass(stream, number, link, now)):
                mark.waiting[link.key] = None
        stream.marks[number] = mark
        _look_at_others(mark, now)
        stream.marked_at = now
        self._digests.hurry(stream, now)

    def _waits_for(self, stream: Stream, number: int, link: Link) -> bool:
        theirs = stream.theirs.get(link.key)
        if theirs is None:
            return True
        if theirs.done >= number:
            return False
        if number in theirs.marks:
            return theirs.marks[number] == self._me
        return theirs.contiguous < number  # else it has jumped over it, and takes no part

    def _is_away(self, stream: Stream, number: int, link: Link, now: float) -> bool:
        """Whether a neighbour is as good as slow for a node that has not had to wait for it yet: far behind, and silent for long."""
        theirs = stream.theirs.get(link.key)
        if theirs is None or self._is_near(theirs, number):
            return False
        return now - max(theirs.moved_at, link.last_heard) > self._node.config.slow_after_s

    def _may_pass(self, stream: Stream, number: int, link: Link, now: float) -> bool:
        """Whether a leaf need not wait for a neighbour: it was within a window when it last spoke, and what it lacks is kept here until it
        says so; or it says nothing at all, and whoever is its parent finds out that it is slow.
        """
        theirs = stream.theirs.get(link.key)
        return (theirs is not None and self._is_near(theirs, number)) or now - link.last_heard > QUIET_S

    def _is_near(self, theirs: Theirs, number: int) -> bool:
        """Within a window of that number when it last spoke."""
        return theirs.contiguous + self._node.config.pipe_segments // 2 >= number

    # -- what neighbours say ----------------------------------------------------------------------------------------------

    def heard(self, link: Link, stream: Stream, entry: Entry, now: float) -> None:
        """A neighbour says how its marks are; it stands in `stream.theirs` already."""
        for report in entry.flushes:
            mark = stream.marks.get(report.mark)
            if mark is not None and report.parent == self._me:
                mark.reports[link.peer.id] = report
        for number, mark in stream.marks.items():
            if link.key in mark.waiting and not self._waits_for(stream, number, link):
                del mark.waiting[link.key]
                _look_at_others(mark, now)

    def link_lost(self, link: Link, now: float) -> None:
        """Nobody waits for a link that is gone; what it has brought has no parent any more."""
        for stream in self._streams.all():
            stream.theirs.pop(link.key, None)
            for mark in stream.marks.values():
                mark.waiting.pop(link.key, None)
                _look_at_others(mark, now)
                if mark.parent == link.key:
                    mark.parent, mark.parent_id = 0, NOBODY
                    self._digests.hurry(stream, now)
            self.settle(stream, now)

    def let_go(self, link: Link, now: float) -> None:
        """A neighbour is slow: it is named instead of waited for."""
        for stream in self._streams.all():
            for mark in stream.marks.values():
                if mark.waiting.pop(link.key, None) is not None:
                    mark.slow[link.peer.id] = None
                    _look_at_others(mark, now)
            self.settle(stream, now)

    # -- being done -------------------------------------------------------------------------------------------------------

    def settle(self, stream: Stream, now: float) -> bool:
        """Whether marks that were waited for are done now."""
        before = stream.done
        while stream.marks:
            number = min(stream.marks)
            mark = stream.marks[number]
            if number > stream.contiguous or mark.waiting or self._holds(mark):
                break
            del stream.marks[number]
            stream.done = number
            if mark.flush:
                self._report(stream, number, mark, now)
        if stream.done == before:
            return False
        self._digests.hurry(stream, now)
        return True

    def _holds(self, mark: Mark) -> bool:
        """The application's queue is full: what it has not got is not acknowledged. One's own stream it does not get."""
        return self._is_holding and mark.parent_id != self._me

    def _report(self, stream: Stream, number: int, mark: Mark, now: float) -> None:
        mine = stream.origin != self._me
        count, total = int(mine), self._own_hash if mine else 0
        slow = dict(mark.slow)
        for report in mark.reports.values():
            count += report.count
            total += report.total
            slow |= dict.fromkeys(report.slow)
        if mine and mark.came_at <= stream.lacks_until:  # it lost something that was published before this flush
            count, total = count - 1, total - self._own_hash
            slow[self._me] = None
            stream.lacks_until = min(stream.lacks_until, now + LACKS_S)
        named = list(slow)[-SLOW_NAMED_MAX:]
        stream.flushes[number] = FlushReport(number, mark.parent_id, count % U64, total % U64, named)
        if len(stream.flushes) > FLUSHES_KEPT:
            del stream.flushes[next(iter(stream.flushes))]

    # -- the application's queue ------------------------------------------------------------------------------------------

    def hold(self, now: float) -> None:
        """The application's queue is full: nothing of others is acknowledged, for as long as a slow neighbour is waited for."""
        if not self._is_full:
            self._is_full = self._is_holding = True
            self._node.timers.set((HOLD_DUE, 0), now + self._node.config.slow_after_s)
            self._node.counters.add("application.full")

    def postpone(self, now: float) -> None:
        """This node was away, and its application too: it is waited for anew."""
        if self._is_holding:
            self._node.timers.set((HOLD_DUE, 0), now + self._node.config.slow_after_s)

    def release(self, now: float) -> None:
        """It has room again."""
        self._is_full = False
        self._node.timers.cancel((HOLD_DUE, 0))
        self.hold_no_longer(now)

    def hold_no_longer(self, now: float) -> None:
        """It was waited for long enough: until it has room it loses what is oldest, by name."""
        if self._is_holding:
            self._is_holding = False
            for stream in self._streams.all():
                self.settle(stream, now)


def _look_at_others(mark: Mark, now: float) -> None:
    """Notes when half of those that were asked are done: the rest is measured by them."""
    if mark.others_at is None and 2 * len(mark.waiting) <= mark.asked:
        mark.others_at = now
