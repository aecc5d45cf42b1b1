"""What a peer knows of one of its seeds. Left to others: everything that is done about it, see `presence.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from zmqgossip.core.codes import Body
from zmqgossip.core.messages import NotListed
from zmqgossip.core.types import FIRST_ID, Endpoint, PeerRecord


class Standing(Enum):
    """How far a seed has come with this peer."""

    IDLE = 0
    OPENING = 1
    ASKED = 2
    PENDING = 3
    LISTED = 4


@dataclass(slots=True, eq=False)
class Contact:
    """One configured seed.

    Attributes:
        place: its place among those configured.
        ticket: what a dial-back of this seed must show.
        chosen: this peer wants to be listed there; the others are only told of deaths and of the leave.
        key: of the DEALER to it, 0 if there is none.
        told: the record that it was last sent.
        failures: in a row since it last answered.
        silent: it was lost, and not because its process is gone.
        list_after: where the next page of its list begins.
        reads_until: its list is read page after page to the last, as long as the next one comes by then.
        queue: what waits for the connection.
    """

    place: int
    seed: Endpoint
    ticket: bytes
    chosen: bool = False
    key: int = 0
    connected: bool = False
    standing: Standing = Standing.IDLE
    told: PeerRecord | None = None
    failures: int = 0
    wrong_cluster: bool = False
    answered: bool = False
    told_lost: bool = False
    silent: bool = False
    told_refused: NotListed | None = None
    open_answers: int = 0
    list_after: bytes = FIRST_ID
    reads_until: float | None = None
    queue: list[Body] = field(default_factory=list)
