"""Lets connections in, and says where they come from (ZeroMQ's authentication protocol, RFC 27).

In plain mode everybody may connect. The handler matters all the same: with a ZAP domain libzmq refuses ZMTP 1.0 and raw TCP, which
could otherwise put bytes into a socket without a handshake, and each request names the client's address.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from zmqgossip.runtime.sockets import Context, Socket

ENDPOINT = "inproc://zeromq.zap.01"
_PARTS = 6  # version, request id, domain, address, routing id, mechanism; credentials follow


class Zap:
    """The handler of one context. `seen(domain, address)` is called for each connection let in."""

    def __init__(self, context: Context, seen: Callable[[bytes, str], None]) -> None:
        self.socket: Socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ENDPOINT)
        self._seen = seen

    def drain(self) -> None:
        """Answers all requests that wait."""
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            known = len(parts) >= _PARTS and parts[5] == b"NULL"
            code, text = (b"200", b"OK") if known else (b"400", b"only NULL is spoken here")
            request = parts[1] if len(parts) > 1 else b""
            self.socket.send_multipart([b"1.0", request, code, text, b"", b""])
            if known:
                self._seen(parts[2], parts[3].decode(errors="replace"))

    def close(self) -> None:
        self.socket.close(0)
