"""Deaths that this peer found out, until it tells everybody.

When many die at one instant, each of their neighbours finds out several, and most deaths are found by several at once. So a death is
told a moment later: together with the others of that moment, unless somebody else has told it meanwhile, or it was no death.
"""

from __future__ import annotations

from zmqgossip.core.members import Members
from zmqgossip.core.node import Node
from zmqgossip.core.types import PeerId, PeerRecord, PeerState

DEATHS_DUE = "deaths due"
GATHER_MIN_S, GATHER_MAX_S = 0.05, 0.35
"""Drawn each time: whoever draws less spares the others their word. Gossip takes some 0.1 s to get round."""
NOTICES_MAX = 100
"""In one segment, of some 100 bytes each."""


class Deaths:
    """What is still to be told of the dead."""

    __slots__ = ("_found", "_members", "_node")

    def __init__(self, node: Node, members: Members) -> None:
        self._node = node
        self._members = members
        self._found: dict[PeerId, PeerRecord] = {}

    def found(self, record: PeerRecord, now: float) -> None:
        """Somebody is dead, of that record: everybody should hear it."""
        if not self._found:
            self._node.timers.set((DEATHS_DUE, 0), now + self._node.rng.uniform(GATHER_MIN_S, GATHER_MAX_S))
        self._found[record.id] = record

    def told(self, record: PeerRecord) -> None:
        """Somebody else has told that death, as of that record."""
        found = self._found.get(record.id)
        if found is not None and record.order >= found.order:
            del self._found[record.id]
            self._node.counters.add("notices.told_by_another")

    def due(self) -> list[list[PeerRecord]]:
        """Those that are still held dead of that record, a list a segment. Nothing is left to be told."""
        found, self._found = self._found, {}
        self._node.timers.cancel((DEATHS_DUE, 0))
        dead = [record for record in found.values() if self._is_dead(record)]
        return [dead[start : start + NOTICES_MAX] for start in range(0, len(dead), NOTICES_MAX)]

    def _is_dead(self, record: PeerRecord) -> bool:
        held = self._members.get(record.id)
        return held is not None and held.state is PeerState.DEAD and held.record.order <= record.order
