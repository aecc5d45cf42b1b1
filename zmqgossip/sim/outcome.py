"""What a simulated run came to: its rows, each a figure beside what it must be, and the numbers that say which run it was.

A row is judged where it is measured; here it is only kept and written down. Tables and pictures of it are for whoever shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Value: TypeAlias = float | int | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        name: what was measured, its unit included.
        value: the figure; None where nothing could be measured, which is never ok where something must hold.
        must: what it has to be, in words; "" for a figure that is only reported.
        ok: whether it is.
        others: what is published of other systems in the same place; "" where nothing is known.
        note: why a row is not what its name promises: run smaller, or left out.
    """

    name: str
    value: Value
    must: str = ""
    ok: bool = True
    others: str = ""
    note: str = ""


@dataclass(slots=True)
class Outcome:
    """A run that has ended.

    Attributes:
        degree: mean number of links of a peer that were up.
        digest: the whole trace in one number.
        seconds: real time that it took.
        events_per_s: events of the virtual network in a second of real time.
        series: what a picture shows, by name: (x, y) points.
        seeds: of a swarm, the first and the last, as "1..100"; "" where there is one.
    """

    scenario: str
    peers: int
    seed: int
    degree: float
    digest: str
    rows: list[Row]
    seconds: float
    events_per_s: float
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    seeds: str = ""

    @property
    def passed(self) -> bool:
        """Whether every row is ok."""
        return all(row.ok for row in self.rows)

    def document(self) -> dict[str, Any]:
        """All but the series, for JSON. `seconds` and `events_per_s` are the machine's; all else follows from the seed."""
        return {
            "scenario": self.scenario,
            "peers": self.peers,
            "seed": self.seed,
            **({"seeds": self.seeds} if self.seeds else {}),
            "degree": round(self.degree, 3),
            "digest": self.digest,
            "passed": self.passed,
            "rows": [
                {"name": row.name, "value": row.value, "must": row.must, "ok": row.ok}
                | ({"others": row.others} if row.others else {})
                | ({"note": row.note} if row.note else {})
                for row in self.rows
            ],
            "seconds": round(self.seconds, 3),
            "events_per_s": round(self.events_per_s),
        }
