"""What `zmqgossip simulate` prints for people, and draws."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from zmqgossip.bench import plot, table
from zmqgossip.sim.outcome import Outcome, Row

if TYPE_CHECKING:
    from zmqgossip.sim.scenario import Scenario


def lines(outcome: Outcome, title: str) -> list[str]:
    """Heading, table, and what is to be said of single rows."""
    return [heading(outcome, title), "", *_table(outcome.rows), "", *_notes(outcome.rows), _foot(outcome), ""]


def heading(outcome: Outcome, title: str) -> str:
    if outcome.seeds:
        return f"{outcome.scenario}: {title}, seeds {outcome.seeds}; at most {outcome.peers:,} peers, {outcome.degree:.2f} links a peer"
    return f"{outcome.scenario}: {title}; {outcome.peers:,} peers, {outcome.degree:.2f} links a peer, seed {outcome.seed}"


def _table(rows: Sequence[Row]) -> list[str]:
    has_others = any(row.others for row in rows)
    head = ["", "value", "must be", ""] + (["published"] if has_others else [])
    body = [[row.name, _value(row.value), row.must, _mark(row)] + ([row.others] if has_others else []) for row in rows]
    return table.aligned([head, *body])


def _value(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1000 else table.text(value)


def _mark(row: Row) -> str:
    return "" if not row.must else "ok" if row.ok else "NO"


def _notes(rows: Sequence[Row]) -> list[str]:
    """Each note once."""
    return [f"note: {note}" for note in dict.fromkeys(row.note for row in rows if row.note)]


def _foot(outcome: Outcome) -> str:
    wanted = [row for row in outcome.rows if row.must]
    wrong = sum(not row.ok for row in outcome.rows)
    verdict = f"must hold: {len(wanted)}, " + (f"do not: {wrong}" if wrong else "and all do")
    took = f"{outcome.seconds:.1f} s at {outcome.events_per_s:,.0f} events a second"
    return f"{verdict}; {took}; digest {outcome.digest}"


def picture(outcome: Outcome, scenario: Scenario) -> str:
    """An SVG: a line a series."""
    return plot.lines(heading(outcome, scenario.title), outcome.series, *scenario.axes, decades=scenario.axes[0] == "milliseconds")


def together(name: str, outcomes: Sequence[Outcome], seeds: range | None = None) -> Outcome:
    """Several runs as one: a row for each scenario, or in a swarm, of those `seeds`, for each that did not hold and one for all."""
    rows = []
    for one in outcomes:
        wrong = [row.name for row in one.rows if not row.ok]
        if name != one.scenario or wrong:
            label = one.scenario if name != one.scenario else f"seed {one.seed}"
            rows.append(Row(label, "; ".join(wrong) or f"{len(one.rows)} rows hold", "all rows hold", not wrong))
    if all(one.scenario == name for one in outcomes):
        rows.insert(
            0, Row("seeds that hold", sum(one.passed for one in outcomes), f"all {len(outcomes)}", all(one.passed for one in outcomes))
        )
    seconds = sum(one.seconds for one in outcomes)
    events = sum(one.events_per_s * one.seconds for one in outcomes)
    digest = blake2b("".join(one.digest for one in outcomes).encode(), digest_size=16).hexdigest()
    first = outcomes[0]
    degree = sum(one.degree for one in outcomes) / len(outcomes)
    peers, span = max(one.peers for one in outcomes), f"{seeds[0]}..{seeds[-1]}" if seeds else ""
    return Outcome(name, peers, first.seed, degree, digest, rows, seconds, events / max(seconds, 1e-9), seeds=span)


# -- the list -------------------------------------------------------------------------------------------------------------


def entry(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "peers": scenario.peers,
        "peers_full": scenario.peers_full,
        "peers_min": scenario.peers_min,
        "note": scenario.note,
    }


def listing(scenarios: Sequence[Scenario]) -> list[str]:
    rows = [["", "peers", "full size", "at least"]]
    rows += [[f"{one.name}  {one.title}", f"{one.peers:,}", f"{one.peers_full:,}", str(one.peers_min)] for one in scenarios]
    return [*table.aligned(rows), "", *(f"note: {one.name} is {one.note}" for one in scenarios if one.note)]
