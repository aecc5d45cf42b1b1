"""Footprint: what a process holds and uses while nothing happens, and what it holds under load.

Idle means: connected, settled, and its reader waiting for the next message. Each process is looked at from outside. zmqgossip's peers probe
each other, and renew their presence at the seeds, every 13 s, each at moments of its own: 9 s of eight processes in five rounds see
what an interval costs, in two minutes for all systems.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from zmqgossip.bench import networks, upkeep
from zmqgossip.bench.board import STOP
from zmqgossip.bench.catalogue import OURS, YARDSTICKS
from zmqgossip.bench.crew import Crew
from zmqgossip.bench.figures import ratio, rounded, spread
from zmqgossip.bench.rounds import Rounds
from zmqgossip.bench.task import Facts, Task

LOAD_S = 1.0


@dataclass(frozen=True, slots=True)
class Times:
    """How long a system is left alone before it is watched, and how long it is watched. In seconds."""

    settle_s: float
    idle_s: float


OURS_IDLE = Times(settle_s=1.0, idle_s=9.0)
ZMQ_IDLE = Times(settle_s=0.25, idle_s=0.5)
"""raw and flood have no timers."""
OTHERS_IDLE = Times(settle_s=1.0, idle_s=3.0)
"""zenoh keeps alive every 2.5 s. That nats-py pings every 120 s is left out."""


@dataclass(slots=True)
class Run:
    """One system's figures of one round, a figure a process. In MiB, and in percent of a core."""

    rss_idle: list[float]
    cpu_idle: list[float]
    rss_load: list[float]


def measure(task: Task) -> Facts:
    """All rounds; the document that --json prints."""
    runs: dict[str, list[Run]] = {system: [] for system in task.systems}
    rounds = Rounds(task)
    for system, crew in rounds:
        runs[system].append(run(crew, system, task.size, task.seconds))
    return document(task.peers, task.size, rounds.degree, runs)


def document(peers: int, size: int, degree: float | None, runs: Mapping[str, Sequence[Run]]) -> Facts:
    """What all rounds say together: of the middle process in the middle round, and of the worst process of all."""
    idle = {system: [median(run.rss_idle) for run in mine] for system, mine in runs.items()}
    return {
        "peers": peers,
        "size": size,
        "degree": rounded(degree),
        "systems": {
            system: {
                "rss_mib_idle": rounded(median(idle[system])),
                "rss_mib_idle_max": rounded(max(max(run.rss_idle) for run in mine)),
                "rss_mib_load": rounded(median(median(run.rss_load) for run in mine)),
                "rss_mib_load_max": rounded(max(max(run.rss_load) for run in mine)),
                "cpu_percent_idle": rounded(median(median(run.cpu_idle) for run in mine)),
                "cpu_percent_idle_max": rounded(max(max(run.cpu_idle) for run in mine)),
                "spread": rounded(spread(idle[system])),
            }
            for system, mine in runs.items()
        },
        "ratios": {system: rounded(ratio(idle[OURS], theirs)) for system, theirs in idle.items() if OURS in idle and system != OURS},
    }


def times_of(system: str) -> Times:
    if system in networks.GOSSIP:
        return OURS_IDLE
    return ZMQ_IDLE if system in YARDSTICKS else OTHERS_IDLE


def run(crew: Crew, system: str, size: int, idle_s: float | None = None) -> Run:
    """Measures one system whose network stands."""
    times = times_of(system)
    publisher, *receivers = crew.stations
    for child in receivers:
        child.begin("count")
    time.sleep(times.settle_s)
    pids = [child.pid for child in crew.stations]
    before, began = [upkeep.cpu_s(pid) for pid in pids], time.monotonic()
    time.sleep(idle_s or times.idle_s)
    after, ended = [upkeep.cpu_s(pid) for pid in pids], time.monotonic()
    idle = [upkeep.rss_mib(pid) for pid in pids]
    facts = {"size": size, "receivers": crew.receivers, **networks.pace(system, size)}
    publishing = publisher.begin("publish", facts)
    time.sleep(LOAD_S)
    load = [upkeep.rss_peak_mib(pid) for pid in pids]
    crew.board.row(0)[STOP] = 1
    publisher.answer(publishing)
    used = [100 * (now - then) / (ended - began) for now, then in zip(after, before, strict=True)]
    return Run(idle, used, load)
