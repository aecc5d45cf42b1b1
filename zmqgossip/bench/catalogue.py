"""Which systems there are, which of them this machine has, and how to get the others."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

OURS = "zmqgossip"
YARDSTICKS = ("raw", "flood")
OTHERS = ("zenoh", "nats")
FACES = ("zmqgossip-many", "zmqgossip-callbacks", "zmqgossip-async")
"""Other ways to publish with zmqgossip and to read it; measured where they are asked for."""
ONE_PARENT = "zmqgossip-k1"
"""zmqgossip with trees in which everybody has one parent, instead of two."""
COLLISION = "zmqgossip-collision"
"""zmqgossip with two peers whose messages share a bucket, and so a tree."""
REDUNDANT = (OURS, ONE_PARENT, COLLISION, "flood")
"""What redundancy measures, in this order."""
_INSTALL = "pip install 'zmqgossip[bench]'"


def missing(system: str) -> str | None:
    """How to install what a system lacks here; None if it lacks nothing."""
    if system == "zenoh" and find_spec("zenoh") is None:
        return _INSTALL
    if system == "nats":
        ways = [] if find_spec("nats") else [_INSTALL]
        ways += [] if shutil.which("nats-server") else ["nats-server by your system's packages"]
        return " and ".join(ways) or None
    return None


def of(measure: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The systems that a measure knows, and those that it takes where the user names none."""
    if measure in ("stall", "churn"):
        return (OURS,), (OURS,)
    if measure == "redundancy":
        return REDUNDANT, REDUNDANT
    usual = (OURS, *YARDSTICKS, *OTHERS)
    return (*usual, *FACES), usual
