"""Messages to one: over a link, over an errand, to peers that die, stop or leave, many after one another."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.handle.network import CLUSTER, END_S, PATIENT, SOON_S, Network, known
from tests.support import wait_for
from zmqgossip import InvalidTimeout, Message, PayloadTooLarge, Peer, PeerBusy, PeerGone, Request, RequestFailed, Timeout
from zmqgossip.core.codes import Status
from zmqgossip.handle import feed
from zmqgossip.handle.tidings import Tidings

pytestmark = pytest.mark.sockets
MANY = 500
SLACK = 20
"""Descriptors: links of others come and go meanwhile. A socket left by each question would be hundreds."""
ANSWERING = """
import sys, time
from zmqgossip import Peer
with Peer(seeds=[sys.argv[1]], cluster=sys.argv[2], profile="lan") as peer:
    peer.on_request(lambda request: request.payload)
    peer.ready(10)
    print(peer.id.hex(), flush=True)
    time.sleep(60)
"""


def echo(peer: Peer) -> None:
    peer.on_request(lambda request: request.payload)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def other_process(network: Network) -> Iterator[tuple[subprocess.Popen[str], bytes]]:
    """A peer that answers, in a process of its own, and its id."""
    command = [sys.executable, "-c", ANSWERING, network.seed.endpoints[0], CLUSTER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            peer = bytes.fromhex(process.stdout.readline())
            wait_for(lambda: all(peer in known(other) for other in network.peers), what="everybody knows it")
            yield process, peer
        finally:
            process.kill()


def test_a_peer_is_named_by_its_id_as_a_member_a_neighbour_or_an_origin(network: Network, peer: Peer) -> None:
    first = network.peers[0]
    echo(peer)
    (member,) = (member for member in first.members() if member.record.id == peer.id)
    with first.subscribe("named") as feed:
        peer.publish("named", b"")
        message: Message = feed.get(SOON_S)
    for number, whom in enumerate((peer.id, peer.me, member, message.origin)):
        assert first.request(whom, b"%d" % number, SOON_S) == b"%d" % number
    with pytest.raises(TypeError, match="names no peer"):
        first.request("127.0.0.1:5001", b"")  # type: ignore[arg-type]
    with pytest.raises(PeerGone, match="nobody of that id is known here"):
        first.request(bytes(16), b"")


def test_a_handler_sees_who_asks_and_how_long_it_waits(network: Network, peer: Peer) -> None:
    seen: list[Request] = []
    peer.on_request(lambda request: seen.append(request))
    first = network.peers[0]
    assert first.request(peer.id, memoryview(b"question"), 7.0) == b""
    (request,) = seen
    assert (request.sender.id, request.payload, request.wants_answer, request.timeout_s) == (first.id, b"question", True, 7.0)


def test_a_question_that_cannot_be_asked_is_refused_at_once(network: Network, peer: Peer) -> None:
    first = network.peers[0]
    for timeout in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidTimeout, match="choose one above 0"):
            first.request(peer.id, b"", timeout)
        with pytest.raises(InvalidTimeout):
            asyncio.run(first.asend(peer.id, b"", timeout))
    with pytest.raises(PayloadTooLarge, match="at most 65536 fit"):
        first.request(peer.id, bytes(65_537))
    with pytest.raises(TypeError, match="a payload is bytes, not str"):
        first.request(peer.id, "text")  # type: ignore[arg-type]
    assert not first._tidings._asked


@pytest.mark.processes
def test_a_question_to_a_killed_peer_raises_peer_gone_within_a_second(network: Network) -> None:
    first = network.peers[0]
    with other_process(network) as (process, peer):
        assert first.request(peer, b"alive", SOON_S) == b"alive"
        process.kill()
        process.wait(SOON_S)
        began = time.monotonic()
        with pytest.raises(PeerGone) as caught:
            first.request(peer, b"dead")
        assert time.monotonic() - began < END_S and caught.value.peer_id == peer
        with pytest.raises(PeerGone):
            asyncio.run(first.arequest(peer, b"dead"))


@pytest.mark.processes
def test_a_question_that_waits_for_a_stopped_peer_times_out_and_one_that_waits_when_it_is_killed_ends_at_once(
    network: Network,
) -> None:
    first = network.peers[0]
    with other_process(network) as (process, peer):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)  # until then a thread of it may still answer
        began = time.monotonic()
        with pytest.raises(Timeout, match="gave no answer"):
            first.request(peer, b"stopped", 0.3)
        assert 0.3 <= time.monotonic() - began < 0.3 + END_S

        async def ask() -> float:
            asking = asyncio.create_task(first.arequest(peer, b"stopped", SOON_S))
            await asyncio.sleep(0)
            process.kill()
            killed = time.monotonic()
            with pytest.raises(PeerGone):
                await asking
            return time.monotonic() - killed

        assert asyncio.run(ask()) < END_S


def test_a_question_to_a_peer_that_has_left_raises_peer_gone(network: Network) -> None:
    first = network.peers[0]
    with network.fresh(protocol=PATIENT) as peer:
        identity = peer.id
        peer.close(SOON_S)
    wait_for(lambda: identity not in known(first), what="news that it has left")
    with pytest.raises(PeerGone, match="it has left"):
        first.request(identity, b"")


def test_many_questions_after_one_another_over_a_link_leave_nothing_behind(network: Network, peer: Peer) -> None:
    first = network.peers[0]
    echo(peer)
    wait_for(lambda: peer.id in {one.id for one in first.neighbours()}, what="a link")
    first.request(peer.id, b"", SOON_S)
    before = descriptors()
    assert [first.request(peer.id, b"%d" % number, SOON_S) for number in range(MANY)] == [b"%d" % number for number in range(MANY)]
    assert descriptors() < before + SLACK
    assert not first._tidings._asked


def test_many_questions_after_one_another_over_errands_leave_nothing_behind() -> None:
    with Network(peers=4, neighbours_dialled=1, neighbours_max=1, neighbours_spare=0, errand_idle_s=0.1) as network:
        asker = network.peers[0]
        linked = {one.id for one in asker.neighbours()}
        others = [peer for peer in network.peers[1:] if peer.id not in linked]
        assert len(others) >= 2
        for other in others:
            echo(other)
        before = descriptors()
        for number in range(MANY):
            assert asker.request(others[number % len(others)].id, b"%d" % number, SOON_S) == b"%d" % number
        asker.send(others[0].id, b"", SOON_S)
        assert asker.stats()["direct.errands"] >= len(others)
        wait_for(lambda: descriptors() < before + SLACK, what="the errands are closed")
        with pytest.raises(RequestFailed, match="nobody takes direct messages"):
            others[0].request(asker.id, b"", SOON_S)


def test_who_sends_while_the_handler_has_no_room_hears_busy_and_nothing_that_was_heard_is_lost(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "ITEMS_MAX", 5)
    first, go_on = network.peers[0], threading.Event()
    handled: list[bytes] = []
    with network.fresh() as slow:

        @slow.on_request
        def handle(request: Request) -> None:
            handled.append(request.payload)
            go_on.wait(SOON_S)

        def send(payload: bytes) -> bool:
            try:
                first.send(slow.me, payload)
            except PeerBusy:
                return False
            return True

        heard = [payload for payload in (b"%d" % number for number in range(40)) if send(payload)]
        assert 5 <= len(heard) < 40
        go_on.set()
        wait_for(lambda: len(handled) == len(heard), what="all that was heard is handled")
        assert handled == heard
        wait_for(lambda: send(b"again"), what="there is room again")


def test_room_that_the_handlers_make_while_the_node_looks_for_it_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    tidings, told, looks = Tidings(patience_s=1.0), [], []

    def has_room(size: int) -> bool:
        """None yet. Then the reader takes all, and asks for a look only if it knows that there was no room."""
        looks.append(tidings._is_full)
        return len(looks) > 1

    tidings.attach(SimpleNamespace(outgoing=SimpleNamespace(), refuse_questions=told.append))  # type: ignore[arg-type]
    monkeypatch.setattr(tidings._inbox, "has_room", has_room)
    tidings._watch_room()
    assert (looks, told, tidings._is_full) == ([False, True], [], False)


def test_a_handler_that_is_new_while_there_is_no_room_ends_only_until_the_next_thing_comes_that_others_hear_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tidings, told = Tidings(patience_s=1.0), []
    tidings.attach(SimpleNamespace(outgoing=SimpleNamespace(), refuse_questions=told.append))  # type: ignore[arg-type]
    monkeypatch.setattr(tidings._inbox, "has_room", lambda size: False)
    tidings._watch_room()
    tidings.on_request(lambda request: b"")
    tidings._watch_room()
    tidings.end()
    assert [answer and answer.status for answer in told] == [Status.BUSY, None, Status.BUSY]
