"""To look for oneself: who answers at an address?

A visit opens a DEALER to the peer's ROUTER, asks CHECK, and has one of three ends: answered (by whoever lives there now), refused,
or silent. A seed's dial-backs and verdicts are made of visits, and a peer's search for ghosts; how often and what follows is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from zmqgossip.core.messages import Check, Checked
from zmqgossip.core.node import Node
from zmqgossip.core.types import PeerRecord

VISIT_DUE = "visit due"


class Outcome(Enum):
    ANSWERED = 1
    OTHER = 2  # somebody answered, and it is not the peer, not its life, or not the one that registered
    REFUSED = 3
    SILENT = 4
    UNTRIED = 5  # this node had no socket left: that says nothing about the peer


@dataclass(slots=True, eq=False)
class Visit:
    """One attempt. `owner` is the key of the dial-back or the case that it belongs to, if it does to one."""

    key: int
    owner: int
    target: PeerRecord
    ticket: bytes | None  # None: whoever lives there need not have registered
    nonce: bytes


class Visits:
    """All visits under way."""

    __slots__ = ("_node", "_open")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._open: dict[int, Visit] = {}

    def begin(self, owner: int, target: PeerRecord, ticket: bytes | None, timeout_s: float, now: float) -> None:
        visit = Visit(self._node.new_key(), owner, target, ticket, self._node.nonce())
        self._open[visit.key] = visit
        self._node.outbox.open(visit.key, target.endpoint)
        self._node.timers.set((VISIT_DUE, visit.key), now + timeout_s)
        self._node.counters.add("visits.made")

    def knows(self, key: int) -> bool:
        return key in self._open

    def target_of(self, key: int) -> PeerRecord | None:
        """Whom a visit under way is meant for."""
        visit = self._open.get(key)
        return None if visit is None else visit.target

    def on_connected(self, key: int) -> None:
        visit = self._open.get(key)
        if visit is not None:
            self._node.ask(key, Check(visit.nonce, visit.nonce if visit.ticket is None else visit.ticket))

    def on_checked(self, key: int, body: Checked) -> tuple[int, Outcome] | None:
        """Somebody answered: the owner of the visit and what was found. None for an answer to something else."""
        visit = self._open.get(key)
        if visit is None or visit.nonce != body.nonce:
            self._node.counters.add("visits.stale")
            return None
        target = visit.target
        registered = body.mine or visit.ticket is None
        same = registered and (body.record.id, body.record.epoch, body.record.publish) == (target.id, target.epoch, target.publish)
        return self._end(visit), Outcome.ANSWERED if same else Outcome.OTHER

    def on_disconnected(self, key: int) -> tuple[int, Outcome] | None:
        visit = self._open.get(key)
        return None if visit is None else (self._end(visit), Outcome.REFUSED)

    def on_not_opened(self, key: int) -> tuple[int, Outcome] | None:
        visit = self._open.get(key)
        return None if visit is None else (self._end(visit), Outcome.UNTRIED)

    def due(self, key: int) -> tuple[int, Outcome] | None:
        visit = self._open.get(key)
        return None if visit is None else (self._end(visit), Outcome.SILENT)

    def abandon(self, owner: int) -> None:
        """The owner has seen enough."""
        for visit in [visit for visit in self._open.values() if visit.owner == owner]:
            self._end(visit)

    def postpone(self, timeout_s: float, now: float) -> None:
        """This node was away: every visit gets its whole time again."""
        for key in self._open:
            self._node.timers.set((VISIT_DUE, key), now + timeout_s)

    def __len__(self) -> int:
        return len(self._open)

    def _end(self, visit: Visit) -> int:
        del self._open[visit.key]
        self._node.timers.cancel((VISIT_DUE, visit.key))
        self._node.outbox.close(visit.key)
        return visit.owner
