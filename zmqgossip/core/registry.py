"""A seed's list: who is on it, until when, and who was.

State is soft. An entry lives on its lease, which each presence update renews; a seed that starts anew is complete again when every
peer has renewed once. The gone are kept as tombstones for a while, so that a record that is not newer does not come back.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass
from heapq import nsmallest
from random import Random

from zmqgossip.core.members import Members
from zmqgossip.core.node import Node
from zmqgossip.core.types import FIRST_ID, REVISIONS_AHEAD_MAX, Endpoint, Member, PeerId, PeerRecord, PeerState

LEASE = "lease"
TICK_S = 1e-6
"""Between two tombstones at least, also where many leases end at once or the clock was set back: their times tell them apart."""


@dataclass(slots=True, eq=False)
class Entry:
    """One listed peer. `ticket` proves that it is the one that registered."""

    key: int
    record: PeerRecord
    state: PeerState
    since: float
    lease_until: float
    ticket: bytes
    told_until: float  # it has been told who was taken off until then, Unix seconds
    told_before: float  # and until then twice

    def as_member(self) -> Member:
        return Member(self.record, self.state, self.since)


class Registry:
    """The list of one seed."""

    __slots__ = ("_by_endpoint", "_by_key", "_entries", "_gone", "_gone_at", "_ids", "_node")

    def __init__(self, node: Node) -> None:
        config = node.config
        self._node = node
        self._entries: dict[PeerId, Entry] = {}
        self._ids: list[PeerId] = []  # sorted: pages and random picks
        self._by_key: dict[int, Entry] = {}
        self._by_endpoint: dict[Endpoint, PeerId] = {}
        self._gone_at = 0.0  # Unix seconds; of the last tombstone
        self._gone = Members(FIRST_ID, 0, config.tombstones_max, config.tombstone_s, node.outbox)

    # -- changes ----------------------------------------------------------------------------------------------------------

    def enter(self, record: PeerRecord, ticket: bytes, now: float) -> Entry:
        """Lists a peer whose dial-back went well."""
        assert record.id not in self._entries, "an id stands on the list once"
        wall = self._node.wall(now)
        told = self._gone_at  # the clock of tombstones, which never goes back
        entry = Entry(self._node.new_key(), record, PeerState.ALIVE, wall, 0.0, ticket, told, told)
        self._entries[record.id] = entry
        insort(self._ids, record.id)
        self._by_key[entry.key] = entry
        self._by_endpoint[record.endpoint] = record.id
        self._gone.forget(record.id)
        self.renew(entry, now)
        return entry

    def update(self, entry: Entry, record: PeerRecord, now: float) -> None:
        """Takes a newer record of a listed peer, and renews its lease. Its address does not change without a dial-back."""
        ahead = record.revision - entry.record.revision
        if (
            record.epoch == entry.record.epoch
            and 0 <= ahead <= REVISIONS_AHEAD_MAX
            and (record.endpoint, record.publish) == (entry.record.endpoint, entry.record.publish)
        ):
            entry.record = record
        self.renew(entry, now)

    def renew(self, entry: Entry, now: float) -> None:
        entry.lease_until = now + self._node.config.lease_s
        self._node.timers.set((LEASE, entry.key), entry.lease_until)

    def set_state(self, entry: Entry, state: PeerState, now: float) -> None:
        entry.state = state
        entry.since = self._node.wall(now)

    def remove(self, entry: Entry, state: PeerState, now: float) -> None:
        """Takes an entry from the list; a tombstone (DEAD or LEFT) stays."""
        peer = entry.record.id
        del self._entries[peer], self._by_key[entry.key]
        del self._ids[bisect_right(self._ids, peer) - 1]
        if self._by_endpoint.get(entry.record.endpoint) == peer:
            del self._by_endpoint[entry.record.endpoint]
        self._node.timers.cancel((LEASE, entry.key))
        self._gone_at = max(self._node.wall(now), self._gone_at + TICK_S)
        self._gone.apply(entry.record, state, self._gone_at)

    def extend_all(self, late_s: float, now: float) -> None:
        """The seed itself was away for `late_s`: nobody loses a lease by that, and everybody has an interval to renew it."""
        for entry in self._entries.values():
            entry.lease_until = max(entry.lease_until + late_s, now + self._node.config.presence_interval_s)
            self._node.timers.set((LEASE, entry.key), entry.lease_until)

    # -- questions --------------------------------------------------------------------------------------------------------

    def get(self, peer: PeerId) -> Entry | None:
        return self._entries.get(peer)

    def by_key(self, key: int) -> Entry | None:
        return self._by_key.get(key)

    def at(self, endpoint: Endpoint) -> Entry | None:
        """Who is listed at an address."""
        peer = self._by_endpoint.get(endpoint)
        return None if peer is None else self._entries[peer]

    def tombstone(self, peer: PeerId) -> Member | None:
        return self._gone.get(peer)

    def sample(self, rng: Random, limit: int, asker: PeerId) -> list[Member]:
        """Random members that may be handed out: alive, and not the asker. Costs what the sample costs, not what the list does."""
        picks = rng.sample(self._ids, min(limit + 1, len(self._ids)))
        chosen = [self._entries[peer] for peer in picks if peer != asker]
        return [entry.as_member() for entry in chosen if entry.state is PeerState.ALIVE][:limit]

    def living(self) -> list[Member]:
        """The whole list, in the order of ids."""
        return [self._entries[peer].as_member() for peer in self._ids]

    def page(self, after: PeerId, limit: int) -> tuple[list[Member], bool]:
        """Living members with ids above `after`, and whether there are more."""
        start = bisect_right(self._ids, after)
        ids = self._ids[start : start + limit]
        return [self._entries[peer].as_member() for peer in ids], start + limit < len(self._ids)

    def page_of_gone(self, after: PeerId, limit: int) -> tuple[list[Member], bool]:
        """The same of the tombstones."""
        gone = nsmallest(limit + 1, (member for member in self._gone.tombstones() if member.record.id > after), key=_member_id)
        return gone[:limit], len(gone) > limit

    def tell_gone(self, entry: Entry, limit: int) -> list[Member]:
        """Who was taken off since that peer was told last, the longest gone first. Of more than `limit` it is told the rest next time.

        What it was told the last time is said once more: the answer may have been lost on its way.
        """
        gone: list[Member] = []
        for member in self._gone.latest_tombstones():
            if member.since <= entry.told_before:
                break
            gone.append(member)
        fresh = [member for member in reversed(gone) if member.since > entry.told_until]
        again = [member for member in gone if member.since <= entry.told_until]
        told = fresh[:limit]
        entry.told_before = entry.told_until
        if told:
            entry.told_until = told[-1].since
        return told + again[:limit]  # in places of their own, or those of a full answer would not be said again

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def gone_count(self) -> int:
        return self._gone.tombstones_count


def _member_id(member: Member) -> PeerId:
    return member.record.id
