"""A feed that nothing is lost from while others can be made to wait, and after that by name.

When it is full, whoever fills it is told to hold on, and it takes what still comes for a while: the publishers' windows bound that.
A reader who has not made room by then loses the oldest things, a good part of them at once, so that few names say which.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from zmqgossip.handle import feed
from zmqgossip.handle.feed import Feed

T = TypeVar("T")


class PatientFeed(Feed[T]):
    """A feed for a reader whose slowness may slow others, for some time.

    Args:
        unpack, closed: as of a Feed.
        patience_s: seconds that it may be full before it drops anything.
        lost: gets the things that were dropped, in their order; in the thread that fills it.
        room: is called when there is room again, by whoever made it; it must not wait.
        may_drop: whether a thing may be dropped at all.
    """

    def __init__(
        self,
        unpack: Callable[[Any], Iterable[T]],
        closed: Callable[[Feed[Any]], None] | None = None,
        *,
        patience_s: float,
        lost: Callable[[list[Any]], object],
        room: Callable[[], object],
        may_drop: Callable[[Any], bool] = lambda thing: True,
    ) -> None:
        super().__init__(unpack, closed)
        self._patience_s = patience_s
        self._on_lost = lost
        self._on_room = room
        self._may_drop = may_drop
        self._full_since: float | None = None

    @property
    def is_full(self) -> bool:
        """From when a thing did not fit any more until half of the feed is free: room for one more would be none a moment later."""
        return self._full_since is not None

    def add(self, thing: Any, size: int = 0) -> bool:
        """Adds one thing in any case. False: others were dropped for it."""
        with self._lock:
            if self._is_closed:
                return True
            has_room = self.has_room(size)
            self._waiting.append((thing, size))
            self._bytes += size
            if has_room:
                return True
            now = time.monotonic()
            if self._full_since is None:
                self._full_since = now
            in_patience = now - self._full_since <= self._patience_s
            if in_patience and len(self._waiting) <= 2 * feed.ITEMS_MAX and self._bytes <= 2 * feed.BYTES_MAX:
                return True
            dropped = self._drop_oldest()
        if dropped:
            self.dropped_count += len(dropped)
            self._on_lost(dropped)
        return not dropped

    def _drop_oldest(self) -> list[Any]:
        """Until an eighth is free. With the lock held."""
        dropped: list[Any] = []
        kept: list[tuple[Any, int]] = []
        while self._waiting and (len(self._waiting) + len(kept) > feed.ITEMS_MAX * 7 // 8 or self._bytes > feed.BYTES_MAX * 7 // 8):
            thing, size = self._waiting.popleft()
            if self._may_drop(thing):
                dropped.append(thing)
                self._bytes -= size
            else:
                kept.append((thing, size))
        self._waiting.extendleft(reversed(kept))
        return dropped

    def _take_batch(self) -> list[Any]:
        taken = super()._take_batch()
        self._look_for_room()
        return taken

    def _look_for_room(self) -> None:
        if self._full_since is not None and len(self._waiting) <= feed.ITEMS_MAX // 2 and self._bytes <= feed.BYTES_MAX // 2:
            self._full_since = None
            self._on_room()

    def close(self) -> None:
        super().close()
        if self._process.is_here:
            with self._lock:
                self._look_for_room()
