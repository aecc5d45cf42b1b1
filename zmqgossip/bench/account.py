"""An account of who owed whom what, where everybody publishes: what was made, what came, and what is lost, twice or out of order."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zmqgossip.bench.crew import Child, tell_all
from zmqgossip.bench.task import Facts

QUIET_S = 5.0
"""What has not come after so long without any news is lost: longer than any repair waits."""
SETTLE_MAX_S = 60.0
LOOK_S = 0.2


@dataclass(slots=True)
class Account:
    """Deliveries: those that were owed, and what became of them. `pairs`: of a listener and a maker between whom something is lost."""

    expected: int = 0
    lost: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    pairs: int = 0

    def document(self) -> Facts:
        odd = {"duplicates": self.duplicates, "out_of_order": self.out_of_order}
        return {"expected": self.expected, "lost": self.lost, "pairs_that_lost": self.pairs, **odd}


def listeners(
    listening: Sequence[tuple[int, Child]], making: Sequence[tuple[int, Child]], since_ns: Mapping[int, int] | None = None
) -> Account:
    """What those who listen have of what the others have made, once nothing more comes.

    Args:
        listening, making: (place, process).
        since_ns: for joiners, when each was ready, by place; hearing begins with what is made after that at the latest, and
            with what came first at the earliest. Who is not in it is owed everything.
    """
    heard, made = _settled(listening, making)
    account = Account()
    for place, _ in listening:
        for maker, times_ns in made.items():
            if maker != place:
                owe(account, heard[place].get(str(maker)), times_ns, None if since_ns is None else since_ns.get(place))
    return account


def owe(account: Account, heard: Sequence[int] | None, made_ns: Sequence[int], ready_ns: int | None) -> None:
    """Adds what became of one maker's messages at one listener, who `heard` first, received, duplicates, disordered (None: nothing)."""
    owed_from = 0 if ready_ns is None else bisect_right(made_ns, ready_ns)
    first, received, duplicates, disordered = heard or (owed_from, 0, 0, 0)
    start = owed_from if ready_ns is None else min(first, owed_from)
    account.expected += len(made_ns) - start
    lost = len(made_ns) - start - received
    account.lost += lost
    account.pairs += lost > 0
    account.duplicates += duplicates
    account.out_of_order += disordered


def _settled(
    listening: Sequence[tuple[int, Child]], making: Sequence[tuple[int, Child]]
) -> tuple[dict[int, dict[str, list[int]]], dict[int, list[int]]]:
    """What each has heard and made, when all has come or nothing more does."""
    until = time.monotonic() + SETTLE_MAX_S
    before, news_at = -1, time.monotonic()
    while True:
        made = dict(zip([place for place, _ in making], _made(making), strict=True))
        heard = {place: facts["heard"] for (place, _), facts in zip(listening, _heard(listening), strict=True)}
        now = time.monotonic()
        received = sum(heard[place].get(str(maker), (0, 0))[1] for place in heard for maker in made)
        owed = sum(len(times_ns) for maker, times_ns in made.items() for place in heard if place != maker)
        if received != before:
            before, news_at = received, now
        if received == owed or now - news_at > QUIET_S or now > until:
            return heard, made
        time.sleep(LOOK_S)


def _made(making: Sequence[tuple[int, Child]]) -> list[list[int]]:
    return [facts["made_ns"] for facts in tell_all([child for _, child in making], "heard")]


def _heard(listening: Sequence[tuple[int, Child]]) -> list[Facts]:
    return tell_all([child for _, child in listening], "heard")
