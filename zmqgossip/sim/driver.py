"""Goes through the steps of a variant: makes the world, lets it do what the steps say, and takes the figures of each phase.

Everything is drawn from the seed, by names: who publishes and who is killed is the same beside a yardstick, on the same links.
After each phase the checkers of safety look; what they find ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from zmqgossip.sim import figures
from zmqgossip.sim.baselines.flood import Flood
from zmqgossip.sim.baselines.plumtree import Plumtree
from zmqgossip.sim.baselines.relay import Kind, beside
from zmqgossip.sim.body import Body
from zmqgossip.sim.checkers import SAFETY, up_links
from zmqgossip.sim.outcome import Value
from zmqgossip.sim.scenario import ANYBODY, EVERYBODY, Kill, Report, Say, Step, Variant, Wait
from zmqgossip.sim.settled import settle
from zmqgossip.sim.world import Violation, World

Progress: TypeAlias = Callable[[str, float], object]
KINDS: dict[str, Kind] = {"flood": Flood, "plumtree": Plumtree}
SLICE_S = 0.5
"""Virtual time between two signs of life of a long run."""


def play(variant: Variant, seed: int, progress: Progress = lambda words, share: None) -> Report:
    """One world from its beginning to its end, and the yardsticks beside it."""
    report = Report(variant.name)
    world = World(seed, variant.config, weather=variant.weather, keep=False)
    try:
        _people(world, variant)
        report.figures["degree"] = report.degree = figures.degree(world)
        links = up_links(world)
        stage = Stage(world, variant, "", progress)
        stage.go(report)
        report.figures |= {f"end.{name}": value for name, value in figures.of_tables(world).items()}
        _close(report, world)
        for kind in variant.beside:
            progress(f"{variant.name}, {kind}", 0.0)
            other = beside(world, links, KINDS[kind])
            Stage(other, variant, f"{kind}.", progress).go(report)
            _close(report, other)
    except Violation as violation:
        report.violation = str(violation)
        _close(report, world)
    return report


def _people(world: World, variant: Variant) -> None:
    if variant.pipe_max is not None:
        world.network.pipe_max = variant.pipe_max
    settle(world, variant.peers, periodic=variant.periodic)


def _close(report: Report, world: World) -> None:
    report.digest += world.digest
    report.events += world.trace.count


class Stage:
    """A world in which steps are gone through.

    Attributes:
        origins: all peers there were in the beginning, in the random order in which they are asked to publish.
    """

    def __init__(self, world: World, variant: Variant, prefix: str, progress: Progress) -> None:
        self.world = world
        self.variant = variant
        self.prefix = prefix
        self.luck = Random(f"{world.seed}/steps")
        self.origins = sorted(body.name for body in world.peers)
        self.luck.shuffle(self.origins)
        self._progress = progress
        self._said = 0

    def go(self, report: Report) -> None:
        for number, step in enumerate(self.variant.steps):
            self._share = number / len(self.variant.steps)
            self._do(step, report)
            self.world.check(*SAFETY)

    def _do(self, step: Step, report: Report) -> None:
        match step:
            case Say():
                self._say(step, report)
            case Wait():
                self._pass(step.seconds)
            case Kill():
                self._kill(step)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _pass(self, seconds: float) -> None:
        """Lets time pass, with signs of life."""
        end = self.world.now + seconds
        while self.world.now + SLICE_S < end:
            self.world.run(SLICE_S)
            self._progress(f"{self.variant.name} {self.prefix.rstrip('.')}", self._share)
        self.world.run(end - self.world.now)

    # -- publishing -------------------------------------------------------------------------------------------------------

    def _say(self, step: Say, report: Report) -> None:
        world, before = self.world, figures.look(self.world)
        count = {EVERYBODY: len(self.origins), ANYBODY: 1}.get(step.origins, step.origins)
        for number in range(step.messages):
            for place in range(count):
                at = (number + place / count) * step.every_s
                name = self._anybody().name if step.origins == ANYBODY else self.origins[place]
                world.at(at, self._publish, name, step.payload_bytes)
        self._pass(step.messages * step.every_s)
        until = world.now
        self._pass(step.quiet_s)
        if step.phase:
            self._note(report, step.phase, before, until)

    def _publish(self, name: str, payload_bytes: int) -> None:
        self._said += 1
        self.world.publish(name, "t", self._said.to_bytes(8, "big").ljust(payload_bytes, b"."))

    def _anybody(self) -> Body:
        living = self.world.peers
        return living[self.luck.randrange(len(living))]

    def _note(self, report: Report, phase: str, before: figures.Look, until: float) -> None:
        found, curve = figures.of_phase(self.world, before, until)
        values: dict[str, Value] = {f"{self.prefix}{phase}.{name}": value for name, value in found.items()}
        report.figures |= values
        report.series[f"{self.prefix}{phase}"] = curve

    # -- what goes wrong --------------------------------------------------------------------------------------------------

    def _kill(self, step: Kill) -> None:
        spared = dict.fromkeys(self.origins[: step.but])
        names = [body.name for body in self.world.peers if body.name not in spared]
        self.world.crash(*self.luck.sample(names, min(round(step.share * len(self.world.peers)), len(names))))
