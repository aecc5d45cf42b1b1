"""Naive gossip with pyzmq, on the very links that zmqgossip has: receive, look up in a set, send on to all neighbours.

A node is one PUB to all neighbours and one SUB of all neighbours. What it has published itself comes back to it, and is looked up too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import zmq

from zmqgossip.bench.board import STOP
from zmqgossip.bench.counting import NUMBER
from zmqgossip.bench.publishing import Talk
from zmqgossip.bench.systems.raw import await_subscribers, publisher, subscriber
from zmqgossip.bench.systems.station import Station
from zmqgossip.bench.task import Facts

MS = 1000


class Flood(Station):
    """A node. `connect` is told the links: for each node the places of its neighbours.

    Attributes:
        received, copies: frames that were new, and those that were known already.
    """

    def __init__(self, settings: Facts) -> None:
        self._place: int = settings["place"]
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._neighbours: list[int] = []
        self._known: set[bytes] = set()
        self.copies = 0
        self.received = 0
        self.send = self._send
        self._out: zmq.Socket[bytes]
        self._in: zmq.Socket[bytes]

    def at_once(self) -> dict[str, Callable[[], Facts]]:
        return super().at_once() | {"stats": lambda: {"copies": self.copies, "received": self.received}}

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
            self.received += 1
            send(frame)
            yield frame

    def _send(self, payload: bytes) -> object:
        self._known.add(payload[: NUMBER.size])
        return self._out.send(payload)

    def meanwhile(self) -> None:
        """Takes what the neighbours have sent back."""
        self._drain(lambda frame: None)

    def _drain(self, take: Callable[[bytes], object]) -> None:
        """Takes all that has arrived, and passes on what is new."""
        known, recv = self._known, self._in.recv
        while True:
            try:
                frame = recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            key = frame[: NUMBER.size]
            if key in known:
                self.copies += 1
            else:
                known.add(key)
                self.received += 1
                self._out.send(frame)
                take(frame)

    def chat(self, talk: Talk) -> None:
        """In one thread, since sockets belong to one."""
        due, rest = time.monotonic(), talk.rest
        while True:
            wait_s = due - time.monotonic()
            if wait_s <= 0:
                due += 1 / talk.rate
                if not talk.head[STOP]:
                    self._send(self.hearing.make(talk.place, rest, time.monotonic_ns()))
            elif self._in.poll(math.ceil(wait_s * MS)):
                self._drain(self.hearing.take)
