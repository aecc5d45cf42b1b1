"""One connection between two processes, as data: a DEALER to a ROUTER or a SUB to an XPUB, and a pipe each way.

Each end knows only its own side: `asker_open` and `target_open` differ while the news of an end is on its way. Who moves frames
is `pipes`, who makes and ends connections `network`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from zmqgossip.core.types import Endpoint

if TYPE_CHECKING:
    from zmqgossip.sim.body import Body

Arrival: TypeAlias = Callable[["Connection", bytes], None]
NEVER = float("inf")


class Pipe:
    """One direction of a connection: first in, first out.

    Attributes:
        load: frames that were sent and for which the sender has no credit back; beyond a limit it drops.
        taken: those of them that were taken in at the other end.
        last_at: when the latest frame arrives. None overtakes it.
        lost_after: the sender died; what would arrive later had not left it.
        luck: the pair's own share of the spread of delays, from 0 to 1; None before the first frame.
    """

    __slots__ = ("last_at", "load", "lost_after", "luck", "receiver", "sender", "taken")

    def __init__(self, sender: str, receiver: str) -> None:
        self.sender = sender
        self.receiver = receiver
        self.load = self.taken = 0
        self.last_at = 0.0
        self.lost_after = NEVER
        self.luck: float | None = None


class Connection:
    """A DEALER or a SUB of `asker`, and what it is connected to.

    Attributes:
        place: who answers for the endpoint, by name; "" if nobody ever did.
        topics: what the SUB wants; None for a DEALER.
        in_force: the topics that have arrived at the XPUB.
        since: when the asker began to dial.
        target: the process at the other end, once there is one; up goes there, down comes from there.
        route: what the target's ROUTER calls it.
    """

    __slots__ = (
        "asker", "asker_open", "down", "endpoint", "in_force", "key", "place", "route", "since", "target", "target_open", "topics", "up",
    )  # fmt: skip

    def __init__(self, asker: Body, key: int, endpoint: Endpoint, place: str, topics: Iterable[bytes] | None) -> None:
        self.asker = asker
        self.key = key
        self.endpoint = endpoint
        self.place = place
        self.topics = None if topics is None else dict.fromkeys(topics)
        self.in_force: dict[bytes, None] = {}
        self.since = 0.0
        self.target: Body | None = None
        self.route = b""
        self.asker_open = True
        self.target_open = False
        self.up = Pipe(asker.name, place)
        self.down = Pipe(place, asker.name)
