"""Ports that are the demo's from the moment in which they are drawn, though nobody listens on them yet, or for a while.

The intuition: a port that was only found free can be taken before its seed has started, by a second demo that draws at the same time
for one. So the demo binds it and does not listen. Linux lets a node listen on it all the same, since both have set SO_REUSEADDR, refuses
it to whoever draws as we do, and gives it to nobody who asks for any free port. Who connects to it meanwhile is refused, as if nobody
held it.
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from contextlib import ExitStack

HOST = "127.0.0.1"
OWN_PORTS = (20_000, 32_768)
"""Where they are drawn: Linux gives those from 32,768 up to whoever asks for any free one."""


def hold_ports(count: int, held: ExitStack) -> list[int]:
    """Draws ports that nobody holds, and holds them until `held` is closed; other systems than Linux would refuse them to our nodes
    too, so that there they are only drawn."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(*OWN_PORTS)
        holder = held.enter_context(socket.socket())
        try:
            holder.bind((HOST, port))  # without SO_REUSEADDR: it is refused even if who holds it has set that and does not listen
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        if sys.platform == "linux":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            holder.close()
        if port not in ports:  # drawn a second time where nothing can be held
            ports.append(port)
    return ports
