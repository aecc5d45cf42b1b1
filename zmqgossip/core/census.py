"""How many peers there are, and whether this one knows them all.

Up to `members_full_max` everybody knows everybody: each join, leave and death is told to all. Above, that would cost each peer
more the larger the cluster is, so a peer is *partial*: it keeps its neighbours, some candidates and this count, and tells nobody but
neighbours and seeds what happens. The count is what seeds say, who list a share of all each, or what stands in the table.

It grows partial at once and full again only when the count has been below three quarters of the limit for a lease: a seed that
has started anew lists few for a while. Then each peer waits a time of its own, so that not all ask for everything at once.
"""

from __future__ import annotations

from zmqgossip.core.members import Members
from zmqgossip.core.node import Node

FULL_AGAIN = 0.75
"""Of `members_full_max`: a cluster that stays near the limit must not change its mind at each join."""


class Census:
    """One peer's count of all."""

    __slots__ = ("_last", "_members", "_node", "_totals", "_widens_at")

    def __init__(self, node: Node, members: Members) -> None:
        self._node = node
        self._members = members
        self._totals: dict[int, tuple[int, float]] = {}  # what each seed said last, and until when that is news
        self._last = 1
        self._widens_at: float | None = None

    @property
    def partial(self) -> bool:
        """Whether this peer knows only neighbours and candidates; `Members.partial` is the same."""
        return self._members.partial

    def heard(self, seed: int, total: int, now: float) -> None:
        """The seed at that place of the list says how many it lists."""
        self._totals[seed] = (total, now + self._node.config.lease_s)
        self._last = self.count(now)

    def count(self, now: float) -> int:
        """All peers of the cluster with this one, as far as is known: no seed that has spoken lately, and no table, has more."""
        return max(self._said(now), self._members.living_count + 1)

    def _said(self, now: float) -> int:
        said = [total for total, until in self._totals.values() if now < until]
        return max(said) if said else self._last

    @property
    def ready_count(self) -> int:
        """Others that are known to be ready; of a part of all, those that seeds list are taken to be."""
        known = self._members.ready_count
        return max(known, self._last - 1) if self._members.partial else known

    def look(self, now: float) -> bool:
        """Changes the table from full to partial or back, if it is time; whether it did."""
        config = self._node.config
        if not self._members.partial:
            self._widens_at = None
            count = self.count(now)
            if count > config.members_full_max:
                self._last = count
                self._members.narrow(config.candidates_max, self._node.rng, self._node.wall(now))
                return True
        elif self._said(now) > config.members_full_max * FULL_AGAIN:
            self._widens_at = None
        elif self._widens_at is None:
            self._widens_at = now + config.lease_s * (1 + self._node.rng.random())
        elif now >= self._widens_at:
            self._members.widen()
            return True
        return False
