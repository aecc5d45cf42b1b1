"""Deaths that this peer found out or heard of, until its neighbours hear them from it.

A death goes from neighbour to neighbour: whoever hears of one that is news to him says it to all his neighbours, once, with all others
of that moment. So it costs a frame a link, and when half of a network dies at one instant it is some frames a link for all of them
(A. Das, I. Gupta, A. Motivala: SWIM, DSN 2002, section 4.1, where such news rides on probes).
"""

from __future__ import annotations

from collections.abc import Iterator

from zmqgossip.core.gossip_messages import DEATHS_MAX, Deaths
from zmqgossip.core.members import Members
from zmqgossip.core.node import Node
from zmqgossip.core.types import PeerId, PeerRecord, PeerState

DEATHS_DUE = "deaths due"
GATHER_S = 0.05
"""From the first that is to be told: others of the same moment go with it."""
GAP_S = 0.2
"""Between two frames of deaths: in a mass failure each neighbour would otherwise bring every death by itself."""


class UntoldDeaths:
    """What is still to be told of the dead."""

    __slots__ = ("_free_at", "_hints", "_members", "_node", "_waiting")

    def __init__(self, node: Node, members: Members) -> None:
        self._node = node
        self._members = members
        self._waiting: dict[PeerId, PeerRecord] = {}
        self._hints: dict[PeerId, PeerRecord] = {}  # what is not believed here, and meant for the one concerned
        self._free_at = 0.0  # from when the next may go out

    def add(self, record: PeerRecord, now: float) -> None:
        """Somebody is dead, of that record: neighbours should hear it."""
        self._waiting[record.id] = record
        self.arm(now)

    def pass_on(self, record: PeerRecord, now: float) -> None:
        """Somebody is said to be dead, of that record, whom this peer knows to live: one that would never hear it otherwise."""
        self._hints[record.id] = record
        self.arm(now)

    def arm(self, now: float) -> None:
        """Plans when it is told, if there is anything to tell."""
        if (self._waiting or self._hints) and self._node.timers.when((DEATHS_DUE, 0)) is None:
            self._node.timers.set((DEATHS_DUE, 0), max(now + GATHER_S, self._free_at))

    def due(self, now: float) -> Iterator[Deaths]:
        """Those that are still held dead of that record, in as many frames as it takes. Nothing is left to be told."""
        waiting, self._waiting = self._waiting, {}
        hints, self._hints = self._hints, {}
        self._node.timers.cancel((DEATHS_DUE, 0))
        self._free_at = now + GAP_S
        dead = [record for record in waiting.values() if self._is_dead(record)]
        dead += [record for record in hints.values() if record.id not in waiting and self._is_newest(record)]
        for start in range(0, len(dead), DEATHS_MAX):
            yield Deaths(dead[start : start + DEATHS_MAX])

    def _is_dead(self, record: PeerRecord) -> bool:
        held = self._members.get(record.id)
        return held is not None and held.state is PeerState.DEAD and self._is_newest(record)

    def _is_newest(self, record: PeerRecord) -> bool:
        held = self._members.get(record.id)
        return held is not None and held.record.order <= record.order
