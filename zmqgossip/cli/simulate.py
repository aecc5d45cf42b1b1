"""`zmqgossip simulate`: whole networks on a virtual clock, from one number, and whether what must hold does.

The intuition: a scenario is data of `zmqgossip.sim.scenarios`; here it is named, run in as many processes as there are cores, and shown
beside what others have published. The same seed gives the same figures on every machine; only how long it takes is the machine's.

Left to others: running (`simulate_jobs.py`), tables and pictures (`simulate_output.py`).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zmqgossip.cli.long_run import check_plot, progress, terminable
from zmqgossip.cli.options import JsonOption

if TYPE_CHECKING:
    from zmqgossip.sim.outcome import Outcome
    from zmqgossip.sim.scenario import Scenario

PEERS_MAX = 100_000
JOBS_MAX = 256
SEED_MAX = 2**63 - 1
SEEDS_COUNT_MAX = 1_000_000
SWARM_PEERS_MIN = 3
STORIES_MAX = 3
"""Of runs of a swarm that failed: each is a screen, and a fault that is found in one is found in many."""
LIST, ALL, SWARM = "list", "all", "swarm"


def simulate(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A scenario, as `simulate list` names them; all; or swarm.", show_default=False)
    ] = None,
    peers: Annotated[
        int | None,
        typer.Option("--peers", min=1, max=PEERS_MAX, metavar="N", help="Size. [default: the scenario's own]", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, max=SEED_MAX, metavar="S", help="The number that a run follows from. [default: 1]", show_default=False
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="A..B", help="For swarm: one run a number. [default: 1..100]", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, max=JOBS_MAX, metavar="J", help="Processes. [default: one a core]", show_default=False),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw what happened too.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a network of thousands of peers on a virtual clock: copies, latencies, repair, beside what others publish.

    list: the scenarios. all: each of them. swarm: random networks with random faults, one a seed. Exit code 6: something did not hold.
    """
    from zmqgossip.cli.errors import Misuse

    if name is None:
        raise Misuse(f"name what to simulate: {LIST} shows the scenarios, {ALL} runs each, {SWARM} random networks; see --help")
    name = _canonical(name)
    _check_flags(name, peers, seed, seeds, jobs, plot)
    if name == LIST:
        _list(as_json)
        return
    try:
        with terminable():
            if name == SWARM:
                _swarm(_range(seeds, seed), peers, jobs or _cores(), as_json)
            else:
                _scenarios(_chosen(name, peers), peers, 1 if seed is None else seed, jobs or _cores(), plot, as_json)
    except KeyboardInterrupt:
        typer.echo(f"zmqgossip: {name} was cut short; a run that has not ended has no figures", err=True)
        raise


# -- what is run ----------------------------------------------------------------------------------------------------------


def _scenarios(chosen: list[Scenario], peers: int | None, seed: int, jobs: int, plot: Path | None, as_json: bool) -> None:
    from zmqgossip.cli import simulate_jobs, simulate_output

    outcomes = []
    for scenario in chosen:
        with progress() as step:
            outcome, violations = simulate_jobs.run(scenario, peers or scenario.peers, seed, jobs, step)
        outcomes.append(outcome)
        _show(outcome, scenario.title, as_json)
        for violation in violations:
            print(violation, file=sys.stderr)
        if plot is not None:
            plot.write_text(simulate_output.picture(outcome, scenario), encoding="utf-8")
            typer.echo(f"zmqgossip: the picture is {plot}", err=True)
    if len(chosen) > 1:
        _show(simulate_output.together(ALL, outcomes), "all scenarios", as_json)
    _judge(outcomes)


def _swarm(seeds: range, peers: int | None, jobs: int, as_json: bool) -> None:
    from zmqgossip.cli import simulate_jobs, simulate_output
    from zmqgossip.cli.errors import Misuse

    if peers is not None and peers < SWARM_PEERS_MIN:
        raise Misuse(f"--peers {peers} is too few for a swarm; give at least {SWARM_PEERS_MIN}")
    with progress() as step:
        found = simulate_jobs.run_swarm(seeds, peers or 0, jobs, step)
    for violation in [violation for _, violation in found if violation][:STORIES_MAX]:
        print(violation, file=sys.stderr)
    outcomes = [outcome for outcome, _ in found]
    _show(simulate_output.together(SWARM, outcomes, seeds), "random faults", as_json)
    _judge(outcomes)


def _show(outcome: Outcome, title: str, as_json: bool) -> None:
    from zmqgossip.cli import simulate_output

    print(json.dumps(outcome.document()) if as_json else "\n".join(simulate_output.lines(outcome, title)), flush=True)


def _judge(outcomes: list[Outcome]) -> None:
    """Raises NotHeld, with how to run the first that failed once more."""
    from zmqgossip.cli.errors import NotHeld

    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        first = failed[0]
        rows = [row.name for row in first.rows if not row.ok]
        more = f" (and {len(failed) - 1} more runs)" if len(failed) > 1 else ""
        size = f" --peers {first.peers}" if first.peers else ""
        again = f"zmqgossip simulate {first.scenario}{size} --seed {first.seed}"
        raise NotHeld(f"{first.scenario} did not hold: {'; '.join(rows)}{more}; to see it again: {again}")


def _list(as_json: bool) -> None:
    from zmqgossip.cli import simulate_output
    from zmqgossip.sim.scenarios import SCENARIOS

    if as_json:
        print(json.dumps([simulate_output.entry(scenario) for scenario in SCENARIOS.values()]))
    else:
        print("\n".join(simulate_output.listing(list(SCENARIOS.values()))))


# -- what was asked for ---------------------------------------------------------------------------------------------------


def _canonical(name: str) -> str:
    """A name as it is written, in whatever letters it was typed. Raises Misuse for one that is none."""
    from zmqgossip.cli.errors import Misuse
    from zmqgossip.sim.scenarios import SCENARIOS

    known = {one.lower(): one for one in (*SCENARIOS, LIST, ALL, SWARM)}
    if name.lower() not in known:
        raise Misuse(f"there is no scenario {name!r}; give {', '.join(SCENARIOS)}, {ALL}, {SWARM}, or {LIST} to see what they are")
    return known[name.lower()]


def _chosen(name: str, peers: int | None) -> list[Scenario]:
    """The scenarios of a name. Raises Misuse for too few peers."""
    from zmqgossip.cli.errors import Misuse
    from zmqgossip.sim.scenarios import SCENARIOS

    chosen = list(SCENARIOS.values()) if name == ALL else [SCENARIOS[name]]
    least = max(scenario.peers_min for scenario in chosen)
    if peers is not None and peers < least:
        raise Misuse(f"--peers {peers} is too few for {name}; give at least {least}")
    return chosen


def _check_flags(name: str, peers: int | None, seed: int | None, seeds: str | None, jobs: int | None, plot: Path | None) -> None:
    """Raises Misuse for flags that do not go together, and for a picture that could not be written after minutes."""
    from zmqgossip.cli.errors import Misuse

    if name == LIST and any(given is not None for given in (peers, seed, seeds, jobs)):
        raise Misuse(f"{LIST} runs nothing; --peers, --seed, --seeds and --jobs go with a scenario")
    if seeds is not None and name != SWARM:
        raise Misuse(f"--seeds is for swarm; give {name} one --seed")
    if seeds is not None and seed is not None:
        raise Misuse("--seed and --seeds do not go together; give one of them")
    if plot is None:
        return
    if name in (LIST, ALL, SWARM):
        raise Misuse(f"--plot draws one scenario; {name} has none to draw")
    check_plot(plot)


def _range(seeds: str | None, seed: int | None) -> range:
    """The seeds of a swarm. Raises Misuse for what is no A..B."""
    from zmqgossip.cli.errors import Misuse

    if seeds is None:
        return range(1, 101) if seed is None else range(seed, seed + 1)
    first, dots, last = seeds.partition("..")
    numbers = [int(text) for text in (first, last) if text.isascii() and text.isdigit() and len(text) < len(str(SEED_MAX))]
    if not dots or len(numbers) != 2 or numbers[1] < numbers[0]:
        raise Misuse(f"--seeds {seeds!r} is no range; write the first and the last, as 1..100")
    if numbers[1] - numbers[0] >= SEEDS_COUNT_MAX:
        raise Misuse(f"--seeds {seeds!r} is more than {SEEDS_COUNT_MAX:,} runs; give fewer")
    return range(numbers[0], numbers[1] + 1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
