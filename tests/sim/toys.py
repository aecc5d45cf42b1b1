"""A toy engine for tests of the simulator: it notes every call and does only what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zmqgossip.core.counters import Counters
from zmqgossip.core.outbox import Knock, Outbox
from zmqgossip.core.types import Endpoint
from zmqgossip.sim import Weather, World

Calls = list[tuple[Any, ...]]


class Toy:
    """Attributes:
    calls: everything that came in, as (now, what, arguments ...).
    answers: what a test hooks in: called with this toy after a call of that name.
    """

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.counters = Counters()
        self.next_deadline: float | None = None
        self.finished = False
        self.calls: Calls = []
        self.answers: dict[str, Callable[..., object]] = {}

    def _note(self, what: str, now: float, *args: Any) -> None:
        self.calls.append((now, what, *args))
        answer = self.answers.get(what)
        if answer is not None:
            answer(*args)

    def start(self, now: float) -> None:
        self._note("start", now)

    def on_connected(self, key: int, now: float) -> None:
        self._note("connected", now, key)

    def on_disconnected(self, key: int, now: float) -> None:
        self._note("disconnected", now, key)

    def on_reply(self, key: int, frame: bytes, now: float) -> None:
        self._note("reply", now, key, frame)

    def on_request(self, route: bytes, frame: bytes, address: str, now: float) -> None:
        self._note("request", now, route, frame, address)

    def on_knock(self, key: int, results: Sequence[Knock], now: float) -> None:
        self._note("knock", now, key, [result.name for result in results])

    def on_timers(self, now: float) -> None:
        self.next_deadline = None
        self._note("timers", now)

    def on_gossip(self, key: int, frame: bytes, now: float) -> None:
        self._note("gossip", now, key, frame)

    def on_subscription(self, topic: bytes, now: float) -> None:
        self._note("subscription", now, topic)

    def on_unsubscription(self, topic: bytes, now: float) -> None:
        self._note("unsubscription", now, topic)

    def flush(self, token: int, timeout_s: float, now: float) -> None:
        self._note("flush", now, token)

    def publish(self, batch: Sequence[tuple[str, bytes, float]], now: float) -> None:
        for _, payload, _ in batch:
            self.outbox.publish(payload)

    def leave(self, now: float) -> None:
        self._note("leave", now)
        self.finished = True

    # -- what tests ask ---------------------------------------------------------------------------------------------------

    def heard(self, what: str) -> Calls:
        """The arguments of all calls of one kind, without the time."""
        return [call[2:] for call in self.calls if call[1] == what]

    def kinds(self) -> list[str]:
        return [call[1] for call in self.calls[1:]]


class ToyWorld(World):
    """A world of toys, each on a host of its own: ROUTER on 7001, XPUB on 7002. One way takes 10 ms and never more."""

    def __init__(self, *names: str, weather: Weather | None = None, seed: int = 1) -> None:
        super().__init__(seed=seed, seeds=0, weather=weather or Weather(delay_s=0.01, jitter_s=0))
        for number, name in enumerate(names, 1):
            host = f"10.0.0.{number}"
            self.add(name, Endpoint(host, 7001), Endpoint(host, 7002), lambda body, rng: Toy())

    def toy(self, name: str) -> Toy:
        engine = self.nodes[name].engine
        assert isinstance(engine, Toy)
        return engine

    def do(self, name: str, *whats: Callable[[Outbox], object]) -> None:
        """Lets a toy put effects into its outbox, as if one turn had decided them."""
        engine = self.toy(name)
        self.nodes[name].turn(lambda now: [what(engine.outbox) for what in whats])

    def request(self, name: str, key: int, frame: bytes = b"x") -> None:
        self.do(name, lambda out: out.request(key, frame))

    def router(self, name: str) -> Endpoint:
        return self.nodes[name].endpoint

    def xpub(self, name: str) -> Endpoint:
        endpoint = self.nodes[name].publish_endpoint
        assert endpoint is not None
        return endpoint

    def connect(self, name: str, key: int, other: str) -> None:
        """Opens a DEALER and lets it connect."""
        self.do(name, lambda out: out.open(key, self.router(other)))
        self.run(0.1)
        assert (key,) in self.toy(name).heard("connected")

    def subscribe(self, name: str, key: int, other: str, *topics: bytes) -> None:
        self.do(name, lambda out: out.subscribe(key, self.xpub(other), topics))
        self.run(0.1)
