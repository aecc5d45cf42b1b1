"""Token buckets: how much one client may send, in frames and in bytes.

A bucket holds tokens and fills at a constant rate up to its capacity; a frame takes one token of each kind it costs or, where one
is missing, none. So within any `t` seconds never more than capacity + rate * t passes, and whoever stays below the rate never notices
(J. Turner, New directions in communications, IEEE Communications Magazine 24(10), 1986, as the leaky bucket).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

IDLE_KEPT = 16
"""Buckets that are kept although they are full: of a peer's links, which speak now and then, each would be made anew for each frame."""


class Limit(NamedTuple):
    """What a bucket holds at most, and how fast it fills."""

    messages: float
    messages_per_s: float
    bytes: float
    bytes_per_s: float


class Bucket:
    """The tokens of one client.

    Attributes:
        short_of: what was missing when a frame was last refused: "messages" or "bytes".
    """

    __slots__ = ("_at", "_bytes", "_limit", "_messages", "short_of")

    def __init__(self, limit: Limit, now: float) -> None:
        self._limit = limit
        self._messages = limit.messages
        self._bytes = limit.bytes
        self._at = now
        self.short_of = ""

    def take(self, size: int, now: float) -> bool:
        """Whether a frame of `size` bytes passes at `now` (monotonic seconds); if it does, it has taken its tokens."""
        if now > self._at:  # all frames of one turn have the same `now`
            messages, messages_per_s, size_max, bytes_per_s = self._limit
            elapsed = now - self._at
            self._at = now
            self._messages += messages_per_s * elapsed
            self._messages = messages if self._messages > messages else self._messages
            self._bytes += bytes_per_s * elapsed
            self._bytes = size_max if self._bytes > size_max else self._bytes
        if self._messages < 1:
            self.short_of = "messages"
            return False
        if self._bytes < size:
            self.short_of = "bytes"
            return False
        self._messages -= 1
        self._bytes -= size
        return True

    def is_full(self, now: float) -> bool:
        """Whether so much time has passed since it was used that nothing of it is missing."""
        messages, messages_per_s, size_max, bytes_per_s = self._limit
        elapsed = now - self._at
        return self._messages + messages_per_s * elapsed >= messages and self._bytes + bytes_per_s * elapsed >= size_max


class Buckets:
    """A bucket for each of many clients, found by key. The one used longest ago is forgotten first, and is full when it comes again.

    That gives nothing away: to make room for itself by being forgotten, a client would need `clients_max` others to speak meanwhile.
    """

    __slots__ = ("_by_client", "_clients_max", "_last", "_last_client", "_limit")

    def __init__(self, limit: Limit, clients_max: int) -> None:
        self._limit = limit
        self._clients_max = clients_max
        self._by_client: OrderedDict[Hashable, Bucket] = OrderedDict()
        self._last_client: Hashable = None
        self._last: Bucket | None = None

    def of(self, client: Hashable, now: float) -> Bucket:
        """That client's bucket; a full one if none is kept."""
        if client == self._last_client and self._last is not None:  # frames of one socket come in a row
            return self._last
        bucket = self._by_client.get(client)
        if bucket is None:
            if len(self._by_client) >= IDLE_KEPT:
                self._forget_idle(now)
            bucket = self._by_client[client] = Bucket(self._limit, now)
            if len(self._by_client) > self._clients_max:
                self._by_client.popitem(last=False)
        else:
            self._by_client.move_to_end(client)
        self._last_client, self._last = client, bucket
        return bucket

    def _forget_idle(self, now: float) -> None:
        """Two of those unused longest, if they are full again: a new one would be no different. So the table is as large as it must be."""
        for _ in range(min(2, len(self._by_client))):
            client, bucket = next(iter(self._by_client.items()))
            if not bucket.is_full(now):
                return
            del self._by_client[client]

    def take(self, client: Hashable, size: int, now: float) -> bool:
        """Whether a frame of that client passes."""
        bucket = self._last if client == self._last_client else None
        return (bucket or self.of(client, now)).take(size, now)

    def __len__(self) -> int:
        return len(self._by_client)


class Once:
    """A bounded memory of what has been said. What was said longest ago is forgotten first, and may be said again."""

    __slots__ = ("_said", "_said_max")

    def __init__(self, said_max: int) -> None:
        self._said: OrderedDict[Hashable, None] = OrderedDict()
        self._said_max = said_max

    def is_first(self, what: Hashable) -> bool:
        """Whether `what` is new; from now on it is not."""
        is_new = what not in self._said
        self._said[what] = None
        self._said.move_to_end(what)
        if len(self._said) > self._said_max:
            self._said.popitem(last=False)
        return is_new

    def forget(self, what: Hashable) -> None:
        self._said.pop(what, None)

    def __len__(self) -> int:
        return len(self._said)


class Meter:
    """How much came lately: a second's worth, of which the last whole second counts for the part that is not over yet."""

    __slots__ = ("_bytes", "_bytes_before", "_count", "_count_before", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._count = self._count_before = 0
        self._bytes = self._bytes_before = 0

    def add(self, size: int, now: float) -> None:
        self._move(now)
        self._count += 1
        self._bytes += size

    def _move(self, now: float) -> None:
        if now - self._since < 1.0:
            return
        just_over = now - self._since < 2.0
        self._count_before, self._bytes_before = (self._count, self._bytes) if just_over else (0, 0)
        self._count = self._bytes = 0
        self._since = self._since + 1.0 if just_over else now

    def count_per_s(self, now: float) -> float:
        self._move(now)
        return self._count + self._count_before * (1.0 - (now - self._since))

    def bytes_per_s(self, now: float) -> float:
        self._move(now)
        return self._bytes + self._bytes_before * (1.0 - (now - self._since))
