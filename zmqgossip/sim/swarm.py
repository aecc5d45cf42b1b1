"""Swarm testing: one seed draws a whole run, network, knobs, load and troubles; then all of it must come right again.

First troubles, with the checkers that hold at any moment asked after each. Then they stop, all heals, and within REST_S everything must
hold: each message is at everybody it is owed to or named as lost where that is just, nobody holds a living peer dead, all tables
are right, the overlay is one, streams are settled, flushes have ended. Then everybody publishes once more and flushes, which must succeed;
and while nothing happens, nothing may grow.

    play(17)        an Outcome, or a Violation that says how to see it again

What a run is made of is drawn in `plan`; what is right is in `checkers`, `accounts` and `excuses`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import perf_counter

from zmqgossip.core.seed import SeedEngine
from zmqgossip.sim import checkers
from zmqgossip.sim.accounts import Book, FlushBook, engine_of, named_lost, restless, short
from zmqgossip.sim.body import State
from zmqgossip.sim.excuses import unjust_losses
from zmqgossip.sim.footprint import footprint
from zmqgossip.sim.graves import Graves
from zmqgossip.sim.outcome import Outcome, Row
from zmqgossip.sim.pipes import FRAMES_MAX
from zmqgossip.sim.plan import JOINS_MAX, Plan, drawn
from zmqgossip.sim.world import Violation, World

REST_S = 120.0
"""Until all is right again: a gap that nobody fills is given up after 30 s, TCP may be silent as long as a cut lasted, back-offs end."""
LOOK_S = 0.5
"""Between two looks at whether it is."""
PATIENT_S = 8.0
"""How long all are waited for at first: in some weather that was drawn nobody becomes ready before it clears."""
FLUSH_S = 10.0
"""For the last flushes: nothing is in their way."""
IDLE_S = 3.0
"""How long nothing happens before memory is measured again: some 100 probes of a few peers."""
IDLE_TIMES = 4
GROWTH_MAX = 40
"""Items by which a node may differ between two moments in which nothing happens: probes and answers that are under way."""
CUT_OFF_S_MAX = 12.0
"""How long a cut lasts, and a pause: past the three misses of a death, past `slow_after_s`, and past a lease."""


class Swarm:
    """One run under way."""

    def __init__(self, seed: int, plan: Plan, rng: Random) -> None:
        self.plan = plan
        self.rng = rng
        self.world = World(seed=seed, config=plan.config, seeds=plan.seeds, weather=rng.choice(plan.weathers))
        self.book = Book(self.world)
        self.flushes = FlushBook(self.world)
        self.graves = Graves(self.world)
        self.happened: dict[str, int] = {}
        self.joins = 0
        self._clocks: dict[str, float] = {}
        self._leaving: dict[str, None] = {}
        self._acts: dict[str, Callable[[str, str], object]] = {
            "message": lambda one, _: self._write(one, 1),
            "burst": lambda one, _: self._write(one, rng.choice((3, 20, 60))),
            "trickle": lambda one, _: self._trickle(),
            "stream": lambda one, _: self._stream(one),
            "flush": lambda one, _: self.flushes.flush(one, rng.choice((0.3, 1.0, 3.0, 8.0))),
            "weather": lambda one, _: self.world.set_weather(rng.choice(plan.weathers)),
            "weather of one": self._weather_of,
            "fine": lambda one, _: self._fine(),
            "small pipes": lambda one, _: setattr(self.world.network, "pipe_max", rng.choice(plan.pipes)),
            "link drops": lambda one, _: self._drop_link(one),
            "join": lambda one, _: self._join(),
            "short pause": lambda one, _: self._pause(one, 0.8),
            "pause": lambda one, _: self._pause(rng.choice((one, self._some_seed())), CUT_OFF_S_MAX),
            "clock step": lambda one, _: self._step_clock(rng.choice((one, self._some_seed()))),
            "cut": lambda one, other: self._cut((one, rng.choice((other, self._some_seed())))),
            "cut both": lambda one, other: self._cut((one, other), (other, one)),
            "cut off": lambda one, other: self._cut(*rng.choice(([(one, "*")], [("*", one)], [(one, "*"), ("*", one)]))),
            "partition": lambda one, _: self._partition(),
            "mend": lambda one, _: self.world.heal(),
            "crash": lambda one, _: self._end(one, lambda: self.world.crash(one)),
            "power off": lambda one, _: self._end(one, lambda: self.world.crash(one, silently=True)),
            "leave": lambda one, _: self._end(one, lambda: self.world.leave(one)),
            "restart": lambda one, _: self._restart(one),
            "seed stops": lambda one, _: self.world.crash(self._some_seed(), silently=rng.random() < 0.3),
            "seed returns": lambda one, _: self._seed_returns(),
        }

    # -- troubles ---------------------------------------------------------------------------------------------------------

    def trouble(self) -> None:
        """All of it; safety is looked at after each."""
        world, rng, plan = self.world, self.rng, self.plan
        for _ in range(plan.peers):
            world.add_peer()
            world.run(plan.apart_s)
        while plan.is_patient and not world.all_ready() and world.now < PATIENT_S:
            world.run(LOOK_S)
        kinds, weights = list(plan.rates), list(plan.rates.values())
        for _ in range(plan.steps):
            what = rng.choices(kinds, weights)[0]
            names = [body.name for body in world.peers]
            if len(names) > 1:
                one, other = rng.sample(names, 2)
                self.happened[what] = self.happened.get(what, 0) + 1
                self._acts[what](one, other)
            world.run(rng.expovariate(1 / plan.gap_s))
            self.check()

    def check(self, *more: str) -> None:
        """What holds at any moment, and what else was found."""
        found = [*self.book.look(), *self.flushes.problems, *self.flushes.stuck(), *self.graves.problems, *more]
        self.world.check(*checkers.SAFETY, lambda _: found)

    def _is_writer(self, name: str) -> bool:
        """Always the same ones: with all the others the bucket of an origin is quiet."""
        return Random(f"{self.world.seed}/{name}/writes").random() < self.plan.writers or name == "p1"

    def _write(self, name: str, count: int) -> None:
        writers = [body.name for body in self.world.peers if self._is_writer(body.name)] or [name]
        name = self.rng.choice(writers)
        for number in range(count):
            self.world.publish(name, "t", bytes(self.rng.choice(self.plan.sizes)))
            if number % 3 == 2:
                self.world.run(self.rng.choice((0.0, 0.001, 0.01)))

    def _trickle(self) -> None:
        for body in self.world.peers:
            if self._is_writer(body.name):
                self.world.publish_batch(body.name, [("t", bytes(self.rng.choice(self.plan.sizes)))] * self.rng.choice((1, 1, 3)))

    def _stream(self, name: str) -> None:
        """One publishes steadily while other troubles come."""
        gap_s = self.rng.choice((0.003, 0.02, 0.1))
        payload = bytes(self.rng.choice(self.plan.sizes))
        for number in range(self.rng.choice((10, 40))):
            self.world.at(gap_s * number, self._write_if_there, name, payload)

    def _write_if_there(self, name: str, payload: bytes) -> None:
        if self.world.nodes[name].live:
            self.world.publish(name, "t", payload)

    def _fine(self) -> None:
        self.world.clear_weather()
        self.world.network.pipe_max = FRAMES_MAX

    def _weather_of(self, one: str, other: str) -> None:
        sender, receiver = self.rng.choice(((one, other), (one, "*"), ("*", one)))
        self.world.set_weather(self.rng.choice(self.plan.weathers), sender, receiver)

    def _drop_link(self, name: str) -> None:
        body = self.world.nodes[name]
        links = list(engine_of(body).view.up())
        if links and body.state is State.RUNNING:
            link = self.rng.choice(links)
            body.turn(lambda now: engine_of(body).membership.lose(link, "a drop", now))

    def _join(self) -> None:
        if self.joins < JOINS_MAX:
            self.joins += 1
            self.world.add_peer()

    def _pause(self, name: str, longest_s: float) -> None:
        self.world.pause(name)
        self.world.at(self.rng.random() * longest_s, self.world.resume, name)

    def _step_clock(self, name: str) -> None:
        """To somewhere within the limits from what is true: two of them that are wrong both ways are not further apart than a day."""
        wrong_s = round(self.rng.uniform(-1, 1) * self.plan.clocks_s, 3)
        label = self.world.nodes[name].label
        self.world.step_clock(name, wrong_s - self._clocks.get(label, 0.0))
        self._clocks[label] = wrong_s

    def _cut(self, *ways: tuple[str, str]) -> None:
        longest_s = self.rng.random() * CUT_OFF_S_MAX
        for sender, receiver in ways:
            self.world.cut(sender, receiver)
            self.world.at(longest_s, self.world.mend, sender, receiver)

    def _partition(self) -> None:
        names = [*self.world.nodes]
        self.world.partition(self.rng.sample(names, self.rng.randint(1, len(names) - 1)))
        self.world.at(self.rng.random() * CUT_OFF_S_MAX, self.world.heal)

    def _end(self, name: str, act: Callable[[], object]) -> None:
        """Two are left: one that is alone has nobody to prove anything with. Who says goodbye takes a moment."""
        staying = [body for body in self.world.peers if body.label not in self._leaving]
        if len(staying) > 2 or self.world.nodes[name] not in staying:
            self._leaving[self.world.nodes[name].label] = None
            act()

    def _restart(self, name: str) -> None:
        """One that is gone, else one that lives."""
        gone = [body.name for body in self.world.nodes.values() if body.gossip is not None and not body.live]
        self.world.restart(self.rng.choice(gone) if gone and self.rng.random() < 0.7 else name, keeps_id=self.plan.keeps_id)

    def _some_seed(self) -> str:
        return f"s{self.rng.randint(1, self.plan.seeds)}"

    def _seed_returns(self) -> None:
        gone = [body.name for body in self.world.nodes.values() if isinstance(body.engine, SeedEngine) and not body.live]
        if gone:
            self.world.restart(self.rng.choice(gone))

    # -- rest -------------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Everything that was done to the network is undone. Who has left or died stays so; seeds come back."""
        world = self.world
        world.heal()
        self._fine()
        for body in list(world.nodes.values()):
            world.resume(body.name)
            if body.gossip is None and not body.live:
                world.restart(body.name)

    def wrong(self) -> list[str]:
        """What is not right yet. The cheap ones first: while those find something, the others are not asked.

        Where there are more streams than places for them, some are forgotten here and talked of there: that never comes to rest.
        """
        world = self.world
        if not world.all_ready():
            return [f"{body.label} is not ready" for body in world.peers if body.ready_at is None]
        for check in (checkers.wrong_tables, checkers.held_dead, checkers.wrong_lists, checkers.split_overlay):
            if found := check(world):
                return found
        forgotten = any(engine_of(body).gossip.streams.forgotten for body in world.peers)
        return ([] if forgotten else restless(world)) or short(world, self.book)

    def rest(self, limit_s: float) -> float:
        """Until all is right; how long that took."""
        since = self.world.now
        while found := self.wrong():
            if self.world.now - since >= limit_s:
                self.check(*found, f"not right within {limit_s:g} s")
            self.world.run(LOOK_S)
            self.check()
        self.check(*unjust_losses(self.world))
        return self.world.now - since

    def prove(self) -> None:
        """All publish and flush: nothing is left of the troubles. Then nothing happens, and nothing grows."""
        tokens = []
        for body in self.world.peers:
            self.world.publish(body.name, "t", b"the last")
            tokens.append(self.flushes.flush(body.name, FLUSH_S))
        until = self.world.now + FLUSH_S + LOOK_S
        while self.world.now < until and not all(token in self.flushes.ended for token in tokens):
            self.world.run(LOOK_S)
        self.rest(REST_S)
        failed = [f"flush {token} failed, though nothing is in its way" for token in tokens if not self.flushes.ended.get(token)]
        self.check(*failed, *self._growing())
        self.rest(REST_S)

    def _growing(self) -> list[str]:
        """Who remembers more and more while nothing happens. A link that comes up after a back-off makes it more once."""
        growing = {body: footprint(body.engine) for body in self.world.nodes.values() if body.live}
        for _ in range(IDLE_TIMES):
            self.world.run(IDLE_S)
            now = {body: footprint(body.engine) for body in growing}
            growing = {body: items for body, items in now.items() if items - growing[body] > GROWTH_MAX}
            if not growing:
                break
        return [f"{body.label} has grown to {items} items while nothing happened" for body, items in growing.items()]


def play(seed: int, peers: int = 0) -> Outcome:
    """The whole run of that seed, of so many peers (0: a few, drawn too). Raises Violation with all that one needs to see it again."""
    began = perf_counter()
    rng = Random(f"{seed}/swarm")
    swarm = Swarm(seed, drawn(rng, peers), rng)
    try:
        swarm.trouble()
        swarm.world.run(rng.random())
        swarm.heal()
        rested_s = swarm.rest(REST_S)
        swarm.prove()
    except Exception as error:
        raise Violation(_story(swarm, peers, error)) from error
    return _outcome(swarm, rested_s, perf_counter() - began)


def _story(swarm: Swarm, peers: int, error: Exception) -> str:
    seed = swarm.world.seed
    sized = f" --peers {peers}" if peers else ""
    words = str(error) if isinstance(error, Violation) else f"{type(error).__name__}: {error}\n{swarm.world.report()}"
    return "\n".join(
        (
            f"swarm seed {seed} failed at {swarm.world.now:.3f} s",
            f"again: zmqgossip simulate swarm --seeds {seed}..{seed}{sized}",
            f"drawn: {swarm.plan}",
            f"happened: {swarm.happened}",
            words,
        )
    )


def _outcome(swarm: Swarm, rested_s: float, seconds: float) -> Outcome:
    world = swarm.world
    links = [sum(1 for _ in engine_of(body).view.up()) for body in world.peers]
    ended = list(swarm.flushes.ended.values())
    lost = sum(last - first + 1 for body in world.bodies if body.gossip is not None for first, last in named_lost(body))
    rows = [
        Row("troubles", sum(swarm.happened.values())),
        Row("kinds of trouble", len(swarm.happened)),
        Row("lives of peers", sum(body.gossip is not None for body in world.bodies)),
        Row("messages published", sum(stream.message_count for stream in world.ledger.streams.values())),
        Row("segments delivered", world.ledger.delivered_count),
        Row("messages lost by name", lost, "only where that is just"),
        Row("flushes complete", f"{sum(ended)} of {len(ended)}", "only true ones"),
        Row("until all was right (virtual s)", round(rested_s, 3), f"<= {REST_S:g}", rested_s <= REST_S),
        Row("virtual time (s)", round(world.now, 3)),
    ]
    return Outcome(
        scenario="swarm",
        peers=len(world.peers),
        seed=world.seed,
        degree=sum(links) / max(len(links), 1),
        digest=world.digest,
        rows=rows,
        seconds=seconds,
        events_per_s=world.trace.count / seconds,
    )
