"""The sockets of a node, with every option set before they bind or connect.

What the options answer: a slow or dead remote must not hold memory (high-water marks, linger), a foreign program must not get
bytes in (ZAP domain, size limit), a probe must not wait for whoever reuses a port (IMMEDIATE, no reconnect on a DEALER), and
heartbeats are never set on a connecting socket (libzmq issue 3937 aborts the process).
"""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence

import zmq
from zmq.utils.monitor import parse_monitor_message

from zmqgossip.core.errors import CannotBind, PortInUse
from zmqgossip.core.types import Endpoint
from zmqgossip.core.wire import FRAME_BYTES_MAX

LINGER_MS = 100
"""A BYE or a LEAVE said just before the end still gets out; the end must not take longer than this."""
CONTROL_HWM = 1_000
DEALER_HWM = 64  # probes and handshakes: a queue of more is old news
GOSSIP_HWM = 600
"""Segments, as the knob `pipe_segments` says: 38 MiB a stalled pipe, if all have 64 KiB."""
BACKLOG_PEER = 1_024
BACKLOG_SEED = 4_096  # with 100, 300 joins at once take over a second
SUBSCRIPTION_BYTES_MAX = 256
KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 60, zmq.TCP_KEEPALIVE_INTVL: 15, zmq.TCP_KEEPALIVE_CNT: 4}
"""The kernel asks after a silent connection, and ends it after two minutes without an answer; one on which something is under way it ends
when it gives that up, after some quarter of an hour. A ROUTER only answers, and a SUB only listens: of a host without power neither
would ever notice, and each such connection would keep its descriptor."""
DOMAIN_OUT = b"zmqgossip.out"

LISTENER_EVENTS = zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_SUCCEEDED
DEALER_EVENTS = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.DISCONNECTED
    | zmq.Event.CLOSED
)

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]


def _socket(context: Context, kind: int, domain: bytes, hwm: int, size_max: int, host: str) -> Socket:
    socket: Socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.SNDHWM, hwm)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.MAXMSGSIZE, size_max)
    socket.setsockopt(zmq.ZAP_DOMAIN, domain)
    socket.setsockopt(zmq.IPV6, int(":" in host))
    for option, value in KEEPALIVE.items():
        socket.setsockopt(option, value)
    return socket


def _bind(socket: Socket, host: str, port: int) -> int:
    """Binds to a port, or to any free one for 0; the port. Raises PortInUse or CannotBind, and closes the socket."""
    shown = f"[{host}]" if ":" in host else host
    try:
        socket.bind(f"tcp://{shown}:{port or '*'}")
    except zmq.ZMQError as error:
        socket.close(0)
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from None
        raise CannotBind(host, port, error.strerror or str(error)) from None
    bound: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
    return int(bound.rstrip(b"\0").rpartition(b":")[2])


def router(context: Context, host: str, port: int, domain: bytes, backlog: int) -> tuple[Socket, int]:
    """A bound ROUTER and its port. MANDATORY: an answer to a route that is gone is an error that can be counted."""
    socket = _socket(context, zmq.ROUTER, domain, CONTROL_HWM, FRAME_BYTES_MAX, host)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.BACKLOG, backlog)
    return socket, _bind(socket, host, port)


def xpub(context: Context, host: str, port: int, domain: bytes) -> tuple[Socket, int]:
    """A bound XPUB and its port. What comes in is subscriptions, so larger messages cost the connection."""
    socket = _socket(context, zmq.XPUB, domain, GOSSIP_HWM, SUBSCRIPTION_BYTES_MAX, host)
    socket.setsockopt(zmq.BACKLOG, BACKLOG_PEER)
    return socket, _bind(socket, host, port)


def dealer(context: Context, endpoint: Endpoint) -> tuple[Socket, Socket]:
    """A connecting DEALER that never reconnects by itself, and the monitor that tells how it fares. Raises ZMQError, leaving nothing."""
    socket = _socket(context, zmq.DEALER, DOMAIN_OUT, DEALER_HWM, FRAME_BYTES_MAX, endpoint.host)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.RECONNECT_IVL, -1)
    try:
        monitor: Socket = socket.get_monitor_socket(int(DEALER_EVENTS))
    except zmq.ZMQError:
        socket.close(0)
        raise
    try:
        socket.connect(endpoint.tcp)
    except zmq.ZMQError:
        close(socket, monitor)
        raise
    return socket, monitor


def sub(context: Context, endpoint: Endpoint, topics: Sequence[bytes]) -> Socket:
    """A connecting SUB. Its topics stand before it connects: libzmq sends them in byte order, the link topic last."""
    socket = _subscribed(context, endpoint, topics)
    try:
        socket.connect(endpoint.tcp)
    except zmq.ZMQError:
        socket.close(0)
        raise
    return socket


def _subscribed(context: Context, endpoint: Endpoint, topics: Sequence[bytes]) -> Socket:
    socket = _socket(context, zmq.SUB, DOMAIN_OUT, GOSSIP_HWM, FRAME_BYTES_MAX, endpoint.host)
    socket.setsockopt(zmq.SNDHWM, 0)  # more subscriptions than this between two polls make a SUB deaf
    socket.setsockopt(zmq.RECONNECT_IVL, random.randint(100, 300))  # RECONNECT_IVL_MAX would remove the jitter
    for topic in topics:
        socket.setsockopt(zmq.SUBSCRIBE, topic)
    return socket


def watching_sub(context: Context, endpoint: Endpoint, topics: Sequence[bytes]) -> tuple[Socket, Socket]:
    """A connecting SUB, and a monitor that tells whether its connection stands: attempts that fail are CLOSED, a dropped one DISCONNECTED.

    The monitor is there before it connects, or it might miss that it did.
    """
    socket = _subscribed(context, endpoint, topics)
    monitor: Socket | None = None
    try:
        monitor = socket.get_monitor_socket(int(zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | zmq.Event.CLOSED))
        socket.connect(endpoint.tcp)
    except zmq.ZMQError:
        close(socket, monitor)
        raise
    return socket, monitor


def listener_monitors(listeners: Sequence[Socket]) -> list[Socket]:
    """The monitors of bound sockets: who came, and who went. Raises ZMQError, leaving none."""
    monitors: list[Socket] = []
    try:
        for socket in listeners:
            monitors.append(socket.get_monitor_socket(int(LISTENER_EVENTS)))  # noqa: PERF401 - those made before one fails are closed
    except zmq.ZMQError:
        for socket, monitor in zip(listeners, monitors, strict=False):
            socket.disable_monitor()
            monitor.close(0)
        raise
    return monitors


def read_monitor(monitor: Socket) -> tuple[int, int] | None:
    """The next (event, value) of a monitor, or None."""
    try:
        parts = monitor.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None
    message = parse_monitor_message(parts)
    return int(message["event"]), int(message["value"])


def close(socket: Socket, monitor: Socket | None = None) -> None:
    """Ends a socket and its monitor."""
    if monitor is not None:
        socket.disable_monitor()
        monitor.close(0)
    socket.close()
