"""What all parts of one engine share: who it is, its knobs, its deadlines, its outbox, its luck and its counters."""

from __future__ import annotations

from random import Random

from zmqgossip.core.codes import Body
from zmqgossip.core.config import ProtocolConfig
from zmqgossip.core.counters import Counters
from zmqgossip.core.errors import WireError
from zmqgossip.core.events import FrameRefused, VersionRefused
from zmqgossip.core.outbox import Outbox, Route
from zmqgossip.core.timers import Timers
from zmqgossip.core.wire import MAJOR, MINOR, NONCE_BYTES, Codec


class Node:
    """The common ground of an engine's parts. It decides nothing.

    `wall_offset` is Unix time minus the monotonic time, both in seconds. The body may set it anew at any time; it is used
    for timestamps inside messages and tables, never for a timer.
    """

    __slots__ = ("codec", "config", "counters", "exchange", "last_key", "outbox", "rng", "timers", "wall_offset")

    def __init__(self, cluster: int, config: ProtocolConfig, rng: Random, wall_offset: float) -> None:
        self.config = config
        self.codec = Codec(cluster)
        self.rng = rng
        self.wall_offset = wall_offset
        self.timers = Timers()
        self.outbox = Outbox()
        self.counters = Counters()
        self.last_key = 0
        self.exchange = 0

    def wall(self, now: float) -> float:
        """Unix time in seconds, for what is shown to people."""
        return now + self.wall_offset

    def is_in_future(self, epoch: int, now: float) -> bool:
        """Whether a process claims to have started further ahead than clocks go wrong: it would outrank every true record."""
        return epoch > (self.wall(now) + self.config.epoch_ahead_max_s) * 1000

    def new_key(self) -> int:
        """A key for a DEALER, a timer's owner or a knock: never used twice."""
        self.last_key += 1
        return self.last_key

    def nonce(self) -> bytes:
        """Eight bytes that nobody can guess who has not seen them."""
        return self.rng.randbytes(NONCE_BYTES)

    def ask(self, key: int, body: Body) -> int:
        """Sends `body` on the DEALER under `key`; the exchange number comes back with the answer."""
        exchange = self.new_exchange()
        self.outbox.request(key, self.codec.encode(body, exchange))
        return exchange

    def new_exchange(self) -> int:
        """A number that pairs a question with its answer: used again after four billion others."""
        self.exchange = (self.exchange + 1) & 0xFFFF_FFFF
        return self.exchange

    def answer(self, route: Route, body: Body, exchange: int) -> None:
        self.outbox.reply(route, self.codec.encode(body, exchange))

    def refuse(self, reason: str, remote: str, detail: str = "") -> None:
        """Counts what is not taken of a remote, and tells the user of the first of each kind: a flood must not flood the log."""
        name = f"refused.{reason}"
        if not self.counters.get(name):
            ours = f"{MAJOR}.{MINOR}"
            self.outbox.event(VersionRefused(remote, detail, ours) if reason == "version" else FrameRefused(remote, reason, detail))
        self.counters.add(name)
        self.counters.refused_count += 1

    def refuse_frame(self, error: WireError, remote: str) -> None:
        self.refuse(error.reason, remote, error.detail)
