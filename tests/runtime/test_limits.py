"""What a node does when it has nothing left: no socket, no room for the user's items, a watcher that is too slow."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import pytest
import zmq

from tests.support import free_ports, wait_for
from zmqgossip.core.config import LAN
from zmqgossip.core.events import Left, Ready, SeedAccepted
from zmqgossip.core.gossip_messages import Messages
from zmqgossip.core.types import Endpoint
from zmqgossip.core.wire import FLAG_FLUSH, FLAG_MARK, Codec, cluster_hash, encode_messages
from zmqgossip.runtime import outlet, sockets
from zmqgossip.runtime.node import PeerNode, Place, SeedsNode
from zmqgossip.runtime.watch import Connection, Missed, Seen, Watch

pytestmark = pytest.mark.sockets


def happened(peer: PeerNode, kind: type) -> bool:
    """Whether an event of that kind comes out, now or soon."""
    item = peer.take(0.05)
    return item is not None and isinstance(item.what, kind)


def test_a_peer_without_a_socket_left_goes_on_and_joins_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = SeedsNode([("127.0.0.1", 0)], "test", LAN)
    peer = PeerNode(seeds.endpoints, "test", config=LAN)
    try:
        with monkeypatch.context() as patch:

            def nothing_left(*_: object) -> None:
                raise zmq.ZMQError(errno.EMFILE)

            patch.setattr(sockets, "dealer", nothing_left)
            peer.start()
            wait_for(lambda: peer.counters().get("dropped.no_socket", 0) >= 2, what="it tried, and tried again")
        wait_for(lambda: happened(peer, SeedAccepted), what="it is listed")
    finally:
        peer.close()
        seeds.close()


def test_a_seed_without_a_socket_left_tells_nobody_that_they_are_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = SeedsNode([("127.0.0.1", 0)], "test", LAN)
    peer = PeerNode(seeds.endpoints, "test", config=LAN)
    real = sockets.dealer

    def to_seeds_only(context: sockets.Context, endpoint: Endpoint) -> tuple[sockets.Socket, sockets.Socket]:
        if endpoint == peer.me.endpoint:
            raise zmq.ZMQError(errno.EMFILE)
        return real(context, endpoint)

    def tried() -> int:
        return seeds.counters()[seeds.endpoints[0]].get("dropped.no_socket", 0)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(sockets, "dealer", to_seeds_only)
            peer.start()
            wait_for(lambda: tried() > LAN.dial_attempts, what="more attempts than a peer in reach would get")
        wait_for(lambda: happened(peer, SeedAccepted), what="it is listed after all")
        assert seeds.counters()[seeds.endpoints[0]].get("registrations.unreachable") is None
    finally:
        peer.close()
        seeds.close()


@pytest.mark.parametrize("spared", [0, 1])
def test_a_node_without_a_descriptor_for_a_monitor_says_so_at_once_and_frees_its_ports(
    monkeypatch: pytest.MonkeyPatch, spared: int
) -> None:
    made: list[object] = []
    real = zmq.Socket.get_monitor_socket

    def nothing_left(socket: sockets.Socket, events: int) -> sockets.Socket:
        made.append(socket)
        if len(made) > spared:
            raise zmq.ZMQError(errno.EMFILE)
        return real(socket, events)

    port = free_ports(1)[0]
    with monkeypatch.context() as patch:
        patch.setattr(zmq.Socket, "get_monitor_socket", nothing_left)
        with pytest.raises(zmq.ZMQError):
            SeedsNode([("127.0.0.1", port), ("127.0.0.1", 0)], "test", LAN)
        made.clear()
        with pytest.raises(zmq.ZMQError):
            PeerNode((), "test", Place(port=port), config=LAN)
    context: sockets.Context = zmq.Context()
    router, _ = sockets.router(context, "127.0.0.1", port, b"test", 1)
    sockets.close(router)
    context.term()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_kernel_asks_after_every_connection_at_both_of_its_ends() -> None:
    seeds = SeedsNode([("127.0.0.1", 0)], "test", LAN)
    peers = [PeerNode(seeds.endpoints, "test", config=LAN) for _ in range(2)]
    try:
        for peer in peers:
            peer.start()
        for peer in peers:
            wait_for(lambda peer=peer: happened(peer, Ready), what="a link")  # type: ignore[misc]
        ports = {endpoint.port for endpoint in seeds.endpoints} | {port for peer in peers for port in (peer.me.port, peer.me.publish)}
        watched = wait_for(lambda: kept_alive(ports), what="no connection that nobody asks after")
        assert {port for pair in watched for port in pair} >= ports
    finally:
        for peer in peers:
            peer.close()
        seeds.close()


def kept_alive(ports: set[int]) -> list[tuple[int, int]]:
    """The ports of all connections with one of `ports`, if the kernel asks after each of them when it is silent; else none."""
    found = []
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, _, timer, *_ = line.split()
        pair = int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16)
        if state == "01" and ports & {*pair}:
            kind, _, due = timer.partition(":")
            if kind != "02":  # what was sent just now is waited for instead
                return []
            assert int(due, 16) <= 61 * os.sysconf("SC_CLK_TCK"), "a minute, and not the kernel's two hours"
            found.append(pair)
    return found


def test_a_user_who_takes_nothing_loses_segments_by_count_and_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "QUEUE_BYTES_MAX", 5_000)
    seeds = SeedsNode([("127.0.0.1", 0)], "test", LAN)
    peer = PeerNode(seeds.endpoints, "test", config=LAN)
    try:
        peer.start()
        for _ in range(20):
            peer.publish("topic", bytes(1_000))
            peer.counters()  # which comes after it, so that each message is a segment
        assert peer.counters()["dropped.user_queue_full"] >= 14
        peer.leave()
        wait_for(lambda: happened(peer, Left), what="the event behind all that was dropped")
    finally:
        peer.close()
        seeds.close()


def test_a_watcher_is_told_how_many_segments_it_missed() -> None:
    context: sockets.Context = zmq.Context()
    xpub, port = sockets.xpub(context, "127.0.0.1", 0, b"test")
    watch = Watch(Endpoint("127.0.0.1", port), "test")
    codec, origin = Codec(cluster_hash("test")), bytes(range(16))
    try:
        assert xpub.poll(5_000) and xpub.recv() == b"\x01E"
        for number in (1, 2, 6):
            body = encode_messages(Messages("127.0.0.1", 5001, [1.0], ["topic"], [b"x"]))
            xpub.send(codec.encode_segment(origin, 1, number, number, 1, 0, body))
        xpub.send(codec.encode_segment(origin, 1, 7, 7, 0, FLAG_MARK | FLAG_FLUSH, b""))
        xpub.send(b"E nonsense")
        seen: list[object] = []
        until = time.monotonic() + 10
        while not (watch.counters.as_dict() and Connection(True) in seen) and time.monotonic() < until:
            seen += watch.take(5.0)
        assert Connection(True) in seen
        assert [item.number for item in seen if isinstance(item, Seen)] == [1, 2, 6]
        assert [item for item in seen if isinstance(item, Missed)] == [Missed(3, 3)]
        assert watch.counters.as_dict() == {"refused.too_short": 1}
    finally:
        watch.close()
        sockets.close(xpub)
        context.term()
