"""A seed judges dead reports by looking for itself.

The first report makes the peer SUSPECT: still listed, not handed out. Then come three visits within the window, and knocks at both
ports. The rows are tried in this order:

    somebody else lives at the address             -> removed at once
    refused to the seed too, and by a reporter     -> removed at once
    any visit answered                             -> cleared; the reporters' links are at fault
    the seed had no socket left for a visit        -> held, likewise
    none answered, several unreachable at once     -> held SUSPECT until the lease ends: it may be the seed that is cut off
    none answered                                  -> removed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from zmqgossip.core.codes import Evidence
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Knock, Route
from zmqgossip.core.registry import Entry
from zmqgossip.core.types import PeerId
from zmqgossip.core.visits import Outcome, Visits

VISIT_AGAIN = "visit again"
CASE_DUE = "verdict"
REPORTERS_MAX = 64
"""Reporters that are told the verdict; each peer has at most `neighbours_max` neighbours."""


class Decision(Enum):
    OPEN = 0
    REFUSED = 1
    SUPERSEDED = 2
    CLEARED = 3
    HELD = 4
    SILENT = 5


@dataclass(slots=True, eq=False)
class Case:
    """One accused peer; while `opened_at` is None, it waits for its turn."""

    key: int
    entry: Entry
    opener: Route  # whose report was the first
    opened_at: float | None = None
    refused_by_reporter: bool = False
    refused_here: bool = False
    superseded: bool = False
    visits: int = 0
    answered: int = 0
    silent: int = 0
    untried: int = 0
    reporters: dict[Route, int] = field(default_factory=dict)  # where from, and the exchange to answer


class Verdicts:
    """All cases of one seed: those that it looks into, and a line of those for which there is no room yet.

    When hundreds die at one instant each is reported within a moment, and nobody reports it again.
    """

    __slots__ = ("_by_opener", "_by_peer", "_cases", "_line", "_node", "_unreachable", "_visits")

    def __init__(self, node: Node, visits: Visits) -> None:
        self._node = node
        self._visits = visits
        self._cases: dict[int, Case] = {}
        self._line: dict[int, Case] = {}
        self._by_peer: dict[PeerId, Case] = {}  # of both
        self._by_opener: dict[Route, int] = {}  # how many
        self._unreachable: dict[PeerId, float] = {}  # accused whom this seed did not reach either, and when

    def accuse(self, entry: Entry, evidence: Evidence, route: Route, exchange: int) -> None:
        """Takes a report. A new case waits for `open_next`; a client gets none for more peers than it can have as neighbours."""
        case = self._by_peer.get(entry.record.id)
        if case is None:
            if self._by_opener.get(route, 0) >= self._node.config.neighbours_max:
                self._node.counters.add("dropped.too_many_cases")
                return
            case = Case(self._node.new_key(), entry, route)
            self._line[case.key] = self._by_peer[entry.record.id] = case
            self._by_opener[route] = self._by_opener.get(route, 0) + 1
        if route in case.reporters or len(case.reporters) < REPORTERS_MAX:
            case.reporters[route] = exchange
        else:
            self._node.counters.add("dropped.too_many_reporters")
        if evidence is Evidence.REFUSED and not case.refused_by_reporter:
            case.refused_by_reporter = True
            if case.opened_at is not None:
                self._knock(case)  # it may have crashed since the first report

    def open_next(self, now: float) -> list[Case]:
        """Looks into those whose turn it is, and returns them."""
        opened = []
        while self._line and len(self._cases) < self._node.config.cases_max:
            case = self._line.pop(next(iter(self._line)))
            self._cases[case.key] = case
            case.opened_at = now
            self._visit(case, now)
            self._knock(case)
            self._node.timers.set((CASE_DUE, case.key), now + self._node.config.verify_window_s)
            opened.append(case)
        return opened

    def case_of(self, peer: PeerId) -> Case | None:
        return self._by_peer.get(peer)

    def _visit(self, case: Case, now: float) -> None:
        config = self._node.config
        share_s = config.verify_window_s / config.verify_probes
        case.visits += 1
        self._visits.begin(case.key, case.entry.record, case.entry.ticket, share_s * 0.95, now)
        if case.visits < config.verify_probes:
            self._node.timers.set((VISIT_AGAIN, case.key), now + share_s)

    def _knock(self, case: Case) -> None:
        record = case.entry.record
        self._node.outbox.knock(case.key, (record.endpoint, record.publish_endpoint))

    def visit_again(self, key: int, now: float) -> None:
        case = self._cases.get(key)
        if case is not None:
            self._visit(case, now)

    def on_outcome(self, key: int, outcome: Outcome) -> Case | None:
        """How a visit ended; the case, if the key is one's."""
        case = self._cases.get(key)
        if case is not None:
            case.answered += outcome is Outcome.ANSWERED
            case.silent += outcome is Outcome.SILENT
            case.untried += outcome is Outcome.UNTRIED
            case.superseded = case.superseded or outcome is Outcome.OTHER
        return case

    def on_knock(self, key: int, results: Sequence[Knock]) -> Case | None:
        case = self._cases.get(key)
        if case is not None:
            case.refused_here = all(result is Knock.REFUSED for result in results)
        return case

    def due(self, key: int, listed_count: int, now: float) -> tuple[Case, Decision] | None:
        """The window is over: the last three rows."""
        case = self._cases.get(key)
        if case is None:
            return None
        if case.answered:
            return case, Decision.CLEARED
        if case.untried:
            return case, Decision.HELD
        if not case.refused_here:
            self._unreachable[case.entry.record.id] = now
            if self.unreachable_count(now) >= min(self._node.config.several_accused, max(listed_count, 2)):
                return case, Decision.HELD
        return case, Decision.SILENT

    def postpone(self, now: float) -> None:
        """The seed was away: no case is decided before its visits had their whole time again."""
        for key in self._cases:
            self._node.timers.set((CASE_DUE, key), now + self._node.config.verify_window_s)

    @staticmethod
    def decide_early(case: Case) -> Decision:
        """The first two rows, which need no waiting."""
        if case.superseded:
            return Decision.SUPERSEDED
        if case.refused_here and case.refused_by_reporter:
            return Decision.REFUSED
        return Decision.OPEN

    def unreachable_count(self, now: float) -> int:
        """Accused peers that this seed could not reach within the last `several_window_s`, those under way included."""
        since = now - self._node.config.several_window_s
        self._unreachable = {peer: at for peer, at in self._unreachable.items() if at >= since}
        pending = (case for case in self._cases.values() if case.silent and not case.answered and (case.opened_at or 0.0) >= since)
        return len(self._unreachable) + sum(case.entry.record.id not in self._unreachable for case in pending)

    def close(self, case: Case) -> None:
        """It is decided, or nobody asks any more. The next may have its turn (`open_next`)."""
        del self._by_peer[case.entry.record.id]
        self._by_opener[case.opener] -= 1
        if not self._by_opener[case.opener]:
            del self._by_opener[case.opener]
        if self._line.pop(case.key, None) is None:
            del self._cases[case.key]
            for name in (VISIT_AGAIN, CASE_DUE):
                self._node.timers.cancel((name, case.key))
            self._visits.abandon(case.key)
