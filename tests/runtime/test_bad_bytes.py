"""Bad bytes on real sockets: strangers, damaged frames, a false neighbour. Nodes refuse, count, and go on."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import zmq

from tests.core.test_fuzz import NONCE, damaged_frames, is_intact
from zmqgossip.core import messages as m
from zmqgossip.core.config import LAN
from zmqgossip.core.types import Endpoint, PeerRecord
from zmqgossip.core.wire import (
    EXCHANGE_BYTES_MAX,
    FRAME_BYTES_MAX,
    SEGMENT_BYTES_MAX,
    TOPIC_DIGEST,
    TOPIC_GOSSIP,
    Codec,
    cluster_hash,
    link_topic,
    parse_link_topic,
)
from zmqgossip.runtime.node import PeerNode, SeedsNode
from zmqgossip.runtime.outlet import Delivery
from zmqgossip.runtime.sockets import SUBSCRIPTION_BYTES_MAX

pytestmark = pytest.mark.sockets

COPIES = 10_000
CLUSTER = "demo"  # that of the recorded frames, so that nothing but the damage speaks against them
CODEC = Codec(cluster_hash(CLUSTER))
CONFIG = replace(
    LAN,
    liveness_interval_s=0.2,  # a probe shows a false neighbour's ROUTER the way back
    reply_timeout_s=0.15,
    misses_max=100,
    dial_timeout_s=5.0,
    link_timeout_s=30.0,
    seed_requests_per_s=1_000_000,  # each copy is looked at, however fast they come
    seed_requests_burst=1_000_000,
    seed_bytes_per_s=10**12,
    peer_requests_per_s=1_000_000,
    link_frames_per_s=1_000_000,
)
HOST = "127.0.0.1"
DEADLINE_S = 10.0
Socket = zmq.Socket[bytes]
Open = Callable[[int], Socket]


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition; fails, saying what for, when it takes too long."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"in vain for {DEADLINE_S:g} s: {what}"
        time.sleep(0.005)


class Network:
    """A seed and two peers, linked. `target` gets the bad bytes, `other` must notice nothing."""

    def __init__(self) -> None:
        self.seeds = SeedsNode([(HOST, 0)], CLUSTER, CONFIG)
        self.seed = self.seeds.endpoints[0]
        self.peers = [PeerNode([self.seed], CLUSTER, config=CONFIG) for _ in range(2)]
        self.target, self.other = self.peers
        self._rounds = 0
        for peer in self.peers:
            peer.start()
        until(lambda: all(len(peer.neighbours) == 1 for peer in self.peers), "a link between the two")
        until(lambda: self.seeds.listed()[self.seed] == 2, "both to be listed")

    def works(self) -> None:
        """One message each way arrives, and nothing else was delivered since the last time."""
        self._rounds += 1
        sent = [b"%d of round %d" % (place, self._rounds) for place in range(2)]
        for peer, payload in zip(self.peers, sent, strict=True):
            peer.publish("gossip", payload)
        delivered: Counter[tuple[PeerNode, bytes]] = Counter()

        def have_come() -> bool:
            for peer in self.peers:
                while (item := peer.take(0)) is not None:
                    if isinstance(item.what, Delivery):
                        delivered.update((peer, payload) for payload in item.what.messages.payloads)
            return len(delivered) >= 4

        until(have_come, "a message each way")
        assert delivered == Counter((peer, payload) for peer in self.peers for payload in sent)
        assert self.seeds.listed() == {self.seed: 2}

    def counters(self, at_seed: bool = False) -> dict[str, int]:
        return self.seeds.counters()[self.seed] if at_seed else self.target.counters()

    def router(self, at_seed: bool) -> Endpoint:
        return self.seed if at_seed else self.target.me.endpoint

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.seeds.close()


class Counted:
    """What the counters of a node did since this was made."""

    def __init__(self, network: Network, at_seed: bool = False) -> None:
        self._network = network
        self._at_seed = at_seed
        self._before = network.counters(at_seed)

    def __getitem__(self, name: str) -> int:
        return self._network.counters(self._at_seed).get(name, 0) - self._before.get(name, 0)

    def refused(self) -> int:
        now = self._network.counters(self._at_seed)
        return sum(count - self._before.get(name, 0) for name, count in now.items() if name.startswith("refused."))

    def wait(self, name: str, count: int = 1) -> None:
        until(lambda: self[name] >= count, f"{count} of {name}")

    def wait_refused(self, count: int) -> None:
        """So many were refused, not one more."""
        until(lambda: self.refused() >= count, f"{count} refused")
        assert self.refused() == count


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


@pytest.fixture
def opened() -> Iterator[Open]:
    """Makes sockets without limits of their own: what is lost then, the node has lost."""
    context: zmq.Context[Socket] = zmq.Context()
    made: list[Socket] = []

    def open_socket(kind: int) -> Socket:
        made.append(context.socket(kind))
        made[-1].setsockopt(zmq.SNDTIMEO, int(DEADLINE_S * 1000))
        made[-1].setsockopt(zmq.RCVTIMEO, int(DEADLINE_S * 1000))
        made[-1].setsockopt(zmq.SNDHWM, 0)  # a ROUTER or an XPUB drops what goes beyond, and tells nobody
        return made[-1]

    yield open_socket
    for each in made:
        each.close(0)
    context.term()


AT = pytest.mark.parametrize("at_seed", [False, True], ids=["peer", "seed"])


# -- at a ROUTER ----------------------------------------------------------------------------------------------------------


@AT
def test_damaged_frames_at_a_router_are_all_counted(network: Network, opened: Open, at_seed: bool) -> None:
    counted = Counted(network, at_seed)
    dealer = opened(zmq.DEALER)
    dealer.connect(network.router(at_seed).tcp)
    for frame in damaged_frames(COPIES, seed=30 + at_seed):
        dealer.send(frame)
    counted.wait_refused(COPIES)
    network.works()


@AT
def test_a_message_of_several_parts_is_refused(network: Network, opened: Open, at_seed: bool) -> None:
    counted = Counted(network, at_seed)
    frame = CODEC.encode(m.Check(NONCE, NONCE))
    dealer, req = opened(zmq.DEALER), opened(zmq.REQ)
    for client in (dealer, req):
        client.connect(network.router(at_seed).tcp)
    dealer.send_multipart([frame, frame])
    dealer.send_multipart([b""] * 100)
    req.send(frame)  # an empty part stands before it
    counted.wait("refused.parts", 3)
    network.works()


@AT
def test_a_frame_just_over_the_limit_is_counted_and_one_beyond_the_sockets_costs_the_connection(
    network: Network, opened: Open, at_seed: bool
) -> None:
    counted = Counted(network, at_seed)
    dealer = opened(zmq.DEALER)
    dealer.connect(network.router(at_seed).tcp)
    dealer.send(bytes(EXCHANGE_BYTES_MAX + 1))
    dealer.send(bytes(FRAME_BYTES_MAX))
    counted.wait("refused.too_long", 2)
    assert counted["connections.accepted"] == 1
    dealer.send(bytes(FRAME_BYTES_MAX + 1))
    counted.wait("connections.without_a_valid_frame")
    counted.wait("connections.accepted", 2)  # it was thrown out, and has come back
    assert counted["refused.too_long"] == 2
    network.works()


@AT
def test_who_speaks_another_major_version_is_told_ours(network: Network, opened: Open, at_seed: bool) -> None:
    counted = Counted(network, at_seed)
    dealer = opened(zmq.DEALER)
    dealer.connect(network.router(at_seed).tcp)
    dealer.send(b"ZG\x02\x07" + bytes(60))
    assert CODEC.decode(dealer.recv()) == (m.WrongVersion(1, 0), 0)
    counted.wait_refused(1)
    assert counted["refused.version"] == 1
    network.works()


@AT
def test_another_cluster_is_told_so_by_a_seed_and_nothing_by_a_peer(network: Network, opened: Open, at_seed: bool) -> None:
    counted = Counted(network, at_seed)
    dealer = opened(zmq.DEALER)
    dealer.connect(network.router(at_seed).tcp)
    dealer.send(Codec(cluster_hash("another")).encode(m.Check(NONCE, NONCE)))
    counted.wait("refused.cluster")
    if at_seed:
        assert CODEC.decode(dealer.recv()) == (m.WrongCluster(), 0)
    else:
        dealer.send(CODEC.encode(m.Check(NONCE, NONCE), 5))  # answers keep their order, so the next one is the first
        assert CODEC.decode(dealer.recv()) == (m.Checked(network.target.me, NONCE, False), 5)
    network.works()


# -- at the XPUB ----------------------------------------------------------------------------------------------------------


def test_what_is_no_subscription_is_refused_at_the_xpub(network: Network, opened: Open) -> None:
    counted = Counted(network)
    stranger = opened(zmq.XSUB)
    stranger.connect(network.target.me.publish_endpoint.tcp)
    frames = [frame[:SUBSCRIPTION_BYTES_MAX] for frame in damaged_frames(COPIES, seed=32)]
    for frame in frames:
        stranger.send(frame)
    counted.wait_refused(sum(frame[:1] not in (b"\x00", b"\x01") for frame in frames))
    assert counted["refused.upstream"] == counted.refused()
    network.works()


def test_subscriptions_to_strange_topics_do_nothing(network: Network, opened: Open) -> None:
    counted, rng = Counted(network), Random(33)
    stranger = opened(zmq.SUB)
    stranger.connect(network.target.me.publish_endpoint.tcp)
    links = [link_topic(rng.randbytes(16), rng.randbytes(8)) for _ in range(1_000)]
    for topic in [*links, *(rng.randbytes(rng.randrange(2, 200)) for _ in range(1_000)), b"X" * (SUBSCRIPTION_BYTES_MAX - 1)]:
        stranger.setsockopt(zmq.SUBSCRIBE, topic)
    counted.wait("handshake.unknown_topic", len(links))
    assert counted.refused() == 0
    network.works()


def test_a_message_beyond_the_limit_of_subscriptions_costs_the_connection(network: Network, opened: Open) -> None:
    counted = Counted(network)
    stranger = opened(zmq.XSUB)
    stranger.connect(network.target.me.publish_endpoint.tcp)
    stranger.send(b"first")
    counted.wait("refused.upstream")
    stranger.send(b"\x02" + bytes(2 * SUBSCRIPTION_BYTES_MAX))
    counted.wait("watchers.handshakes", 2)  # it was thrown out, and has come back
    network.works()


# -- without ZeroMQ, or with too much of it -------------------------------------------------------------------------------

GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f"
STRANGERS = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "zeros": bytes(500),
    "chance": Random(34).randbytes(10_000),
    "zmtp 1.0": b"\x01\0" + b"\x06\0hello",
    "zmtp 1.0, long length": b"\xff" + struct.pack(">Q", 2) + b"\0x",
    "zmtp 2.0": GREETING + b"\x01\x05\0\0",
    "zmtp 3.0, curve": GREETING + b"\x03\0" + b"CURVE".ljust(20, b"\0") + b"\0" + bytes(31),
    "zmtp 3.0, then chance": GREETING + b"\x03\0" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31) + Random(35).randbytes(500),
}


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_on_plain_tcp_is_thrown_out_and_counted(network: Network, said: bytes) -> None:
    counted, at_seed = Counted(network), Counted(network, at_seed=True)
    for endpoint in (network.target.me.endpoint, network.seed, network.target.me.publish_endpoint):
        with socket.create_connection((endpoint.host, endpoint.port), DEADLINE_S) as plain, suppress(ConnectionError):
            plain.sendall(said)
            while plain.recv(4096):  # the node's own greeting, then the end
                continue
    counted.wait("connections.without_a_valid_frame")
    at_seed.wait("connections.without_a_valid_frame")
    counted.wait("watchers.accepted")
    assert counted["watchers.handshakes"] == 0
    assert counted.refused() == at_seed.refused() == 0, "not a byte of it got as far as a frame"
    network.works()


def test_connections_that_say_nothing_are_counted_when_they_end(network: Network) -> None:
    counted = Counted(network)
    endpoint = network.target.me.endpoint
    silent = [socket.create_connection((endpoint.host, endpoint.port), DEADLINE_S) for _ in range(50)]
    network.works()
    for plain in silent:
        plain.close()
    counted.wait("connections.without_a_valid_frame", len(silent))


# -- from a neighbour -----------------------------------------------------------------------------------------------------


class FalseNeighbour:
    """A peer of the test's own hand: it links with the target as the protocol says, and then says what it likes."""

    def __init__(self, opened: Open, target: PeerRecord) -> None:
        self.target = target
        self.router, self.xpub, self.dealer = opened(zmq.ROUTER), opened(zmq.XPUB), opened(zmq.DEALER)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.xpub.setsockopt(zmq.XPUB_NODROP, 1)
        self.xpub.setsockopt(zmq.XPUB_VERBOSE, 1)
        port, publish = (each.bind_to_random_port(f"tcp://{HOST}") for each in (self.router, self.xpub))
        self.me = PeerRecord(Random(port).randbytes(16), int(time.time() * 1000), 0, HOST, port, publish)
        self.dealer.connect(target.endpoint.tcp)
        self.dealer.send(CODEC.encode(m.Hello(self.me, target.id, NONCE, ["plain"]), 1))
        welcome, _ = CODEC.decode(self.dealer.recv())
        assert isinstance(welcome, m.Welcome) and welcome.yours == NONCE
        self.link = welcome.nonce
        self.topic = link_topic(target.id, NONCE)

    def come_up(self, opened: Open) -> None:
        """Up both ways; the route of the target's DEALER comes with its first probe."""
        self.confirm()
        sub = opened(zmq.SUB)
        mine = link_topic(self.me.id, self.link)
        sub.setsockopt(zmq.SUBSCRIBE, mine)
        sub.connect(self.target.publish_endpoint.tcp)
        assert CODEC.decode(sub.recv().removeprefix(mine)) == (m.LinkUp(self.link), 0)
        self.route = self.next_probe()

    def confirm(self) -> None:
        """Waits for the target's subscription, and says LINK_UP."""
        while parse_link_topic(self.xpub.recv()[1:]) != (self.target.id, NONCE):
            continue
        self.xpub.send(self.topic + CODEC.encode(m.LinkUp(NONCE)))

    def next_probe(self) -> bytes:
        """Where the target's next probe comes from. It asks other things of this link too, and others who hear of it would have one."""
        while True:
            route, frame = self.router.recv_multipart()
            body, _ = CODEC.decode(frame)
            if isinstance(body, m.Hello):
                continue
            assert getattr(body, "link", None) == NONCE
            if isinstance(body, m.Probe):
                return route

    def leave(self) -> None:
        self.dealer.send(CODEC.encode(m.Leave(self.me, self.link, 0), 2))
        while not isinstance(CODEC.decode(self.dealer.recv())[0], m.LeaveHeard):
            continue


@pytest.fixture
def neighbour(network: Network, opened: Open) -> Iterator[FalseNeighbour]:
    neighbour = FalseNeighbour(opened, network.target.me)
    neighbour.come_up(opened)
    until(lambda: len(network.target.neighbours) == 2, "the false neighbour to be one")
    yield neighbour
    neighbour.leave()
    until(lambda: len(network.target.neighbours) == 1, "the false neighbour to be gone")
    network.works()


def test_damaged_frames_from_a_neighbours_router_are_all_counted(network: Network, neighbour: FalseNeighbour) -> None:
    counted = Counted(network)
    for frame in damaged_frames(COPIES, seed=36):
        neighbour.router.send_multipart([neighbour.route, frame])
    counted.wait_refused(COPIES)
    network.works()


def with_a_wanted_topic(frames: Iterable[bytes], link: bytes) -> Iterator[bytes]:
    """The same frames on topics that the target has subscribed to; its own socket drops all others."""
    for place, frame in enumerate(frames):
        wanted = (TOPIC_GOSSIP + frame[1:], link + frame, TOPIC_GOSSIP + frame[1:], TOPIC_DIGEST + frame)[place % 4]
        if not is_intact(wanted):
            yield wanted


def test_damaged_frames_from_a_neighbours_xpub_are_all_counted(network: Network, neighbour: FalseNeighbour) -> None:
    counted = Counted(network)
    for frame in islice(with_a_wanted_topic(damaged_frames(COPIES * 2, seed=37), neighbour.topic), COPIES):
        neighbour.xpub.send(frame)
    counted.wait_refused(COPIES)
    network.works()


def test_messages_of_several_parts_from_a_neighbour_are_refused(network: Network, neighbour: FalseNeighbour) -> None:
    counted = Counted(network)
    neighbour.router.send_multipart([neighbour.route, CODEC.encode(m.LeaveHeard()), b""])
    neighbour.xpub.send_multipart([neighbour.topic + CODEC.encode(m.LinkUp(NONCE)), b"more"])
    counted.wait("refused.parts", 2)
    network.works()


def test_a_neighbours_frames_just_over_the_limit_are_counted(network: Network, neighbour: FalseNeighbour) -> None:
    counted = Counted(network)
    neighbour.router.send_multipart([neighbour.route, bytes(EXCHANGE_BYTES_MAX + 1)])
    neighbour.xpub.send(TOPIC_GOSSIP + bytes(SEGMENT_BYTES_MAX))
    counted.wait("refused.too_long", 2)
    network.works()


def test_a_neighbours_frames_beyond_the_sockets_cost_the_connection_and_it_is_made_anew(
    network: Network, neighbour: FalseNeighbour
) -> None:
    counted = Counted(network)
    neighbour.xpub.send(TOPIC_GOSSIP + bytes(FRAME_BYTES_MAX))
    neighbour.confirm()  # the target subscribes again
    neighbour.router.send_multipart([neighbour.route, bytes(FRAME_BYTES_MAX + 1)])
    while neighbour.next_probe() == neighbour.route:
        continue
    assert counted["refused.too_long"] == 0
    network.works()


def test_a_neighbour_whose_ports_are_no_sockets_of_zeromq_harms_nobody(network: Network, opened: Open) -> None:
    with socket.create_server((HOST, 0)) as web:
        web.settimeout(DEADLINE_S)
        neighbour = FalseNeighbour(opened, network.target.me)
        strange = replace_ports(neighbour.me, web.getsockname()[1])
        hello = CODEC.encode(m.Hello(strange, network.target.me.id, NONCE[::-1], ["plain"]), 3)

        def is_answered() -> bool:  # not before the link that there is has lived for a second
            neighbour.dealer.send(hello)
            return bool(neighbour.dealer.poll(300))

        until(is_answered, "the link to begin anew")
        welcome, _ = CODEC.decode(neighbour.dealer.recv())
        assert isinstance(welcome, m.Welcome)
        for _ in range(4):  # its DEALER and its SUB, which try again when they are thrown out
            plain, _ = web.accept()
            with plain:
                plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        network.works()
        neighbour.link = welcome.nonce
        neighbour.leave()
    network.works()


def replace_ports(record: PeerRecord, port: int) -> PeerRecord:
    return PeerRecord(record.id, record.epoch, record.revision, record.host, port, port)


# -- from a visited peer --------------------------------------------------------------------------------------------------


def test_damaged_answers_to_a_seeds_visit_are_counted_and_the_peer_is_not_listed(network: Network, opened: Open) -> None:
    counted = Counted(network, at_seed=True)
    frames = damaged_frames(COPIES, seed=38)  # made before: a visit does not wait for long
    router, dealer = opened(zmq.ROUTER), opened(zmq.DEALER)
    port = router.bind_to_random_port(f"tcp://{HOST}")
    me = PeerRecord(Random(port).randbytes(16), int(time.time() * 1000), 0, HOST, port, port)
    dealer.connect(network.seed.tcp)
    dealer.send(CODEC.encode(m.Register(me, NONCE), 1))
    registered, _ = CODEC.decode(dealer.recv())
    assert isinstance(registered, m.Registered) and not registered.listed
    route, frame = router.recv_multipart()
    assert isinstance(CODEC.decode(frame)[0], m.Check)
    for damaged in frames:
        router.send_multipart([route, damaged])
    counted.wait_refused(COPIES)
    dealer.send(CODEC.encode(m.Leave(me, NONCE, 0), 2))
    assert CODEC.decode(dealer.recv()) == (m.LeaveHeard(), 2)
    network.works()


# -- good bytes, for once -------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"


@pytest.mark.processes
def test_the_monitor_of_the_protocols_page_shows_what_passes_and_is_no_peer(network: Network) -> None:
    (program,) = re.findall(r"^```python monitor\n(.+?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    endpoint, origin = network.target.me.publish_endpoint, network.other.me.endpoint
    counted = Counted(network)
    with subprocess.Popen([sys.executable, "-c", program, str(endpoint)], stdout=subprocess.PIPE, text=True) as monitor:
        try:
            counted.wait("watchers.handshakes")
            shown: list[str] = []
            reader = threading.Thread(target=lambda: shown.append(monitor.stdout.readline() if monitor.stdout else ""))
            reader.start()
            while reader.is_alive():  # its subscription is on the way
                network.works()
        finally:
            monitor.kill()
    number = rf"<1155> <{origin.port}> <\d+\.\d{{6}}> <\d+> from {endpoint} origin {origin} gossip b'1 of round \d+'"
    own = rf"<1133> <{network.target.me.port}> <\d+\.\d{{6}}> <\d+> from {endpoint} origin {network.target.me} gossip b'0 of round \d+'"
    assert re.fullmatch(f"{number}|{own}", shown[0].strip()), shown
    assert len(network.target.neighbours) == 1
