"""Naive gossip with pyzmq, on the very links that zmqgossip has: receive, look up in a set, send on to all neighbours.

A node is one PUB to all neighbours and one SUB of all neighbours. What it has published itself comes back to it, and is looked up too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import zmq

from zmqgossip.bench.counting import NUMBER
from zmqgossip.bench.systems.raw import await_subscribers, publisher, subscriber
from zmqgossip.bench.systems.station import Facts, Station


class Flood(Station):
    """A node. `connect` is told the links: for each node the places of its neighbours.

    Attributes:
        copies: frames that were known already.
    """

    def __init__(self, settings: Facts) -> None:
        self._place: int = settings["place"]
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._neighbours: list[int] = []
        self._known: set[bytes] = set()
        self.copies = 0
        self.send = self._send
        self._out: zmq.Socket[bytes]
        self._in: zmq.Socket[bytes]

    def at_once(self) -> dict[str, Callable[[], Facts]]:
        return {"stats": lambda: {"copies": self.copies, "received": len(self._known)}}

    def open(self, facts: Facts) -> Facts:
        self._out, endpoint = publisher(self._context)
        return {"endpoint": endpoint}

    def connect(self, facts: Facts) -> Facts:
        self._neighbours = facts["links"][self._place]
        self._in = subscriber(self._context, [facts["opened"][place]["endpoint"] for place in self._neighbours])
        return {}

    def wait(self, facts: Facts) -> Facts:
        await_subscribers(self._out, len(self._neighbours))
        return {}

    def payloads(self) -> Iterator[bytes]:
        known, recv, send = self._known, self._in.recv, self._out.send
        while True:
            frame = recv()
            key = frame[: NUMBER.size]
            if key in known:
                self.copies += 1
                continue
            known.add(key)
            send(frame)
            yield frame

    def _send(self, payload: bytes) -> object:
        self._known.add(payload[: NUMBER.size])
        return self._out.send(payload)

    def meanwhile(self) -> object:
        """Takes what the neighbours have sent back; what another has made is passed on."""
        known, recv = self._known, self._in.recv
        try:
            while True:
                frame = recv(zmq.NOBLOCK)
                key = frame[: NUMBER.size]
                if key in known:
                    self.copies += 1
                else:
                    known.add(key)
                    self._out.send(frame)
        except zmq.Again:
            return None
