"""Is the simulator's picture of the network a true one? The same links, delays and messages, on sockets and in the simulator.

On one machine, what a frame takes is mostly waiting for a processor, which the simulator does not know. So on sockets too each link has a
delay of its own, and what comes on top of it is measured and added in the simulator. Which of two copies comes first nobody can foresee all
the same: hops and copies may differ by little, what is delivered must not.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from statistics import mean, median
from typing import Any

import pytest

from zmqgossip import Message, NodeClosed
from zmqgossip.core.config import LAN
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import Endpoint
from zmqgossip.runtime.body import Body as SocketBody
from zmqgossip.sim import Body, Weather, World
from zmqgossip.sim.settled import settle
from zmqgossip.testing import Network

pytestmark = pytest.mark.sockets
PEERS = 14
DIALLED = 2
WARM_UP, ROUNDS = 8, 10
DELAY_S = (0.010, 0.040)
PACE_S = 0.012
SOON_S = 20.0
HOPS_WITHIN, COPIES_WITHIN = 0.1, 0.25
RUNS_MAX = 3
"""A machine that is busy with other tests holds up frames for longer than a link does: now and then a short run differs by 15 % for that. A
model that is wrong differs in each."""


@dataclass(frozen=True)
class Seen:
    """What a run came to, over all peers."""

    deliveries: int
    hops: float
    copies: int


class Post:
    """Brings things later, by a thread of its own."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._news = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def later(self, delay_s: float, bring: Callable[[], object]) -> None:
        with self._news:
            self._count += 1
            heapq.heappush(self._waiting, (time.monotonic() + delay_s, self._count, bring))
            self._news.notify()

    def close(self) -> None:
        with self._news:
            self._is_closed = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._is_closed and (not self._waiting or self._waiting[0][0] > time.monotonic()):
                    self._news.wait(self._waiting[0][0] - time.monotonic() if self._waiting else None)
                if self._is_closed:
                    return
                _, _, bring = heapq.heappop(self._waiting)
            bring()


def delay_s(one: int, other: int) -> float:
    """How long a frame is on its way between two peers, by their publishing ports."""
    least, most = DELAY_S
    return least + (most - least) * Random(f"{min(one, other)} {max(one, other)}").random()


class FarBody(SocketBody):
    """A body to which gossip comes late, as over a long way."""

    post: Post
    bodies: list[FarBody]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._ports: dict[int, int] = {}
        if isinstance(self.engine, PeerEngine):
            self.bodies.append(self)
            self._give = self.engine.on_gossip
            self.engine.on_gossip = self._is_on_its_way  # type: ignore[method-assign]

    def _subscribe(self, now: float, key: int, endpoint: Endpoint, topics: Sequence[bytes]) -> None:
        self._ports[key] = endpoint.port
        super()._subscribe(now, key, endpoint, topics)

    @property
    def port(self) -> int:
        assert isinstance(self.engine, PeerEngine)
        return self.engine.me.publish_endpoint.port

    def dialled(self) -> tuple[int, list[int]]:
        """This peer and those whom it has dialled, by their publishing ports."""
        engine = self.engine
        assert isinstance(engine, PeerEngine)
        others = self._loop.call(lambda: [link.peer.publish_endpoint.port for link in engine.view.up() if link.dialled])
        return self.port, others

    def _is_on_its_way(self, key: int, frame: bytes, now: float) -> None:
        self.post.later(delay_s(self.port, self._ports[key]), lambda: self._bring(key, frame))

    def _bring(self, key: int, frame: bytes) -> None:
        def arrive() -> None:
            now = time.monotonic()
            self._give(key, frame, now)
            self.flush(now)

        with suppress(NodeClosed):
            self._loop.submit(arrive)


@contextmanager
def far_network() -> Iterator[tuple[Network, Post, list[FarBody]]]:
    """Peers that are ready, with long ways between them."""
    post, bodies = Post(), list[FarBody]()
    network = Network(PEERS, protocol={"neighbours_dialled": DIALLED})
    network._partition.body = lambda: type("FarBody", (FarBody,), {"post": post, "bodies": bodies})  # type: ignore[method-assign]
    try:
        with network:
            yield network, post, bodies
    finally:
        post.close()


def copies(counters: Mapping[str, int]) -> int:
    return sum(count for name, count in counters.items() if name.startswith("duplicates."))


def on_sockets() -> tuple[Seen, dict[tuple[int, int], float]]:
    """A run on sockets, and the links on which it was made, with what a frame takes on each."""
    with far_network() as (network, post, bodies):
        peers = network.peers
        network.wait_for(lambda: all(len(peer.neighbours()) >= DIALLED for peer in peers), SOON_S, "the links are not up")
        dialled = dict(body.dialled() for body in bodies)
        heard: list[tuple[int, Message, float]] = []
        for peer in peers:
            peer.on()(lambda message, port=peer.me.publish_endpoint.port: heard.append((port, message, time.time() - message.sent_at)))
        play(network, post, heard, WARM_UP)
        heard.clear()
        before = sum(copies(peer.stats()) for peer in peers)
        play(network, post, heard, ROUNDS)
        assert all(peer.flush(SOON_S) for peer in peers)
        after = sum(copies(peer.stats()) for peer in peers)
        publishing = {peer.id: peer.me.publish_endpoint.port for peer in peers}
    places = {port: place for place, port in enumerate(dialled)}
    turn_s = median(took - delay_s(port, publishing[message.origin.id]) for port, message, took in heard if not message.hops)
    links = {(places[port], places[other]): delay_s(port, other) + turn_s for port, others in dialled.items() for other in others}
    return Seen(len(heard), mean(message.hops for _, message, _ in heard), after - before), links


def play(network: Network, post: Post, heard: list[Any], rounds: int) -> None:
    """Everybody publishes in turn, at a pace that leaves the machine half idle, and all others get it."""
    for number in range(rounds * PEERS):
        post.later(number * PACE_S, partial(network.peers[number % PEERS].publish, "t", b""))
    network.wait_for(lambda: len(heard) >= rounds * PEERS * (PEERS - 1), SOON_S, "not everything was delivered")


def in_the_simulator(links: Mapping[tuple[int, int], float], seed: int) -> Seen:
    world = World(seed, replace(LAN, neighbours_dialled=DIALLED), seeds=2, weather=Weather(delay_s=0.0005, jitter_s=0.0005))
    bodies = settle(world, PEERS, links=list(links))
    for (one, other), delay in links.items():
        for sender, receiver in ((one, other), (other, one)):
            world.set_weather(Weather(delay_s=delay, jitter_s=0.001), bodies[sender].name, bodies[receiver].name)
    play_in(world, bodies, WARM_UP)
    for body in bodies:
        body.segments.clear()
    before = sum(copies(body.engine.counters.as_dict()) for body in bodies)
    play_in(world, bodies, ROUNDS)
    world.run(2)
    after = sum(copies(body.engine.counters.as_dict()) for body in bodies)
    hops = [segment.header.hops for body in bodies for _, segment in body.segments if segment.header.origin != engine_of(body).me.id]
    return Seen(len(hops), mean(hops), after - before)


def play_in(world: World, bodies: list[Body], rounds: int) -> None:
    for number in range(rounds * PEERS):
        world.at(number * PACE_S, world.publish, bodies[number % PEERS].name)
    world.run(rounds * PEERS * PACE_S + 1)


def engine_of(body: Body) -> PeerEngine:
    assert isinstance(body.engine, PeerEngine)
    return body.engine


def test_the_simulator_delivers_as_sockets_do_over_as_many_hops_with_as_many_copies() -> None:
    differences = []
    for _ in range(RUNS_MAX):
        real, links = on_sockets()
        model = in_the_simulator(links, seed=1)
        assert real.deliveries == model.deliveries == ROUNDS * PEERS * (PEERS - 1)
        print(f"simulator / sockets: hops {model.hops / real.hops:.2f}, copies {model.copies / real.copies:.2f}")  # noqa: T201 - for -s
        differences.append((abs(model.hops / real.hops - 1), abs(model.copies / real.copies - 1)))
        if differences[-1][0] <= HOPS_WITHIN and differences[-1][1] <= COPIES_WITHIN:
            return
    pytest.fail(f"hops and copies differ by these shares, in each run: {differences}")
