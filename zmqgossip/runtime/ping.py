"""A ping: asks whoever listens at an endpoint who it is, and measures how long that takes. It joins nothing and is listed nowhere.

The question is CHECK, which a seed asks of a peer that registers; any peer answers it with its record, in the thread that does
all its work. So the time is that of the network and of the peer's own backlog.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import zmq

from zmqgossip.core.errors import WireError
from zmqgossip.core.messages import Check, Checked
from zmqgossip.core.types import Endpoint, PeerRecord
from zmqgossip.core.wire import NONCE_BYTES, Codec, cluster_hash
from zmqgossip.runtime import sockets

SLICE_S = 0.1
"""Whoever wants to stop waiting is asked between two waits of this length."""


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer: who lives there, and the seconds from the question to it."""

    record: PeerRecord
    took_s: float


class Ping:
    """A connection for questions, made with the first and made anew when it was lost. Use it in one thread, in a `with`.

    Attributes:
        failed: why the last question could not be put or answered, as far as the connection tells; "" while it tells nothing.
    """

    def __init__(self, endpoint: Endpoint, cluster: str) -> None:
        self.failed = ""
        self._endpoint = endpoint
        self._codec = Codec(cluster_hash(cluster))
        self._random = random.SystemRandom()
        self._context: sockets.Context = zmq.Context()
        self._pair: tuple[sockets.Socket, sockets.Socket] | None = None
        self._is_up = False

    def ask(self, timeout_s: float, stopped: Callable[[], bool] = lambda: False) -> Pong | None:
        """One question and its answer; None when there is none in time, when nobody can be asked, or when it is `stopped`."""
        until = time.monotonic() + timeout_s
        self.failed = ""
        self._look()  # the connection of the last question may be lost by now: then there is a new one, and nothing has failed
        nonce = self._random.randbytes(NONCE_BYTES)
        asked_at: float | None = None
        while not self.failed and not stopped() and (left := until - time.monotonic()) > 0:
            socket = self._connected()
            if self._is_up and asked_at is None:
                asked_at = time.monotonic()
                if not self._send(socket, nonce):
                    break
            record = self._wait(min(SLICE_S, left), nonce)
            if record is not None and asked_at is not None:
                return Pong(record, time.monotonic() - asked_at)
        return None

    def _connected(self) -> sockets.Socket:
        if self._pair is None:
            self._pair = sockets.dealer(self._context, self._endpoint)
        return self._pair[0]

    def _send(self, socket: sockets.Socket, nonce: bytes) -> bool:
        try:
            socket.send(self._codec.encode(Check(nonce, bytes(NONCE_BYTES))), zmq.NOBLOCK)
        except zmq.Again:  # a peer that reads nothing has let the line fill up
            return False
        return True

    def _wait(self, timeout_s: float, nonce: bytes) -> PeerRecord | None:
        """Whatever the connection tells next; the record if that is the answer."""
        assert self._pair is not None
        socket, monitor = self._pair
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(monitor, zmq.POLLIN)
        ready = dict(poller.poll(int(timeout_s * 1000) + 1))
        if socket in ready:
            return self._record(socket.recv_multipart()[0], nonce)
        if monitor in ready:
            self.failed = self._look()
        return None

    def _look(self) -> str:
        """Reads what the monitor tells; why the connection is gone, if it is."""
        while self._pair is not None and (read := sockets.read_monitor(self._pair[1])) is not None:
            self._is_up = read[0] == zmq.Event.HANDSHAKE_SUCCEEDED
            if not self._is_up:
                self._drop()
                return "nobody listens" if read[0] == zmq.Event.CLOSED else "the connection dropped"
        return ""

    def _record(self, frame: bytes, nonce: bytes) -> PeerRecord | None:
        try:
            body, _ = self._codec.decode(frame)
        except WireError:
            return None
        return body.record if isinstance(body, Checked) and body.nonce == nonce else None  # or it is late, of the one before

    def _drop(self) -> None:
        if self._pair is not None:
            sockets.close(*self._pair)
            self._pair = None
            self._is_up = False

    def close(self) -> None:
        """Ends the connection and its context."""
        self._drop()
        self._context.destroy(linger=0)

    def __enter__(self) -> Ping:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def who_lives_at(endpoint: Endpoint, cluster: str, timeout_s: float) -> PeerRecord | None:
    """Asks a peer who it is; None when nobody of that cluster answers in time."""
    with Ping(endpoint, cluster) as ping:
        pong = ping.ask(timeout_s)
    return pong.record if pong is not None else None
