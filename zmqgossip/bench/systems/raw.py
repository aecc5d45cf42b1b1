"""Raw pyzmq: the publisher's socket straight to every receiver, one frame a message, blocking recv.

What a program gets from ZeroMQ that sends each message as it is made; one that packs many into a frame gets more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import zmq

from zmqgossip.bench.systems.station import Station
from zmqgossip.bench.task import Facts

ANY_PORT = "tcp://127.0.0.1:*"


def publisher(context: zmq.Context[zmq.Socket[bytes]]) -> tuple[zmq.Socket[bytes], str]:
    """A bound socket that publishes, and where. XPUB, so that it can be seen who has subscribed; without a high-water mark of
    ZeroMQ's, which would drop: the bench's window bounds what is on its way."""
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # the second subscription is shown too
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(ANY_PORT)
    endpoint: Any = socket.getsockopt(zmq.LAST_ENDPOINT)
    return socket, endpoint.rstrip(b"\0").decode()


def subscriber(context: zmq.Context[zmq.Socket[bytes]], endpoints: list[str]) -> zmq.Socket[bytes]:
    """A socket that hears all of them."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    for endpoint in endpoints:
        socket.connect(endpoint)
    return socket


def await_subscribers(socket: zmq.Socket[bytes], count: int) -> None:
    """Until so many have subscribed."""
    for _ in range(count):
        socket.recv()


class Raw(Station):
    """The publisher (`publishes`) or a receiver."""

    def __init__(self, settings: Facts) -> None:
        self._publishes: bool = settings["publishes"]
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes]

    def open(self, facts: Facts) -> Facts:
        if not self._publishes:
            return {}
        self._socket, endpoint = publisher(self._context)
        self.send = self._socket.send
        return {"endpoint": endpoint}

    def connect(self, facts: Facts) -> Facts:
        if not self._publishes:
            self._socket = subscriber(self._context, [facts["opened"][0]["endpoint"]])
        return {}

    def wait(self, facts: Facts) -> Facts:
        if self._publishes:
            await_subscribers(self._socket, len(facts["opened"]) - 1)
        return {}

    def payloads(self) -> Iterator[bytes]:
        return iter(self._socket.recv, None)  # calls recv for ever, without a frame of Python's between
