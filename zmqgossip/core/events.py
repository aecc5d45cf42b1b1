"""What the user of a node is told. Frozen, one class a kind of news (msgspec's classes, because thirty dataclasses would
cost each start 18 ms); `runtime/report` puts them into words.

`at` is nowhere here: the body stamps an event when it takes it out of the outbox.
"""

from __future__ import annotations

from typing import Any

import msgspec

from zmqgossip.core.codes import Evidence, Why
from zmqgossip.core.types import Endpoint, PeerId, PeerRecord, PeerState


class Event(msgspec.Struct, frozen=True):
    """The root of all events."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return msgspec.structs.asdict(self)


# -- members --------------------------------------------------------------------------------------------------------------


class PeerJoined(Event, frozen=True):
    peer: PeerRecord


class PeerReady(Event, frozen=True):
    """What is published from now on reaches it."""

    peer: PeerRecord


class PeerSuspected(Event, frozen=True):
    peer: PeerRecord


class PeerAlive(Event, frozen=True):
    """It was suspect, and is not any more."""

    peer: PeerRecord


class PeerDead(Event, frozen=True):
    peer: PeerRecord


class PeerLeft(Event, frozen=True):
    peer: PeerRecord


class MembersPartial(Event, frozen=True):
    """The cluster has grown beyond `members_full_max`: from now on this peer knows, and tells of, its neighbours only.

    Attributes:
        total: peers of the whole cluster, this one among them.
    """

    total: int


class MembersFull(Event, frozen=True):
    """The cluster is small enough again: whoever joins, leaves or dies is told. The rest of its members become known after this."""

    total: int


# -- this peer ------------------------------------------------------------------------------------------------------------


class SeedAccepted(Event, frozen=True):
    """A seed lists this peer, `total` with it."""

    seed: Endpoint
    total: int


class SeedLost(Event, frozen=True):
    """A seed does not answer, or its connection dropped; another is asked and this one is tried again."""

    seed: Endpoint
    why: str


class NoSeed(Event, frozen=True):
    """No configured seed answers. The peer goes on with what it knows and keeps trying."""

    seeds: tuple[Endpoint, ...]


class WrongCluster(Event, frozen=True):
    """A seed belongs to another cluster. `fatal` when no configured seed gave another answer since the start."""

    seed: Endpoint
    fatal: bool


class VersionRefused(Event, frozen=True):
    """Somebody speaks another major version of the protocol."""

    remote: str
    theirs: str
    ours: str


class FrameRefused(Event, frozen=True):
    """What a remote sent is not taken, for the first time for this reason. From then on it is only counted, as `refused.<reason>`."""

    remote: str
    reason: str
    detail: str


class RemoteLimited(Event, frozen=True):
    """A remote sends more than is taken of one: `what` (messages, bytes, or lines told of it) was beyond the limit first. Told once."""

    remote: str
    what: str


class RegistrationRefused(Event, frozen=True):
    """A seed will not list this peer."""

    seed: Endpoint
    why: Why
    address: Endpoint
    text: str


class NeighbourUp(Event, frozen=True):
    """A link is up both ways."""

    peer: PeerRecord
    dialled: bool


class Isolated(Event, frozen=True):
    """No link is left: nothing is heard and nothing gets out until one is up again. `known`: others that it may dial."""

    known: int


class NeighbourDown(Event, frozen=True):
    peer: PeerRecord
    why: str


class ProbeReceived(Event, frozen=True):
    """`<1122> <timestamp> <port>`, with who sent it."""

    sender: Endpoint
    timestamp: float
    port: int


class ReplyReceived(Event, frozen=True):
    """`<1144> <timestamp> <sender port> <own port>`, with who sent it."""

    sender: Endpoint
    timestamp: float
    sender_port: int
    own_port: int


class ProbeMissed(Event, frozen=True):
    """A neighbour did not answer in time; `misses` in a row."""

    peer: PeerRecord
    misses: int
    misses_max: int


class NeighbourReported(Event, frozen=True):
    """This peer reported a neighbour dead to the seeds."""

    peer: PeerRecord
    evidence: Evidence
    misses: int


class VerdictHeard(Event, frozen=True):
    """What a seed decided of a peer that this one reported."""

    seed: Endpoint
    peer: PeerRecord
    state: PeerState


class Refuted(Event, frozen=True):
    """This peer was called dead, and answered with a newer record."""

    revision: int


class Ready(Event, frozen=True):
    """A message published anywhere from now on reaches this peer. `links` are up both ways."""

    links: int


class MessagesLost(Event, frozen=True):
    """The messages `first` to `last` of an origin's life (`epoch`) do not come to this application any more.

    Of the end of an earlier life nobody may know how long it was: then `last` is the first of them, and `why` says so.
    """

    origin: PeerId
    epoch: int
    first: int
    last: int
    why: str


class NeighbourSlow(Event, frozen=True):
    """A neighbour is too slow to be waited for. It gets what it can take, or the names of what it missed."""

    peer: PeerRecord


class NeighbourCaughtUp(Event, frozen=True):
    """A neighbour that was slow is waited for again."""

    peer: PeerRecord


class LoopLate(Event, frozen=True):
    """The thread that serves the sockets came `late_s` seconds late: it was kept from running, or had too much to do."""

    late_s: float


class Left(Event, frozen=True):
    """The leave is done: `heard` of `told` neighbours and seeds confirmed it."""

    heard: int
    told: int


# -- a seed ---------------------------------------------------------------------------------------------------------------


class Connected(Event, frozen=True):
    """A client's connection was let in."""

    address: str


class RegistrationReceived(Event, frozen=True):
    peer: PeerRecord
    address: str


class PeerListed(Event, frozen=True):
    """The dial-back went well: the peer is handed out from now on."""

    peer: PeerRecord
    total: int


class PeerNotListed(Event, frozen=True):
    peer: PeerRecord
    why: Why
    text: str


class DeadReportReceived(Event, frozen=True):
    """`reporter` is where the report came from."""

    peer: PeerRecord
    reporter: str
    evidence: Evidence
    misses: int


class PeerCleared(Event, frozen=True):
    """The seed's own probes were answered: the reporter's link is at fault."""

    peer: PeerRecord
    answered: int
    asked: int


class PeerHeld(Event, frozen=True):
    """Several cannot be reached at once: none is removed before its lease ends."""

    peer: PeerRecord
    unreachable: int


class PeerRemoved(Event, frozen=True):
    peer: PeerRecord
    why: str
    total: int


class LeaveReceived(Event, frozen=True):
    peer: PeerRecord
    total: int
