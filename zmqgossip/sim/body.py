"""The body of one engine: gives it what arrives, does what it wants, wakes it at its deadline.

The same turn as the runtime's loop: one call into the engine, then its outbox is drained in order, then the wake-up is set to
`engine.next_deadline`. Where frames go is `network`'s business, what messages were delivered is `ledger`'s, and what went wrong
and when is decided in `world`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from zmqgossip.core.counters import Counters
from zmqgossip.core.events import Event, Ready
from zmqgossip.core.outbox import (
    ANSWERED,
    ASKED,
    CLOSE,
    DELIVER,
    EVENT,
    FLUSHED,
    KNOCK,
    OPEN,
    PUBLISH,
    REPLY,
    REQUEST,
    SUBSCRIBE,
    TOPICS,
    Answered,
    Effect,
    Flushed,
    Knock,
    Outbox,
    Question,
    Segment,
)
from zmqgossip.core.types import Endpoint
from zmqgossip.sim.clock import Action
from zmqgossip.sim.connection import Connection
from zmqgossip.sim.xpub import Xpub

if TYPE_CHECKING:
    from zmqgossip.sim.world import World

TURNS_MAX = 10_000
"""Timer turns at one instant. An engine that leaves a deadline in the past would stop the virtual clock for ever."""


class Engine(Protocol):
    """What a body needs of any engine."""

    @property
    def outbox(self) -> Outbox: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def next_deadline(self) -> float | None: ...
    def start(self, now: float) -> None: ...
    def on_connected(self, key: int, now: float) -> None: ...
    def on_disconnected(self, key: int, now: float) -> None: ...
    def on_reply(self, key: int, frame: bytes, now: float) -> None: ...
    def on_request(self, route: bytes, frame: bytes, address: str, now: float) -> None: ...
    def on_knock(self, key: int, results: Sequence[Knock], now: float) -> None: ...
    def on_timers(self, now: float) -> None: ...


class GossipEngine(Engine, Protocol):
    """What it needs besides of one that has an XPUB and SUBs."""

    @property
    def finished(self) -> bool: ...
    def on_gossip(self, key: int, frame: bytes, now: float) -> None: ...
    def on_subscription(self, topic: bytes, now: float) -> None: ...
    def on_unsubscription(self, topic: bytes, now: float) -> None: ...
    def publish(self, batch: Sequence[tuple[str, bytes, float]], now: float) -> None: ...
    def flush(self, token: int, timeout_s: float, now: float) -> None: ...
    def leave(self, now: float) -> None: ...


class State(Enum):
    """What has become of a process."""

    RUNNING = "running"
    PAUSED = "paused"  # stopped; its kernel goes on
    GONE = "gone"
    DARK = "dark"  # the machine is off: nobody says that it is gone


class Body:
    """One life of one process.

    Attributes:
        name: its place. A restarted process has the same, and a `label` of its own.
        leaving: its user has asked it to go.
        wakes: when it will be woken, the latest first. One is planned only before all others, so each comes while it is the last.
        inbox: what arrives while it is paused.
        ready_at: when its engine said Ready; None before.
        ended_at: when it went, however it went; None while it lives.
        flushes: how flushes ended, by token.
        events, segments, directs: what the user was told and given, with the times; empty if the world keeps none.
    """

    __slots__ = (
        "address", "dealers", "directs", "ended_at", "endpoint", "engine", "events", "flushes", "gossip", "inbox", "incoming", "label",
        "leaving", "life", "name", "outbox", "publish_endpoint", "published", "ready_at", "routes", "segments", "started_at", "state",
        "subs", "turns", "turns_at", "wakes", "world", "xpub",
    )  # fmt: skip

    def __init__(self, world: World, name: str, life: int, endpoint: Endpoint, publish_endpoint: Endpoint | None) -> None:
        self.world = world
        self.name = name
        self.life = life
        self.label = name if life == 1 else f"{name}.{life}"
        self.address = endpoint.host
        self.endpoint = endpoint
        self.publish_endpoint = publish_endpoint
        self.engine: Engine
        self.outbox: Outbox
        self.gossip: GossipEngine | None = None
        self.leaving = False
        self.state = State.RUNNING
        self.dealers: dict[int, Connection] = {}
        self.subs: dict[int, Connection] = {}
        self.incoming: dict[Connection, None] = {}
        self.routes: dict[bytes, Connection] = {}
        self.xpub: Xpub[Connection] = Xpub()
        self.inbox: list[tuple[Action, tuple[Any, ...]]] = []
        self.wakes: list[float] = []
        self.turns = 0
        self.turns_at = -1.0
        self.started_at = world.now
        self.ready_at: float | None = None
        self.ended_at: float | None = None
        self.published = 0
        self.flushes: dict[int, Flushed] = {}
        self.events: list[tuple[float, Event]] = []
        self.segments: list[tuple[float, Segment]] = []
        self.directs: list[tuple[float, Question | Answered]] = []

    def __repr__(self) -> str:
        return f"<{self.label} at {self.endpoint}, {self.state.value}>"

    @property
    def live(self) -> bool:
        """Running or paused: a process that still exists."""
        return self.state is State.RUNNING or self.state is State.PAUSED

    @property
    def dark(self) -> bool:
        """Its machine is off."""
        return self.state is State.DARK

    # -- turns ------------------------------------------------------------------------------------------------------------

    def hold(self, action: Action, *args: Any) -> bool:
        """Whether what arrives has to wait because the process is stopped; it is then kept for its resumption."""
        if self.state is not State.PAUSED:
            return False
        self.inbox.append((action, args))
        return True

    def turn(self, call: Action, *args: Any) -> None:
        """One call into the engine, and all that follows from it."""
        now = self.world.clock.now
        self.world.turns_count += 1
        call(*args, now)
        outbox = self.outbox
        if outbox.effects:
            self._do(outbox.drain(), now)
        if self.leaving and self.gossip is not None and self.gossip.finished and self.live:
            self.world.end(self)
            return
        deadline, wakes = self.engine.next_deadline, self.wakes
        if deadline is not None and (not wakes or deadline < wakes[-1]):  # else `arm` would find nothing to do: nearly always
            self.arm()

    def arm(self) -> None:
        """Plans the next wake-up, unless an earlier one is planned: that one will look again."""
        deadline, wakes = self.engine.next_deadline, self.wakes
        if deadline is not None and (not wakes or deadline < wakes[-1]):
            clock = self.world.clock
            at = deadline if deadline > clock.now else clock.now
            if not wakes or at < wakes[-1]:
                wakes.append(at)
                clock.at(at, self._wake)

    def pause(self) -> None:
        """SIGSTOP."""
        self.state = State.PAUSED

    def resume(self) -> None:
        """SIGCONT: what has arrived comes first, then one late wake-up."""
        self.state = State.RUNNING
        waiting, self.inbox = self.inbox, []
        for action, args in waiting:
            action(*args)
        if self.live:
            self.arm()

    def _wake(self) -> None:
        self.wakes.pop()
        if self.state is not State.RUNNING:
            return
        now = self.world.clock.now
        deadline = self.engine.next_deadline
        if deadline is None or deadline > now:
            self.arm()
            return
        self.turns = self.turns + 1 if self.turns_at == now else 1
        self.turns_at = now
        assert self.turns < TURNS_MAX, f"{self.label} leaves its deadline in the past: {deadline} at {now}"
        self.world.trace.note(now, self.label, "timers")
        self.turn(self.engine.on_timers)

    # -- effects ----------------------------------------------------------------------------------------------------------

    def _do(self, effects: list[Effect], now: float) -> None:
        """What the engine decided, in its order. The network only plans: no effect calls back into an engine."""
        network = self.world.network
        for effect in effects:
            what = effect[0]
            if what == PUBLISH:
                self.world.ledger.sent(self, effect[1], now)
                network.publish(self, effect[1])
            elif what == REQUEST:
                network.request(self, effect[1], effect[2])
            elif what == REPLY:
                network.reply(self, effect[1], effect[2])
            else:
                self._do_rare(effect, now)

    def _do_rare(self, effect: Effect, now: float) -> None:
        network = self.world.network
        what = effect[0]
        if what == DELIVER:
            self._delivered(effect[1], now)
        elif what == EVENT:
            self._told(effect[1], now)
        elif what == OPEN:
            network.open(self, effect[1], effect[2])
        elif what == CLOSE:
            network.close(self, effect[1])
        elif what == SUBSCRIBE:
            network.subscribe(self, effect[1], effect[2], effect[3])
        elif what == TOPICS:
            network.change_topics(self, effect[1], effect[2], effect[3])
        elif what == FLUSHED:
            self._flushed(effect[1], now)
        elif what == KNOCK:
            network.knocks.knock(self, effect[1], effect[2])
        elif what in (ASKED, ANSWERED):
            self._directed(effect[1], now)
        else:
            raise AssertionError(f"{self.label}: no such effect: {effect!r}")

    def _delivered(self, segment: Segment, now: float) -> None:
        self.world.trace.note(now, self.label, "deliver", segment.frame)
        self.world.ledger.delivered(self, segment, now)
        if self.world.keep:
            self.segments.append((now, segment))

    def _directed(self, item: Question | Answered, now: float) -> None:
        self.world.trace.note(now, self.label, type(item).__name__.lower(), repr(item))
        if self.world.keep:
            self.directs.append((now, item))

    def _flushed(self, flushed: Flushed, now: float) -> None:
        self.world.trace.note(now, self.label, "flushed", repr(flushed))
        self.flushes[flushed.token] = flushed

    def _told(self, event: Event, now: float) -> None:
        self.world.trace.note(now, self.label, "event", event)
        if isinstance(event, Ready) and self.ready_at is None:
            self.ready_at = now
        if self.world.keep:
            self.events.append((now, event))
        for watcher in self.world.watchers:
            watcher(self, event, now)
