"""Shuffles: peers that know only a part of all exchange some of what they know, so that it stays fresh and random.

Now and then a peer names itself, some neighbours and some candidates to a random neighbour, and is named as many in return. Each
exchange brings the two that certainly live into the other's table; what is stale is pushed out there by and by (S. Voulgaris,
D. Gavidia, M. van Steen, CYCLON, Journal of Network and Systems Management 13(2), 2005; J. Leitao, J. Pereira, L. Rodrigues, HyParView,
DSN 2007). Who knows everybody has nothing to exchange, and does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core.members import Members
from zmqgossip.core.messages import Shuffle, Shuffled
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Route
from zmqgossip.core.types import PeerRecord, PeerState
from zmqgossip.core.view import Link, View

SHUFFLE_DUE = "shuffle"
NEIGHBOURS_NAMED = 3
"""They live; but they are few, and those who know them are near."""
NAMED_MAX = 8
"""Records in one shuffle or its answer: an eighth of the candidates, so that no neighbour fills the table of another."""
_NONE = (0, 0)


class Shuffles:
    """One peer's exchanges of candidates."""

    __slots__ = ("_answered_at", "_asked", "_members", "_node", "_view")

    def __init__(self, node: Node, view: View, members: Members) -> None:
        self._node = node
        self._view = view
        self._members = members
        self._asked = _NONE  # link and exchange of the one that is not answered yet
        self._answered_at: dict[int, float] = {}

    def arm(self, now: float) -> None:
        """Sees to it that there is a next one, where there must be."""
        if self._members.partial and self._node.timers.when((SHUFFLE_DUE, 0)) is None:
            interval_s = self._node.config.shuffle_interval_s * (0.75 + self._node.rng.random() / 2)
            self._node.timers.set((SHUFFLE_DUE, 0), now + interval_s)

    def due(self, me: PeerRecord, now: float) -> None:
        self.arm(now)
        links = [link for link in self._view.up() if link.connected and not link.leaving]
        if not self._members.partial or not links:
            return
        link = self._node.rng.choice(links)
        self._asked = (link.key, self._node.ask(link.key, Shuffle(link.theirs, self._some(me, link))))
        self._node.counters.add("shuffles.sent")

    def on_shuffle(self, me: PeerRecord, link: Link, body: Shuffle, route: Route, exchange: int, now: float) -> Sequence[PeerRecord]:
        """A neighbour names some, and is named as many. Whom it names; nobody, if it does so too often."""
        again_at = self._answered_at.get(link.key, float("-inf")) + self._node.config.shuffle_interval_s / 2
        if now < again_at:
            self._node.counters.add("dropped.shuffle_too_soon")
            return ()
        self._answered_at[link.key] = now
        self._node.answer(route, Shuffled(self._some(me, link)), exchange)
        self._node.counters.add("shuffles.answered")
        return self._taken(body.candidates)

    def on_shuffled(self, link: Link, body: Shuffled, exchange: int) -> Sequence[PeerRecord]:
        """What a neighbour named in return; nobody, if it was not asked."""
        if self._asked != (link.key, exchange):
            self._node.counters.add("dropped.shuffled_unasked")
            return ()
        self._asked = _NONE
        return self._taken(body.candidates)

    def link_lost(self, link: Link) -> None:
        self._answered_at.pop(link.key, None)

    def _taken(self, records: Sequence[PeerRecord]) -> Sequence[PeerRecord]:
        return records[:NAMED_MAX] if self._members.partial else ()  # who knows everybody learns nothing from hearsay

    def _some(self, me: PeerRecord, asker: Link) -> list[PeerRecord]:
        """This peer, some neighbours and some candidates, without whom they are told to."""
        linked = [link.peer for link in self._view.up() if link is not asker and not link.leaving]
        named = self._node.rng.sample(linked, min(NEIGHBOURS_NAMED, len(linked)))
        alive = (member.record for member in self._members.living() if member.state is PeerState.ALIVE)
        others = [record for record in alive if self._view.by_peer(record.id) is None]
        return [me, *named, *self._node.rng.sample(others, min(NAMED_MAX - 1 - len(named), len(others)))]
