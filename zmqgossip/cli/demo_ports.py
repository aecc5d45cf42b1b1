"""Ports that are the demo's from the moment in which it draws them, though nobody listens on them yet, or for a while.

The intuition: a port that was only found free can be taken before its seed has started, by a second demo that draws at the same time
for one. So the demo binds it and does not listen. Linux lets a node listen on it all the same, since both have set SO_REUSEADDR, refuses
it to another demo, which has not when it draws, and gives it to nobody who asks for any free port. Who connects to it meanwhile is
refused, as if nobody held it. A system that would refuse it to a node too is told from others by trying: there nothing is held.
"""

from __future__ import annotations

import errno
import random
import socket
from contextlib import ExitStack

from zmqgossip.core.errors import ZmqGossipError

HOST = "127.0.0.1"
OWN_PORTS = range(20_000, 32_768)
"""Where they are drawn: Linux gives those from 32,768 up, unless it is told otherwise, to whoever asks for any free one."""


def hold_ports(count: int, held: ExitStack) -> list[int]:
    """Draws ports that nobody holds, and holds them until `held` is closed.

    Raises:
        ZmqGossipError: there are not as many free ones.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(OWN_PORTS, len(OWN_PORTS)):
        holder = held.enter_context(socket.socket())
        try:
            holder.bind((HOST, port))  # without SO_REUSEADDR: it is refused even if who holds it has set that and does not listen
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        _share(holder)
        if not _is_free_for_nodes(port):
            holder.close()
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ZmqGossipError(f"fewer than {count} ports of {HOST} from {OWN_PORTS[0]} to {OWN_PORTS[-1]} are free; end what listens there")


def _is_free_for_nodes(port: int) -> bool:
    """Will a node that is to listen there be let?"""
    with socket.socket() as node:
        _share(node)
        try:
            node.bind((HOST, port))
        except OSError:
            return False
        return True


def _share(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
