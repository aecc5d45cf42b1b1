"""Partitions for networks inside one process: which nodes do not reach each other, and bodies that heed it.

Nodes on one machine cannot be parted by a firewall that every test may set. So a body itself stops reading from the connections that
lead to the other side, stops sending on them, and lets new ones hang: what a node notices is what a broken route looks like, silence
without an end of the connection. What had been sent and not read arrives after healing, as TCP would have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from typing import Any

from zmqgossip.core.outbox import Knock
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import Endpoint
from zmqgossip.runtime.body import Body

HEED_S = 0.5
"""For all bodies to heed a change of the partition; one that is stopped does so when it goes on."""


class Partition:
    """Who is in which part. Endpoints that were put nowhere reach everybody."""

    def __init__(self) -> None:
        self._part: dict[Endpoint, int] = {}
        self.bodies: list[PartedBody] = []

    def part(self, groups: Iterable[Iterable[Endpoint]]) -> None:
        """Parts the network anew, and tells every body of it."""
        self._part = {endpoint: number for number, group in enumerate(groups) for endpoint in group}
        heeding = [body.heed() for body in list(self.bodies)]
        wait(heeding, HEED_S)

    def parts(self, one: Endpoint, other: Endpoint) -> bool:
        """Whether the two do not reach each other."""
        first, second = self._part.get(one), self._part.get(other)
        return first is not None and second is not None and first != second

    def body(self) -> type[Body]:
        """The class of bodies that heed it."""
        return type("PartedBody", (PartedBody,), {"partition": self})


class PartedBody(Body):
    """A body that keeps silent towards those whom the partition keeps it from."""

    partition: Partition

    def __init__(self, *args: Any) -> None:
        self._ends: dict[int, Endpoint] = {}  # of DEALERs
        self._sub_ends: dict[int, Endpoint] = {}
        self._deaf: dict[Any, tuple[Any, bool]] = {}  # sockets that are not read, and how they were
        self._hanging: dict[tuple[str, int], tuple[Any, ...]] = {}  # connects that wait for the healing
        super().__init__(*args)
        engine = self.engine
        self._here = engine.me.endpoint if isinstance(engine, PeerEngine) else engine.me
        self.partition.bodies.append(self)

    def heed(self) -> Future[None]:
        """The partition has changed. May be called from any thread."""
        return self._loop.submit(self._heed)

    def _heed(self) -> None:
        for key, line in self._lines.items():
            self._listen(line.dealer, self._is_parted(self._ends[key]), control=True)
        for key, socket in self._subs.items():
            self._listen(socket, self._is_parted(self._sub_ends[key]), control=False)
        for (kind, key), (now, *arguments) in list(self._hanging.items()):
            if not self._is_parted(arguments[0]):
                del self._hanging[kind, key]
                (self._open if kind == "open" else self._subscribe)(now, key, *arguments)

    def _is_parted(self, endpoint: Endpoint) -> bool:
        return self.partition.parts(self._here, endpoint)

    def _listen(self, socket: Any, parted: bool, *, control: bool) -> None:
        if parted and socket not in self._deaf:
            self._deaf[socket] = (self._loop.handler_of(socket), control)
            self._loop.unwatch(socket)
        elif not parted and socket in self._deaf:
            handler, control = self._deaf.pop(socket)
            self._loop.watch(socket, handler, control=control)

    # -- what the engine wants --------------------------------------------------------------------------------------------

    def _request(self, now: float, key: int, frame: bytes) -> None:
        if key not in self._ends or not self._is_parted(self._ends[key]):
            super()._request(now, key, frame)

    def _open(self, now: float, key: int, endpoint: Endpoint) -> None:
        self._ends[key] = endpoint
        if self._is_parted(endpoint):
            self._hanging["open", key] = (now, endpoint)
        else:
            super()._open(now, key, endpoint)

    def _subscribe(self, now: float, key: int, endpoint: Endpoint, topics: Sequence[bytes]) -> None:
        self._sub_ends[key] = endpoint
        if self._is_parted(endpoint):
            self._hanging["subscribe", key] = (now, endpoint, topics)
        else:
            super()._subscribe(now, key, endpoint, topics)

    def _topics(self, now: float, key: int, add: Sequence[bytes], remove: Sequence[bytes]) -> None:
        hanging = self._hanging.get(("subscribe", key))
        if hanging is None:
            super()._topics(now, key, add, remove)
        else:
            since, endpoint, topics = hanging
            self._hanging["subscribe", key] = (since, endpoint, (*(topic for topic in topics if topic not in remove), *add))

    def _close_key(self, now: float, key: int) -> None:
        self._hanging.pop(("open", key), None)
        self._hanging.pop(("subscribe", key), None)
        super()._close_key(now, key)
        self._ends.pop(key, None)
        self._sub_ends.pop(key, None)

    def _close_line(self, key: int) -> None:
        self._listen(self._lines[key].dealer, parted=False, control=True)
        super()._close_line(key)

    def _close_sub(self, key: int) -> None:
        self._listen(self._subs[key], parted=False, control=False)
        super()._close_sub(key)

    def _knock(self, now: float, key: int, endpoints: Sequence[Endpoint]) -> None:
        if any(self._is_parted(endpoint) for endpoint in endpoints):
            self._knocked(key, [Knock.SILENT] * len(endpoints), now)
        else:
            super()._knock(now, key, endpoints)

    def close(self) -> None:
        self.partition.bodies.remove(self)
        super().close()
