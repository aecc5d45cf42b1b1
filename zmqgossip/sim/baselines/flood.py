"""Flood: whoever hears something for the first time publishes it again, for all its subscribers.

Nothing is faster on the same links, and nothing sends more: a PUB cannot leave out whom a message came from, so each message crosses every
link both ways, and has `degree` copies a peer.
"""

from __future__ import annotations

from zmqgossip.core.wire import TOPIC_GOSSIP, SegmentHeader
from zmqgossip.sim.baselines.relay import Message, Relay


class Flood(Relay):
    """A peer that floods."""

    def begin(self, now: float) -> None:
        for neighbour in self.neighbours:
            self.outbox.subscribe(neighbour.key, neighbour.publish_endpoint, (TOPIC_GOSSIP,))

    def spread(self, message: Message, header: SegmentHeader, brought_by: int, now: float) -> None:
        if brought_by:
            self.outbox.publish(self.seen[message])

    def on_gossip(self, key: int, frame: bytes, now: float) -> None:
        self.take(frame, key, now)
