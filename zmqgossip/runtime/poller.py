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
from zmq.backend import zmq_poll

from zmqgossip.runtime.sockets import Socket

POLLIN = int(zmq.POLLIN)  # an enumeration's arithmetic costs more than the question


def can_be_read(socket: Socket) -> bool:
    """Whether a socket has something to read, in half the time that its option EVENTS takes."""
    return bool(zmq_poll([(socket, POLLIN)], 0))


class Poller:
    """Watches ZeroMQ sockets for something to read, and plain descriptors for what is wanted of them."""

    def __init__(self) -> None:
        self._all = selectors.DefaultSelector()
        self._control = selectors.DefaultSelector()  # all but the sockets that may be left alone for a while
        self._descriptors: dict[Socket, int] = {}
        self._others: dict[Socket, None] = {}
        self._used: dict[Socket, None] = {}

    def register(self, socket: Socket, *, control: bool = True) -> None:
        descriptor = socket.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        self._descriptors[socket] = descriptor
        self._all.register(descriptor, selectors.EVENT_READ, socket)
        if control:
            self._control.register(descriptor, selectors.EVENT_READ, socket)
        else:
            self._others[socket] = None
        self._used[socket] = None  # what came before it was watched

    def unregister(self, socket: Socket) -> None:
        descriptor = self._descriptors.pop(socket)
        self._all.unregister(descriptor)
        if socket in self._others:
            del self._others[socket]
        else:
            self._control.unregister(descriptor)
        self._used.pop(socket, None)

    def register_plain(self, descriptor: int, *, write: bool) -> None:
        """A descriptor of the system: ready when it can be read, or written."""
        for selector in (self._all, self._control):
            selector.register(descriptor, selectors.EVENT_WRITE if write else selectors.EVENT_READ, descriptor)

    def unregister_plain(self, descriptor: int) -> None:
        for selector in (self._all, self._control):
            selector.unregister(descriptor)

    def use(self, socket: Socket) -> None:
        """The socket was written to, or read, outside of a turn of its own: it is asked before the next sleep."""
        self._used[socket] = None

    def poll(self, timeout_s: float | None, *, control_only: bool = False) -> list[Any]:
        """Sleeps until something is ready, at most so many seconds; the sockets and descriptors that are.

        With `control_only` those that were registered with `control=False` are left alone.
        """
        ready: dict[Any, None] = {}
        if self._used:
            others = self._others if control_only else {}
            asked = [(socket, POLLIN) for socket in self._used if socket in self._descriptors and socket not in others]
            self._used = {socket: None for socket in self._used if socket in others} if others else {}
            for socket, _ in zmq_poll(asked, 0) if asked else ():
                ready[socket] = None
        for key, _ in (self._control if control_only else self._all).select(0 if ready else timeout_s):
            ready[key.data] = None
        for source in ready:
            if source in self._descriptors:
                self._used[source] = None
        return list(ready)

    def close(self) -> None:
        self._all.close()
        self._control.close()
