"""Goes through the steps of a variant: makes the world, lets it do what the steps say, and takes the figures of each phase.

Everything is drawn from the seed, by names: who publishes and who is killed is the same beside a yardstick, on the same links.
After each step the checkers of safety look; what they find ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from random import Random
from time import perf_counter
from typing import TypeAlias
from zlib import crc32

from zmqgossip.core.peer import PeerEngine
from zmqgossip.sim import figures
from zmqgossip.sim.baselines.flood import Flood
from zmqgossip.sim.baselines.plumtree import Plumtree
from zmqgossip.sim.baselines.relay import Kind, beside
from zmqgossip.sim.body import Body
from zmqgossip.sim.checkers import SAFETY, up_links, wrong_deliveries
from zmqgossip.sim.garbage import rare_collections
from zmqgossip.sim.outcome import Outcome
from zmqgossip.sim.scenario import (
    ANYBODY,
    EVERYBODY,
    Churn,
    Kill,
    Pour,
    Recover,
    Report,
    Say,
    Scenario,
    Slowdown,
    Stall,
    Step,
    Variant,
    Wait,
    outcome,
)
from zmqgossip.sim.settled import begin_periodic, settle
from zmqgossip.sim.world import Violation, World

Progress: TypeAlias = Callable[[str, float], object]
KINDS: dict[str, Kind] = {"flood": Flood, "plumtree": Plumtree}
SLICE_S = 0.5
"""Virtual time between two signs of life of a long run."""
LOOK_S = 0.25
"""How often it is looked whether a network has recovered."""
MOMENT_S = 0.001
"""How long a slow peer works at a time: it takes in all that has come, and answers."""
SAMPLES = 40
"""Looks at the tables during churn."""


def run(scenario: Scenario, peers: int = 0, seed: int = 1) -> Outcome:
    """A scenario from its beginning to its end, in this process; without `peers` at its own size. With less than `peers_min` its rows mean
    nothing.
    """
    started, size = perf_counter(), peers or scenario.peers
    reports = [play(variant, seed) for variant in scenario.plan(size).variants]
    return outcome(scenario, size, seed, reports, perf_counter() - started)


def play(variant: Variant, seed: int, progress: Progress = lambda words, share: None) -> Report:
    """One world from its beginning to its end, and the yardsticks beside it."""
    with rare_collections():
        return _play(variant, seed, progress)


def _play(variant: Variant, seed: int, progress: Progress) -> Report:
    report = Report(variant.name)
    world = World(seed, variant.config, weather=variant.weather, keep=False)
    if variant.pipe_max is not None:
        world.network.pipe_max = variant.pipe_max
    try:
        settle(world, variant.peers, periodic=variant.periodic)
        report.figures["degree"] = report.degree = figures.degree(world)
        links = up_links(world)
        report.figures["overlay"] = crc32(repr(links).encode())
        stage = Stage(world, variant, "", report, progress)
        stage.go()
        report.figures |= {f"end.{name}": value for name, value in figures.of_the_end(world, stage.origins[-1]).items()}
        _close(report, world)
        for kind in variant.beside:
            world = beside(world, links, KINDS[kind])
            Stage(world, variant, f"{kind}.", report, progress).go()
            _close(report, world)
    except Violation as violation:
        report.violation = str(violation)
        _close(report, world)
    return report


def _close(report: Report, world: World) -> None:
    report.digest += world.digest
    report.events += world.trace.count


class Stage:
    """A world in which steps are gone through.

    Attributes:
        prefix: of the names of its figures: "" for ours, "flood." and so on for yardsticks.
        origins: all peers there were in the beginning, in the random order in which they are asked to publish.
    """

    def __init__(self, world: World, variant: Variant, prefix: str, report: Report, progress: Progress) -> None:
        self.world = world
        self.variant = variant
        self.prefix = prefix
        self.report = report
        self.luck = Random(f"{world.seed}/steps")
        self.origins = sorted(body.name for body in world.peers)
        self.luck.shuffle(self.origins)
        self._progress = progress
        self._said = 0
        self._step = 0
        self._phases: list[tuple[str, float, float]] = []

    def go(self) -> None:
        checks = (wrong_deliveries,) if self.prefix else SAFETY  # yardsticks promise no order
        for number, step in enumerate(self.variant.steps):
            self._step = number
            self._do(step)
            self.world.check(*checks)
        for phase, since, until in self._phases:
            found, curve = figures.at_the_end(self.world, since, until)
            self._note(phase, found)
            self.report.series[f"{self.prefix}{phase}"] = curve

    def _do(self, step: Step) -> None:
        match step:
            case Say():
                self._say(step)
            case Pour():
                self._pour(step)
            case Wait():
                self._pass(step.seconds)
            case Kill():
                self._kill(step)
            case Recover():
                self._recover(step)
            case Churn():
                self._churn(step)
            case Stall():
                self.world.pause(self.origins[-1])
                self.world.at(step.seconds, self.world.resume, self.origins[-1])
            case Slowdown():
                self._slow_down(step)

    def _pass(self, seconds: float) -> None:
        """Lets time pass, with signs of life."""
        end = self.world.now + seconds
        while self.world.now + SLICE_S < end:
            self.world.run(SLICE_S)
            self._progress(f"{self.variant.name} {self.prefix.rstrip('.')}", self._step / len(self.variant.steps))
        self.world.run(end - self.world.now)

    def _note(self, phase: str, found: figures.Figures) -> None:
        """The figures of a phase that has a name."""
        if phase:
            self.report.figures |= {f"{self.prefix}{phase}.{name}": value for name, value in found.items()}

    # -- publishing -------------------------------------------------------------------------------------------------------

    def _say(self, step: Say) -> None:
        if step.learns and self.prefix == "flood.":
            return
        count = {EVERYBODY: len(self.origins), ANYBODY: 1}.get(step.origins, step.origins)
        for number in range(step.messages):
            for place in range(count):
                name = "" if step.origins == ANYBODY else self.origins[place]
                self.world.at((number + place / count) * step.every_s, self._publish, name, step.payload_bytes)
        self._phase(step.phase, step.messages * step.every_s, step.quiet_s)

    def _phase(self, phase: str, seconds: float, quiet_s: float) -> None:
        before = figures.look(self.world)
        self._pass(seconds)
        until = self.world.now
        self._pass(quiet_s)
        if phase:
            self._note(phase, figures.at_its_end(self.world, before, until))
            self._phases.append((phase, before.at, until))

    def _publish(self, name: str, payload_bytes: int) -> None:
        """Somebody publishes: the one of that name, or anybody."""
        self._said += 1
        self.world.publish(name or self._anybody().name, "t", self._said.to_bytes(8, "big").ljust(payload_bytes, b"."))

    def _anybody(self) -> Body:
        living = self.world.peers
        return living[self.luck.randrange(len(living))]

    def _pour(self, step: Pour) -> None:
        """Each message at its time, if the one before is out: else it is not published at all, as by a program that waits."""
        for number in range(round(step.seconds * step.per_s)):
            self.world.at(number / step.per_s, self._publish_if_wanted, step.payload_bytes)
        before = self.world.nodes[self.origins[0]].published
        self._phase(step.phase, step.seconds, step.quiet_s)
        self._note(step.phase, {"per_s": (self.world.nodes[self.origins[0]].published - before) / step.seconds})

    def _publish_if_wanted(self, payload_bytes: int) -> None:
        engine = self.world.nodes[self.origins[0]].engine
        if isinstance(engine, PeerEngine) and engine.wants_more:
            self._publish(self.origins[0], payload_bytes)

    # -- what goes wrong --------------------------------------------------------------------------------------------------

    def _others(self, spared_count: int) -> list[str]:
        spared = dict.fromkeys(self.origins[:spared_count])
        return [body.name for body in self.world.peers if body.name not in spared]

    def _kill(self, step: Kill) -> None:
        names, count = self._others(step.but), round(step.share * len(self.world.peers))
        self.world.crash(*self.luck.sample(names, min(count, len(names))))

    def _recover(self, step: Recover) -> None:
        world, before, whole_s = self.world, figures.look(self.world), None
        begin_periodic(world)
        for number in range(round(step.seconds / LOOK_S)):
            since, until = number * LOOK_S, (number + 1) * LOOK_S
            for message in range(ceil(since / step.every_s), ceil(until / step.every_s)):
                world.at(message * step.every_s - since, self._publish, "", 100)
            self._pass(LOOK_S)
            published = figures.publications(world, before.at, world.now - figures.PROMPT_S)
            is_whole = published and min(figures.reaches(world, published, before.at), default=0) == 100
            whole_s = (whole_s if whole_s is not None else world.now - before.at) if is_whole else None
            if whole_s is not None and world.now - before.at >= whole_s + step.stays_s:
                break
        until = world.now
        self._pass(figures.PROMPT_S)
        self._note(step.phase, {**figures.at_its_end(world, before, until), "whole_s": whole_s})
        self._phases.append((step.phase, before.at, until))

    def _slow_down(self, step: Slowdown) -> None:
        name = self.origins[-1]
        self.world.pause(name)
        for number in range(1, int(step.seconds / step.every_s)):
            self.world.at(number * step.every_s, self.world.resume, name)
            self.world.at(number * step.every_s + MOMENT_S, self.world.pause, name)
        self.world.at(step.seconds, self.world.resume, name)

    # -- churn ------------------------------------------------------------------------------------------------------------

    def _churn(self, step: Churn) -> None:
        world = self.world
        count = round(step.share_per_s * len(world.peers) * step.seconds)
        for number in range(count):
            world.at((number + 0.5) * step.seconds / count, self._replace_one, step.but)
        for number in range(SAMPLES):
            half = "first_half" if number < SAMPLES // 2 else "second_half"
            world.at((number + 1) * step.seconds / SAMPLES, self._look_at_tables, half, world.now)

    def _replace_one(self, spared_count: int) -> None:
        names = self._others(spared_count)
        self.world.leave(names[self.luck.randrange(len(names))])
        self.world.add_peer()

    def _look_at_tables(self, half: str, begun_at: float) -> None:
        sizes = figures.of_tables(self.world) | {"degree": figures.degree(self.world)}
        for name, size in sizes.items():
            self.report.series.setdefault(f"churn.{name}", []).append((self.world.now - begun_at, size))
            before = self.report.figures.get(f"churn.{half}_{name}")
            self.report.figures[f"churn.{half}_{name}"] = max(size, before) if isinstance(before, (int, float)) else size
