"""Neighbours that this peer called dead, and what became of it.

A report goes to all seeds; they look for themselves. Refused connects, or somebody else at its address, are certain and told to
everybody at once. Misses make the neighbour SUSPECT until a seed's verdict comes; when none comes in time, no seed is left to ask,
and the peer's own word stands.
"""

from __future__ import annotations

from zmqgossip.core.events import NeighbourReported
from zmqgossip.core.members import Members
from zmqgossip.core.messages import Evidence, Report, Verdict
from zmqgossip.core.node import Node
from zmqgossip.core.types import PeerId, PeerRecord, PeerState
from zmqgossip.core.view import Link

VERDICT_DUE = "verdict due"


class Accusations:
    """Open reports of one peer."""

    __slots__ = ("_members", "_node", "_open")

    def __init__(self, node: Node, members: Members) -> None:
        self._node = node
        self._members = members
        self._open: dict[int, PeerRecord] = {}

    def accuse(self, me: PeerRecord, link: Link, evidence: Evidence, now: float) -> Report:
        """Holds a failed neighbour suspect, or dead where that is certain; the report for the seeds."""
        certain = evidence is not Evidence.MISSES
        held = self._members.get(link.peer.id)
        if held is not None and held.record.order > link.peer.order:
            link.peer = held.record  # news that came past the link: a report of an older record would be moot
        self._members.learn(link.peer, PeerState.DEAD if certain else PeerState.SUSPECT, self._node.wall(now))
        if not certain:
            key = self._node.new_key()
            self._open[key] = link.peer
            self._node.timers.set((VERDICT_DUE, key), now + 2 * self._node.config.verify_window_s)
        self._node.outbox.event(NeighbourReported(link.peer, evidence, link.misses))
        return Report(me.id, link.peer, evidence, link.misses, now - max(link.last_heard, link.since))

    def on_verdict(self, verdict: Verdict, now: float) -> bool:
        """A seed has decided. Whether everybody should hear that the peer is dead."""
        if verdict.state is PeerState.SUSPECT:
            return False
        key = next((key for key, record in self._open.items() if record.id == verdict.target.id), None)
        if key is None:
            return False
        return self._close(key, verdict.state, now)

    def due(self, key: int, now: float) -> PeerRecord | None:
        """No seed has decided in time: the peer that is dead by this node's own word."""
        record = self._open.get(key)
        return record if record is not None and self._close(key, PeerState.DEAD, now) else None

    def postpone(self, key: int, now: float) -> None:
        """The verdict is waited for once more."""
        if key in self._open:
            self._node.timers.set((VERDICT_DUE, key), now + 2 * self._node.config.verify_window_s)

    def heard_of(self, peer: PeerId) -> None:
        """The accused has spoken, or is known to be gone: nothing is left to decide."""
        for key in [key for key, record in self._open.items() if record.id == peer]:
            del self._open[key]
            self._node.timers.cancel((VERDICT_DUE, key))

    def _close(self, key: int, state: PeerState, now: float) -> bool:
        record = self._open.pop(key)
        self._node.timers.cancel((VERDICT_DUE, key))
        self._members.learn(record, state, self._node.wall(now))
        return state is PeerState.DEAD
