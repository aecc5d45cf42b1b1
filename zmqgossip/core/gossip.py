"""Gossip: publish, receive, deliver, forward.

A segment seen for the first time is published again for one's own neighbours, and given to the user in its turn; a known one is counted
and may cost its bringer the subscription (`trees`). What is missing is pulled (`repair`), what is under way is bounded
(`publisher`, by `marks`), and what neighbours have stands in their digests (`digests`). Bodies are not looked into, but for membership.
Before this node has its baseline, segments are passed on and wait.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from zmqgossip.core.audience import Audience
from zmqgossip.core.backlog import Publication
from zmqgossip.core.digests import Digests
from zmqgossip.core.errors import WireError
from zmqgossip.core.events import MessagesLost
from zmqgossip.core.gossip_messages import ENTRIES_MAX, Entry, Notice, Position, Pulled
from zmqgossip.core.lives import Lives
from zmqgossip.core.marks import Marks
from zmqgossip.core.members import Members
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Segment
from zmqgossip.core.patience import Patience
from zmqgossip.core.publisher import Publisher
from zmqgossip.core.repair import Repair, is_needed
from zmqgossip.core.stream import Stream, StreamKey, Theirs
from zmqgossip.core.streams import Streams
from zmqgossip.core.trees import Trees
from zmqgossip.core.types import U64_MAX, PeerId, PeerRecord, PeerState
from zmqgossip.core.view import Link, View
from zmqgossip.core.walks import Walks
from zmqgossip.core.wire import (
    FLAG_FLUSH,
    FLAG_MARK,
    FLAG_MEMBERSHIP,
    NUMBER_MAX,
    SegmentHeader,
    decode_notices,
    encode_notices,
    propagated,
)


class Gossip:
    """One peer's part in the spreading of gossip."""

    __slots__ = (
        "_members", "_node", "_view", "audience", "digests", "lives", "marks", "patience", "publisher", "repair", "streams", "trees",
        "walks",
    )  # fmt: skip

    def __init__(self, me: PeerRecord, node: Node, view: View, members: Members) -> None:
        self._node = node
        self._view = view
        self._members = members
        self.audience = Audience()
        self.streams = Streams(node.config.streams_max, node.config.kept_bytes_max)
        self.publisher = Publisher(me, node, self.streams)
        self.digests = Digests(node, view, self.streams)
        self.trees = Trees(me.id, node, view)
        self.marks = Marks(me.id, me.epoch, node, view, self.streams, self.digests)
        self.repair = Repair(node, view, self.streams, self.trees, self._may_live)
        self.lives = Lives(me.id, node, self.streams, self.repair, self._is_gone)
        self.patience = Patience(node, view, self.streams, self.marks, self.repair)
        self.walks = Walks(node, self.streams, members)
        self.streams.dropped = self._forget

    def living(self) -> Sequence[PeerRecord]:
        """Who must have it for a flush to be complete."""
        return [
            member.record for member in self._members.living() if member.record.ready and member.record.id != self.publisher.stream.origin
        ]

    def _knows(self, peer: PeerId) -> bool:
        return peer == self.publisher.stream.origin or self._members.get(peer) is not None

    def _may_live(self, origin: PeerId) -> bool | None:
        """Whether an origin may still give what is missing; None if nobody here knows it."""
        member = self._members.get(origin)
        return None if member is None else member.state not in (PeerState.DEAD, PeerState.LEFT)

    def _is_gone(self, origin: PeerId) -> bool:
        """Whether nothing more is expected of an origin. Where not everybody is known, strangers live."""
        lives = self._may_live(origin)
        return not self._members.partial if lives is None else not lives

    def _forget(self, stream: Stream) -> None:
        self.digests.forget(stream)
        self.repair.forget(stream)
        self.trees.forget(stream)

    @property
    def number(self) -> int:
        """Of the last segment published."""
        return self.publisher.number

    def sizes(self) -> dict[str, int]:
        """How much is remembered of gossip, and how much waits."""
        waiting = {"waiting_bytes": self.publisher.waiting_bytes, "flushes_open": self.publisher.flushes_open}
        return self.streams.sizes() | waiting | {"digests_open": len(self.digests), "pulls_wanted": len(self.repair)}

    def has_all(self, record: PeerRecord, last: int) -> bool:
        """Whether all that a peer published up to that segment is here; before the baseline nobody knows what is missing."""
        stream = self.streams.get(record.id, record.epoch)
        if stream is None or not stream.begun:
            return last <= self.streams.past(record.id, record.epoch) or (stream is not None and stream.highest >= last)
        return stream.contiguous >= last

    # -- publishing -------------------------------------------------------------------------------------------------------

    def publish(self, me: PeerRecord, batch: Sequence[Publication], now: float) -> None:
        """Publishes messages that were checked before, as soon as the window has room for them."""
        self.publisher.give(batch)
        self.pump(me, now)

    def _go_on(self, me: PeerRecord, now: float) -> None:
        """Something may be done now that was waited for: the window, a flush."""
        self.publisher.acknowledged()
        self.publisher.look_at_flushes(self.living, self._knows, now)
        if self.pump(me, now):  # a flush that nobody need be waited for is done at once
            self.publisher.look_at_flushes(self.living, self._knows, now)

    def flush(self, me: PeerRecord, token: int, timeout_s: float, now: float) -> None:
        self.publisher.flush(token, timeout_s, now)
        if self._members.partial:
            self.give_up_flushes()
        self._go_on(me, now)

    def give_up_flushes(self) -> None:
        """Who everybody is, is not known here: nobody can say whether all have it."""
        self._node.counters.add("flushes.members_unknown")
        self.publisher.end_flushes()

    def leave(self, me: PeerRecord, now: float) -> None:
        """What waits for the window goes out without it: there is no later."""
        self.publisher.end_flushes()
        self.publisher.is_leaving = True
        self.pump(me, now)

    def flush_due(self, me: PeerRecord, now: float) -> None:
        self._go_on(me, now)

    def patience_due(self, me: PeerRecord, now: float) -> None:
        self.patience.due(now)
        self._go_on(me, now)

    def announce(self, me: PeerRecord, state: PeerState, records: Sequence[PeerRecord], now: float) -> None:
        """Publishes membership changes: one's own coming and going, or that others died."""
        notices = [Notice(record, state, self.number + 1) for record in records]
        self._out(self.publisher.notices(me, encode_notices(notices)), now)

    def pump(self, me: PeerRecord, now: float) -> bool:
        """Everything goes out that may. Whether anything did."""
        before = self.number
        while (segment := self.publisher.next_segment(me, now)) is not None:
            self._out(segment, now)
        return self.number > before

    def _out(self, segment: Segment, now: float) -> None:
        """A segment of one's own is treated as any other: it is behind this node, kept, and told of."""
        stream, header = self.publisher.stream, segment.header
        self.streams.add(stream, segment)
        stream.messages = header.first + header.message_count - 1
        self.digests.touch(stream, now)
        if header.message_count:
            self._node.outbox.deliver(segment)
        if header.flags & FLAG_MARK:
            self.marks.came(stream, header.number, None, now, flush=bool(header.flags & FLAG_FLUSH), is_leaf=False)
            self.patience.begin(now)
            self._settle(stream, now)

    # -- receiving --------------------------------------------------------------------------------------------------------

    def receive(self, link: Link, frame: bytes, now: float, *, pulled: bool = False) -> tuple[PeerId, Sequence[Notice]]:
        """Takes a segment that `link` brought. New: forwarded, and delivered in its turn; its origin and the notices in it are returned.

        Raises WireError for a frame that is refused.
        """
        node, streams = self._node, self.streams
        header = node.codec.decode_segment(frame)
        origin, number = header.origin, header.number
        stream = streams.get(origin, header.epoch)
        if stream is not None and number in stream:
            self._known(link, stream, header, pulled, now)
            return origin, ()
        notices = self._notices_of(frame, header)
        if stream is None:
            if node.is_in_future(header.epoch, now):
                raise WireError("epoch", "starts in the future")
            stream = self.lives.new(origin, header.epoch, number, now)
            if stream is None:
                return origin, ()
        elif stream is self.publisher.stream:  # nobody continues this peer's stream for it
            node.counters.add("dropped.own_id")
            return origin, ()
        if not self._fits(stream, number, len(frame)):
            return origin, ()
        stream.fades_at = math.inf
        if not stream.highest:
            self.lives.first_came(stream, now)
        if stream.settled:
            streams.unsettle(stream)
        segment = Segment(frame, header, link.peer)
        if pulled:
            self.repair.was_new(stream, number)
        else:
            self.trees.came_first(link, stream, header.hops, len(frame), now)
        self._forward(stream, segment, pulled)
        self._deliver(stream, streams.add(stream, segment))
        self.digests.touch(stream, now)
        if header.flags & FLAG_MARK:
            is_leaf = not self.audience.takes(stream.bucket)
            self.marks.came(stream, number, link, now, flush=bool(header.flags & FLAG_FLUSH), is_leaf=is_leaf)
            self.patience.begin(now)
        if stream.marks:
            self._settle(stream, now)
        if stream.beyond and stream.begun:
            self.repair.look(stream, now)
        return origin, notices

    def _notices_of(self, frame: bytes, header: SegmentHeader) -> Sequence[Notice]:
        """The membership changes in a segment. One that is not understood is a segment without any: refused, it would be a gap for ever."""
        if not header.flags & FLAG_MEMBERSHIP:
            return ()
        try:
            return decode_notices(frame, header)
        except WireError:
            self._node.counters.add("dropped.notices")
            return ()

    def _known(self, link: Link, stream: Stream, header: SegmentHeader, pulled: bool, now: float) -> None:
        if pulled:
            self._node.counters.add("duplicates.pulled")
            self.repair.was_hasty(now)
        elif self.repair.was_pulled(stream, header.number, now):
            self._node.counters.add("duplicates.known")
        else:
            self.trees.came_again(link, stream, header.hops, now)

    def _heard_of(self, origin: PeerId, epoch: int, contiguous: int, now: float) -> Stream | None:
        """The stream that a neighbour speaks of, made if that tells anything new. The word of one neighbour makes no stream of nothing.

        One that was forgotten is a stream again if the neighbour is further, or lacks something of it, or its origin lives after all.
        """
        stream = self.streams.get(origin, epoch)
        if stream is None and 0 < contiguous < NUMBER_MAX:
            past = self.streams.past(origin, epoch)
            if contiguous != past or self._may_live(origin):
                stream = self.lives.new(origin, epoch, 0, now)
                if stream is not None and past:
                    self.digests.touch(stream, now)
        return stream

    def _fits(self, stream: Stream, number: int, size: int) -> bool:
        """Whether a segment may wait for those before it. What may not is neither passed on nor remembered: it can be pulled later."""
        if stream.begun and number == stream.contiguous + 1:
            return True
        config = self._node.config
        if stream.begun and number > stream.contiguous + config.ahead_max:
            self._node.counters.add("dropped.too_far_ahead")
            return False
        if self.streams.beyond_bytes + size > config.beyond_bytes_max:
            self._node.counters.add("dropped.no_room_beyond_gap" if stream.begun else "dropped.before_baseline")
            return False
        return True

    def _forward(self, stream: Stream, segment: Segment, pulled: bool) -> None:
        header, counters = segment.header, self._node.counters
        if not self.audience.takes(stream.bucket):
            return
        if header.hops >= self._node.config.hops_max:
            counters.add("dropped.hops")
        elif not pulled or is_needed(stream, segment, list(self._view.synced())):
            self._node.outbox.publish(propagated(segment.frame))
            counters.add("forwarded.segments")

    def _deliver(self, stream: Stream, segments: Sequence[Segment]) -> None:
        """Gives to the user what is in order, and names what was given up before it."""
        for segment in segments:
            header = segment.header
            if header.first > stream.messages + 1:
                self._lost(stream, header.first - 1)
            stream.messages = max(stream.messages, header.first + header.message_count - 1)
            if header.message_count and not header.flags & FLAG_MEMBERSHIP:
                self._node.counters.add("received.messages", header.message_count)
                self._node.outbox.deliver(segment)

    def _lost(self, stream: Stream, last: int, why: str = "no neighbour keeps them any more") -> None:
        first, last = stream.messages + 1, min(last, U64_MAX)
        if first > last:  # somebody has lied about a number: there is none beyond that could be said
            return
        stream.messages = last
        self._node.counters.add("lost.messages", last - first + 1)
        self._node.outbox.event(MessagesLost(stream.origin, stream.epoch, first, last, why))

    def _settle(self, stream: Stream, now: float) -> None:
        """Marks may be done; of one's own stream that gives the window room."""
        if self.marks.settle(stream, now) and stream is self.publisher.stream:
            self.publisher.acknowledged()

    # -- where hearing begins ---------------------------------------------------------------------------------------------

    def ages(self, positions: Sequence[Position], now: float) -> list[int]:
        """For how many whole seconds streams have been as they are, of those whose origins are gone; 0 of others. Empty if all are 0."""
        streams = (self.streams.get(one.origin, one.epoch) for one in positions)
        ages = [0 if stream is None else int(self.lives.age_s(stream, now)) for stream in streams]
        return ages if any(ages) else []

    def begin(self, positions: Sequence[Position], past: Sequence[Position], ages: Mapping[StreamKey, int], now: float) -> None:
        """The baseline is whole: what came before it is let go, what came after it is delivered. `ages`: of those positions, in seconds."""
        self.streams.begin(positions, past)
        self.lives.fade(now)
        for one in positions:
            listed = self.streams.get(one.origin, one.epoch)
            if listed is not None and listed.highest == one.contiguous:
                self.lives.told_age(listed, ages.get(listed.key, 0), now)
        for stream in self.streams.all():
            if stream is not self.publisher.stream:
                if stream.highest:
                    self.lives.first_came(stream, now)
                self._deliver(stream, self.streams.advance(stream))
                self.digests.touch(stream, now)
                self._settle(stream, now)
                self.repair.look(stream, now)

    # -- what neighbours say ----------------------------------------------------------------------------------------------

    def on_digest(self, me: PeerRecord, link: Link, entries: Sequence[Entry], now: float) -> None:
        """How unsettled streams are at a neighbour."""
        if not self.streams.begun:
            self._node.counters.add("dropped.digest_before_baseline")
            return
        link.synced = True  # only who has its baseline speaks of streams
        for entry in entries:
            stream = self.streams.get(entry.origin, entry.epoch)
            if stream is None:
                stream = self._heard_of(entry.origin, entry.epoch, entry.contiguous, now)
            if stream is not None:
                self._on_entry(link, stream, entry, now)
        self.patience.heard(link, now)
        self._go_on(me, now)

    def _on_entry(self, link: Link, stream: Stream, entry: Entry, now: float) -> None:
        if stream is self.publisher.stream:
            if entry.contiguous > stream.contiguous:
                self._node.counters.add("dropped.own_id")
                return
            self.publisher.confirmed(entry.contiguous)
        if stream.settled:
            if entry.contiguous == stream.contiguous:
                return  # it is late with what is settled here
            self.digests.touch(stream, now)
        theirs = stream.theirs.get(link.key)
        if theirs is None:
            stream.theirs[link.key] = Theirs(entry.contiguous, entry.done, entry.hops, dict(entry.marks), now)
            if entry.contiguous < stream.contiguous:
                self.digests.touch(stream, now)  # it may not know yet what it lacks
        else:
            if entry.contiguous > theirs.contiguous:
                theirs.moved_at = now
            theirs.contiguous, theirs.done, theirs.hops = entry.contiguous, entry.done, entry.hops
            theirs.marks = dict(entry.marks)
        if stream.marks:
            self.marks.heard(link, stream, entry, now)
            self._settle(stream, now)
        if self.trees.said_hops(link, stream, entry.hops):
            self.repair.ask_how(link, [stream])
        if entry.contiguous > stream.contiguous:
            self.repair.look(stream, now)

    def on_positions(self, link: Link, positions: Sequence[Position], now: float) -> None:
        """How far settled streams are at a neighbour, which has some otherwise."""
        for one in positions:
            stream = self._heard_of(one.origin, one.epoch, one.contiguous, now)
            if stream is None or stream.contiguous == one.contiguous or stream is self.publisher.stream:
                continue
            self.digests.touch(stream, now)
            known = stream.theirs.get(link.key)
            if known is None:
                stream.theirs[link.key] = Theirs(one.contiguous, 0, 0, {})
            else:
                known.contiguous = one.contiguous
            self.repair.look(stream, now)

    def pulled(self, link: Link, body: Pulled, exchange: int, now: float) -> None:
        """The end of what a neighbour gave."""
        self._jump(self.repair.came(link, body, exchange, now), now)
        stream = self.streams.get(body.origin, body.epoch)
        if stream is not None:
            self._drop_if_empty(stream)

    def _drop_if_empty(self, stream: Stream) -> None:
        """Somebody spoke of a stream, and nobody here has any of it."""
        if not stream.highest and stream is not self.publisher.stream and not self.repair.lacks(stream):
            self.streams.drop(stream)

    def pull_due(self, now: float) -> None:
        self._jump(self.repair.due(now), now)

    def _jump(self, jumps: Sequence[tuple[Stream, int]], now: float) -> None:
        """Nobody keeps what is next in these streams: they go on where somebody does."""
        for stream, number in jumps:
            ends = [gone.messages for gone in stream.gone.values() if gone.contiguous == number - 1]
            if not stream.highest:
                self.lives.first_came(stream, now)
            released = self.streams.jump(stream, number)
            stream.lacks_until = stream.fades_at = math.inf
            self._node.counters.add("streams.jumped")
            if not released and ends and max(ends) > stream.messages:
                self._lost(stream, max(ends))
            self._deliver(stream, released)
            self.digests.touch(stream, now)
            self._settle(stream, now)
            self.repair.jumped(stream, now)

    # -- links and lives --------------------------------------------------------------------------------------------------

    def link_lost(self, me: PeerRecord, link: Link, now: float) -> None:
        """Nobody waits for a link that is gone, and what it pushed comes from another."""
        self.marks.link_lost(link, now)
        for stream in self.streams.all():
            stream.faster.pop(link.key, None)
            self._drop_if_empty(stream)
        self.repair.link_lost(link, now)
        self.walks.link_lost(link)
        for neighbour, bucket in self.trees.link_lost(link, now):
            if neighbour.synced:  # without a baseline it cannot say
                self.repair.ask_how(neighbour, self.streams.in_bucket(bucket)[:ENTRIES_MAX])
        self._go_on(me, now)

    def postpone(self, now: float) -> None:
        """This node was away: nothing is given up for what it did not hear meanwhile."""
        self.repair.postpone(now)
        self.marks.postpone(now)
        self.lives.postpone(now)

    def end_lives(self, now: float) -> None:
        """Streams of earlier lives come to an end: what waits is delivered, what is missing is lost by name."""
        for stream in self.lives.ended(now):
            if stream.begun:
                self._deliver(stream, self.streams.finish(stream))
                if stream.highest and self.repair.is_behind(stream):
                    self._lost(
                        stream,
                        stream.messages + 1,
                        "its origin has begun anew, and nobody gave the end of what it said before: one at least",
                    )
            self.streams.drop(stream)
