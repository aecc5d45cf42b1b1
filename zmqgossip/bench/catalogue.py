"""Which systems there are, which of them this machine has, and how to get the others."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

OURS = "zmqgossip"
YARDSTICKS = ("raw", "flood")
OTHERS = ("zenoh", "nats")
FACES = ("zmqgossip-many", "zmqgossip-callbacks", "zmqgossip-async")
"""Other ways to publish with zmqgossip and to read it; measured where they are asked for."""
ALL = (OURS, *YARDSTICKS, *OTHERS, *FACES)
_INSTALL = "pip install 'zmqgossip[bench]'"


def missing(system: str) -> str | None:
    """How to install what a system lacks here; None if it lacks nothing."""
    if system == "zenoh" and find_spec("zenoh") is None:
        return _INSTALL
    if system == "nats":
        ways = [] if find_spec("nats") else [_INSTALL]
        ways += [] if shutil.which("nats-server") else ["nats-server by your system's packages"]
        return " and ".join(ways) or None
    if system == "zmqgossip-many":
        from zmqgossip import Peer

        return None if hasattr(Peer, "publish_many") else "a zmqgossip whose peers have publish_many"
    return None
