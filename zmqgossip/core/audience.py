"""The audience: who takes gossip from this node, as far as its XPUB tells: the first subscription to a topic, and the end of the last.

Where nobody takes a bucket, a copy of each of its segments would be made for nobody, and no neighbour gets any of it by a push.
"""

from __future__ import annotations

from zmqgossip.core.wire import GOSSIP_TOPIC_BYTES, TOPIC_GOSSIP, bucket_topic


class Audience:
    """The topics of gossip that somebody takes here."""

    __slots__ = ("_topics",)

    def __init__(self) -> None:
        self._topics: dict[bytes, int] = {}  # and how many longer ones begin so

    def change(self, topic: bytes, *, wanted: bool) -> None:
        """A topic has its first subscriber, or none any more."""
        if not TOPIC_GOSSIP.startswith(topic[:1]):
            return
        taken = topic[:GOSSIP_TOPIC_BYTES]  # who takes only a part of a bucket is rare, and counts as taking all of it
        count = self._topics.get(taken, 0) + (1 if wanted else -1)
        if count > 0:
            self._topics[taken] = count
        else:
            self._topics.pop(taken, None)

    def takes(self, bucket: int) -> bool:
        """Whether anybody takes that bucket."""
        topics = self._topics
        if TOPIC_GOSSIP in topics or b"" in topics:
            return True
        topic = bucket_topic(bucket)
        return topic in topics or topic[:2] in topics
