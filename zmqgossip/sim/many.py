"""Many seeds of the swarm, in several processes, told in the order of the seeds.

Runs share nothing, so each worker plays whole seeds and hands back what they came to. Only so many are given out ahead as keep the workers
busy: whoever stops reading, by an error, by Ctrl-C or by closing the generator, waits for the seeds under way and no others.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from zmqgossip.sim.outcome import Outcome
from zmqgossip.sim.swarm import play
from zmqgossip.sim.world import Violation

AHEAD = 4
"""Seeds given out for each worker: one is played, and others wait while a slow one before them has not been told."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed in which something was wrong; `text` is the whole story, `seconds` real time."""

    seed: int
    text: str
    seconds: float


def play_many(seeds: Iterable[int], jobs: int, peers: int = 0) -> Iterator[Outcome | Failure]:
    """What each seed came to, in the order of `seeds`, played by so many processes; one job is this process itself."""
    if jobs <= 1:
        yield from (_played(seed, peers) for seed in seeds)
        return
    pool = ProcessPoolExecutor(jobs, initializer=_leave_ctrl_c_to_the_parent)
    waiting: deque[Future[Outcome | Failure]] = deque()
    try:
        for seed in seeds:
            waiting.append(pool.submit(_played, seed, peers))
            if len(waiting) >= AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _played(seed: int, peers: int) -> Outcome | Failure:
    began = perf_counter()
    try:
        return play(seed, peers)
    except Violation as violation:
        return Failure(seed, str(violation), perf_counter() - began)


def _leave_ctrl_c_to_the_parent() -> None:
    """A terminal sends it to all; a worker that dies of it would break the pool instead of ending its seed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
