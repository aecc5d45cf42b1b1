"""Which sockets have something to read, at a cost that does not grow with how many there are.

`zmq.Poller` asks each socket before and after each sleep: 35 us for the thirty sockets of a peer with seven neighbours, at every turn.
A ZeroMQ socket also has a descriptor that becomes readable when something has happened to it, and the kernel watches any number of those
for nothing. But that tells a change and not a state: a send or a read may take notice of what has come, and the descriptor falls silent. So
every socket that was used since the last sleep is asked itself before the next one.
"""

from __future__ import annotations

import selectors
from typing import Any

import zmq

from zmqgossip.runtime.sockets import Socket


class Poller:
    """Watches ZeroMQ sockets for something to read, and plain descriptors for what is wanted of them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._descriptors: dict[Socket, int] = {}
        self._used: dict[Socket, None] = {}

    def register(self, socket: Socket) -> None:
        descriptor = socket.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        self._descriptors[socket] = descriptor
        self._selector.register(descriptor, selectors.EVENT_READ, socket)
        self._used[socket] = None  # what came before it was watched

    def unregister(self, socket: Socket) -> None:
        self._selector.unregister(self._descriptors.pop(socket))
        self._used.pop(socket, None)

    def register_plain(self, descriptor: int, *, write: bool) -> None:
        """A descriptor of the system: ready when it can be read, or written."""
        self._selector.register(descriptor, selectors.EVENT_WRITE if write else selectors.EVENT_READ, descriptor)

    def unregister_plain(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def use(self, socket: Socket) -> None:
        """The socket was written to, or read, outside of a turn of its own: it is asked before the next sleep."""
        self._used[socket] = None

    def poll(self, timeout_s: float | None) -> list[Any]:
        """Sleeps until something is ready, at most so many seconds; the sockets and descriptors that are."""
        used, self._used = self._used, {}
        ready: dict[Any, None] = {}
        for socket in used:
            if socket in self._descriptors and int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                ready[socket] = None
        for key, _ in self._selector.select(0 if ready else timeout_s):
            ready[key.data] = None
        for source in ready:
            if source in self._descriptors:
                self._used[source] = None
        return list(ready)

    def close(self) -> None:
        self._selector.close()
