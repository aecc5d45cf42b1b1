"""`zmqgossip bench`: measures on this machine, beside what others do in the very same run.

The intuition: a figure alone says more about the machine than about the program, so each stands beside yardsticks that were measured in
turn with it. Figures go to stdout, as a table or as one document of JSON; what is going on goes to stderr.

Left to others: measuring (`zmqgossip.bench`), one file a measure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from zmqgossip.cli.options import JsonOption

PEERS_MIN, PEERS_MAX = 2, 100
SIZE_MIN, SIZE_MAX = 16, 65_536


class Measure(StrEnum):
    """What can be measured."""

    GOODPUT = "goodput"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a measure takes where the user says nothing."""

    size: int
    drawn: tuple[str, ...]
    peers: int = 8
    rounds: int = 5
    seconds: float | None = None


KINDS = {Measure.GOODPUT: Kind(64, ("goodput", "cpu_s_per_million")), Measure.LATENCY: Kind(1024, ("p50_ms", "p99_ms"))}


def bench(
    context: typer.Context,
    measure: Annotated[
        Measure | None,
        typer.Argument(metavar="MEASURE", help="goodput, latency.", show_default=False),
    ] = None,
    peers: Annotated[
        int | None, typer.Option("--peers", min=PEERS_MIN, max=PEERS_MAX, metavar="N", help="Processes. [default: 8]", show_default=False)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=SIZE_MIN, max=SIZE_MAX, metavar="BYTES", help="Of a message. [default: 64; latency 1024]", show_default=False
        ),
    ] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, metavar="N", help="[default: 5]", show_default=False)] = None,
    systems: Annotated[
        str | None,
        typer.Option("--systems", metavar="A,B", help="Which systems. [default: zmqgossip, raw, flood, and zenoh, nats where installed]"),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw the figures too.", show_default=False)] = None,
    as_json: JsonOption = False,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.01, hidden=True)] = None,
) -> None:
    """Measure goodput or latency on this machine, beside raw pyzmq, a naive flood, and others where installed."""
    if measure is None:
        typer.echo(context.get_help(), err=True)
        from zmqgossip.cli.errors import ExitCode

        raise typer.Exit(ExitCode.USAGE)
    from zmqgossip.bench.machine import machine

    kind = KINDS[measure]
    chosen = _systems(systems)
    taken = _fitting(size or kind.size)
    with _progress(len(chosen) * (rounds or kind.rounds)) as step:
        document = _measure(measure)(peers or kind.peers, taken, rounds or kind.rounds, chosen, step, **_given(seconds=seconds))
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    document = {"ts": at, "kind": measure.value, **document, "machine": machine()}
    _print(document, as_json)
    if plot is not None:
        from zmqgossip.bench.plot import bars

        plot.write_text(bars(_heading(document), document["systems"], kind.drawn), encoding="utf-8")


def _measure(measure: Measure) -> Callable[..., dict[str, Any]]:
    from zmqgossip.bench import goodput, latency

    return {Measure.GOODPUT: goodput.measure, Measure.LATENCY: latency.measure}[measure]


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _systems(named: str | None) -> list[str]:
    """Those that were named, or all that are installed, with a note on the others. Raises Misuse."""
    from zmqgossip.bench import catalogue
    from zmqgossip.cli.errors import Misuse

    if named is None:
        lacking = {system: way for system in catalogue.OTHERS if (way := catalogue.missing(system)) is not None}
        for system, way in lacking.items():
            typer.echo(f"zmqgossip: {system} is not measured, since it is not installed; to have it: {way}", err=True)
        return [system for system in (catalogue.OURS, *catalogue.YARDSTICKS, *catalogue.OTHERS) if system not in lacking]
    wanted = list(dict.fromkeys(system.strip() for system in named.split(",") if system.strip()))
    if not wanted:
        raise Misuse(f"--systems names none; give some of {', '.join(catalogue.ALL)}")
    for system in wanted:
        if system not in catalogue.ALL:
            raise Misuse(f"--systems: there is no {system!r}; give some of {', '.join(catalogue.ALL)}")
        if (way := catalogue.missing(system)) is not None:
            raise Misuse(f"--systems: {system} is not installed; to have it: {way}")
    return wanted


def _fitting(size: int) -> int:
    """The size, or the largest that zmqgossip takes, with a note: all systems get the same."""
    from zmqgossip.bench.systems.gossip import payload_max

    if size > payload_max():
        typer.echo(f"zmqgossip: a message takes at most {payload_max()} bytes, so --size {size} is cut to that for all systems", err=True)
    return min(size, payload_max())


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[str], object]]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=steps)
        begun = 0

        def step(text: str) -> None:
            nonlocal begun
            bar.update(task, completed=begun, description=text)
            begun += 1

        yield step


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(document))
        return
    from zmqgossip.bench.table import of_systems

    _print_lines(_title(document), of_systems(document))


def _print_lines(*blocks: Sequence[str]) -> None:
    for block in blocks:
        print("\n".join(block))


def _title(document: dict[str, Any]) -> list[str]:
    used = ", ".join(f"{name} {what}" for name, what in document["machine"].items())
    return [_heading(document), used, ""]


def _heading(document: dict[str, Any]) -> str:
    links = "" if document.get("degree") is None else f", {document['degree']:g} links a peer"
    return f"{document['kind']}: {document['peers']} processes, {document['size']} bytes{links}"
