"""What an engine wants done. The body drains it after every turn, in order; the engine never learns how.

An effect is a tuple whose first item says what it is. Tuples and not objects: writing them costs a fifth of that.

    (REQUEST, key, frame)            send on the DEALER under `key`; the body drops it, and counts, if it is not connected
    (REPLY, route, frame)            send through the ROUTER to where a request came from
    (PUBLISH, frame)                 send on the XPUB
    (OPEN, key, endpoint)            a DEALER to a ROUTER; on_connected or on_disconnected will follow
    (CLOSE, key)                     end that DEALER and the SUB of the same key, if there is one
    (SUBSCRIBE, key, endpoint, topics)   a SUB to an XPUB, its topics set before it connects
    (KNOCK, key, endpoints)          plain TCP connects; one on_knock follows with a Knock for each endpoint
    (DELIVER, segment)               application messages for the user
    (EVENT, event)                   something that the user is told
    (ASKED, question)                a direct message for the user; `PeerEngine.answer` takes its token
    (ANSWERED, answered)             the one end of a direct message of the user's own
    (TOPICS, key, add, remove)       change what the SUB under `key` is subscribed to; what is added comes first
    (FLUSHED, flushed)               the one end of a flush of the user's own
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from zmqgossip.core.events import Event
from zmqgossip.core.types import Endpoint, PeerId, PeerRecord

REQUEST, REPLY, PUBLISH, OPEN, CLOSE, SUBSCRIBE, KNOCK, DELIVER, EVENT, ASKED, ANSWERED, TOPICS, FLUSHED = range(13)
Effect = tuple[Any, ...]
Route = bytes
"""Where an answer goes: what the ROUTER calls a connection. It means nothing beyond the turn that named it."""


class Knock(IntEnum):
    """What a plain TCP connect met."""

    ACCEPTED = 1
    REFUSED = 2
    SILENT = 3


class Segment(msgspec.Struct, frozen=True, gc=False):  # a Struct is made in C, a NamedTuple in Python
    """One gossip frame on its way to the user, its body still encoded.

    `brought` is the neighbour that sent it; it is None for one's own.
    """

    frame: bytes
    header: Any
    brought: PeerRecord | None


class Outcome(IntEnum):
    """How a direct message of one's own ended."""

    ANSWERED = 1
    HEARD = 2
    BUSY = 3
    FAILED = 4
    GONE = 5
    TIMEOUT = 6


class Question(NamedTuple):
    """A direct message from `sender`, who says so itself.

    `token` is for the answer, within `timeout_s` seconds; it is 0 where none is wanted.
    """

    token: int
    sender: PeerRecord
    payload: bytes
    wants_answer: bool
    timeout_s: float


class Answered(NamedTuple):
    """What became of the direct message that was asked under `token`: `payload` if ANSWERED, else `why` in words."""

    token: int
    outcome: Outcome
    payload: bytes
    why: str


class Flushed(NamedTuple):
    """How the flush that was asked for under `token` ended: `complete` if every live peer that is not in `slow` has all of it."""

    token: int
    complete: bool
    slow: tuple[PeerId, ...]


class Outbox:
    """Effects in the order in which they were decided."""

    __slots__ = ("effects",)

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def drain(self) -> list[Effect]:
        """All effects since the last drain."""
        effects, self.effects = self.effects, []
        return effects

    def request(self, key: int, frame: bytes) -> None:
        self.effects.append((REQUEST, key, frame))

    def reply(self, route: Route, frame: bytes) -> None:
        self.effects.append((REPLY, route, frame))

    def publish(self, frame: bytes) -> None:
        self.effects.append((PUBLISH, frame))

    def open(self, key: int, endpoint: Endpoint) -> None:
        self.effects.append((OPEN, key, endpoint))

    def close(self, key: int) -> None:
        self.effects.append((CLOSE, key))

    def subscribe(self, key: int, endpoint: Endpoint, topics: Sequence[bytes]) -> None:
        self.effects.append((SUBSCRIBE, key, endpoint, tuple(topics)))

    def knock(self, key: int, endpoints: Sequence[Endpoint]) -> None:
        self.effects.append((KNOCK, key, tuple(endpoints)))

    def deliver(self, segment: Segment) -> None:
        self.effects.append((DELIVER, segment))

    def event(self, event: Event) -> None:
        self.effects.append((EVENT, event))

    def asked(self, question: Question) -> None:
        self.effects.append((ASKED, question))

    def answered(self, answered: Answered) -> None:
        self.effects.append((ANSWERED, answered))

    def topics(self, key: int, add: Sequence[bytes], remove: Sequence[bytes]) -> None:
        self.effects.append((TOPICS, key, tuple(add), tuple(remove)))

    def flushed(self, flushed: Flushed) -> None:
        self.effects.append((FLUSHED, flushed))
