"""Walks: two nodes find out which settled streams they do not have alike.

Each probe, its reply and the word that a peer has its baseline carry one number that stands for all settled streams. Where two
differ, the one that notices asks for the numbers of the 256 buckets, then for the streams of those that differ, and pulls what it
lacks. The other does the same from its side.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core.gossip_messages import BUCKETS, Position, Walk, Walked
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Route
from zmqgossip.core.streams import Streams
from zmqgossip.core.view import Link

BUCKETS_ASKED_MAX = 16
STREAMS_MAX = 1024
WALK_GAP_S = 0.5
"""Between two walks on one link."""


class Walks:
    """One peer's walks, and its answers to those of others."""

    __slots__ = ("_node", "_streams", "_walked_at")

    def __init__(self, node: Node, streams: Streams) -> None:
        self._node = node
        self._streams = streams
        self._walked_at: dict[int, float] = {}

    def compare(self, link: Link, root: int, now: float) -> None:
        """A neighbour says what stands for its settled streams."""
        if root == self._streams.root or not self._streams.begun or not link.connected:
            return
        if now - self._walked_at.get(link.key, -WALK_GAP_S) < WALK_GAP_S:
            return
        self._walked_at[link.key] = now
        self._node.counters.add("walks.begun")
        self._node.ask(link.key, Walk(link.theirs, []))

    def on_walk(self, body: Walk, route: Route, exchange: int) -> None:
        if not body.buckets:
            self._node.answer(route, Walked(list(self._streams.folds), []), exchange)
            return
        positions = [stream.position for bucket in body.buckets[:BUCKETS_ASKED_MAX] for stream in self._streams.in_bucket(bucket)]
        self._node.answer(route, Walked([], positions[-STREAMS_MAX:]), exchange)

    def on_walked(self, link: Link, body: Walked) -> Sequence[Position]:
        """How far streams are at the neighbour; of hashes, the buckets that differ are asked for."""
        if not self._streams.begun:
            self._node.counters.add("dropped.digest_before_baseline")
            return ()
        if len(body.hashes) == BUCKETS:
            differing = [
                bucket for bucket, (ours, theirs) in enumerate(zip(self._streams.folds, body.hashes, strict=True)) if ours != theirs
            ]
            for start in range(0, min(len(differing), STREAMS_MAX), BUCKETS_ASKED_MAX):
                self._node.ask(link.key, Walk(link.theirs, differing[start : start + BUCKETS_ASKED_MAX]))
            return ()
        return body.streams

    def link_lost(self, link: Link) -> None:
        self._walked_at.pop(link.key, None)
