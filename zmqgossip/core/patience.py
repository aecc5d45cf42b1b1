"""Patience: how long a neighbour is waited for before it is slow.

Whoever waits for a mark for 100 ms asks each neighbour that it waits for how it stands: digests ride a pipe that may drop. The time
in which others waited for a neighbour is added up; more than `slow_after_s` of the last four times that, and it is slow: not waited
for any more, for a second at least, until it is within half a window again. A neighbour is judged by its own number or its silence,
never by what those behind it lack; and by its number only while it does not move, or is far behind the others: who creeps is slow, and
not who is the last of all that work as hard as they can. But who is not done with one mark for three times `slow_after_s` is slow
whatever it says.
"""

from __future__ import annotations

from zmqgossip.core.events import NeighbourCaughtUp, NeighbourSlow
from zmqgossip.core.marks import Marks
from zmqgossip.core.node import Node
from zmqgossip.core.repair import Repair
from zmqgossip.core.stream import Stream
from zmqgossip.core.streams import Streams
from zmqgossip.core.view import Link, View

PATIENCE_DUE = "patience due"
LOOK_S = 0.1
SILENT_S = 0.5
"""Without an answer, or without a number more: five looks, and as many chances."""
ASK_AGAIN_MAX_S = 1.0
AGAIN_S = 1.0
"""So long who was found slow stays so: it must not be told of ten times a second."""
STUCK = 3
"""Times `slow_after_s`: who has a mark and is not done with it so long after has neither found its own slow neighbours nor jumped."""
STUCK_HOP = 0.1
"""So many times `slow_after_s` less for each hop that a mark has gone: who is nearest to the trouble shall find it, and nobody before."""
STUCK_AGAIN_S = 60.0
"""So long who was stuck is not waited for again."""
MEMORY = 4
"""Times `slow_after_s`: a neighbour that creeps is as slow as one that stands still."""


class Patience:
    """One peer's waiting."""

    __slots__ = ("_looked_at", "_marks", "_node", "_repair", "_streams", "_view")

    def __init__(self, node: Node, view: View, streams: Streams, marks: Marks, repair: Repair) -> None:
        self._node = node
        self._view = view
        self._streams = streams
        self._marks = marks
        self._repair = repair
        self._looked_at = 0.0

    def begin(self, now: float) -> None:
        """A mark has come: it may have to be waited for."""
        if self._node.timers.when((PATIENCE_DUE, 0)) is None:
            self._looked_at = now
            self._node.timers.set((PATIENCE_DUE, 0), now + LOOK_S)

    def due(self, now: float) -> None:
        """Asks those that are waited for, and finds those that are slow."""
        waiting = [(stream, mark) for stream in self._streams.all() for mark in stream.marks.values() if mark.waiting]
        elapsed = min(now - self._looked_at, 2 * LOOK_S)  # who was away itself has not waited
        away_s = now - self._looked_at - elapsed
        self._looked_at = now
        behind: dict[int, list[Stream]] = {}
        for stream, mark in waiting:
            mark.came_at += away_s
            mark.others_at = None if mark.others_at is None else mark.others_at + away_s
            for key in mark.waiting:
                streams = behind.setdefault(key, [])
                if now - mark.came_at >= LOOK_S and stream not in streams:
                    streams.append(stream)
        for key, streams in behind.items():
            link = self._view.by_key(key)
            if link is not None and streams:
                self._wait_for(link, streams, elapsed, now)
        for link in self._view.up():
            if link.key not in behind:  # an answer that has not come is not missed any more
                link.asked_at = None
        if any(stream.marks for stream in self._streams.all()):
            self._node.timers.set((PATIENCE_DUE, 0), now + LOOK_S)

    def _wait_for(self, link: Link, streams: list[Stream], elapsed: float, now: float) -> None:
        if link.asked_at is None or now >= link.asked_again_at:
            if link.asked_at is None:
                link.asked_at = now
            link.asked_again_at = now + min(2 * max(now - link.asked_at, LOOK_S), ASK_AGAIN_MAX_S)
            self._repair.ask_how(link, streams[:64])
        if any(self._is_stuck(link, stream, now) for stream in streams):
            self._slow(link, now, STUCK_AGAIN_S)
            return
        silent_s = now - link.asked_at
        if silent_s <= SILENT_S and not any(self._is_late(link, stream, now) for stream in streams):
            return
        if SILENT_S < silent_s <= SILENT_S + elapsed:
            elapsed += SILENT_S  # it was silent all the time
        after, horizon = self._node.config.slow_after_s, now - MEMORY * self._node.config.slow_after_s
        link.waited = [(at, spent) for at, spent in link.waited if at > horizon]
        link.waited.append((now, elapsed))
        if sum(spent for _, spent in link.waited) > after:
            self._slow(link, now, AGAIN_S)

    def _is_stuck(self, link: Link, stream: Stream, now: float) -> bool:
        """Whether it is waited for with a mark for longer than any honest node takes, whatever it says."""
        limit = self._node.config.slow_after_s * (STUCK - STUCK_HOP * min(stream.hops, 10))
        return any(link.key in mark.waiting and now - mark.came_at > limit for mark in stream.marks.values())

    @staticmethod
    def _is_late(link: Link, stream: Stream, now: float) -> bool:
        """Whether it lacks the oldest mark that it is waited for with, and that is its own fault: it does not move, or has taken twice
        as long as half of the others by now. Whoever publishes flat out always waits for somebody; that alone makes nobody slow.
        """
        theirs = stream.theirs.get(link.key)
        number = min((number for number, mark in stream.marks.items() if link.key in mark.waiting), default=0)
        if not number or (theirs is not None and theirs.contiguous >= number):
            return False
        mark = stream.marks[number]
        if now - mark.came_at >= SILENT_S and (theirs is None or now - theirs.moved_at >= SILENT_S):
            return True
        return mark.asked > 1 and mark.others_at is not None and now - mark.came_at >= 2 * (mark.others_at - mark.came_at) + LOOK_S

    def _slow(self, link: Link, now: float, again_s: float) -> None:
        link.slow, link.slow_until = True, now + again_s
        self._node.counters.add("neighbours.slow")
        self._node.outbox.event(NeighbourSlow(link.peer))
        self._marks.let_go(link, now)

    def answered(self, link: Link) -> None:
        link.asked_at = None

    def heard(self, link: Link, now: float) -> None:
        """A slow neighbour is waited for again when all that is unsettled is within half a window there.

        What it cost before is not forgotten: one that creeps right behind the others is slow again after its first delay.
        """
        if not link.slow or now < link.slow_until:
            return
        near = self._node.config.pipe_segments // 4
        for stream in self._streams.all():
            theirs = stream.theirs.get(link.key)
            if not stream.settled and theirs is not None and theirs.contiguous + near < stream.contiguous:
                return
        link.slow = False
        self._node.outbox.event(NeighbourCaughtUp(link.peer))
