"""What `zmqgossip bench` prints for people, and draws."""

from __future__ import annotations

from typing import Any

from zmqgossip.bench import plot, table

DRAWN = {
    "goodput": ("goodput", "cpu_s_per_million"),
    "latency": ("p50_ms", "p99_ms"),
    "footprint": ("rss_mib_idle", "rss_mib_load", "cpu_percent_idle"),
    "redundancy": ("copies", "collisions"),
}
ACCOUNTS = ("survivors", "joiners_at_survivors", "survivors_at_joiners")
HIDDEN = ("timeline",)


def lines(document: dict[str, Any]) -> list[str]:
    """Heading, machine and table."""
    used = ", ".join(f"{name} {what}" for name, what in document["machine"].items())
    return [heading(document), used, "", *_table(document)]


def heading(document: dict[str, Any]) -> str:
    """What was measured, in a line."""
    parts = [f"{document['kind']}: {document['peers']} processes"]
    parts += [f"{document['size']} bytes"] if "size" in document else []
    parts += [f"{document['degree']:g} links a peer"] if document.get("degree") is not None else []
    parts += [f"{document['seconds']:g} s"] if "seconds" in document else []
    parts += [f"{document['killed']} killed and {document['joined']} joined"] if "killed" in document else []
    parts += [f"{document['named_lost']} named as lost"] if "named_lost" in document else []
    return ", ".join(parts)


def _table(document: dict[str, Any]) -> list[str]:
    if "systems" in document:
        return table.of_systems(document)
    if "sizes" in document:
        columns = {f"{name} {size}": facts for size, found in document["sizes"].items() for name, facts in found.items()}
    else:
        columns = {name: document[name] for name in ACCOUNTS}
    return table.of_columns(columns, HIDDEN)


def picture(document: dict[str, Any]) -> str:
    """An SVG: bars for systems, lines over time for a stall."""
    if "systems" in document:
        return plot.bars(heading(document), document["systems"], DRAWN[document["kind"]])
    if "sizes" in document:
        series = {
            f"{size} bytes, {name.replace('_', ' ')}: {who}": points
            for size, found in document["sizes"].items()
            for name, facts in found.items()
            for who, points in facts.get("timeline", {}).items()
        }
        return plot.lines(heading(document), series, "seconds", "messages/s")
    return plot.bars(heading(document), {name.replace("_", " "): document[name] for name in ACCOUNTS}, ("expected", "lost", "duplicates"))
