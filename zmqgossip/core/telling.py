"""What the user of a node is told of clients: of the honest everything, of a flood its beginning.

Every line that a client can cause is told until it has caused too many; what is not told is counted all the same, under its own name and
as `limited.lines`. A refusal is told once for a peer and once for a connection, until the peer is listed.
"""

from __future__ import annotations

from collections.abc import Hashable

from zmqgossip.core.codes import Why
from zmqgossip.core.events import Connected, Event, PeerNotListed, RemoteLimited
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Route
from zmqgossip.core.rates import Buckets, Limit, Once
from zmqgossip.core.types import PeerRecord

LINES_MAX = 64
LINES_PER_S = 1.0
"""Lines of one connection: a peer causes one or two in a presence interval, and a dozen reports when all its neighbours die at once.
Twice as many probes as the interval says are shown of a neighbour beyond that."""
CONNECTIONS = Limit(1000, 10, 1, 0)
"""Lines about connections from one address: all peers of a machine may come at once."""


class Telling:
    """What is told of each client of one node, and what has been. A client is a connection, or a link."""

    __slots__ = ("_connections", "_flooding", "_lines", "_node", "_refused_clients", "_refused_peers")

    def __init__(self, node: Node) -> None:
        clients_max = node.config.clients_max
        self._node = node
        lines_per_s = LINES_PER_S + 2 / node.config.liveness_interval_s
        self._lines = Buckets(Limit(LINES_MAX, lines_per_s, 1, 0), clients_max)
        self._connections = Buckets(CONNECTIONS, clients_max)
        self._flooding = Once(clients_max)
        self._refused_peers = Once(clients_max)
        self._refused_clients = Once(clients_max)

    def connected(self, address: str, now: float) -> None:
        self._tell(self._connections, address, address, Connected(address), now)

    def tell(self, client: Hashable, address: str, event: Event, now: float) -> None:
        """Tells of something that a client caused."""
        self._tell(self._lines, client, address, event, now)

    def _tell(self, lines: Buckets, client: Hashable, address: str, event: Event, now: float) -> None:
        if lines.take(client, 0, now):
            self._node.outbox.event(event)
            return
        self._node.counters.add("limited.lines")
        if self._flooding.is_first(client):
            self._node.outbox.event(RemoteLimited(address, "lines"))

    def refused(self, client: Route, address: str, event: PeerNotListed, now: float) -> None:
        """Tells that a peer is not listed; the second time it is only counted."""
        is_new_peer = self._refused_peers.is_first((event.peer.id, event.why))
        is_new_client = self._refused_clients.is_first((client, event.why))
        if is_new_peer and is_new_client:
            self.tell(client, address, event, now)

    def listed(self, client: Route, record: PeerRecord) -> None:
        """The peer is listed: should it be refused later, that is news."""
        for why in Why:
            self._refused_peers.forget((record.id, why))
            self._refused_clients.forget((client, why))
