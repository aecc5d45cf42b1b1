"""Trees: which neighbours push which buckets to this peer. The receiver prunes and grafts, by its subscriptions.

At first everybody pushes everything, a flood. Neighbours that bring only what is known already are asked no more (their topic is
unsubscribed), the latest first, while enough others are left, so a pruned link costs nobody anything. When a parent is lost, or
somebody is nearer to the origin, a pruned one is asked again. Wrong guesses cost a copy or a pull, never a message: digests tell what
is missing.

An origin's segments travel on one of 256 topics, its bucket. Who shares a bucket shares its pushes: a neighbour that is the way of
one origin there is kept, though it brings copies of the other's.

    E                     all buckets
    E high                the 16 buckets of one half byte
    E high low            one bucket
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zmqgossip.core.node import Node
from zmqgossip.core.rates import Meter
from zmqgossip.core.stream import Stream, StreamKey
from zmqgossip.core.types import PeerId
from zmqgossip.core.view import Link, View
from zmqgossip.core.wire import TOPIC_GOSSIP, bucket_of, bucket_topic

COPIES_MAX = 3
"""Known segments in a row before a neighbour is pruned: one is a race, three are a habit."""
LATE_KEPT = 0.75
"""Of how late a neighbour's copies were so far, what the next one leaves: a stall is forgotten after ten."""
ECHO_S = 1.0
"""Added to the lateness of what has made two hops more than here: the neighbour may have it from this peer, and then is no other way."""
PRUNE_GAP_S = 0.2
"""Between two prunes of one bucket: what the first one changes must show before the next."""
ACTIVE_S = 10.0
"""An origin that sent within this counts when ways are kept for it."""
FASTER_MAX = 3
"""Digests in a row that show a shorter way before it is taken; four times as many each time that the neighbour was taken for that
before. On a machine that is overloaded ways change with every message, and each graft costs copies."""
QUADRUPLED_MAX = 4


@dataclass(slots=True, eq=False)
class _Bucket:
    """What is known of one bucket: the way and the last time of each of its origins, and how much travels on it."""

    ways: dict[StreamKey, tuple[int, float]] = field(default_factory=dict)
    pruned_at: float = -PRUNE_GAP_S
    meter: Meter = field(default_factory=Meter)


class Trees:
    """One peer's prunes and grafts."""

    __slots__ = ("_buckets", "_me", "_node", "_own", "_view")

    def __init__(self, me: PeerId, node: Node, view: View) -> None:
        self._me = me
        self._own = bucket_of(me)
        self._node = node
        self._view = view
        self._buckets: dict[int, _Bucket] = {}

    # -- what came --------------------------------------------------------------------------------------------------------

    def came_first(self, link: Link, stream: Stream, hops: int, size: int, now: float) -> None:
        """A neighbour pushed a segment that was new."""
        stream.hops = hops
        bucket = self._bucket(stream.bucket)
        bucket.ways[stream.key] = (link.key, now)
        bucket.meter.add(size, now)
        link.copies[stream.bucket] = 0

    def came_again(self, link: Link, stream: Stream, hops: int, now: float) -> None:
        """A neighbour pushed a segment that was known: of another's stream, or of this peer's own."""
        number = stream.bucket
        bucket = self._bucket(number)
        way = bucket.ways
        if number in link.lazy:  # on its way when it was pruned
            self._node.counters.add("duplicates.known")
            return
        first, first_at = way.get(stream.key, (0, now))
        if stream.origin != self._me and first == 0:  # so far it was pulled: here it comes by itself
            way[stream.key] = (link.key, now)
        late_s = now - first_at + (ECHO_S if hops > stream.hops + 1 else 0.0)
        link.late[number] = late_s + LATE_KEPT * (link.late.get(number, late_s) - late_s)
        shared = stream.origin == self._me or len(way) > 1
        if shared and any(key == link.key and origin != stream.key and now - at < ACTIVE_S for origin, (key, at) in way.items()):
            self._node.counters.add("duplicates.bucket_collision")
            return
        self._node.counters.add("duplicates.own" if stream.origin == self._me else "duplicates.known")
        link.copies[number] = link.copies.get(number, 0) + 1
        if link.copies[number] >= COPIES_MAX and now - bucket.pruned_at >= PRUNE_GAP_S and (latest := self._latest(number, now)):
            bucket.pruned_at = now
            self.prune(latest, number)

    def forget(self, stream: Stream) -> None:
        """The stream is none of those any more that are known here."""
        bucket = self._buckets.get(stream.bucket)
        if bucket is not None:
            bucket.ways.pop(stream.key, None)

    def _latest(self, number: int, now: float) -> Link | None:
        """Of the neighbours that bring only copies, the one whose come last, if it can be spared: the next best stays."""
        is_active, ways = self._is_active(number, now), self._active_ways(number, now)
        if not is_active and number != self._own:
            return None
        eager = [link for link in self._view.up() if number not in link.lazy]
        if is_active and len(eager) <= max(self._parents_wanted(number, now), len(ways)):
            return None
        spare = [link for link in eager if link.key not in ways and link.copies.get(number, 0) >= COPIES_MAX - 1]
        return max(spare, key=lambda link: link.late.get(number, 0.0), default=None)

    def _is_active(self, number: int, now: float) -> bool:
        """Whether an origin of that bucket sent lately, be its way lost or not."""
        ways = self._bucket(number).ways
        for stale in [origin for origin, (_, at) in ways.items() if now - at >= ACTIVE_S]:
            del ways[stale]
        return bool(ways)

    def _active_ways(self, number: int, now: float) -> dict[int, None]:
        """Keys of the links that are the way of an origin that sent lately."""
        if not self._is_active(number, now):
            return {}
        return {key: None for key, _ in self._bucket(number).ways.values() if key}

    def _parents_wanted(self, number: int, now: float) -> int:
        """One where so much travels that a second copy costs more than a rare pull."""
        config, meter = self._node.config, self._bucket(number).meter
        is_hot = meter.count_per_s(now) > config.hot_segments_per_s or meter.bytes_per_s(now) > config.hot_bytes_per_s
        return 1 if is_hot else config.parents

    def _bucket(self, number: int) -> _Bucket:
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = _Bucket()
        return bucket

    def starving(self, now: float) -> list[int]:
        """Buckets that a neighbour pushed lately and that all have been asked not to push: there is none, or a prune was wrong.

        One's own does not count: it was pruned everywhere before somebody else began to send in it.
        """
        links = list(self._view.up())
        if not links:
            return []
        return [
            number
            for number, bucket in self._buckets.items()
            if number != self._own
            and any(now - at < ACTIVE_S for _, at in bucket.ways.values())
            and all(number in link.lazy for link in links)
        ]

    # -- subscriptions ----------------------------------------------------------------------------------------------------

    def prune(self, link: Link, number: int) -> None:
        """Has a neighbour push a bucket no more."""
        before = _cover_near(link.lazy, number)
        link.lazy[number] = None
        self._change(link, number, before)
        self._node.counters.add("trees.pruned")

    def graft(self, link: Link, number: int) -> None:
        """Has a neighbour push a bucket again; nothing if it does."""
        if number not in link.lazy:
            return
        before = _cover_near(link.lazy, number)
        del link.lazy[number]
        link.copies[number] = 0
        link.late.pop(number, None)
        self._change(link, number, before)
        self._node.counters.add("trees.grafted")

    def _change(self, link: Link, number: int, before: dict[bytes, None]) -> None:
        after = _cover_near(link.lazy, number)
        add = [topic for topic in after if topic not in before]
        remove = [topic for topic in before if topic not in after]
        self._node.outbox.topics(link.key, add, remove)

    def topics(self, link: Link, now: float) -> list[bytes]:
        """What a new link subscribes to: all, but for buckets that have their parents."""
        link.lazy = {
            number: None for number in self._buckets if self._is_active(number, now) and self._parents_short(number, link, now) <= 0
        }
        return list(cover(link.lazy))

    def _eager_count(self, number: int, but: Link) -> int:
        return sum(number not in link.lazy for link in self._view.up() if link is not but)

    # -- what changes the trees -------------------------------------------------------------------------------------------

    def link_lost(self, gone: Link, now: float) -> list[tuple[Link, int]]:
        """Buckets that have lost a parent get another one. The grafts: link and bucket."""
        grafts = []
        for number, bucket in self._buckets.items():
            if number in gone.lazy:
                continue
            for key in [key for key, (way, _) in bucket.ways.items() if way == gone.key]:
                bucket.ways[key] = (0, bucket.ways[key][1])
            lazy = [link for link in self._view.up() if number in link.lazy and link is not gone]
            lazy.sort(key=_has_no_baseline)  # what those without one pass on has gaps, and is better than nothing
            for link in lazy[: max(0, self._parents_short(number, gone, now))]:
                self.graft(link, number)
                grafts.append((link, number))
        return grafts

    def link_came_up(self, link: Link, now: float) -> None:
        """Buckets that had their parents when the link began, and have lost some while it came up, take it."""
        for number in list(link.lazy):
            if self._parents_short(number, link, now) > 0:
                self.graft(link, number)

    def _parents_short(self, number: int, but: Link, now: float) -> int:
        """How many more neighbours should push a bucket, that one left aside.

        Of a bucket in which nobody sent lately it is one: what begins again should not wait for a digest and a pull.
        """
        quiet = 0 if number == self._own else 1
        wanted = self._parents_wanted(number, now) if self._is_active(number, now) else quiet
        return wanted - self._eager_count(number, but)

    def said_hops(self, link: Link, stream: Stream, hops: int) -> bool:
        """How far a neighbour is from the origin. Whether it is grafted by that: it showed a shorter way three times running."""
        reach = 0 if link.peer.id == stream.origin else hops + 1  # of a segment that it would push here
        if reach >= stream.hops or stream.bucket not in link.lazy or self._one_is_as_near(stream, reach):
            stream.faster.pop(link.key, None)
            return False
        stream.faster[link.key] = stream.faster.get(link.key, 0) + 1
        tries = link.tries.get(stream.bucket, 0)
        if stream.faster[link.key] < FASTER_MAX << 2 * min(tries, QUADRUPLED_MAX):
            return False
        del stream.faster[link.key]
        link.tries[stream.bucket] = tries + 1
        self.graft(link, stream.bucket)
        return True

    def _one_is_as_near(self, stream: Stream, reach: int) -> bool:
        """Whether a neighbour that pushes the stream anyhow says that it is no farther: it only lost a race."""
        for link in self._view.up():
            if stream.bucket not in link.lazy:
                theirs = stream.theirs.get(link.key)
                if link.peer.id == stream.origin or (theirs is not None and theirs.hops + 1 <= reach):
                    return True
        return False


def cover(lazy: Iterable[int]) -> dict[bytes, None]:
    """The fewest topics that take all buckets but those."""
    out = dict.fromkeys(lazy)
    if not out:
        return {TOPIC_GOSSIP: None}
    topics: dict[bytes, None] = {}
    for high in range(16):
        topics |= _cover_half(out, high)
    return topics


def _cover_half(out: Mapping[int, None], high: int) -> dict[bytes, None]:
    """Of the 16 buckets of that half byte."""
    numbers = range(high << 4, (high + 1) << 4)
    wanted = [number for number in numbers if number not in out]
    return {TOPIC_GOSSIP + bytes((high,)): None} if len(wanted) == len(numbers) else dict.fromkeys(map(bucket_topic, wanted))


def _cover_near(lazy: Mapping[int, None], number: int) -> dict[bytes, None]:
    """What of the cover may change when that bucket comes or goes: its half byte; all of it if no other bucket is lazy."""
    is_alone = not lazy or (len(lazy) == 1 and number in lazy)
    return cover(lazy) if is_alone else _cover_half(lazy, number >> 4)


def _has_no_baseline(link: Link) -> bool:
    return not link.synced
