"""zmqgossip: a brokerless gossip bus over ZeroMQ. This file is the list of public names, and nothing else."""

from zmqgossip.core.config import ProtocolConfig
from zmqgossip.core.errors import CannotBind, ConfigError, NodeClosed, PayloadTooLarge, PortInUse, ZmqGossipError
from zmqgossip.core.types import Endpoint, PeerRecord, PeerState

__all__ = [
    "CannotBind",
    "ConfigError",
    "Endpoint",
    "NodeClosed",
    "PayloadTooLarge",
    "PeerRecord",
    "PeerState",
    "PortInUse",
    "ProtocolConfig",
    "ZmqGossipError",
]
