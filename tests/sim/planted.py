"""Bugs that are planted on purpose: each takes one method away and puts one in its place that is wrong in a way somebody might write.

The swarm must find every one of them within SEEDS_MAX seeds, or it would not find its like if somebody did write it. Patches are made
by tests only, and in one process.

    python -m tests.sim.planted           the first seed that finds each
    python -m tests.sim.planted dedup     of those whose name has that word
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from zmqgossip.core.gossip_messages import Position
from zmqgossip.core.marks import Marks
from zmqgossip.core.members import Change, Members
from zmqgossip.core.outbox import Segment
from zmqgossip.core.stream import Stream
from zmqgossip.core.streams import Streams
from zmqgossip.core.trees import Trees
from zmqgossip.core.types import Member, PeerRecord, PeerState
from zmqgossip.core.view import Link
from zmqgossip.sim import swarm
from zmqgossip.sim.world import Violation

SEEDS_MAX = 200
REST_S = 30.0
"""Until everything must be right: less than the swarm gives, since a bug uses all of it. Seeds that need more do not count."""


@dataclass(frozen=True)
class Bug:
    """One method that is wrong.

    Attributes:
        found_at: a seed of the swarm that has found it.
    """

    name: str
    owner: type
    method: str
    wrong: Callable[[Any], Any]  # makes the wrong method out of the right one
    found_at: int

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(self.owner, self.method, self.wrong(getattr(self.owner, self.method)))


# -- dedup ----------------------------------------------------------------------------------------------------------------


def _known_is_what_is_kept(_: Any) -> Any:
    """What was evicted, or given up in a jump, is new when it comes again."""

    def contains(self: Stream, number: int) -> bool:
        return number in self.beyond or number in self.kept or (self.begun and not self.kept and number <= self.contiguous)

    return contains


def _forgets_where_a_stream_was(right: Any) -> Any:
    """A stream that had to make room begins at 0 when it comes back."""

    def drop(self: Streams, stream: Stream) -> None:
        right(self, stream)
        self._past.pop(stream.key, None)

    return drop


# -- ordering -------------------------------------------------------------------------------------------------------------


def _releases_as_they_came(_: Any) -> Any:
    """Of two gaps that close at once, what waited is handed on in the order of its coming."""

    def advance(self: Streams, stream: Stream) -> list[Segment]:
        last = stream.contiguous
        while last + 1 in stream.beyond:
            last += 1
        released = [segment for number, segment in stream.beyond.items() if number <= last]
        for segment in released:
            self.beyond_bytes -= len(segment.frame)
            del stream.beyond[segment.header.number]
        for number, segment in sorted((one.header.number, one) for one in released):
            stream.contiguous = number
            self.keep(stream, number, segment.frame)
        return released

    return advance


# -- repair ---------------------------------------------------------------------------------------------------------------


def _gives_all_but_the_newest(right: Any) -> Any:
    """A pull is answered up to the last number, without it, where that is the newest."""

    def held(stream: Stream, ranges: Sequence[tuple[int, int]], bytes_max: int) -> list[bytes]:
        return right(
            stream, [(first, min(last, stream.contiguous - 1) if not stream.beyond else last) for first, last in ranges], bytes_max
        )  # type: ignore[no-any-return]

    return staticmethod(held)


# -- marks ----------------------------------------------------------------------------------------------------------------


def _does_not_wait_for_children(right: Any) -> Any:
    """A neighbour that has the mark is done with it, though those behind it are not."""

    def waits_for(self: Marks, stream: Stream, number: int, link: Link) -> bool:
        theirs = stream.theirs.get(link.key)
        return right(self, stream, number, link) and (theirs is None or theirs.contiguous < number)  # type: ignore[no-any-return]

    return waits_for


def _is_done_in_spite_of_a_gap(_: Any) -> Any:
    """A mark beyond a gap is done when the neighbours are."""

    def settle(self: Marks, stream: Stream, now: float) -> bool:
        before = stream.done
        while stream.marks:
            number = min(stream.marks)
            mark = stream.marks[number]
            if number > stream.highest or mark.waiting or self._holds(mark):
                break
            del stream.marks[number]
            stream.done = number
            if mark.flush:
                self._report(stream, number, mark, now)
        if stream.done == before:
            return False
        self._digests.hurry(stream, now)
        return True

    return settle


# -- prune ----------------------------------------------------------------------------------------------------------------


def _prunes_the_last_parent(_: Any) -> Any:
    """The one that is to be pruned is counted among those that are left."""

    def latest(self: Trees, number: int, now: float) -> Link | None:
        eager = [link for link in self._view.up() if number not in link.lazy]
        if self._is_active(number, now) and len(eager) < self._parents_wanted(number, now):
            return None
        return max(eager, key=lambda link: link.copies.get(number, 0), default=None)

    return latest


# -- tombstones -----------------------------------------------------------------------------------------------------------


def _old_news_revives(right: Any) -> Any:
    """A record that is no newer than a tombstone counts, as if it came from its owner just now."""

    def compare(held: Member, record: PeerRecord, state: PeerState) -> Any:
        if held.state in (PeerState.DEAD, PeerState.LEFT) and state is PeerState.ALIVE:
            return Change.REVIVED
        return right(held, record, state)

    return staticmethod(compare)


# -- baseline -------------------------------------------------------------------------------------------------------------


def _begins_one_too_high(right: Any) -> Any:
    """The position of a stream is taken for the number that comes next."""

    def begin(self: Streams, positions: Sequence[Position], past: Sequence[Position]) -> None:
        right(self, [Position(one.origin, one.epoch, one.contiguous + 1, one.messages) for one in positions], past)

    return begin


BUGS = (
    Bug("dedup: known is what is kept", Stream, "__contains__", _known_is_what_is_kept, 4),
    Bug("dedup: forgets where a stream was", Streams, "drop", _forgets_where_a_stream_was, 132),
    Bug("ordering: releases as they came", Streams, "advance", _releases_as_they_came, 3),
    Bug("repair: gives all but the newest", Streams, "held", _gives_all_but_the_newest, 2),
    Bug("marks: does not wait for children", Marks, "_waits_for", _does_not_wait_for_children, 1),
    Bug("marks: done in spite of a gap", Marks, "settle", _is_done_in_spite_of_a_gap, 39),
    Bug("prune: the last parent", Trees, "_latest", _prunes_the_last_parent, 4),
    Bug("tombstones: old news revives", Members, "_compare", _old_news_revives, 14),
    Bug("baseline: one too high", Streams, "begin", _begins_one_too_high, 1),
)


def first_seed(bug: Bug, seeds: Sequence[int] = range(1, SEEDS_MAX + 1)) -> tuple[int, str]:
    """The first of these seeds that finds a bug, and what it said; 0 if none does. Seeds that fail without the bug do not count."""
    for seed in seeds:
        with pytest.MonkeyPatch.context() as patch:
            bug.plant(patch)
            words = said(seed)
        if words and not said(seed):
            return seed, words
    return 0, ""


def said(seed: int) -> str:
    """What is wrong with a seed; "" if nothing is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swarm, "REST_S", REST_S)
        try:
            swarm.play(seed)
        except Violation as violation:
            return str(violation)
    return ""


if __name__ == "__main__":
    for bug in BUGS:
        if not sys.argv[1:] or sys.argv[1] in bug.name:
            seed, text = first_seed(bug)
            lines = text.splitlines()[4:7]
            print(f"{bug.name:40} {seed:4}  {' | '.join(lines)[:200]}", flush=True)  # noqa: T201
