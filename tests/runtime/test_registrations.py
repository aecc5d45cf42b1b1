"""Three hundred clients that register at once at a seed on real sockets, a third of them liars."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest
import zmq

from zmqgossip.core import messages as m
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.types import Endpoint, PeerRecord
from zmqgossip.core.wire import Codec, cluster_hash
from zmqgossip.runtime.node import SeedsNode

pytestmark = pytest.mark.sockets

HOST = "127.0.0.1"
CODEC = Codec(cluster_hash("test"))
DEADLINE_S = 20.0
BRISK = replace(DEFAULT, dials_per_s=1000, dial_timeout_s=0.25)
"""So that all three attempts with each liar fit into a test."""


@dataclass(eq=False)
class Client:
    """One client. `lie` is empty for an honest one; times are seconds since all of them began to connect."""

    record: PeerRecord
    lie: str = ""
    answered_s: float | None = None
    listed_s: float | None = None
    refused_s: float | None = None
    why: m.Why | None = None


class Crowd:
    """Clients in one thread, with one ROUTER on all ports of the honest ones and a port that lets everybody connect to publish.

    Lies: an address of another machine, a port where nobody listens, a port that accepts and stays silent, the address of an
    honest client.
    """

    LIES = ("elsewhere", "closed", "silent", "another's")

    def __init__(self, seed: Endpoint, honest_count: int, liars_count: int) -> None:
        self._seed = seed
        self._stack = ExitStack()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)
        self._router = self._context.socket(zmq.ROUTER)
        self._publish = self._listener()
        self._by_ticket: dict[bytes, tuple[PeerRecord, bool]] = {}  # who answers CHECK, and whether the ticket is its own
        self._by_dealer: dict[zmq.Socket[bytes], Client] = {}
        self.honest = [Client(self._record(self._bind())) for _ in range(honest_count)]
        self.liars = [Client(self._lying_record(place), self.LIES[place % 4]) for place in range(liars_count)]

    def _record(self, port: int, host: str = HOST) -> PeerRecord:
        return PeerRecord(os.urandom(16), int(time.time() * 1000), 0, host, port, self._publish)

    def _bind(self) -> int:
        self._router.bind(f"tcp://{HOST}:*")
        return int(self._router.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").rpartition(b":")[2])

    def _listener(self, backlog: int | None = 1024) -> int:
        plain = self._stack.enter_context(socket.socket())
        plain.bind((HOST, 0))
        if backlog is not None:
            plain.listen(backlog)
        return int(plain.getsockname()[1])

    def _lying_record(self, place: int) -> PeerRecord:
        match self.LIES[place % 4]:
            case "elsewhere":
                return self._record(self.honest[place].record.port, "127.0.0.9")
            case "closed":
                return self._record(self._listener(backlog=None))
            case "silent":
                return self._record(self._listener())
            case _:
                return self._record(self.honest[place].record.port)

    def register(self) -> None:
        """All connect and register at once; ends when each has heard what becomes of it."""
        clients = self.honest + self.liars
        random.Random(7).shuffle(clients)
        began = time.monotonic()
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        for client in clients:
            ticket = os.urandom(8)
            is_borrowed = client.lie == "another's"
            victim = next(other for other in self.honest if other.record.port == client.record.port) if is_borrowed else client
            self._by_ticket[ticket] = (victim.record, not is_borrowed)
            dealer = self._context.socket(zmq.DEALER)
            dealer.connect(self._seed.tcp)
            dealer.send(CODEC.encode(m.Register(client.record, ticket), 1))
            poller.register(dealer, zmq.POLLIN)
            self._by_dealer[dealer] = client
        while any(client.listed_s is None and client.refused_s is None for client in clients):
            assert time.monotonic() < began + DEADLINE_S, f"not all decided within {DEADLINE_S} s"
            for source, _ in poller.poll(100):
                if source is self._router:
                    self._answer_check()
                else:
                    self._hear(self._by_dealer[source], CODEC.decode(source.recv())[0], time.monotonic() - began)

    def _answer_check(self) -> None:
        route, frame = self._router.recv_multipart()
        check, exchange = CODEC.decode(frame)
        assert isinstance(check, m.Check)
        record, is_own = self._by_ticket[check.ticket]
        self._router.send_multipart([route, CODEC.encode(m.Checked(record, check.nonce, is_own), exchange)])

    def _hear(self, client: Client, body: m.Body, at_s: float) -> None:
        if isinstance(body, m.Registered):
            client.answered_s = at_s if client.answered_s is None else client.answered_s
            client.listed_s = at_s if body.listed else None
        else:
            assert isinstance(body, m.NotListed), body
            client.refused_s, client.why = at_s, body.why

    def close(self) -> None:
        self._stack.close()
        self._context.destroy(0)


@pytest.fixture
def seeds() -> Iterator[SeedsNode]:
    seeds = SeedsNode([(HOST, 0)], "test", BRISK)
    yield seeds
    seeds.close()


def test_of_300_clients_at_once_honest_ones_are_served_within_a_second_and_no_liar_is_listed(seeds: SeedsNode) -> None:
    (seed,) = seeds.endpoints
    crowd = Crowd(seed, honest_count=200, liars_count=100)
    waiting = seeds._loop.call(lambda: [body._router.getsockopt(zmq.BACKLOG) for body in seeds._loop._bodies])
    assert min(waiting) >= 300, "whoever finds it full tries again after a second"
    try:
        crowd.register()
    finally:
        crowd.close()
    assert all(client.answered_s is not None and client.answered_s < 1.0 for client in crowd.honest), "a sample within a second"
    assert all(client.listed_s is not None for client in crowd.honest)
    assert [client.lie for client in crowd.liars if client.listed_s is not None] == []
    assert {(client.lie, client.why) for client in crowd.liars} == {
        ("elsewhere", m.Why.ADDRESS),
        ("closed", m.Why.UNREACHABLE),
        ("silent", m.Why.UNREACHABLE),
        ("another's", m.Why.ADDRESS),
    }
    assert seeds.listed() == {seed: 200}
    counters = seeds.counters()[seed]
    assert (counters["registrations.address"], counters["registrations.unreachable"]) == (50, 50)
