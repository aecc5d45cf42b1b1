"""Walks: two nodes find out which settled streams, or which members, they do not have alike.

Each probe, its reply and the word that a peer has its baseline carry one number that stands for all settled streams, and one for
all members. Where two differ, the one that notices asks for the numbers of the 256 buckets, then for what is in those that differ. It
pulls the streams that it lacks; what is believed of members is decided in `membership`. The other does the same from its side.

There are differences that no walk settles: a member that one holds dead, and that nobody reaches. So a walk that was led to by the
very numbers of the last one is made later each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zmqgossip.core.gossip_messages import BUCKETS, WALKED_MEMBERS_MAX, Position, Walk, Walked
from zmqgossip.core.members import Members
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Route
from zmqgossip.core.streams import Streams
from zmqgossip.core.view import Link

BUCKETS_ASKED_MAX = 16
"""Of streams, in one question."""
STREAMS_MAX = 1024
WALK_GAP_S = 0.5
"""Between two walks on one link."""
WALK_GAP_MAX_S = 60.0
"""And between two that the same numbers led to: each doubles the gap."""


@dataclass(slots=True)
class _Walk:
    """The last walk on one link: when, what numbers led to it, and how long the next one is put off if these do again.

    `is_open`: the numbers of the buckets are still to come.
    """

    at: float
    numbers: tuple[int, int]
    gap_s: float = WALK_GAP_S
    is_open: bool = True


class Walks:
    """One peer's walks, and its answers to those of others."""

    __slots__ = ("_members", "_node", "_streams", "_walked")

    def __init__(self, node: Node, streams: Streams, members: Members) -> None:
        self._node = node
        self._streams = streams
        self._members = members
        self._walked: dict[tuple[int, bool], _Walk] = {}  # by key of the link, and whether of members

    @property
    def roots(self) -> tuple[int, int]:
        """What is said to neighbours, of streams and of members; 0 of a table that has not everybody, and cannot be compared."""
        return self._streams.root, 0 if self._members.partial else self._members.root

    def compare(self, link: Link, settled: int, table: int, now: float) -> None:
        """A neighbour says what stands for its settled streams and for its members."""
        if not self._streams.begun or not link.connected:
            return
        if settled != self._streams.root:
            self._walk(link, (self._streams.root, settled), now, of_table=False)
        if table and not self._members.partial and table != self._members.root:
            self._walk(link, (self._members.root, table), now, of_table=True)

    def _walk(self, link: Link, numbers: tuple[int, int], now: float, *, of_table: bool) -> None:
        last = self._walked.get((link.key, of_table))
        same = last is not None and last.numbers == numbers
        if last is not None and now - last.at < (last.gap_s if same else WALK_GAP_S):
            return
        gap_s = min(2 * last.gap_s, WALK_GAP_MAX_S) if last is not None and same else WALK_GAP_S
        self._walked[link.key, of_table] = _Walk(now, numbers, gap_s)
        self._node.counters.add("walks.of_table" if of_table else "walks.begun")
        self._node.ask(link.key, Walk(link.theirs, [], of_table))

    def on_walk(self, body: Walk, route: Route, exchange: int) -> None:
        if body.table:
            self._node.answer(route, self._about_members(body), exchange)
        elif not body.buckets:
            self._node.answer(route, Walked(list(self._streams.folds), []), exchange)
        else:
            positions = [stream.position for bucket in body.buckets[:BUCKETS_ASKED_MAX] for stream in self._streams.in_bucket(bucket)]
            self._node.answer(route, Walked([], positions[-STREAMS_MAX:]), exchange)

    def _about_members(self, body: Walk) -> Walked:
        if not body.buckets:
            return Walked(list(self._members.folds), [], True)
        members = self._members.in_buckets(frozenset(body.buckets))
        return Walked([], [], True, members[:WALKED_MEMBERS_MAX])

    def on_walked(self, link: Link, body: Walked) -> Sequence[Position]:
        """How far streams are at the neighbour; of hashes, the buckets that differ are asked for."""
        if not self._streams.begun:
            self._node.counters.add("dropped.digest_before_baseline")
            return ()
        if len(body.hashes) == BUCKETS:
            walk = self._walked.get((link.key, body.table))
            if walk is None or not walk.is_open:  # or one small frame would have this peer ask sixteen questions, at any rate
                self._node.counters.add("dropped.walked_unasked")
                return ()
            walk.is_open = False
            folds = self._members.folds if body.table else self._streams.folds
            at_once = self._buckets_at_once if body.table else BUCKETS_ASKED_MAX
            differing = [bucket for bucket, (ours, theirs) in enumerate(zip(folds, body.hashes, strict=True)) if ours != theirs]
            for start in range(0, len(differing), at_once):
                self._node.ask(link.key, Walk(link.theirs, differing[start : start + at_once], body.table))
            return ()
        return body.streams

    @property
    def _buckets_at_once(self) -> int:
        """So many that the members in them fill half an answer: the neighbour may have more, and tombstones."""
        return max(1, min(BUCKETS, WALKED_MEMBERS_MAX // 2 * BUCKETS // (self._members.living_count + 1)))

    def link_lost(self, link: Link) -> None:
        for of_table in (False, True):
            self._walked.pop((link.key, of_table), None)
