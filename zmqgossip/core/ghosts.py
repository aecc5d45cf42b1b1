"""Ghosts: members that are held alive though nobody vouches for them any more.

Neighbours notice who dies, and seeds do when its lease is over. One in a while falls through: it was cut off, so that all its links
had been given up, and the seeds that listed it were started anew. Whoever had only heard of it would hold it alive for ever, and by
walks of the table every newcomer with him.

So a peer that knows everybody remembers whom its seeds list, who speaks for himself, and who is new to it. Of those that a whole lease
has brought no word of, and that it has no link with, it visits one at a time, at most one in a presence interval, and asks CHECK as a
seed does. Who answers lives. Who does not, three times running, is looked for in the lists of the seeds each time; when none of them
names it either, it is dead: by this peer's own word, which is a hint, and which its owner refutes if he lives.

A seed's answer names so many that in a small cluster nobody is visited who lives. Who has no seed that answers visits nobody: it may
be the one that is cut off.
"""

from __future__ import annotations

from itertools import chain

from zmqgossip.core.members import Members
from zmqgossip.core.messages import Checked
from zmqgossip.core.node import Node
from zmqgossip.core.presence import Presence
from zmqgossip.core.types import PeerId, PeerRecord, PeerState, moves
from zmqgossip.core.view import LinkState, View
from zmqgossip.core.visits import Outcome, Visits

VISITS_MAX = 3
"""Without an answer, before somebody is dead: as many as probes of a neighbour."""


class Ghosts:
    """One peer's search for ghosts. What follows when one is found is decided in `membership`."""

    __slots__ = ("_failures", "_members", "_next_at", "_node", "_presence", "_suspect", "_turns_at", "_view", "_visits", "_vouched")

    def __init__(self, node: Node, view: View, members: Members, presence: Presence) -> None:
        self._node = node
        self._view = view
        self._members = members
        self._presence = presence
        self._visits = Visits(node)
        self._vouched: list[dict[PeerId, None]] = []  # of this lease, and of the one before it
        self._turns_at = float("-inf")
        self._next_at = float("-inf")
        self._suspect: PeerId | None = None  # whom the last visit was to
        self._failures = 0

    # -- who is none ------------------------------------------------------------------------------------------------------

    def vouch(self, peer: PeerId, now: float) -> None:
        """A seed lists it, it has spoken, or it was not known before."""
        self._turn(now)
        if not self._members.partial and self._members.is_living(peer):
            self._vouched[0][peer] = None

    def _turn(self, now: float) -> None:
        """What was said is forgotten when it is from one to two leases old."""
        if now >= self._turns_at:
            self._vouched = [{}, *self._vouched[:1]]
            self._turns_at = now + self._node.config.lease_s

    def _is_ghost(self, peer: PeerId) -> bool:
        """Whether nobody vouches for somebody who is held alive."""
        link = self._view.by_peer(peer)
        is_linked = link is not None and link.state is LinkState.UP
        return self._members.is_living(peer) and not is_linked and not any(peer in vouched for vouched in self._vouched)

    # -- visits -----------------------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """A seed has answered: perhaps somebody is to be visited."""
        self._turn(now)
        if self._members.partial or len(self._vouched) < 2 or now < self._next_at or len(self._visits):
            return
        whom = self._whom()
        if whom is not None:
            config = self._node.config
            self._next_at = now + config.presence_interval_s * (1 - config.presence_jitter * self._node.rng.random())
            self._visits.begin(0, whom, None, config.dial_timeout_s, now)

    def _whom(self) -> PeerRecord | None:
        """The one of the last visit until that is decided, else somebody random: not all peers visit the same."""
        if self._suspect is None or not self._is_ghost(self._suspect):
            vouched = dict.fromkeys(chain.from_iterable(self._vouched))
            strangers = [member.record.id for member in self._members.living() if member.record.id not in vouched]
            ghosts = [peer for peer in strangers if self._is_ghost(peer)]
            self._suspect, self._failures = self._node.rng.choice(ghosts) if ghosts else None, 0
        held = self._members.get(self._suspect) if self._suspect is not None else None
        return None if held is None else held.record

    def knows(self, key: int) -> bool:
        """Whether a DEALER is that of a visit."""
        return self._visits.knows(key)

    def on_connected(self, key: int) -> None:
        self._visits.on_connected(key)

    def on_disconnected(self, key: int) -> PeerRecord | None:
        """The record of somebody who is dead by that; so do all that end a visit."""
        return self._ended(self._visits.target_of(key), self._visits.on_disconnected(key))

    def on_not_opened(self, key: int) -> PeerRecord | None:
        return self._ended(self._visits.target_of(key), self._visits.on_not_opened(key))

    def due(self, key: int) -> PeerRecord | None:
        return self._ended(self._visits.target_of(key), self._visits.due(key))

    def on_checked(self, key: int, body: Checked, now: float) -> PeerRecord | None:
        """Somebody answered. A later life of the same id says itself that the one visited is over."""
        target = self._visits.target_of(key)
        end = self._visits.on_checked(key, body)
        if end is None or target is None:
            return None
        said = body.record
        if said.id == target.id and said.epoch >= target.epoch and not self._node.is_in_future(said.epoch, now):
            if not moves(target, said):
                self._members.learn(said, PeerState.ALIVE, self._node.wall(now))
            self.vouch(target.id, now)
        return self._ended(target, end)

    def _ended(self, target: PeerRecord | None, end: tuple[int, Outcome] | None) -> PeerRecord | None:
        held = self._members.get(target.id) if target is not None else None
        if target is None or end is None or held is None or held.record.order > target.order or not self._is_ghost(target.id):
            return None  # it has spoken meanwhile, or its end is known
        if end[1] is Outcome.UNTRIED:
            return None
        self._failures = VISITS_MAX if end[1] is Outcome.OTHER else self._failures + 1  # somebody else lives at its address
        if self._failures < VISITS_MAX:
            self._presence.ask_about(target.id)
            return None
        self._node.counters.add("ghosts.found")
        return held.record

    def postpone(self, now: float) -> None:
        """This node was away: a visit gets its whole time again."""
        self._visits.postpone(self._node.config.dial_timeout_s, now)
