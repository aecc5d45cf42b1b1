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
        ZmqGossipError,
    )
    from zmqgossip.core.events import (
        Event,
        FrameRefused,
        NeighbourDown,
        NeighbourUp,
        NoSeed,
        PeerAlive,
        PeerDead,
        PeerJoined,
        PeerLeft,
        PeerReady,
        PeerSuspected,
        RegistrationRefused,
        SeedAccepted,
        SeedLost,
    )
    from zmqgossip.core.types import Endpoint, Member, PeerRecord, PeerState
    from zmqgossip.handle.feed import Feed
    from zmqgossip.handle.message import Message, Origin, Request
    from zmqgossip.handle.peer import Peer
    from zmqgossip.handle.seed import Seed

_HOMES = {
    "core.config": "ProtocolConfig",
    "core.errors": "CannotBind ConfigError InvalidTimeout InvalidTopic NodeClosed PayloadTooLarge PeerBusy PeerGone PortInUse"
    " RequestFailed Timeout ZmqGossipError",
    "core.events": "Event FrameRefused NeighbourDown NeighbourUp NoSeed PeerAlive PeerDead PeerJoined PeerLeft PeerReady"
    " PeerSuspected RegistrationRefused SeedAccepted SeedLost",
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
    "Endpoint",
    "Event",
    "Feed",
    "FrameRefused",
    "InvalidTimeout",
    "InvalidTopic",
    "Member",
    "Message",
    "NeighbourDown",
    "NeighbourUp",
    "NoSeed",
    "NodeClosed",
    "Origin",
    "PayloadTooLarge",
    "Peer",
    "PeerAlive",
    "PeerBusy",
    "PeerDead",
    "PeerGone",
    "PeerJoined",
    "PeerLeft",
    "PeerReady",
    "PeerRecord",
    "PeerState",
    "PeerSuspected",
    "PortInUse",
    "ProtocolConfig",
    "RegistrationRefused",
    "Request",
    "RequestFailed",
    "Seed",
    "SeedAccepted",
    "SeedLost",
    "Timeout",
    "ZmqGossipError",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
