"""`zmqgossip bench`: measures on this machine, beside what others do in the very same run.

The intuition: a figure alone says more about the machine than about the program, so each stands beside yardsticks that were measured in
turn with it. Figures go to stdout, as a table or as one document of JSON; what is going on goes to stderr.

Left to others: measuring (`zmqgossip.bench`), one file a measure, and tables and pictures (`bench_output.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqgossip.cli.long_run import check_plot, progress, terminable
from zmqgossip.cli.options import JsonOption, seconds as parse_seconds

if TYPE_CHECKING:
    from zmqgossip.bench.task import Task

PEERS_MAX = 100
SIZE_MIN, SIZE_MAX = 16, 65_536
"""The two numbers that a payload begins with (`counting.HEADER`), and the most that a message of zmqgossip's may have."""


class Measure(StrEnum):
    """What can be measured; each is a module of `zmqgossip.bench`."""

    GOODPUT = "goodput"
    LATENCY = "latency"
    FOOTPRINT = "footprint"
    STALL = "stall"
    REDUNDANCY = "redundancy"
    CHURN = "churn"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a measure takes where the user says nothing, and what it can take.

    Attributes:
        alone: zmqgossip is measured without others, and once.
        peers_min: with fewer it means nothing.
    """

    sizes: tuple[int, ...] = (64,)
    peers: int = 8
    peers_min: int = 2
    alone: bool = False


KINDS = {
    Measure.GOODPUT: Kind(),
    Measure.LATENCY: Kind((1024,)),
    Measure.FOOTPRINT: Kind(),
    Measure.STALL: Kind((64, SIZE_MAX), peers_min=3, alone=True),
    Measure.REDUNDANCY: Kind(peers_min=3),
    Measure.CHURN: Kind(peers=30, peers_min=4, alone=True),
}
ROUNDS = 5


def bench(
    context: typer.Context,
    measure: Annotated[
        Measure | None,
        typer.Argument(metavar="MEASURE", help="One of goodput, latency, footprint, stall, redundancy, churn.", show_default=False),
    ] = None,
    peers: Annotated[
        int | None,
        typer.Option("--peers", min=2, max=PEERS_MAX, metavar="N", help="Processes. [default: 8; churn 30]", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=SIZE_MIN,
            max=SIZE_MAX,
            metavar="BYTES",
            help="Of a message. [default: 64; latency 1024; stall 64 and 65536]",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", min=1, metavar="N", help=f"[default: {ROUNDS}; stall and churn are measured once]", show_default=False),
    ] = None,
    systems: Annotated[
        str | None,
        typer.Option(
            "--systems",
            metavar="A,B",
            help="Of zmqgossip, raw, flood, zenoh, nats; zmqgossip-many, -callbacks, -async; redundancy zmqgossip, -k1, -collision, flood."
            " [default: what is installed of all but the faces]",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw the figures too.", show_default=False)] = None,
    as_json: JsonOption = False,
    seconds: Annotated[float | None, typer.Option("--seconds", parser=parse_seconds(0.01), hidden=True)] = None,
) -> None:
    """Measure on this machine, with processes of their own, beside raw pyzmq, a naive flood, and others where they are installed.

    goodput: messages a second at the slowest receiver. latency: one message at a time. footprint: memory and CPU of an idle peer.
    stall: what a stopped receiver does to the others. redundancy: copies beyond the first. churn: who misses what while peers come and go.
    """
    from zmqgossip.cli.errors import ExitCode

    if measure is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)
    from zmqgossip.bench.machine import machine
    from zmqgossip.bench.task import Task
    from zmqgossip.cli import bench_output

    kind = KINDS[measure]
    _check(measure, kind, peers, rounds, plot)
    chosen = _systems(measure, systems)
    sizes = kind.sizes if size is None else (size,)
    with terminable(), progress() as step:
        task = Task(peers or kind.peers, sizes, 1 if kind.alone else rounds or ROUNDS, chosen, step, seconds)
        try:
            figures = _measured(measure, task)
        except KeyboardInterrupt:
            typer.echo(f"zmqgossip: {measure} was cut short; what it had measured by then is not kept", err=True)
            raise
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    document = {"ts": at, "kind": measure.value, **figures, "machine": machine()}
    if plot is not None:
        plot.write_text(bench_output.picture(document), encoding="utf-8")
    print(json.dumps(document) if as_json else "\n".join(bench_output.lines(document)))


def _measured(measure: Measure, task: Task) -> dict[str, Any]:
    figures: dict[str, Any] = import_module(f"zmqgossip.bench.{measure}").measure(task)
    return figures


def _check(measure: Measure, kind: Kind, peers: int | None, rounds: int | None, plot: Path | None) -> None:
    """Raises Misuse for what could only fail after minutes."""
    from zmqgossip.cli.errors import Misuse

    if peers is not None and peers < kind.peers_min:
        raise Misuse(f"--peers {peers} is too few for {measure}; give at least {kind.peers_min}")
    if kind.alone and rounds not in (None, 1):
        raise Misuse(f"{measure} is measured once, for minutes; leave --rounds out")
    if plot is not None:
        check_plot(plot)


def _systems(measure: Measure, named: str | None) -> list[str]:
    """Those that were named, or all that are installed, with a note on the others. Raises Misuse."""
    from zmqgossip.bench import catalogue
    from zmqgossip.cli.errors import Misuse

    known, usual = catalogue.of(measure.value)
    if named is None:
        lacking = {system: way for system in usual if (way := catalogue.missing(system)) is not None}
        for system, way in lacking.items():
            typer.echo(f"zmqgossip: {system} is not measured, since this machine lacks it; to have it: {way}", err=True)
        return [system for system in usual if system not in lacking]
    wanted = list(dict.fromkeys(system.strip() for system in named.split(",") if system.strip()))
    if not wanted:
        raise Misuse(f"--systems names none; give some of {', '.join(known)}")
    for system in wanted:
        if system not in known:
            raise Misuse(f"--systems: {measure} knows no {system!r}; give some of {', '.join(known)}")
        if (way := catalogue.missing(system)) is not None:
            raise Misuse(f"--systems: this machine lacks {system}; to have it: {way}")
    return wanted
