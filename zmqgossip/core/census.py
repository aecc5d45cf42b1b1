"""How many peers there are, and whether this one knows them all.

Up to `members_full_max` everybody knows everybody: each join, leave and death is told to all. Above, that would cost each peer
more the larger the cluster is, so a peer is *partial*: it keeps its neighbours, some candidates and an estimate of the size, and tells
nobody but neighbours and seeds what happens.

The estimate is made of what seeds say. Each peer is on the lists of floor(n/2)+1 of n seeds, or of more where some were out of reach; as
many as this one has chosen, others have, so a list has that share of all. Of several totals the second largest counts: a seed that
boasts is not believed alone. A full peer counts its own table as well.

It grows partial at once and full again only when the estimate has been below three quarters of the limit for a lease, and has not grown
meanwhile: a seed that was started anew lists few for a while, and ever more. Then each peer waits a time of its own, so that not all
ask for everything at once. Where it was for nothing, the next wait is twice as long.
"""

from __future__ import annotations

from zmqgossip.core.members import Members
from zmqgossip.core.node import Node

FULL_AGAIN = 0.75
"""Of `members_full_max`: a cluster that stays near the limit must not change its mind at each join."""
GROWN = 1.125
"""An estimate so much larger than the least one of a wait comes of a list that fills up again; churn moves it less."""
GROWN_MIN = 3
"""And by so many at least: of a few peers one more is an eighth."""
WAITS_MAX = 32
"""A wait is at most so many times the first: some minutes, and a cluster that really shrank is full after them."""


def seeds_wanted(seeds_count: int) -> int:
    """floor(n/2)+1: any two peers share a seed."""
    return seeds_count // 2 + 1


class Census:
    """One peer's count of all.

    Attributes:
        chosen_count: seeds that this peer has chosen, of `seeds_count`.
    """

    __slots__ = ("_last", "_least", "_members", "_node", "_seeds_count", "_totals", "_waits", "_widened_at", "_widens_at", "chosen_count")

    def __init__(self, node: Node, members: Members, seeds_count: int) -> None:
        self._node = node
        self._members = members
        self._seeds_count = seeds_count
        self.chosen_count = seeds_wanted(seeds_count)
        self._totals: dict[int, tuple[int, float]] = {}  # what each seed said last, and until when that is news
        self._last = 1
        self._widens_at: float | None = None
        self._least = 1  # estimate since the wait began
        self._waits = 1
        self._widened_at: float | None = None

    @property
    def partial(self) -> bool:
        """Whether this peer knows only neighbours and candidates; `Members.partial` is the same."""
        return self._members.partial

    def heard(self, seed: int, total: int, now: float) -> None:
        """The seed at that place of the list says how many it lists."""
        self._totals[seed] = (total, now + self._node.config.lease_s)
        self._last = self.estimate(now)

    def estimate(self, now: float) -> int:
        """All peers of the cluster, by what seeds have said within a lease; the last estimate where none has."""
        said = sorted((total for total, until in self._totals.values() if now < until), reverse=True)
        if not said:
            return self._last
        return said[min(1, len(said) - 1)] * self._seeds_count // self.chosen_count

    def count(self, now: float) -> int:
        """All peers of the cluster with this one, as far as is known: by a table of all, or an estimate, which is no less than a part."""
        known = self._members.living_count + 1
        return max(known, self.estimate(now)) if self._members.partial else known

    @property
    def ready_count(self) -> int:
        """Others that are known to be ready; of a part of all, those that seeds list are taken to be."""
        known = self._members.ready_count
        return max(known, self._last - 1) if self._members.partial else known

    def look(self, now: float) -> int | None:
        """Changes the table from full to partial or back, if it is time; if it did, the size that it did it for."""
        config, estimate = self._node.config, self.estimate(now)
        if not self._members.partial:
            size = max(estimate, self._members.living_count + 1)
            if size > config.members_full_max:
                self._narrow(size, now)
                return size
        elif estimate > config.members_full_max * FULL_AGAIN:
            self._widens_at = None
        elif self._widens_at is None or estimate > max(self._least * GROWN, self._least + GROWN_MIN):
            self._widens_at, self._least = now + self._wait_s * (1 + self._node.rng.random()), estimate
        elif now >= self._widens_at:
            self._widens_at, self._widened_at = None, now
            self._members.widen()
            return estimate
        else:
            self._least = min(self._least, estimate)
        return None

    def _narrow(self, size: int, now: float) -> None:
        in_vain = self._widened_at is not None and now - self._widened_at < 2 * self._wait_s
        self._waits = min(2 * self._waits, WAITS_MAX) if in_vain else 1
        self._last = size
        self._members.narrow(self._node.config.candidates_max, self._node.rng, self._node.wall(now))

    @property
    def _wait_s(self) -> float:
        """Before it is full again, and as long again at most."""
        return self._waits * self._node.config.lease_s
