"""A feed of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zmqgossip.core.events import Event, ProbeReceived, ReplyReceived
from zmqgossip.handle.feed import Feed

_PROBES = (ProbeReceived, ReplyReceived)


class EventFeed(Feed[Event]):
    """Events of some kinds; without any, of all but probes. What it does not want takes no room in it.

    Args:
        kinds: classes of events.
        closed: as of Feed.
    """

    def __init__(self, kinds: Sequence[type[Event]], closed: Callable[[Feed[Any]], None]) -> None:
        super().__init__(lambda event: (event,), closed)
        self._kinds = tuple(kinds)

    def wants(self, event: Event) -> bool:
        return isinstance(event, self._kinds) if self._kinds else not isinstance(event, _PROBES)
