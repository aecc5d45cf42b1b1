"""Neighbours that this peer called dead, and what became of it.

A report goes to all seeds; they look for themselves. Somebody else at its address is certain. Misses make
the neighbour SUSPECT until a seed's verdict comes; when none comes in time, no seed is left to ask, and the peer's own word stands.

Refused connects are certain too: it is gone. But it may have left, and its word may have come to a seed and not here. So it is SUSPECT
for a moment, in which a seed that lives answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqgossip.core.codes import Evidence
from zmqgossip.core.events import NeighbourReported
from zmqgossip.core.members import Members
from zmqgossip.core.messages import Report, Verdict
from zmqgossip.core.node import Node
from zmqgossip.core.types import PeerId, PeerRecord, PeerState
from zmqgossip.core.view import Link

VERDICT_DUE = "verdict due"
GONE_WAIT_S = 0.3
"""How long at most a neighbour whose ports refuse is only SUSPECT. A seed that has time answers within milliseconds."""


@dataclass(slots=True, eq=False)
class Accusation:
    """One open report. `asked_until`: how long a seed's word that it is looking is waited on. `is_gone`: its ports refuse."""

    record: PeerRecord
    asked_until: float
    is_gone: bool = False
    seed_is_looking: bool = False


class Accusations:
    """Open reports of one peer."""

    __slots__ = ("_members", "_node", "_open")

    def __init__(self, node: Node, members: Members) -> None:
        self._node = node
        self._members = members
        self._open: dict[int, Accusation] = {}

    def accuse(self, me: PeerRecord, link: Link, evidence: Evidence, now: float, *, can_ask: bool) -> Report | None:
        """Holds a failed neighbour suspect, or dead where no seed could know better; the report for the seeds.

        `can_ask`: whether there is a connection to any seed.

        None without a receipt of the neighbour's: it is somebody who was dialled and not met, and seeds would not look.
        """
        refused = evidence is Evidence.REFUSED
        certain = evidence is Evidence.REPLACED or (refused and (link.receipt is None or not can_ask))
        held = self._members.get(link.peer.id)
        if held is not None and held.record.epoch == link.peer.epoch and held.record.revision > link.peer.revision:
            link.peer = held.record  # news that came past the link: a report of an older record would be moot
        self._members.learn(link.peer, PeerState.DEAD if certain else PeerState.SUSPECT, self._node.wall(now))
        if not certain:
            key = self._node.new_key()
            self._open[key] = Accusation(link.peer, now if refused else now + self._node.config.lease_s, is_gone=refused)
            self.postpone(key, now)
        if link.receipt is None:
            self._node.counters.add("dropped.report_without_receipt")
            return None
        self._node.outbox.event(NeighbourReported(link.peer, evidence, link.misses))
        return Report(me.id, link.peer, evidence, link.misses, now - max(link.last_heard, link.since), link.receipt)

    def on_verdict(self, verdict: Verdict, now: float) -> PeerRecord | None:
        """What a seed says of a report. The record that everybody should hear is dead, if it is."""
        key = next((key for key, open_ in self._open.items() if open_.record.id == verdict.target.id), None)
        if key is None:
            if verdict.state is PeerState.LEFT:
                self._had_left(verdict.target, now)
            return None
        if verdict.state is PeerState.SUSPECT:
            self._open[key].seed_is_looking |= verdict.looking
            return None
        return self._close(key, verdict.state, now)

    def _had_left(self, said: PeerRecord, now: float) -> None:
        """The word comes late: this peer has decided on a death by itself."""
        held = self._members.get(said.id)
        if held is not None and held.state is PeerState.DEAD and held.record.epoch == said.epoch:
            self._members.learn(held.record, PeerState.LEFT, self._node.wall(now))

    def due(self, key: int, now: float) -> PeerRecord | None:
        """No verdict has come in time: the peer that is dead by this node's own word.

        A seed that has answered may hold the peer suspect until its lease ends; so does this node then. Where a seed has listed it
        ALIVE since, there is nothing left to decide.
        """
        accusation = self._open.get(key)
        if accusation is None:
            return None
        if accusation.seed_is_looking and now < accusation.asked_until:
            self.postpone(key, now)
            return None
        held = self._members.get(accusation.record.id)
        if held is not None and held.state is PeerState.ALIVE and not accusation.is_gone:
            self._node.counters.add("accusations.cleared")  # seeds list it again; of who is held until it speaks they tell no verdict
            self.heard_of(accusation.record.id)
            return None
        return self._close(key, PeerState.DEAD, now)

    def postpone(self, key: int, now: float) -> None:
        """The verdict is waited for once more."""
        if key in self._open:
            wait_s = GONE_WAIT_S if self._open[key].is_gone else 2 * self._node.config.verify_window_s
            self._node.timers.set((VERDICT_DUE, key), now + wait_s)

    def postpone_all(self, now: float) -> None:
        """This node was away: verdicts may have come meanwhile, and wait to be read."""
        for key in self._open:
            self.postpone(key, now)

    def drop_all(self) -> None:
        """This peer goes: whatever it finds out now nobody would hear."""
        for accusation in list(self._open.values()):
            self.heard_of(accusation.record.id)

    def is_gone(self, key: int) -> bool:
        """Whether the accused does not live, whoever is cut off."""
        return key in self._open and self._open[key].is_gone

    def heard_of(self, peer: PeerId) -> None:
        """The accused has spoken, or is known to be gone: nothing is left to decide."""
        for key in [key for key, accusation in self._open.items() if accusation.record.id == peer]:
            del self._open[key]
            self._node.timers.cancel((VERDICT_DUE, key))

    def _close(self, key: int, state: PeerState, now: float) -> PeerRecord | None:
        record = self._open.pop(key).record
        self._node.timers.cancel((VERDICT_DUE, key))
        self._members.learn(record, state, self._node.wall(now))
        return record if state is PeerState.DEAD else None
