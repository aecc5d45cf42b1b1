"""Who exists, as this node knows it: records with a state, and one table that says which news replaces which.

News is a record with a state. Records of one id are ordered by (epoch, revision), and only their owner makes a newer one: so a
newer record always wins, an older one never does, and at equal order only the moves of `_MOVES` are made. The dead and the left
stay as tombstones for a while, because old news of their lives is still under way.

A table is *full*, and then has everybody, or *partial*: it has those that are followed (the neighbours) and at most so many others,
*candidates*, one of which goes when another comes. Of candidates nobody is told, and they leave no tombstone. Which of both a table
is, is decided in `census`; who is followed, in `membership`.

One number stands for all that live, the node itself among them, and one for each of 256 buckets of them: full tables that are alike
have them alike. SUSPECT counts as alive there: a suspicion is an opinion. Each is kept up to date, never computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum
from itertools import chain
from random import Random

from zmqgossip.core.events import Event, PeerAlive, PeerDead, PeerJoined, PeerLeft, PeerReady, PeerSuspected
from zmqgossip.core.gossip_messages import BUCKETS
from zmqgossip.core.outbox import Outbox
from zmqgossip.core.types import Member, PeerId, PeerRecord, PeerState
from zmqgossip.core.wire import bucket_of, record_hash

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
        evicted_count: candidates that had to go for others.
        root: stands for all that live; `folds` for those of each bucket.
    """

    __slots__ = (
        "_candidates_max",
        "_followed",
        "_living",
        "_living_max",
        "_outbox",
        "_own",
        "_own_hash",
        "_rng",
        "_tombstone_s",
        "_tombstones",
        "_tombstones_max",
        "buried_count",
        "evicted_count",
        "folds",
        "ready_count",
        "refused_count",
        "root",
    )

    def __init__(self, own: PeerId, living_max: int, tombstones_max: int, tombstone_s: float, outbox: Outbox) -> None:
        self._own = own
        self._outbox = outbox
        self._living: dict[PeerId, Member] = {}
        self._tombstones: dict[PeerId, Member] = {}
        self._living_max = living_max
        self._tombstones_max = tombstones_max
        self._tombstone_s = tombstone_s
        self._followed: dict[PeerId, bool] = {}  # whether there is a link; without one it is somebody under suspicion
        self._candidates_max = 0
        self._rng: Random | None = None
        self._own_hash = 0
        self.root = 0
        self.folds = [0] * BUCKETS
        self.evicted_count = 0
        self.buried_count = 0
        self.ready_count = 0
        self.refused_count = 0  # newcomers for whom the table had no place

    def begin(self, members: Iterable[Member]) -> None:
        """A table that is there from the beginning: nobody is told of anybody in it. The entries are shared with whoever gives them."""
        for member in members:
            if member.record.id != self._own:
                self._store(member)

    def begin_as(self, other: Members, its_own: Member) -> None:
        """The same with all that another has that knows everybody, and that one itself. For thousands of tables of thousands."""
        self._living = other._living | {its_own.record.id: its_own}
        mine = self._living.pop(self._own)
        self.ready_count = other.ready_count + its_own.record.ready - mine.record.ready
        self.folds, self.root = list(other.folds), other.root  # each table's own record stands in them

    def learn(self, record: PeerRecord, state: PeerState, wall: float) -> Change:
        """`apply`, and the user is told what it changed; in a partial table, of those that are followed."""
        held = self._living.get(record.id)
        if held is not None and held.state is state and _is_no_news(held.record, record):  # nearly all that seeds list
            return Change.NONE
        is_told = not self.partial or record.id in self._followed
        change = self.apply(record, state, wall)
        if self._followed.get(record.id) is False and state is not SUSPECT:
            del self._followed[record.id]  # the suspicion is over, and so was the link
            self._makes_room(b"")
        if not is_told:
            return change
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
        if state in (ALIVE, SUSPECT) and record.id not in self._living and not self._makes_room(record.id):
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
        peer = member.record.id
        self.forget(peer)
        if member.state in (ALIVE, SUSPECT):
            self._living[peer] = member
            self.ready_count += member.record.ready
            self._fold(peer, record_hash(member.record))
        else:
            self.buried_count += 1
            if not self.partial or peer in self._followed:
                self._tombstones[peer] = member

    def forget(self, peer: PeerId) -> None:
        """Takes an entry out without a tombstone, and tells nobody."""
        held = self._living.pop(peer, None)
        if held is not None:
            self.ready_count -= held.record.ready
            self._fold(peer, record_hash(held.record))
        self._tombstones.pop(peer, None)

    def _expire(self, wall: float) -> None:
        while self._tombstones:
            oldest = next(iter(self._tombstones.values()))
            if len(self._tombstones) <= self.tombstones_max and wall - oldest.since <= self._tombstone_s:
                break
            self.forget(oldest.record.id)

    # -- what stands for all ----------------------------------------------------------------------------------------------

    def become(self, me: PeerRecord) -> None:
        """The node's own record: it is in no table, and stands in the numbers as in those of others."""
        self._fold(me.id, self._own_hash)
        self._own_hash = record_hash(me)
        self._fold(me.id, self._own_hash)

    def _fold(self, peer: PeerId, hashed: int) -> None:
        self.folds[bucket_of(peer)] ^= hashed
        self.root ^= hashed

    def in_buckets(self, buckets: Collection[int]) -> list[Member]:
        """The living and the tombstones of these buckets, of both first who changed last. It looks at all: walks are rare."""
        members = chain(reversed(self._living.values()), reversed(self._tombstones.values()))
        return [member for member in members if bucket_of(member.record.id) in buckets]

    # -- a part of all ----------------------------------------------------------------------------------------------------

    @property
    def partial(self) -> bool:
        """Whether it has only those that are followed and some candidates."""
        return self._rng is not None

    def narrow(self, candidates_max: int, rng: Random, wall: float) -> None:
        """From now on it is partial. Whoever is too many goes, as `rng` has it."""
        self._candidates_max, self._rng = candidates_max, rng
        candidates = self._candidates()
        for peer in rng.sample(candidates, max(0, len(candidates) - candidates_max)):
            self.forget(peer)
        self._expire(wall)

    def widen(self) -> None:
        """From now on it is full. Candidates are forgotten: nobody has vouched for them, and those who live are read of in lists."""
        for peer in self._candidates():
            self.forget(peer)
        self._rng = None

    def _introduce(self, peer: PeerId) -> None:
        """Tells the user of somebody who is known already."""
        record = self._living[peer].record
        self._outbox.event(PeerJoined(record))
        if record.ready:
            self._outbox.event(PeerReady(record))

    def follow(self, peer: PeerId) -> None:
        """A neighbour, whether it stands in the table already or will: it never has to go, and the user is told of it."""
        if self.partial and peer in self._living and peer not in self._followed:
            self._introduce(peer)
        self._followed[peer] = True

    def unfollow(self, peer: PeerId) -> None:
        """A neighbour no more: a candidate, unless it is under suspicion, the end of which is still told."""
        held = self._living.get(peer)
        if held is not None and held.state is SUSPECT:
            self._followed[peer] = False
        else:
            self._followed.pop(peer, None)
        self._makes_room(b"")

    def _candidates(self) -> list[PeerId]:
        return [peer for peer in self._living if peer not in self._followed]

    def _makes_room(self, newcomer: PeerId) -> bool:
        """Whether there is a place for one more; in a partial table there always is, and perhaps a candidate goes for it."""
        if self._rng is None:
            return len(self._living) < self._living_max
        spare = self.candidates_count + (bool(newcomer) and newcomer not in self._followed) - self._candidates_max
        if spare > 0:
            for peer in self._rng.sample(self._candidates(), spare):
                self.evicted_count += 1
                self.forget(peer)
        return True

    @property
    def candidates_count(self) -> int:
        """The living without a link."""
        return len(self._living) - sum(peer in self._living for peer in self._followed)

    @property
    def tombstones_max(self) -> int:
        """How many it may hold now: of a partial table as many as of candidates."""
        return min(self._tombstones_max, self._candidates_max) if self.partial else self._tombstones_max

    def get(self, peer: PeerId) -> Member | None:
        return self._living.get(peer) or self._tombstones.get(peer)

    def has_buried(self, record: PeerRecord) -> bool:
        """Whether there is a tombstone of that life, of this record of it or a later one."""
        held = self._tombstones.get(record.id)
        return held is not None and record.epoch == held.record.epoch and record.revision <= held.record.revision

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
