"""A whole network in one process: seeds, peers, a virtual clock, and everything that can go wrong.

    world = World(seed=1)
    world.add_peers(20)
    world.run_until(world.all_ready, 30)
    world.crash("p3")
    world.publish("p1", "topic", b"payload")
    world.run(10)
    world.check(*checkers.ALL)

One number drives every choice: each engine draws from `Random(f"{seed}/{label}")` and the network from one of its own, so
one more peer leaves everybody else's random numbers as they were. The engines are those that ship. How an engine is driven is in
`body`, how frames travel in `network` and `paths`; this file makes nodes and faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeAlias, cast

from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.core.events import Event
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import Endpoint, PeerId, PeerRecord
from zmqgossip.core.wire import cluster_hash
from zmqgossip.sim.body import Body, Engine, GossipEngine, State
from zmqgossip.sim.clock import Action, Clock
from zmqgossip.sim.garbage import rare_collections
from zmqgossip.sim.ledger import Ledger
from zmqgossip.sim.network import Network
from zmqgossip.sim.paths import ANY, Paths, Weather
from zmqgossip.sim.trace import Trace

WALL_S = 1_800_000_000.0
"""Unix time when a world begins: any fixed number, so that runs are alike."""
STEP_S = 0.05
"""How often `run_until` looks: looking may cost as much as the whole network."""
LOOPBACK = "127.0.0.1"

Watcher: TypeAlias = Callable[[Body, Event, float], None]
Maker: TypeAlias = Callable[[Body, Random], Engine]


class Violation(AssertionError):
    """A run in which something happened that must not, or did not that must. Its text has the seed and the end of the trace."""


class World:
    """One run.

    Attributes:
        seed: the number that the whole run follows from.
        nodes: the latest life of every place, by name: seeds "s1" ..., peers "p1" ...
        bodies: all lives of all places, in the order of their starts.
        keep: whether each body keeps what its user was told and given. Large runs do without.
        watchers: called for every event as `watcher(body, event, now)`.
        replay: the command that plays this run again, for reports; "" where there is none.
        turns_count: calls into engines, all together: what stands for work where no processor is measured.
    """

    def __init__(
        self,
        seed: int = 1,
        config: ProtocolConfig = LAN,
        seeds: int = 4,
        *,
        cluster: str = "sim",
        weather: Weather | None = None,
        one_host: bool = False,
        keep: bool = True,
    ) -> None:
        self.seed = seed
        self.config = config
        self.cluster = cluster_hash(cluster)
        self.one_host = one_host
        self.keep = keep
        self.clock = Clock()
        self.trace = Trace()
        luck = Random(f"{seed}/network")
        self.paths = Paths(weather or Weather(), luck, str(seed))
        self.network = Network(self.clock, self.paths, self.trace, luck)
        self.ledger = Ledger(self.cluster)
        self.nodes: dict[str, Body] = {}
        self.bodies: list[Body] = []
        self.watchers: list[Watcher] = []
        self.turns_count = 0
        self.seed_endpoints: list[Endpoint] = []
        self.replay = ""
        self._makers: dict[str, Maker] = {}
        self._stored: dict[str, tuple[PeerId, int]] = {}
        self._hosts_count = 0
        self._peers_count = 0
        for number in range(1, seeds + 1):
            self.add_seed(f"s{number}")

    # -- nodes ------------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.clock.now

    @property
    def peers(self) -> list[Body]:
        """All peers that exist now, paused ones too."""
        return [body for body in self.nodes.values() if body.live and body.gossip is not None]

    @property
    def seeds(self) -> list[Body]:
        """All seeds that exist now, paused ones too."""
        return [body for body in self.nodes.values() if body.live and body.gossip is None]

    def add_seed(self, name: str) -> Body:
        """A seed. Peers that are made later have it among their seeds."""
        endpoint = Endpoint(self._new_host(), 6000 + len(self.seed_endpoints) + 1)
        self.seed_endpoints.append(endpoint)

        def make(body: Body, rng: Random) -> Engine:
            return SeedEngine(body.endpoint, self.cluster, self.config, rng, WALL_S)

        return self.add(name, endpoint, None, make)

    def add_peer(self, name: str = "", config: ProtocolConfig | None = None) -> Body:
        """A peer that starts now and knows all seeds there are."""
        return self._start(self.create_peer(name, config))

    def create_peer(self, name: str = "", config: ProtocolConfig | None = None) -> Body:
        """A peer that listens and has not started: for `add_peer`, and for whoever puts it in the midst of its life."""
        host = self._new_host()
        port = 10_000 + 2 * self._hosts_count if self.one_host else 7001
        seeds = tuple(self.seed_endpoints)

        def make(body: Body, rng: Random) -> Engine:
            drawn, epoch = rng.randbytes(16), int((self.now + WALL_S) * 1000)
            peer, before = self._stored.pop(body.name, (drawn, 0))
            record = PeerRecord(peer, max(epoch, before + 1), 0, host, port, port + 1)
            return PeerEngine(record, seeds, self.cluster, config or self.config, rng, WALL_S)

        self._peers_count += 1
        return self._create(name or f"p{self._peers_count}", Endpoint(host, port), Endpoint(host, port + 1), make)

    def add_peers(self, count: int, every_s: float = 0.0) -> None:
        """Peers that start one by one, `every_s` apart; the clock goes on meanwhile."""
        for _ in range(count):
            self.add_peer()
            if every_s:
                self.run(every_s)

    def add(self, name: str, endpoint: Endpoint, publish_endpoint: Endpoint | None, make: Maker) -> Body:
        """Any engine at all, as `name`. `make` is called for each life of it."""
        return self._start(self._create(name, endpoint, publish_endpoint, make))

    def _create(self, name: str, endpoint: Endpoint, publish_endpoint: Endpoint | None, make: Maker) -> Body:
        assert name not in self.nodes, f"there is a {name} already"
        self._makers[name] = make
        return self._live(name, 1, endpoint, publish_endpoint)

    def _live(self, name: str, life: int, endpoint: Endpoint, publish_endpoint: Endpoint | None) -> Body:
        body = Body(self, name, life, endpoint, publish_endpoint)
        engine = self._makers[name](body, Random(f"{self.seed}/{body.label}"))
        body.engine, body.outbox = engine, engine.outbox
        body.gossip = None if publish_endpoint is None else cast(GossipEngine, engine)
        self.nodes[name] = body
        self.bodies.append(body)
        self.network.bind(body)
        self._note(body, "start", str(endpoint))
        return body

    @staticmethod
    def _start(body: Body) -> Body:
        body.turn(body.engine.start)
        return body

    def _new_host(self) -> str:
        self._hosts_count += 1
        count = self._hosts_count
        return LOOPBACK if self.one_host else f"10.{count >> 16}.{count >> 8 & 255}.{count & 255}"

    # -- time -------------------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Lets so much virtual time pass."""
        try:
            with rare_collections():
                self.clock.advance(self.now + seconds)
        except Exception as error:
            error.add_note(self.report())
            raise

    def run_until(self, condition: Callable[[], bool], limit_s: float, step_s: float = STEP_S) -> float:
        """Lets time pass until `condition()`; the seconds that took. Raises Violation when `limit_s` were not enough."""
        start = self.now
        while not condition():
            if self.now - start >= limit_s:
                raise Violation(f"{getattr(condition, '__name__', condition)} not within {limit_s} s\n{self.report()}")
            self.run(step_s)
        return self.now - start

    def at(self, seconds: float, action: Action, *args: object) -> None:
        """Plans `action(*args)` in so many seconds: a fault, a publication."""
        self.clock.at(self.now + seconds, action, *args)

    def all_ready(self) -> bool:
        """Whether every live peer has said that it is ready."""
        return all(body.ready_at is not None for body in self.peers)

    # -- what users do ----------------------------------------------------------------------------------------------------

    def publish(self, name: str, topic: str = "t", payload: bytes = b"") -> None:
        """A user of a peer publishes one message."""
        self.publish_batch(name, [(topic, payload)])

    def publish_batch(self, name: str, batch: Sequence[tuple[str, bytes]]) -> None:
        """A user publishes several at once. A paused or dead process has no users."""
        body = self.nodes[name]
        if body.state is not State.RUNNING or body.gossip is None:
            return
        body.published += len(batch)
        self._note(body, "publish", f"{len(batch)} messages")
        wall = self.now + WALL_S
        body.turn(body.gossip.publish, [(topic, payload, wall) for topic, payload in batch])

    def flush(self, name: str, token: int, timeout_s: float) -> None:
        """A user asks whether everybody has what a peer published; see `flushes` of its body."""
        body = self.nodes[name]
        if body.state is State.RUNNING and body.gossip is not None:
            self._note(body, "flush", f"{token}")
            body.turn(body.gossip.flush, token, timeout_s)

    def leave(self, name: str) -> None:
        """A peer says goodbye and ends when its engine has finished."""
        body = self.nodes[name]
        if body.state is State.RUNNING and body.gossip is not None:
            self._note(body, "leave")
            body.leaving = True
            body.turn(body.gossip.leave)

    # -- faults of processes ----------------------------------------------------------------------------------------------

    def crash(self, *names: str, silently: bool = False) -> None:
        """kill -9: connections drop; what had not left the process is lost. `silently`: the machine is off, nobody says so."""
        for name in names:
            body = self.nodes[name]
            if not body.live:
                continue
            self._note(body, "power off" if silently else "crash")
            body.ended_at = self.now
            if silently:
                body.state = State.DARK
                body.inbox.clear()
            else:
                body.state = State.GONE
                self.network.end(body, abrupt=True)

    def stop(self, name: str) -> None:
        """A process ends without a word of its engine, but all that it sent goes out."""
        self.end(self.nodes[name])

    def end(self, body: Body) -> None:
        """A process is done: its sockets close."""
        if body.live:
            self._note(body, "end")
            body.ended_at = self.now
            body.state = State.GONE
            self.network.end(body, abrupt=False)

    def restart(self, name: str, *, keeps_id: bool = False) -> Body:
        """A new process on the same endpoints; what is left of the old one ends first.

        `keeps_id`: the id was stored, so the new life has the same one and a newer epoch. Otherwise it has a new id.
        """
        old = self.nodes[name]
        if keeps_id:
            assert isinstance(old.engine, PeerEngine), f"{name} is no peer: it has no id"
            self._stored[name] = (old.engine.me.id, old.engine.me.epoch)
        self.crash(name)
        if old.state is State.DARK:
            old.state = State.GONE
            self.network.end(old, abrupt=True)
        body = self._start(self._live(name, old.life + 1, old.endpoint, old.publish_endpoint))
        self.network.paths_changed()
        return body

    def pause(self, *names: str) -> None:
        """SIGSTOP: the kernel goes on, frames queue up."""
        for name in names:
            if self.nodes[name].state is State.RUNNING:
                self._note(self.nodes[name], "pause")
                self.nodes[name].pause()

    def resume(self, *names: str) -> None:
        """SIGCONT: first all that has arrived, then one late wake-up."""
        for name in names:
            if self.nodes[name].state is State.PAUSED:
                self._note(self.nodes[name], "resume")
                self.nodes[name].resume()
                self.network.paths_changed()

    def step_clock(self, name: str, seconds: float) -> None:
        """The wall clock of a node jumps; its monotonic one does not."""
        body = self.nodes[name]
        assert isinstance(body.engine, (PeerEngine, SeedEngine))
        self._note(body, "clock step", f"{seconds:+} s")
        body.engine.node.wall_offset += seconds

    # -- faults of the network --------------------------------------------------------------------------------------------

    def set_weather(self, weather: Weather, sender: str = ANY, receiver: str = ANY) -> None:
        """From now on, for all paths or for those named; see `Weather`."""
        self.paths.set_weather(weather, sender, receiver)
        self.trace.note(self.now, sender, "weather", repr(weather), receiver)

    def clear_weather(self, weather: Weather | None = None) -> None:
        """The same weather everywhere, by default the best."""
        self.paths.clear_weather(weather or Weather())
        self.trace.note(self.now, ANY, "weather", "clear")

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing passes that way any more; "*" is everybody. The other direction stays."""
        self.paths.cut(sender, receiver)
        self.trace.note(self.now, receiver, "cut", "", sender)

    def mend(self, sender: str, receiver: str) -> None:
        """Ends that cut."""
        self.paths.mend(sender, receiver)
        self.trace.note(self.now, receiver, "mend", "", sender)
        self.network.paths_changed()

    def partition(self, *groups: Iterable[str]) -> None:
        """Nodes (or all nodes of a host) talk only inside their group; those that are not named are one more group."""
        named = [[node for name in group for node in self._at(name)] for group in groups]
        self.paths.partition(named)
        self.trace.note(self.now, ANY, "partition", " | ".join(" ".join(group) for group in named))
        self.network.paths_changed()

    def heal(self) -> None:
        """Ends all cuts and partitions."""
        self.paths.heal()
        self.trace.note(self.now, ANY, "heal")
        self.network.paths_changed()

    def _at(self, name: str) -> list[str]:
        if name in self.nodes:
            return [name]
        found = [body.name for body in self.nodes.values() if body.address == name]
        assert found, f"there is no node and no host {name}"
        return found

    # -- looking ----------------------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """The whole run so far in one number."""
        return self.trace.digest

    def counts(self, name: str) -> int:
        """A counter, summed over the engines of all live nodes."""
        return sum(body.engine.counters.get(name) for body in self.nodes.values() if body.live)

    def check(self, *checks: Callable[[World], list[str]]) -> None:
        """Asks each checker; raises Violation with all that they found."""
        problems = [problem for check in checks for problem in check(self)]
        if problems:
            shown = "\n".join(problems[:40])
            more = f"\n... and {len(problems) - 40} more" if len(problems) > 40 else ""
            raise Violation(f"{len(problems)} problems\n{shown}{more}\n{self.report()}")

    def report(self, last: int = 60, node: str = "") -> str:
        """The seed, how to see it again, and the end of the trace, for a run that failed."""
        lines = self.trace.lines(last, node)
        again = [f"replay: {self.replay}"] if self.replay else []
        return "\n".join([f"seed {self.seed}, {self.now:.6f} s, {self.trace.count} events, digest {self.digest}", *again, *lines])

    def _note(self, body: Body, kind: str, words: str = "") -> None:
        self.trace.note(self.now, body.label, kind, words)
