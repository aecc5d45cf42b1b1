"""Which links are given up for better ones, and why new ones are made though all that are wanted stand.

When a network falls apart and the path comes back, each half has all the links that it wants, and nobody would ever dial across. Who
has lost a neighbour to silence, or has found a silent seed again, *doubts* that it hears everybody. While it does, it dials somebody
random whom a seed lists, twice a presence interval at most; each such link that comes up takes away some doubt. A network in which nobody
falls silent makes no such link.

What is too many goes again, one link at a time, and only where the neighbour has just said that it has others: of those of one's own
making the oldest, so that new paths stay; of the others only while spare places are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core.node import Node
from zmqgossip.core.overlay import SETTLED_LINKS, Overlay
from zmqgossip.core.types import Member, PeerRecord, PeerState
from zmqgossip.core.view import Link, LinkState, View

RENEWALS = 8
"""Links to random peers that must come up before doubt is over: of two halves, all of them would lie on one side once in 256 times."""


class Renewal:
    """One peer's doubts, and its choice of links to give up."""

    __slots__ = ("_doubt", "_doubts_at", "_gives_up_at", "_node", "_overlay", "_renews_at", "_view")

    def __init__(self, node: Node, view: View, overlay: Overlay) -> None:
        self._node = node
        self._view = view
        self._overlay = overlay
        self._doubt = 0
        self._doubts_at = float("-inf")
        self._renews_at = float("-inf")
        self._gives_up_at = float("-inf")

    # -- making -----------------------------------------------------------------------------------------------------------

    def doubt(self, now: float) -> None:
        """Something points at a network that has fallen apart. Not more often than once a lease: each time costs eight links."""
        if not self._doubt and now >= self._doubts_at:
            self._node.counters.add("renewals.doubts")
            self._doubt, self._doubts_at = RENEWALS, now + self._node.config.lease_s

    def on_sample(self, me: PeerRecord, members: Sequence[Member], now: float) -> None:
        """What a seed lists. In doubt one of those is dialled, at most once in half a presence interval."""
        if not self._doubt or now < self._renews_at:
            return
        others = [
            member.record
            for member in members
            if member.state is PeerState.ALIVE and member.record.id != me.id and self._view.by_peer(member.record.id) is None
        ]
        link = self._overlay.bridge(me, self._node.rng.choice(others), now) if others else None
        if link is not None:
            link.renews = True
            self._renews_at = now + self._node.config.presence_interval_s / 2  # one of several seeds that answer at about the same time
            self._node.counters.add("renewals.dialled")

    def came_up(self, link: Link) -> None:
        if link.renews:
            self._doubt = max(0, self._doubt - 1)

    # -- giving up --------------------------------------------------------------------------------------------------------

    def said(self, link: Link, links_count: int, now: float) -> Link | None:
        """A neighbour says how many links it has. The link that is to be given up, if there is one too many."""
        link.links = links_count
        if now < self._gives_up_at or self._view.up_count <= SETTLED_LINKS:
            return None
        goes = self._too_many()
        if goes is not None:
            self._gives_up_at = now + self._node.config.liveness_interval_s  # until the others have said how many they have left
            self._node.counters.add("links.renewed" if goes.dialled else "links.shed")
        return goes

    def _too_many(self) -> Link | None:
        up = list(self._view.up())
        is_own = sum([link.dialled for link in up]) > self._node.config.neighbours_dialled
        if not is_own and len(self._view) <= self._node.config.neighbours_max:
            return None
        choice = [link for link in up if link.dialled is is_own and link.links >= SETTLED_LINKS and not link.leaving]
        return min(choice, key=_up_at, default=None)


def _up_at(link: Link) -> float:
    assert link.state is LinkState.UP
    return link.up_at
