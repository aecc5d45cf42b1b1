"""Goodput: how many messages a second the slowest of all receivers gets while the publisher gives what the system takes.

A run: the processes start and connect, the publisher publishes as fast as it may, and after a warm-up the counts on the board are read
twice. Then it says how many there were, and everybody's lost ones and copies are known.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from zmqgossip.bench import networks
from zmqgossip.bench.board import DONE, DUPLICATES, LOST, PUBLISHED, SEEN, STOP
from zmqgossip.bench.catalogue import OURS
from zmqgossip.bench.crew import Crew
from zmqgossip.bench.figures import ratio, rounded, spread
from zmqgossip.bench.rounds import Rounds
from zmqgossip.bench.task import Facts, Task

WARM_UP_S = 2.0
"""A tree has found its shape by then: a peer leaves at most five parents a second."""
MEASURED_S = 2.0
END_S = 20.0
SAMPLE_S = 0.001
"""Reading the board must not take longer, or it is read again: the bench was not given a core."""


@dataclass(slots=True)
class Run:
    """One system's figures of one round."""

    goodput: float
    cpu_s_per_million: float
    lost: int
    duplicates: int


def measure(task: Task) -> Facts:
    """All rounds; the document that --json prints."""
    runs: dict[str, list[Run]] = {system: [] for system in task.systems}
    rounds = Rounds(task)
    for system, crew in rounds:
        runs[system].append(run(crew, system, task.size, task.seconds or MEASURED_S))
    return document(task.peers, task.size, rounds.degree, runs)


def document(peers: int, size: int, degree: float | None, runs: Mapping[str, Sequence[Run]]) -> Facts:
    """What all rounds say together."""
    rates = {system: [run.goodput for run in mine] for system, mine in runs.items()}
    ours = rates.get(OURS, [])
    return {
        "peers": peers,
        "size": size,
        "degree": rounded(degree),
        "systems": {
            system: {
                "goodput": round(median(rates[system])),
                "lost": sum(run.lost for run in mine),
                "duplicates": sum(run.duplicates for run in mine),
                "cpu_s_per_million": rounded(median(run.cpu_s_per_million for run in mine)),
                "spread": rounded(spread(rates[system])),
            }
            for system, mine in runs.items()
        },
        "ratios": {system: rounded(ratio(ours, theirs)) for system, theirs in rates.items() if ours and system != OURS},
    }


def run(crew: Crew, system: str, size: int, seconds: float) -> Run:
    """Measures one system whose network stands."""
    publisher, *receivers = crew.stations
    counting = [(child, child.begin("count")) for child in receivers]
    publishing = publisher.begin("publish", {"size": size, "receivers": crew.receivers, **networks.pace(system, size)})
    time.sleep(min(WARM_UP_S, seconds))
    before, began, cpu_before = sample(crew)
    time.sleep(seconds)
    after, ended, cpu_after = sample(crew)
    crew.board.row(0)[STOP] = 1
    publisher.answer(publishing)
    for child, number in counting:
        if crew.board.row(child.row)[DONE]:
            child.answer(number, END_S)
    got = [now - then for now, then in zip(after, before, strict=True)]
    lost, duplicates = account(crew)
    return Run(
        goodput=min(got) / (ended - began),
        cpu_s_per_million=1e6 * (cpu_after - cpu_before) / max(1, sum(got)),
        lost=lost,
        duplicates=duplicates,
    )


def sample(crew: Crew) -> tuple[list[int], float, float]:
    """How many messages each receiver has got, at which moment, and how much CPU all have used by then."""
    while True:
        began = time.monotonic()
        rows = crew.board.copy()
        ended = time.monotonic()
        cpu_s = crew.cpu_s()
        if ended - began < SAMPLE_S:
            return [rows[place][SEEN] - rows[place][LOST] for place in crew.receivers], began, cpu_s


def account(crew: Crew) -> tuple[int, int]:
    """Lost messages and duplicates of all receivers together, after the end. Who has not heard the end lacks all that he has not seen."""
    rows = crew.board.copy()
    published = rows[0][PUBLISHED]
    mine = [rows[place] for place in crew.receivers]
    return sum(published - row[SEEN] + row[LOST] for row in mine), sum(row[DUPLICATES] for row in mine)
