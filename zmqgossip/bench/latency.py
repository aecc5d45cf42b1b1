"""Latency: how long one message is on its way while nothing else is, from when it was due until it is read in Python.

The publisher makes 200 a second, one at a time, with the moment in each when it was due (`publishing.Schedule`); all processes are on
one machine, whose monotonic clock they share. Percentiles are over all deliveries at all receivers of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from zmqgossip.bench.catalogue import OURS
from zmqgossip.bench.crew import Crew
from zmqgossip.bench.errors import BenchFailed
from zmqgossip.bench.figures import percentile, ratio, rounded, spread
from zmqgossip.bench.rounds import Rounds
from zmqgossip.bench.task import Facts, Task

RATE = 200
"""Messages a second."""
MEASURED_S = 2.5
WARM_UP_S = 1.5
END_S = 20.0
NS_A_MS = 1e6


@dataclass(slots=True)
class Run:
    """One system's figures of one round, in milliseconds."""

    p50: float
    p99: float
    max: float
    lost: int
    duplicates: int


def measure(task: Task) -> Facts:
    """All rounds; the document that --json prints."""
    runs: dict[str, list[Run]] = {system: [] for system in task.systems}
    rounds = Rounds(task)
    for system, crew in rounds:
        runs[system].append(run(crew, task.size, task.seconds or MEASURED_S))
    return document(task.peers, task.size, rounds.degree, runs)


def document(peers: int, size: int, degree: float | None, runs: Mapping[str, Sequence[Run]]) -> Facts:
    """What all rounds say together. A ratio has a figure for each percentile."""
    p50 = {system: [run.p50 for run in mine] for system, mine in runs.items()}
    p99 = {system: [run.p99 for run in mine] for system, mine in runs.items()}
    return {
        "peers": peers,
        "size": size,
        "rate": RATE,
        "degree": rounded(degree),
        "systems": {
            system: {
                "p50_ms": rounded(median(p50[system])),
                "p99_ms": rounded(median(p99[system])),
                "max_ms": rounded(max(run.max for run in mine)),
                "lost": sum(run.lost for run in mine),
                "duplicates": sum(run.duplicates for run in mine),
                "spread": rounded(spread(p50[system])),
            }
            for system, mine in runs.items()
        },
        "ratios": {
            system: {"p50": rounded(ratio(p50[OURS], p50[system])), "p99": rounded(ratio(p99[OURS], p99[system]))}
            for system in runs
            if OURS in runs and system != OURS
        },
    }


def run(crew: Crew, size: int, seconds: float) -> Run:
    """Measures one system whose network stands."""
    publisher, *receivers = crew.stations
    skipped = round(RATE * min(WARM_UP_S, seconds))
    count = skipped + max(1, round(RATE * seconds))
    taking = [(child, child.begin("take_times", {"count": count})) for child in receivers]
    publisher.answer(publisher.begin("stamp", {"size": size, "rate": RATE, "count": count, "receivers": crew.receivers}))
    answers = [child.answer(number, END_S) for child, number in taking]
    times = sorted(time for answer in answers for time in answer["times_ns"][skipped:] if time)
    if not times:
        raise BenchFailed("nothing has arrived at anybody; try fewer --peers")
    return Run(
        p50=percentile(times, 0.5) / NS_A_MS,
        p99=percentile(times, 0.99) / NS_A_MS,
        max=times[-1] / NS_A_MS,
        lost=sum(answer["times_ns"].count(0) for answer in answers),
        duplicates=sum(answer["duplicates"] for answer in answers),
    )
