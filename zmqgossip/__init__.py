"""zmqgossip: a brokerless gossip bus over ZeroMQ. This file is the list of public names, and nothing else.

They are imported when they are first asked for: `zmqgossip --help` needs none of them, and pyzmq takes its time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqgossip.core.config import ProtocolConfig
    from zmqgossip.core.errors import (
        CannotBind,
        ConfigError,
        InvalidTimeout,
        InvalidTopic,
        NodeClosed,
        PayloadTooLarge,
        PeerBusy,
        PeerGone,
        PortInUse,
        RequestFailed,
        Timeout,
        WouldBlock,
        ZmqGossipError,
    )
    from zmqgossip.core.events import (
        Connected,
        DeadReportReceived,
        Event,
        FrameRefused,
        Isolated,
        LeaveReceived,
        Left,
        LoopLate,
        MembersFull,
        MembersPartial,
        MessagesLost,
        NeighbourCaughtUp,
        NeighbourDown,
        NeighbourReported,
        NeighbourSlow,
        NeighbourUp,
        NoSeed,
        PeerAlive,
        PeerCleared,
        PeerDead,
        PeerHeld,
        PeerJoined,
        PeerLeft,
        PeerListed,
        PeerNotListed,
        PeerReady,
        PeerRemoved,
        PeerSuspected,
        ProbeMissed,
        ProbeReceived,
        Ready,
        Refuted,
        RegistrationReceived,
        RegistrationRefused,
        RemoteLimited,
        ReplyReceived,
        SeedAccepted,
        SeedLost,
        VerdictHeard,
        VersionRefused,
        WrongCluster,
    )
    from zmqgossip.core.types import Endpoint, Member, PeerRecord, PeerState
    from zmqgossip.handle.feed import Feed
    from zmqgossip.handle.message import Message, Origin, Request
    from zmqgossip.handle.peer import Peer
    from zmqgossip.handle.seed import Seed

_HOMES = {
    "core.config": "ProtocolConfig",
    "core.errors": "CannotBind ConfigError InvalidTimeout InvalidTopic NodeClosed PayloadTooLarge PeerBusy PeerGone PortInUse"
    " RequestFailed Timeout WouldBlock ZmqGossipError",
    "core.events": "Connected DeadReportReceived Event FrameRefused Isolated LeaveReceived Left LoopLate MembersFull MembersPartial"
    " MessagesLost NeighbourCaughtUp NeighbourDown NeighbourReported NeighbourSlow NeighbourUp NoSeed PeerAlive PeerCleared PeerDead"
    " PeerHeld PeerJoined PeerLeft PeerListed PeerNotListed PeerReady PeerRemoved PeerSuspected ProbeMissed ProbeReceived Ready"
    " Refuted RegistrationReceived RegistrationRefused RemoteLimited ReplyReceived SeedAccepted SeedLost VerdictHeard VersionRefused"
    " WrongCluster",
    "core.types": "Endpoint Member PeerRecord PeerState",
    "handle.feed": "Feed",
    "handle.message": "Message Origin Request",
    "handle.peer": "Peer",
    "handle.seed": "Seed",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "CannotBind",
    "ConfigError",
    "Connected",
    "DeadReportReceived",
    "Endpoint",
    "Event",
    "Feed",
    "FrameRefused",
    "InvalidTimeout",
    "InvalidTopic",
    "Isolated",
    "LeaveReceived",
    "Left",
    "LoopLate",
    "Member",
    "MembersFull",
    "MembersPartial",
    "Message",
    "MessagesLost",
    "NeighbourCaughtUp",
    "NeighbourDown",
    "NeighbourReported",
    "NeighbourSlow",
    "NeighbourUp",
    "NoSeed",
    "NodeClosed",
    "Origin",
    "PayloadTooLarge",
    "Peer",
    "PeerAlive",
    "PeerBusy",
    "PeerCleared",
    "PeerDead",
    "PeerGone",
    "PeerHeld",
    "PeerJoined",
    "PeerLeft",
    "PeerListed",
    "PeerNotListed",
    "PeerReady",
    "PeerRecord",
    "PeerRemoved",
    "PeerState",
    "PeerSuspected",
    "PortInUse",
    "ProbeMissed",
    "ProbeReceived",
    "ProtocolConfig",
    "Ready",
    "Refuted",
    "RegistrationReceived",
    "RegistrationRefused",
    "RemoteLimited",
    "ReplyReceived",
    "Request",
    "RequestFailed",
    "Seed",
    "SeedAccepted",
    "SeedLost",
    "Timeout",
    "VerdictHeard",
    "VersionRefused",
    "WouldBlock",
    "WrongCluster",
    "ZmqGossipError",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
