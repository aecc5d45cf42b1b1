"""Ends: from any thread, twice, at once, while others wait, at exit, in a forked child. Each within a second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from tests.handle.network import CLUSTER, END_S, PATIENT, SOON_S, Network, in_thread, known
from tests.support import wait_for
from zmqgossip import NodeClosed, Peer, PeerDead, PeerGone, PeerLeft, RegistrationRefused, Seed

pytestmark = pytest.mark.sockets
PEER_METHODS: dict[str, Callable[[Peer], object]] = {
    "start": lambda peer: peer.start(),
    "ready": lambda peer: peer.ready(1.0),
    "publish": lambda peer: peer.publish("x", b""),
    "request": lambda peer: peer.request(bytes(16), b""),
    "send": lambda peer: peer.send(bytes(16), b""),
    "me": lambda peer: peer.me,
    "id": lambda peer: peer.id,
    "members": lambda peer: peer.members(),
    "neighbours": lambda peer: peer.neighbours(),
    "stats": lambda peer: peer.stats(),
}
SEED_METHODS: dict[str, Callable[[Seed], object]] = {
    "start": lambda seed: seed.start(),
    "endpoints": lambda seed: seed.endpoints,
    "members": lambda seed: seed.members(),
    "stats": lambda seed: seed.stats(),
}
IN_A_CHILD_TOO: dict[str, Callable[[Peer], object]] = {
    "subscribe": lambda peer: peer.subscribe(),
    "events": lambda peer: peer.events(),
    "on": lambda peer: peer.on(),
    "on_request": lambda peer: peer.on_request(lambda request: None),
}


def closed(peer: Peer | Seed, **arguments: Any) -> float:
    """The seconds that the end took."""
    began = time.monotonic()
    peer.close(**arguments)
    return time.monotonic() - began


# -- before and after -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(set(PEER_METHODS) - {"start"}))
def test_before_the_start_a_method_says_what_to_do(network: Network, method: str) -> None:
    with pytest.raises(NodeClosed, match="was not started; use it in a `with`"):
        PEER_METHODS[method](network.peer())


def test_after_the_end_every_method_raises_node_closed(network: Network) -> None:
    peer = network.join()
    peer.ready(SOON_S)
    feed = peer.subscribe()
    peer.close()
    for name in sorted(set(PEER_METHODS) - {"me", "id"}):
        with pytest.raises(NodeClosed, match="was closed; make another one"):
            PEER_METHODS[name](peer)
    assert peer.id == peer.me.id, "others can still be asked about it"
    assert list(feed) == [] and list(peer.subscribe()) == [] and list(peer.events()) == []
    with pytest.raises(NodeClosed):
        feed.get(1.0)


def test_a_seed_that_was_closed_or_not_started_raises_node_closed() -> None:
    seed = Seed("127.0.0.1:0", cluster=CLUSTER)
    for name in set(SEED_METHODS) - {"start"}:
        with pytest.raises(NodeClosed, match="does not run"):
            SEED_METHODS[name](seed)
    with seed:
        assert seed.start() is seed
        feed = seed.events()
    assert list(feed) == [] and list(seed.events()) == []
    for method in SEED_METHODS.values():
        with pytest.raises(NodeClosed, match="was closed"):
            method(seed)


def test_a_second_start_does_nothing_and_a_peer_that_was_closed_before_its_start_stays_so(network: Network) -> None:
    with network.peer() as peer:
        me = peer.me
        assert peer.start() is peer and peer.me == me
    with pytest.raises(NodeClosed), peer:
        raise AssertionError("it was closed")
    other = network.peer()
    other.close()
    with pytest.raises(NodeClosed):
        other.start()


# -- who closes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.0, 0.5, 5.0])
def test_an_end_takes_less_than_a_second_and_a_second_one_no_time(network: Network, timeout: float) -> None:
    with network.fresh() as peer:
        assert closed(peer, timeout=timeout) < END_S
        again = [closed(peer, timeout=timeout) for _ in range(5)]
        assert min(again) < 0.1 and max(again) < END_S  # one of them may have had to wait for a processor


def test_an_end_without_anybody_to_say_goodbye_to_takes_less_than_a_second() -> None:
    peer = Peer(seeds=["127.0.0.1:1"], cluster=CLUSTER).start()
    assert closed(peer) < END_S


def test_others_are_told_of_an_end_and_of_one_without_goodbye_they_find_out(network: Network) -> None:
    with network.peers[0].events(PeerLeft, PeerDead) as feed:
        for timeout, kind in ((SOON_S, PeerLeft), (0.0, PeerDead)):
            with network.fresh(protocol=PATIENT) as peer:
                identity = peer.id
                peer.close(timeout)
                event = next(event for event in feed if event.peer.id == identity)
                assert isinstance(event, kind)


def test_several_threads_close_at_once(network: Network) -> None:
    with network.fresh() as peer:
        start = threading.Barrier(5)

        def close() -> float:
            start.wait(SOON_S)
            return closed(peer)

        with in_thread(close) as a, in_thread(close) as b, in_thread(close) as c, in_thread(close) as d:
            start.wait(SOON_S)
    assert all(took[0] < END_S for took in (a, b, c, d))


def test_a_signal_handler_may_close_what_its_thread_is_just_closing_or_starting(network: Network) -> None:
    peer = network.peer()
    before = signal.signal(signal.SIGUSR1, lambda *_: peer.close())
    real = peer._tidings.attach

    def attach_and_signal(node: Any) -> None:
        real(node)
        signal.raise_signal(signal.SIGUSR1)

    peer._tidings.attach = attach_and_signal  # type: ignore[method-assign]
    try:
        with suppress(NodeClosed):
            peer.start()
        assert peer._is_closed
        with network.fresh() as peer:
            leave = peer.begin_to_leave

            def leave_and_signal() -> threading.Event | None:
                peer.begin_to_leave = leave  # type: ignore[method-assign]
                signal.raise_signal(signal.SIGUSR1)
                return leave()

            peer.begin_to_leave = leave_and_signal  # type: ignore[method-assign]
            assert closed(peer) < END_S
    finally:
        signal.signal(signal.SIGUSR1, before)


# -- who waits ------------------------------------------------------------------------------------------------------------


def test_threads_that_wait_are_told_of_the_end(network: Network) -> None:
    second = network.peers[1]
    go_on, asked = threading.Event(), threading.Event()

    def answer(request: Any) -> bytes:
        asked.set()
        go_on.wait(SOON_S)
        return b""

    second.on_request(answer)
    with network.fresh() as peer, Peer(seeds=["127.0.0.1:1"], cluster=CLUSTER) as alone:
        with (
            in_thread(list, peer.subscribe()) as reading,
            in_thread(list, peer.events(RegistrationRefused)) as watching,
            in_thread(peer.subscribe().get) as getting,
            in_thread(peer.request, second.id, b"", SOON_S) as asking,
            in_thread(alone.ready) as waiting,
        ):
            assert asked.wait(SOON_S)
            assert closed(peer) + closed(alone) < 2 * END_S
            began = time.monotonic()
        assert time.monotonic() - began < END_S
    go_on.set()
    assert reading == [[]] and watching == [[]]
    assert [type(outcome[0]) for outcome in (getting, asking, waiting)] == [NodeClosed] * 3


def test_threads_that_publish_are_told_of_the_end(network: Network) -> None:
    def publish() -> None:
        while True:
            peer.publish("till.the.end", b"")

    with network.fresh() as peer, in_thread(publish) as one, in_thread(publish) as two:
        with network.peers[0].subscribe("till.the.end") as feed:
            feed.get(SOON_S)
        assert closed(peer) < END_S
    assert isinstance(one[0], NodeClosed) and isinstance(two[0], NodeClosed)


def test_a_question_after_the_goodbye_is_told_of_the_end_and_of_nobodys_death(network: Network) -> None:
    with network.fresh() as peer:
        peer.begin_to_leave()
        with pytest.raises(NodeClosed, match="the peer was closed"):
            peer.request(network.peers[0].id, b"")
    with pytest.raises(PeerGone):
        network.peers[0].request(bytes(16), b"")


# -- at exit --------------------------------------------------------------------------------------------------------------

AT_EXIT = {
    "that never closes": "",
    "whose callbacks hang": "hang()",
    "that ends by an exception": "hang(); raise KeyError('the test')",
    "that ends by sys.exit in a with": "\nwith make() as other:\n    sys.exit(3)",
    "whose thread reads": "threading.Thread(target=lambda: list(peer.subscribe()), daemon=True).start()",
    "whose thread reads and is no daemon": "threading.Thread(target=lambda: list(peer.subscribe())).start()",
}
PROGRAM = """
import sys, threading, time
from zmqgossip import Peer
def make():
    return Peer(seeds=[sys.argv[1]], cluster=sys.argv[2], profile="lan")
peers = [make().start() for _ in range(4)]
def hang():
    called = threading.Semaphore(0)
    def callback(message):
        called.release()
        time.sleep(60)
    for one in peers:
        one.on("exit")(callback)
    peers[0].publish("exit", b"")
    peers[1].publish("exit", b"")
    for _ in peers:
        assert called.acquire(timeout=10)
for peer in peers:
    peer.ready(10)
print("ends", time.time(), flush=True)
"""


@pytest.mark.processes
@pytest.mark.parametrize("how", AT_EXIT)
def test_a_process_ends_within_a_second_and_its_peers_say_goodbye(network: Network, how: str) -> None:
    program = PROGRAM + AT_EXIT[how] + '\nprint("ends", time.time(), flush=True)'
    others, before = {peer.id for peer in network.peers[1:]}, known(network.peers[0])
    with network.peers[0].events(PeerDead) as deaths:
        began = time.time()
        ended = subprocess.run(
            [sys.executable, "-c", program, network.seed.endpoints[0], CLUSTER],
            capture_output=True,
            text=True,
            timeout=SOON_S,
            check=False,
        )
        assert time.time() - max(began, *(float(line.split()[1]) for line in ended.stdout.splitlines())) < END_S + 0.5
        wait_for(lambda: known(network.peers[0]) == others, SOON_S, "nobody of that process is left")
        deaths.end()
        assert {death.peer.id for death in deaths if isinstance(death, PeerDead)} <= before, "who says goodbye is not found dead"
    assert ended.returncode == {"that ends by an exception": 1, "that ends by sys.exit in a with": 3}.get(how, 0), ended.stderr
    assert ("KeyError: 'the test'" in ended.stderr) is (how == "that ends by an exception")
    assert how == "that ends by an exception" or ended.stderr == ""


# -- a forked child -------------------------------------------------------------------------------------------------------


@contextmanager
def held(*locks: Any) -> Iterator[None]:
    """Locks that another thread holds, as one may in the moment of a fork."""
    holding, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            holding.set()
            go_on.wait(SOON_S)

    with in_thread(hold):
        assert holding.wait(SOON_S)
        yield
        go_on.set()


def in_child(function: Callable[[], object]) -> str:
    """What a forked child says of `function`; it ends by itself, or the test does not."""
    there, here = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of what is tested here
        pid = os.fork()
    if pid == 0:
        said = "it has hung"
        try:
            signal.alarm(5)
            said = repr(function())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(here, said.encode()[:60_000])
            os._exit(0)
    os.close(here)
    with os.fdopen(there, "rb") as pipe:
        said = pipe.read().decode()
    assert os.waitpid(pid, 0)[1] == 0, "the child was killed by its alarm"
    return said


def test_a_forked_child_is_refused_by_every_method_though_every_lock_is_held(network: Network, peer: Peer) -> None:
    feed = peer.subscribe()

    def refusals() -> list[str]:
        kinds = []
        for method in (*PEER_METHODS.values(), *IN_A_CHILD_TOO.values()):
            try:
                kinds.append(repr(method(peer)))
            except NodeClosed as error:
                assert "forked child" in str(error)
        for seed_method in SEED_METHODS.values():
            with suppress(NodeClosed):
                kinds.append(repr(seed_method(network.seed)))
        with suppress(NodeClosed):
            kinds.append(repr(feed.get(1.0)))
        with suppress(NodeClosed):
            kinds.append(repr(list(feed)))
        return kinds

    with held(peer._starting, peer._closing, feed._lock, peer._tidings._change, network.seed._lock):
        assert in_child(refusals) == "[]"


def test_the_end_of_a_forked_child_leaves_the_parents_node_alone(network: Network, peer: Peer) -> None:
    from zmqgossip.handle import last

    def end() -> str:
        feed.close()
        peer.close()
        network.seed.close()
        last._close_all()
        return "quiet"

    with network.peers[0].subscribe("fork") as feed:
        with held(peer._starting, peer._closing, feed._lock, network.seed._lock):
            assert in_child(end) == "'quiet'"
        peer.publish("fork", b"still there")
        assert feed.get(SOON_S).payload == b"still there"
    assert network.seed.members()


FORKING = """
import os, sys
from zmqgossip import NodeClosed, Peer
def make():
    return Peer(seeds=[sys.argv[1]], cluster=sys.argv[2], profile="lan")
with make() as peer:
    peer.ready(10)
    pid = os.fork()
    if pid == 0:
        try:
            peer.publish("x", b"")
        except NodeClosed:
            with make() as own:
                own.ready(10)
                own.publish("forked", b"of the child")
                own.flush(10)
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    peer.publish("forked", b"of the parent")
    peer.flush(10)
"""


@pytest.mark.processes
def test_a_forked_child_may_have_a_node_of_its_own_and_ends_as_usual(network: Network) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING, network.seed.endpoints[0], CLUSTER]
    with network.peers[0].subscribe("forked") as feed:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=6 * SOON_S, check=False)
        assert ended.returncode == 0, ended.stderr
        assert {feed.get(SOON_S).payload for _ in range(2)} == {b"of the child", b"of the parent"}  # two origins: in no order
    assert ended.stderr == ""
