"""For the tests of programs that use zmqgossip: a real network on loopback in one line. `from zmqgossip.testing import Network`."""

from zmqgossip.testing.network import Network

__all__ = ["Network"]
