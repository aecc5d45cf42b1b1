"""The backlog: publications that wait to be packed into segments, in columns.

Under load thousands come at once, and a line of Python for each is what publishing costs. So they are kept as a segment holds them,
topics, payloads and times each in a list, and how many fit is found in the running sums of their sizes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

MESSAGE_BYTES = 16
"""What a message takes in a segment besides its topic and payload, at most."""
UTF8_MAX = 4
"""Bytes of one character."""
Publication = tuple[str, bytes, float]
"""Topic, payload, and Unix time of its making."""
Columns = tuple[list[str], list[bytes], list[float]]


class Backlog:
    """What waits, oldest first."""

    __slots__ = ("_ends", "_payloads", "_start", "_taken_bytes", "_times", "_topics")

    def __init__(self) -> None:
        self._topics: list[str] = []
        self._payloads: list[bytes] = []
        self._times: list[float] = []
        self._ends: list[int] = []  # the sum of the sizes of all that ever waited, up to each
        self._start = 0  # what is before it in the lists was taken
        self._taken_bytes = 0  # the sum up to there

    def __len__(self) -> int:
        return len(self._payloads) - self._start

    @property
    def bytes(self) -> int:
        """What waits takes in segments, at most."""
        return self._ends[-1] - self._taken_bytes if self._ends else 0

    def add(self, batch: Sequence[Publication]) -> None:
        """Puts publications behind those that wait."""
        if not batch:
            return
        topics, payloads, times = zip(*batch, strict=True)
        last = self._ends[-1] if self._ends else self._taken_bytes
        if topics.count(topics[0]) == len(topics):
            each = _topic_bytes(topics[0])
            sizes = [len(payload) + each for payload in payloads]
        else:
            sizes = [len(payload) + _topic_bytes(topic) for topic, payload in zip(topics, payloads, strict=True)]
        sizes[0] += last
        self._ends.extend(accumulate(sizes))
        self._topics.extend(topics)
        self._payloads.extend(payloads)
        self._times.extend(times)

    def take(self, room: int) -> Columns:
        """As many of those that wait as fit into `room` bytes, and one at least."""
        start = self._start
        end = max(bisect_right(self._ends, self._taken_bytes + room, start), start + 1)
        taken = self._topics[start:end], self._payloads[start:end], self._times[start:end]
        self._taken_bytes = self._ends[end - 1]
        self._start = end
        if end * 2 >= len(self._ends):  # so each is moved once, on average
            for column in (self._topics, self._payloads, self._times, self._ends):
                del column[:end]
            self._start = 0
        return taken


def _topic_bytes(topic: str) -> int:
    """What a message takes in a segment besides its payload."""
    return len(topic) * (1 if topic.isascii() else UTF8_MAX) + MESSAGE_BYTES
