"""What goes wrong with a measurement."""

from __future__ import annotations

from zmqgossip import ZmqGossipError


class BenchFailed(ZmqGossipError):
    """A run has not come to its end: a process died, or did not answer in time."""
