"""Random troubles for whole networks: a schedule is a list of what happens when, drawn from one generator and played on a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.sim import Weather, World, checkers
from zmqgossip.sim.accounts import FlushBook, engine_of, holes, restless, short
from zmqgossip.sim.body import State
from zmqgossip.sim.excuses import unjust_losses

SMALL = replace(LAN, pipe_segments=16, kept_bytes_max=40_000, beyond_bytes_max=20_000, segment_bytes_max=2_000, pull_bytes_max=5_000)
KNOBS = {
    "usual": LAN,
    "one parent": replace(LAN, parents=1),
    "hot": replace(LAN, hot_segments_per_s=5),
    "small": SMALL,
    "small, one parent": replace(SMALL, parents=1),
    "hasty": replace(LAN, slow_after_s=0.5, pull_timeout_s=0.1, pull_after_s=0.01),
    "tiny pulls": replace(LAN, pull_bytes_max=1, ahead_max=20),
}
FINE = Weather()
WEATHERS = (
    Weather(loss=0.1),
    Weather(spread_s=0.05, jitter_s=0.02),
    Weather(gossip_drop=0.2),
    Weather(gossip_drop=0.7),
    Weather(loss=0.05, gossip_drop=0.3, spread_s=0.03),
)
GENTLE = ("burst", "burst", "burst", "trickle", "flush", "flush", "weather", "fine", "pipe", "link drops", "join", "short pause")
ROUGH = (*GENTLE, "cut", "cut both", "mend", "pause", "partition", "heal")
DEADLY = (*ROUGH, "crash", "leave", "power off", "restart")


@dataclass
class Play:
    """A run under way."""

    world: World
    book: FlushBook
    rng: Random
    peers_max: int

    def names(self) -> list[str]:
        return [body.name for body in self.world.peers if body.ready_at is not None]

    def step(self, what: str) -> None:
        """One thing happens."""
        world, rng = self.world, self.rng
        names = self.names()
        if len(names) < 2:
            return
        one, other = rng.sample(names, 2)
        match what:
            case "burst":
                for number in range(rng.choice((1, 5, 40))):
                    world.publish(one, "t", bytes(rng.choice((1, 100, 900))))
                    if number % 3 == 0:
                        world.run(0.001)
            case "trickle":
                for name in self.names():
                    world.publish_batch(name, [("t", bytes(rng.choice((10, 1500))))] * rng.choice((1, 3)))
            case "flush":
                self.book.flush(one, rng.choice((0.3, 1.0, 3.0)))
            case "weather":
                world.set_weather(rng.choice(WEATHERS))
            case "fine":
                world.clear_weather()
            case "pipe":
                world.network.pipe_max = rng.choice((8, 30, 600))
            case "link drops":
                link = next(iter(engine_of(world.nodes[one]).view.up()), None)
                if link is not None and world.nodes[one].state is State.RUNNING:
                    world.nodes[one].turn(lambda now: engine_of(world.nodes[one]).membership.lose(link, "a test", now))
            case "join":
                if len(world.peers) < self.peers_max:
                    world.add_peer()
            case "short pause" | "pause":
                world.pause(one)
                world.at(rng.random() * (0.8 if what == "short pause" else 8.0), world.resume, one)
            case _:
                self._break(what, one, other)

    def _break(self, what: str, one: str, other: str) -> None:
        world, rng = self.world, self.rng
        many = len(self.names()) > 4
        match what:
            case "cut" | "cut both":
                world.cut(one, other)
                if what == "cut both":
                    world.cut(other, one)
            case "mend" | "heal":
                world.heal()
            case "partition":
                world.partition(rng.sample(self.names(), len(self.names()) // 2))
            case "crash" | "power off":
                if many:
                    world.crash(one, silently=what == "power off")
            case "leave":
                if many:
                    world.leave(one)
            case "restart":
                world.restart(one)


def play(seed: int, steps: Sequence[str], knobs: ProtocolConfig, *, peers: int = 5, gap_s: float = 0.15, quiet_s: float = 30.0) -> Play:
    """A network in which all that happens, then all is mended and it is quiet for `quiet_s`."""
    world = World(seed=seed, config=knobs, seeds=2)
    run = Play(world, FlushBook(world), Random(f"{seed}/schedule"), peers + 3)
    world.add_peers(peers)
    world.run_until(world.all_ready, 20)
    for what in steps:
        run.step(what)
        world.run(run.rng.random() * gap_s)
        world.check(*checkers.SAFETY)
    world.run(run.rng.random())
    world.heal()
    world.clear_weather()
    world.network.pipe_max = 600
    for body in world.peers:
        world.resume(body.name)
    world.run(quiet_s)
    return run


def verdict(run: Play, *, gentle: bool) -> list[str]:
    """Everything that is wrong with a run that has come to rest."""
    world = run.world
    problems = [*checkers.wrong_deliveries(world), *checkers.disorder(world), *holes(world), *short(world), *restless(world)]
    problems += run.book.problems + run.book.stuck()
    if gentle:
        problems += unjust_losses(world)
    return problems
