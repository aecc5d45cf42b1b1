"""Plumtree: epidemic broadcast trees, after Leitao, Pereira and Rodrigues, "Epidemic Broadcast Trees", SRDS 2007.

A message is pushed to *eager* neighbours and only named (IHAVE) to *lazy* ones. At first all are eager. A second copy makes the link it
came over lazy at both ends (PRUNE), so what remains is a tree. Whoever was told of a message that does not come asks one that has it
(GRAFT), which makes that link eager again: the tree is mended by the next message.

Each link is one connection each way, so nothing echoes. Left out: the paper's optimisation by distance (its section 3.8) and its batches of
IHAVEs; a lost connection is a neighbour down, and no overlay protocol brings another.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from zmqgossip.core.types import PeerRecord
from zmqgossip.core.wire import TOPIC_GOSSIP, SegmentHeader
from zmqgossip.sim.baselines.relay import Message, Neighbour, Relay

IHAVE_TIMEOUT_S = 0.2
"""From the first IHAVE to a GRAFT: longer than a message takes that is on its way over eager links of 10-50 ms."""
GRAFT_TIMEOUT_S = 0.1
"""From one GRAFT to the next: the paper asks for about a round trip."""
IHAVE, GRAFT, PRUNE = b"I", b"G", b"P"
_MESSAGE = struct.Struct(">16sQ")


class Plumtree(Relay):
    """A peer of Plumtree's. `eager` and `lazy` are keys of neighbours."""

    def __init__(self, me: PeerRecord, cluster: int, neighbours: Sequence[Neighbour]) -> None:
        super().__init__(me, cluster, neighbours)
        self.eager: dict[int, None] = dict.fromkeys(neighbour.key for neighbour in neighbours)
        self.lazy: dict[int, None] = {}
        self._by_address = {neighbour.endpoint.host: neighbour.key for neighbour in neighbours}
        self._missing: dict[Message, list[int]] = {}  # who has it, the first to say so first
        self._due: dict[Message, float] = {}

    def begin(self, now: float) -> None:
        for neighbour in self.neighbours:
            self.outbox.open(neighbour.key, neighbour.endpoint)

    # -- pushing ----------------------------------------------------------------------------------------------------------

    def spread(self, message: Message, header: SegmentHeader, brought_by: int, now: float) -> None:
        self._missing.pop(message, None)
        self._due.pop(message, None)
        for key in self.eager:
            if key != brought_by:
                self.outbox.request(key, self.seen[message])
        for key in self.lazy:
            if key != brought_by:
                self.outbox.request(key, IHAVE + _MESSAGE.pack(*message))
        self._set_deadline()

    def on_request(self, route: bytes, frame: bytes, address: str, now: float) -> None:
        key = self._by_address[address]
        what = frame[:1]
        if what == TOPIC_GOSSIP:
            self._on_gossip(key, frame, now)
        elif what == IHAVE:
            self._on_have(key, _MESSAGE.unpack(frame[1:]), now)
        elif what == GRAFT:
            self._on_graft(key, _MESSAGE.unpack(frame[1:]))
        else:
            self._make_lazy(key)

    def _on_gossip(self, key: int, frame: bytes, now: float) -> None:
        if self.take(frame, key, now):
            self._make_eager(key)
        else:
            self._make_lazy(key)
            self.counters.add("prunes.sent")
            self.outbox.request(key, PRUNE)

    # -- repair -----------------------------------------------------------------------------------------------------------

    def _on_have(self, key: int, message: Message, now: float) -> None:
        if message not in self.seen:
            self._missing.setdefault(message, []).append(key)
            self._due.setdefault(message, now + IHAVE_TIMEOUT_S)
            self._set_deadline()

    def on_timers(self, now: float) -> None:
        for message in [message for message, due in self._due.items() if due <= now]:
            holders = self._missing[message]
            if not holders:  # all were asked: the next IHAVE begins anew
                del self._missing[message], self._due[message]
                continue
            key = holders.pop(0)
            self._due[message] = now + GRAFT_TIMEOUT_S
            self._make_eager(key)
            self.counters.add("pulls.sent")
            self.outbox.request(key, GRAFT + _MESSAGE.pack(*message))
        self._set_deadline()

    def _on_graft(self, key: int, message: Message) -> None:
        self._make_eager(key)
        if message in self.seen:
            self.outbox.request(key, self.seen[message])

    def on_disconnected(self, key: int, now: float) -> None:
        """A neighbour is down."""
        self.eager.pop(key, None)
        self.lazy.pop(key, None)
        for holders in self._missing.values():
            while key in holders:
                holders.remove(key)

    # -- both -------------------------------------------------------------------------------------------------------------

    def _make_eager(self, key: int) -> None:
        if self.lazy.pop(key, key) is None:
            self.eager[key] = None

    def _make_lazy(self, key: int) -> None:
        if self.eager.pop(key, key) is None:
            self.lazy[key] = None

    def _set_deadline(self) -> None:
        self.next_deadline = min(self._due.values(), default=None)
