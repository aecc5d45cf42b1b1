"""Who exists, as this node knows it: records with a state, and one table that says which news replaces which.

News is a record with a state. Records of one id are ordered by (epoch, revision), and only their owner makes a newer one: so a
newer record always wins, an older one never does, and at equal order only the moves of `_MOVES` are made. The dead and the left
stay as tombstones for a while, because old news of their lives is still under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum

from zmqgossip.core.events import Event, PeerAlive, PeerDead, PeerJoined, PeerLeft, PeerReady, PeerSuspected
from zmqgossip.core.outbox import Outbox
from zmqgossip.core.types import Member, PeerId, PeerRecord, PeerState

ALIVE, SUSPECT, DEAD, LEFT = PeerState.ALIVE, PeerState.SUSPECT, PeerState.DEAD, PeerState.LEFT

_MOVES = {
    # held     news     of equal order: does it replace what is held?
    (ALIVE, SUSPECT): True,
    (ALIVE, DEAD): True,
    (ALIVE, LEFT): True,
    (SUSPECT, ALIVE): True,  # whoever suspected has cleared it
    (SUSPECT, DEAD): True,
    (SUSPECT, LEFT): True,
    (DEAD, ALIVE): False,  # only a newer record of its owner revives
    (DEAD, SUSPECT): False,
    (DEAD, LEFT): True,  # it said so itself
    (LEFT, ALIVE): False,
    (LEFT, SUSPECT): False,
    (LEFT, DEAD): False,
}


class Change(Enum):
    """What a piece of news did to the table."""

    NONE = 0
    JOINED = 1
    REVIVED = 2
    UPDATED = 3
    READY = 4
    SUSPECTED = 5
    CLEARED = 6
    DIED = 7
    LEFT = 8
    FULL = 9


_EVENTS: dict[Change, Callable[[PeerRecord], Event]] = {
    Change.JOINED: PeerJoined,
    Change.REVIVED: PeerJoined,
    Change.SUSPECTED: PeerSuspected,
    Change.CLEARED: PeerAlive,
    Change.DIED: PeerDead,
    Change.LEFT: PeerLeft,
}
_CHANGES = {SUSPECT: Change.SUSPECTED, DEAD: Change.DIED, LEFT: Change.LEFT}


class Members:
    """A table of members, without the node itself. The living and the tombstones are bounded apart; the oldest tombstone goes first.

    Attributes:
        buried_count: how often somebody became DEAD or LEFT; who waits for members looks again when it has changed.
    """

    __slots__ = (
        "_living",
        "_living_max",
        "_outbox",
        "_own",
        "_tombstone_s",
        "_tombstones",
        "_tombstones_max",
        "buried_count",
        "ready_count",
        "refused_count",
    )

    def __init__(self, own: PeerId, living_max: int, tombstones_max: int, tombstone_s: float, outbox: Outbox) -> None:
        self._own = own
        self._outbox = outbox
        self._living: dict[PeerId, Member] = {}
        self._tombstones: dict[PeerId, Member] = {}
        self._living_max = living_max
        self._tombstones_max = tombstones_max
        self._tombstone_s = tombstone_s
        self.buried_count = 0
        self.ready_count = 0
        self.refused_count = 0  # newcomers for whom the table had no place

    def begin(self, members: Iterable[Member]) -> None:
        """A table that is there from the beginning: nobody is told of anybody in it. The entries are shared with whoever gives them."""
        for member in members:
            if member.record.id != self._own:
                self._store(member)

    def learn(self, record: PeerRecord, state: PeerState, wall: float) -> Change:
        """`apply`, and the user is told what it changed."""
        held = self._living.get(record.id)
        if held is not None and held.state is state and _is_no_news(held.record, record):  # nearly all that seeds list
            return Change.NONE
        change = self.apply(record, state, wall)
        event = _EVENTS.get(change)
        if event is not None:
            self._outbox.event(event(record))
        member = self._living.get(record.id)
        if member is not None and member.record.ready and not (held is not None and held.record.ready):
            self._outbox.event(PeerReady(member.record))
        return change

    def apply(self, record: PeerRecord, state: PeerState, wall: float) -> Change:
        """Takes in a piece of news, heard at `wall` (Unix seconds); what it changed."""
        if record.id == self._own:
            return Change.NONE
        held = self.get(record.id)
        if held is None:
            change = Change.JOINED if state in (ALIVE, SUSPECT) else _CHANGES[state]
        elif record.order < held.record.order:
            return Change.NONE
        else:
            change = self._compare(held, record, state)
        if change is Change.NONE:
            return change
        if state in (ALIVE, SUSPECT) and record.id not in self._living and len(self._living) >= self._living_max:
            self.refused_count += 1
            return Change.FULL
        keeps_since = held is not None and held.state == state
        ready = record.ready or (held is not None and held.record.epoch == record.epoch and held.record.ready)
        if ready != record.ready:  # an older copy of the same life: nobody becomes unready again
            record = PeerRecord(record.id, record.epoch, record.revision, record.host, record.port, record.publish, True)
        self._store(Member(record, state, held.since if held is not None and keeps_since else wall))
        self._expire(wall)
        return change

    @staticmethod
    def _compare(held: Member, record: PeerRecord, state: PeerState) -> Change:
        newer = record.order > held.record.order
        if state != held.state:
            if not newer and not _MOVES[held.state, state]:
                return Change.NONE
            if state == ALIVE:
                return Change.CLEARED if held.state == SUSPECT else Change.REVIVED
            return _CHANGES[state]
        if record.ready and not held.record.ready and state in (ALIVE, SUSPECT):
            return Change.READY
        return Change.UPDATED if newer else Change.NONE

    def _store(self, member: Member) -> None:
        self.forget(member.record.id)
        if member.state in (ALIVE, SUSPECT):
            self._living[member.record.id] = member
            self.ready_count += member.record.ready
        else:
            self.buried_count += 1
            self._tombstones[member.record.id] = member

    def forget(self, peer: PeerId) -> None:
        """Takes an entry out without a tombstone."""
        held = self._living.pop(peer, None)
        if held is not None:
            self.ready_count -= held.record.ready
        self._tombstones.pop(peer, None)

    def _expire(self, wall: float) -> None:
        while self._tombstones:
            oldest = next(iter(self._tombstones.values()))
            if len(self._tombstones) <= self._tombstones_max and wall - oldest.since <= self._tombstone_s:
                break
            del self._tombstones[oldest.record.id]

    def get(self, peer: PeerId) -> Member | None:
        return self._living.get(peer) or self._tombstones.get(peer)

    def is_living(self, peer: PeerId) -> bool:
        return peer in self._living

    def living(self) -> Iterator[Member]:
        """Alive and suspect, in the order of their last change."""
        return iter(self._living.values())

    def tombstones(self) -> Iterator[Member]:
        """Dead and left, the longest gone first."""
        return iter(self._tombstones.values())

    def latest_tombstones(self) -> Iterator[Member]:
        """Dead and left, the latest gone first."""
        return reversed(self._tombstones.values())

    @property
    def living_count(self) -> int:
        return len(self._living)

    @property
    def tombstones_count(self) -> int:
        return len(self._tombstones)


def _is_no_news(held: PeerRecord, said: PeerRecord) -> bool:
    """Whether a record of the same id and state tells nothing: it is of the same order, and does not newly say that it is ready."""
    return held.epoch == said.epoch and held.revision == said.revision and (held.ready or not said.ready)
