"""The gate before everything that remotes send: each client may say so much, and what is beyond is not even decoded.

What a gate turns away is counted as `limited.messages` or `limited.bytes`, and told to the user once a client.
"""

from __future__ import annotations

from collections.abc import Hashable

from zmqgossip.core.events import RemoteLimited
from zmqgossip.core.node import Node
from zmqgossip.core.rates import Bucket, Buckets, Limit, Once


class Gate:
    """One kind of traffic of many clients: links, which keep their bucket themselves (`tap`), connections at the ROUTER, or answers."""

    __slots__ = ("_buckets", "_limit", "_node", "_told")

    def __init__(self, node: Node, limit: Limit) -> None:
        self._node = node
        self._limit = limit
        self._buckets = Buckets(limit, node.config.clients_max)
        self._told = Once(node.config.clients_max)

    def lets_in(self, client: Hashable, size: int, now: float) -> bool:
        """Whether a frame of `size` bytes may be looked at. If not, `turn_away` says so."""
        return self._buckets.take(client, size, now)

    def tap(self, now: float) -> Bucket:
        """A bucket for a client that keeps it itself: one that is there for long, and speaks all the time."""
        return Bucket(self._limit, now)

    def turn_away(self, client: Hashable, remote: str, now: float, tap: Bucket | None = None) -> None:
        """Counts a frame that was not let in, by its own `tap` if it has one. `remote` is what the user knows the client by."""
        what = (tap or self._buckets.of(client, now)).short_of
        self._node.counters.add(f"limited.{what}")
        if self._told.is_first(client):
            self._node.outbox.event(RemoteLimited(remote, what))

    def __len__(self) -> int:
        return len(self._buckets)
