"""Gossip: publish, receive, deliver, forward.

The intuition is a flood with a memory. A segment seen for the first time is given to the user and published again for one's own
neighbours; a known one is counted and dropped. ZeroMQ's XPUB also hands a forwarded segment back to the neighbour that brought
it: that copy is one of the duplicates counted. Bodies are not looked into, but for membership. Before this node has its baseline,
segments are passed on and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmqgossip.core.errors import InvalidTopic, PayloadTooLarge, WireError
from zmqgossip.core.messages import TEXT_MAX, Message, Messages, Notice, Position
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Segment
from zmqgossip.core.streams import Streams
from zmqgossip.core.topics import ONE, REST
from zmqgossip.core.types import PeerId, PeerRecord, PeerState
from zmqgossip.core.view import Link
from zmqgossip.core.wire import (
    FLAG_MEMBERSHIP,
    decode_notices,
    encode_messages,
    encode_notices,
    message_bytes,
    propagated,
)

ENVELOPE_BYTES = 128
"""Room in a segment's body for what is not messages: host, port, first count and array headers."""


class Gossip:
    """One peer's part in the spreading of gossip.

    Attributes:
        number: of the last segment published; msg_count of the last message is `message_count`.
    """

    __slots__ = ("_begun", "_held", "_held_bytes", "_node", "message_count", "number", "streams")

    def __init__(self, node: Node) -> None:
        self._node = node
        self.streams = Streams(node.config.streams_max, node.config.ranges_max)
        self.number = 0
        self.message_count = 0
        self._begun = False
        self._held: list[Segment] = []  # until the baseline says from where on they are delivered
        self._held_bytes = 0

    def begin(self, positions: Sequence[Position]) -> None:
        """The baseline is whole: what came before it is let go, what came after it is delivered."""
        self._begun = True
        self.streams.begin(positions)
        start = {(one.origin, one.epoch): one.contiguous for one in positions}
        held, self._held, self._held_bytes = self._held, [], 0
        for segment in held:
            header = segment.header
            if header.number > start.get((header.origin, header.epoch), 0):
                self._deliver(segment)
            else:
                self._node.counters.add("baseline.covered")

    def publish(self, me: PeerRecord, batch: Sequence[Any], now: float) -> None:
        """Publishes application messages, as few segments as hold them.

        Raises PayloadTooLarge and InvalidTopic before any of them goes out.
        """
        config = self._node.config
        room = config.segment_bytes_max - ENVELOPE_BYTES
        for topic, *_ in batch:
            _check_topic(topic)
        messages = [Message(sent_at[0] if sent_at else self._node.wall(now), topic, payload) for topic, payload, *sent_at in batch]
        sizes = [message_bytes(message) for message in messages]
        for size in sizes:
            if size > min(room, config.message_bytes_max):
                raise PayloadTooLarge(size, min(room, config.message_bytes_max))
        start, used = 0, 0
        for place, size in enumerate(sizes):
            if used + size > room:
                self._publish_messages(me, messages[start:place])
                start, used = place, 0
            used += size
        if start < len(messages):
            self._publish_messages(me, messages[start:])

    def _publish_messages(self, me: PeerRecord, messages: list[Message]) -> None:
        body = encode_messages(Messages(me.host, me.port, self.message_count + 1, messages))
        self.message_count += len(messages)
        frame = self._segment(me, len(messages), 0, body)
        self._node.counters.add("published.messages", len(messages))
        self._node.outbox.deliver(Segment(frame, self._node.codec.decode_segment(frame), None))

    def announce(self, me: PeerRecord, record: PeerRecord, state: PeerState) -> None:
        """Publishes a membership change: one's own coming and going, or that somebody died."""
        self._segment(me, 0, FLAG_MEMBERSHIP, encode_notices([Notice(record, state, self.number + 1)]))

    def _segment(self, me: PeerRecord, count: int, flags: int, body: bytes) -> bytes:
        self.number += 1
        frame = self._node.codec.encode_segment(me.id, me.epoch, self.number, count, flags, body)
        self._node.outbox.publish(frame)
        self._node.counters.add("published.segments")
        return frame

    def receive(self, me: PeerRecord, link: Link, frame: bytes, now: float) -> tuple[PeerId, list[Notice]]:
        """Takes a gossip frame that `link` brought. New: forwarded, and delivered; its origin and the notices in it
        are returned.

        Raises WireError for a frame that is refused.
        """
        node = self._node
        header = node.codec.decode_segment(frame)
        if header.origin == me.id:
            node.counters.add("duplicates.own")
            return header.origin, []
        if node.is_in_future(header.epoch, now):
            raise WireError("epoch", "starts in the future")
        if self.streams.has(header.origin, header.epoch, header.number):
            node.counters.add("duplicates.known")
            return header.origin, []
        notices = decode_notices(frame, header) if header.flags & FLAG_MEMBERSHIP else []
        self.streams.of(header.origin, header.epoch).add(header.number)
        if header.hops < node.config.hops_max:
            node.outbox.publish(propagated(frame, header.hops))
            node.counters.add("forwarded.segments")
        else:
            node.counters.add("dropped.hops")
        if header.message_count and not header.flags & FLAG_MEMBERSHIP:
            segment = Segment(frame, header, (link.peer.id, link.peer.endpoint))
            if self._begun:
                self._deliver(segment)
            else:
                self._hold(segment)
        return header.origin, notices

    def _deliver(self, segment: Segment) -> None:
        self._node.counters.add("received.messages", segment.header.message_count)
        self._node.outbox.deliver(segment)

    def _hold(self, segment: Segment) -> None:
        if self._held_bytes + len(segment.frame) > self._node.config.sync_held_bytes_max:
            self._node.counters.add("dropped.before_baseline")
            return
        self._held_bytes += len(segment.frame)
        self._held.append(segment)


def _check_topic(topic: str) -> None:
    if len(topic) > TEXT_MAX:
        raise InvalidTopic(topic, f"it has {len(topic)} characters, at most {TEXT_MAX} fit")
    if "" in topic.split(".") or any(char in topic for char in (ONE, REST)):
        raise InvalidTopic(topic, "its tokens stand between dots, none is empty, and '*' and '>' are for patterns")
    if any("\ud800" <= char <= "\udfff" for char in topic):
        raise InvalidTopic(topic, "it has half a surrogate pair, which UTF-8 cannot write")
