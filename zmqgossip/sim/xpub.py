"""An XPUB's memory: which connections take which topics.

A frame goes to every connection that has a topic which is a prefix of it, once. As libzmq does, it says of a subscription only
whether its topic is new here. Subscriptions change rarely and frames come all the time, so who takes a topic stands in a tuple that is
made anew with each change. How frames travel is `network`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Xpub(Generic[T]):
    """Topics and who has them, in the order of their coming. `T` is a connection; it must hash."""

    __slots__ = ("_lengths", "_topics")

    def __init__(self) -> None:
        self._topics: dict[bytes, tuple[T, ...]] = {}
        self._lengths: dict[int, int] = {}

    def subscribe(self, who: T, topic: bytes) -> bool:
        """Whether nobody had this topic before."""
        takers = self._topics.get(topic)
        if takers is not None:
            if who not in takers:
                self._topics[topic] = (*takers, who)
            return False
        self._topics[topic] = (who,)
        self._lengths[len(topic)] = self._lengths.get(len(topic), 0) + 1
        return True

    def unsubscribe(self, who: T, topic: bytes) -> bool:
        """Whether nobody has this topic any more."""
        takers = self._topics.get(topic)
        if takers is None:
            return False
        rest = tuple(other for other in takers if other is not who)
        if rest:
            self._topics[topic] = rest
            return False
        del self._topics[topic]
        self._lengths[len(topic)] -= 1
        if not self._lengths[len(topic)]:
            del self._lengths[len(topic)]
        return True

    def takers(self, frame: bytes) -> Sequence[T]:
        """Who gets this frame."""
        found: list[tuple[T, ...]] = []
        for length in self._lengths:
            takers = self._topics.get(frame[:length]) if len(frame) >= length else None
            if takers:
                found.append(takers)
        if len(found) == 1:
            return found[0]
        return list(dict.fromkeys(taker for takers in found for taker in takers))

    @property
    def topics(self) -> list[bytes]:
        """All topics that somebody has, sorted."""
        return sorted(self._topics)
