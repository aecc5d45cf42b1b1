"""Runs what is independent in processes of its own, and puts it together in the order of the plan, whoever was done first.

The digest and all figures follow from the seed alone, so it makes no difference how many processes there are. A process that is stopped
by Ctrl-C, or by whoever waits for it, ends at once and says nothing.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from zmqgossip.bench.ending import die_with
from zmqgossip.cli.alarm import ENDS, deaf
from zmqgossip.core.errors import ZmqGossipError

if TYPE_CHECKING:
    from zmqgossip.sim.outcome import Outcome
    from zmqgossip.sim.scenario import Report, Scenario

Step: TypeAlias = Callable[[str, float], object]
T = TypeVar("T")
SEEDS_AT_ONCE = 8
"""Runs of a swarm that a process is given together: each takes a moment, and so does handing them over."""


def run(scenario: Scenario, peers: int, seed: int, jobs: int, step: Step) -> tuple[Outcome, list[str]]:
    """A scenario from its beginning to its end, and the texts of what checkers found."""
    from zmqgossip.sim.scenario import outcome

    started = time.perf_counter()
    names = [variant.name for variant in scenario.plan(peers).variants]
    tasks = [(scenario.name, number, peers, seed) for number in range(len(names))]
    step(f"{scenario.name}, {peers:,} peers", 0.0)

    def words(done: int) -> str:
        return f"{scenario.name}: {done} of {len(tasks)} networks"

    reports = [_variant(*tasks[0], step)] if len(tasks) == 1 else _spread(_variant, tasks, jobs, words, step)
    found = outcome(scenario, peers, seed, reports, time.perf_counter() - started)
    again = f"zmqgossip simulate {scenario.name} --peers {peers} --seed {seed}"
    violations = [f"{one.variant}, seed {seed}; to see it again: {again}\n{one.violation}" for one in reports if one.violation]
    return found, violations


def _variant(name: str, number: int, peers: int, seed: int, step: Step = lambda words, share: None) -> Report:
    from zmqgossip.sim.driver import play
    from zmqgossip.sim.scenarios import SCENARIOS

    gc.collect()  # the world before was a large circle; without this its memory would lie between that of the next one
    return play(SCENARIOS[name].plan(peers).variants[number], seed, step)


def run_swarm(seeds: Sequence[int], peers: int, jobs: int, step: Step) -> list[tuple[Outcome, str]]:
    """One random network a seed, in the order of the seeds, and what a checker found in it. With no peers each seed draws how many."""
    together = max(1, min(SEEDS_AT_ONCE, len(seeds) // (4 * jobs)))
    tasks = [(list(seeds[start : start + together]), peers) for start in range(0, len(seeds), together)]

    def words(done: int) -> str:
        return f"swarm: {min(done * together, len(seeds)):,} of {len(seeds):,} seeds"

    return [one for found in _spread(_seeds, tasks, jobs, words, step) for one in found]


def _seeds(seeds: list[int], peers: int) -> list[tuple[Outcome, str]]:
    return [_swarm(seed, peers) for seed in seeds]


def _swarm(seed: int, peers: int) -> tuple[Outcome, str]:
    from zmqgossip.sim.outcome import Outcome, Row
    from zmqgossip.sim.world import Violation

    started = time.perf_counter()
    try:
        return import_module("zmqgossip.sim.swarm").play(seed, peers), ""
    except Violation as violation:
        row = Row("safety and liveness", str(violation).partition("\n")[0], "no violation", False)
        return Outcome("swarm", peers, seed, 0.0, "", [row], time.perf_counter() - started, 0.0), str(violation)


# -- processes ------------------------------------------------------------------------------------------------------------


def _spread(work: Callable[..., T], tasks: Sequence[tuple[Any, ...]], jobs: int, words: Callable[[int], str], step: Step) -> list[T]:
    """The results of `work(*task)`, in the order of the tasks. `words`: how far that is when so many tasks are done."""
    found: dict[int, T] = {}

    def tell() -> None:
        step(words(len(found)), len(found) / len(tasks))

    if min(jobs, len(tasks)) == 1:
        for number, task in enumerate(tasks):
            tell()
            found[number] = work(*task)
        return list(found.values())
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn"), _begin, (os.getpid(),))
    try:
        with deaf():  # a process that is half made could not be ended quietly
            waiting: dict[Future[T], int] = {pool.submit(work, *task): number for number, task in enumerate(tasks)}
        while waiting:
            tell()
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                found[waiting.pop(future)] = future.result()
    except BrokenProcessPool:
        raise ZmqGossipError(
            f"{words(len(found))}; a process was ended from outside, perhaps for want of memory; give fewer --peers or --jobs"
        ) from None
    finally:
        if len(found) < len(tasks):
            for process in multiprocessing.active_children():
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
    return [found[number] for number in range(len(tasks))]


def _begin(parent: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the one that waits ends the others, or takes them with it."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
