"""An XPUB's memory: which connections take which topics.

A frame goes to every connection that has a topic which is a prefix of it, once. As libzmq does, it says of a subscription only
whether its topic is new here. How frames travel is `network`'s business.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Xpub(Generic[T]):
    """Topics and who has them, in the order of their coming. `T` is a connection; it must hash."""

    __slots__ = ("_lengths", "_topics")

    def __init__(self) -> None:
        self._topics: dict[bytes, dict[T, None]] = {}
        self._lengths: dict[int, int] = {}

    def subscribe(self, who: T, topic: bytes) -> bool:
        """Whether nobody had this topic before."""
        takers = self._topics.get(topic)
        if takers is not None:
            takers[who] = None
            return False
        self._topics[topic] = {who: None}
        self._lengths[len(topic)] = self._lengths.get(len(topic), 0) + 1
        return True

    def unsubscribe(self, who: T, topic: bytes) -> bool:
        """Whether nobody has this topic any more."""
        takers = self._topics.get(topic)
        if takers is None:
            return False
        takers.pop(who, None)
        if takers:
            return False
        del self._topics[topic]
        self._lengths[len(topic)] -= 1
        if not self._lengths[len(topic)]:
            del self._lengths[len(topic)]
        return True

    def takers(self, frame: bytes) -> list[T]:
        """Who gets this frame."""
        found: list[dict[T, None]] = []
        for length in self._lengths:
            takers = self._topics.get(frame[:length]) if len(frame) >= length else None
            if takers:
                found.append(takers)
        if len(found) == 1:
            return list(found[0])
        once: dict[T, None] = {}
        for takers in found:
            once.update(takers)
        return list(once)

    @property
    def topics(self) -> list[bytes]:
        """All topics that somebody has, sorted."""
        return sorted(self._topics)
