"""The table that people read: the figures of a document, a row for each system or situation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = {
    "goodput": "messages/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "rss_mib_idle": "idle MiB",
    "rss_mib_idle_max": "most",
    "rss_mib_load": "loaded MiB",
    "rss_mib_load_max": "most",
    "cpu_percent_idle": "idle % of a core",
    "cpu_percent_idle_max": "most %",
    "copies": "copies/message without collisions'",
    "collisions": "of collisions",
    "copies_all": "all copies",
    "pulls": "pulls/message",
    "expected": "owed",
    "lost": "lost",
    "duplicates": "duplicates",
    "cpu_s_per_million": "CPU s/million",
    "spread": "spread",
}
COMPARED = {
    "goodput": "zmqgossip's messages/s (more is better)",
    "latency": "zmqgossip's latency (less is better)",
    "footprint": "zmqgossip's idle MiB (less is better)",
    "redundancy": "zmqgossip's copies, all (less is better)",
}
"""What a ratio compares, by measure."""
GAP = "  "


def of_systems(document: Mapping[str, Any]) -> list[str]:
    """A row a system, with how many times its figure zmqgossip's is."""
    systems: Mapping[str, Mapping[str, Any]] = document["systems"]
    keys = [key for key in COLUMNS if any(key in figures for figures in systems.values())]
    ratios: Mapping[str, Any] = document.get("ratios", {})
    head = ["system", *(COLUMNS[key] for key in keys), *([COMPARED[document["kind"]]] if ratios else [])]
    rows = [
        [system, *(text(figures.get(key)) for key in keys), *([times(ratios.get(system), system)] if ratios else [])]
        for system, figures in systems.items()
    ]
    return aligned([head, *rows])


def of_columns(columns: Mapping[str, Mapping[str, Any]], hidden: Sequence[str] = ()) -> list[str]:
    """A row a figure, a column a situation."""
    keys = list(dict.fromkeys(key for figures in columns.values() for key in figures if key not in hidden))
    head = ["", *(name.replace("_", " ") for name in columns)]
    return aligned([head, *([key.replace("_", " "), *(text(figures.get(key)) for figures in columns.values())] for key in keys)])


def text(value: object) -> str:
    """A figure for people; "-" where there is none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and abs(value) >= 1000):
        return f"{value:,.0f}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def times(value: object, system: str) -> str:
    """A ratio to a system, or one for each percentile."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {times(one, system)}" for key, one in value.items())
    return "" if value is None else f"{text(value)} x {system}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side: the first to the left, figures to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))]).rstrip() for row in rows
    ]
