"""Callbacks: one thread, one after the other, whatever they do."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import Any

import pytest

from tests.handle.network import END_S, SOON_S, Network, in_thread
from tests.support import wait_for
from zmqgossip import ConfigError, Message, NodeClosed, Peer, PeerBusy, Request, RequestFailed, Timeout

pytestmark = pytest.mark.sockets


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was told to threading.excepthook."""
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    return told


def test_callbacks_are_called_for_their_patterns_in_order_in_one_thread_and_never_together(network: Network, peer: Peer) -> None:
    called: list[tuple[str, str, int]] = []
    running, threads, together = [0], set(), []

    def note(name: str, message: Message) -> None:
        running[0] += 1
        together.append(running[0])
        threads.add(threading.current_thread())
        called.append((name, message.topic, int(message.payload)))
        running[0] -= 1

    @peer.on("calls.a")
    def exactly(message: Message) -> None:
        note("exactly", message)

    @peer.on("calls.*")
    def anything(message: Message) -> None:
        note("anything", message)

    for number in range(50):
        network.peers[number % 2].publish("calls.a", b"%d" % number)
        network.peers[0].publish("calls.b", b"%d" % number)
    wait_for(lambda: len(called) == 150, what="all calls")
    assert set(together) == {1} and len(threads) == 1 and threading.current_thread() not in threads
    from_first = [number for name, topic, number in called if (name, topic) == ("anything", "calls.b")]
    assert from_first == list(range(50))
    assert sum(name == "exactly" for name, _, _ in called) == 50
    assert exactly.__name__ == "exactly" and anything.__name__ == "anything", "what is decorated stays what it is"


def test_a_callback_may_publish_and_ask(network: Network, peer: Peer) -> None:
    first, second, _ = network.peers
    first.on_request(lambda request: request.payload.upper())
    peer.on("ask.this")(lambda message: peer.publish("ask.answered", peer.request(message.origin, message.payload, SOON_S)))
    with second.subscribe("ask.answered") as feed:
        first.publish("ask.this", b"loud")
        assert feed.get(SOON_S).payload == b"LOUD"


def test_a_callback_and_the_handler_of_the_peer_that_it_asks_do_not_lock_each_other(network: Network, peer: Peer) -> None:
    other = network.peers[2]
    answers: list[bytes] = []
    in_handler, go_on = threading.Event(), threading.Event()

    def answer(request: Request) -> bytes:
        in_handler.set()
        go_on.wait(SOON_S)
        return b"answer to " + request.payload

    other.on_request(answer)
    before = other.stats().get("requests.taken", 0)
    peer.on("both")(lambda message: answers.append(peer.request(other.id, b"callback", SOON_S)))
    with in_thread(network.peers[0].request, other.id, b"first", SOON_S) as outcome:
        in_handler.wait(SOON_S)
        network.peers[0].publish("both", b"")
        wait_for(lambda: other.stats().get("requests.taken", 0) == before + 2, what="both questions")
        go_on.set()
    assert outcome == [b"answer to first"]
    wait_for(lambda: answers == [b"answer to callback"], what="the other answer")


def test_a_callback_that_asks_its_own_peer_is_told_at_once_that_nobody_can_answer(network: Network, peer: Peer) -> None:
    raised: list[Exception] = []
    peer.on_request(lambda request: b"answer")

    @peer.on("self")
    def ask(message: Message) -> None:
        peer.send(peer.id, b"this is heard, and handled later")
        try:
            peer.request(peer.id, b"", SOON_S)
        except RequestFailed as error:
            raised.append(error)

    network.peers[0].publish("self", b"")
    wait_for(lambda: raised, END_S, "the refusal")
    assert "a callback asks its own peer" in str(raised[0])
    assert peer.request(peer.id, b"from another thread", SOON_S) == b"answer"


@pytest.mark.parametrize("error", [ValueError("of the test"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_that_raises_is_told_to_the_excepthook_and_counted_and_others_go_on(
    network: Network, peer: Peer, hooked: list[Any], error: BaseException
) -> None:
    called: list[str] = []

    @peer.on("raise.*")
    def bad(message: Message) -> None:
        raise error

    peer.on("raise.*")(lambda message: called.append(message.topic))
    network.peers[0].publish("raise.one", b"")
    network.peers[0].publish("raise.two", b"")
    wait_for(lambda: called == ["raise.one", "raise.two"], what="the other callback")
    assert [one.exc_value for one in hooked] == [error, error] and hooked[0].thread.name == "zmqgossip callbacks"
    assert peer.stats()["callbacks.failed"] == 2


def test_an_excepthook_that_raises_harms_nobody(network: Network, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(told: Any) -> None:
        raise RuntimeError("a bad hook")

    monkeypatch.setattr(threading, "excepthook", hook)
    called: list[bytes] = []

    @peer.on("hook")
    def bad(message: Message) -> None:
        called.append(message.payload)
        raise ValueError

    for payload in (b"1", b"2"):
        network.peers[0].publish("hook", payload)
    wait_for(lambda: called == [b"1", b"2"], what="both calls")


class Awaited:
    async def __call__(self, message: Message) -> None: ...


async def coroutine(message: Message) -> None: ...


@pytest.mark.parametrize("function", [coroutine, functools.partial(coroutine), Awaited(), Awaited().__call__])
def test_coroutine_functions_are_refused(function: Any) -> None:
    peer = Peer(seeds=["127.0.0.1:6001"], cluster="test")
    with pytest.raises(TypeError, match="is a coroutine function; use `async for"):
        peer.on("x")(function)
    with pytest.raises(TypeError, match="is a coroutine function"):
        peer.on_request(function)


def test_a_decorator_without_its_parentheses_or_its_function_is_refused() -> None:
    peer = Peer(seeds=["127.0.0.1:6001"], cluster="test")
    with pytest.raises(TypeError, match="a pattern is a str, not function"):
        peer.on(lambda message: None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be called"):
        peer.on("x")(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        peer.on_request()  # type: ignore[call-arg]
    for pattern in ("", "a..b", ">.a"):
        with pytest.raises(ConfigError):
            peer.on(pattern)(print)


def test_what_waits_for_the_callbacks_at_the_end_is_let_go(network: Network, peer: Peer) -> None:
    began, go_on = threading.Event(), threading.Event()
    called: list[bytes] = []

    @peer.on("backlog")
    def slow(message: Message) -> None:
        called.append(message.payload)
        began.set()
        go_on.wait(SOON_S)

    for number in range(50):
        network.peers[0].publish("backlog", b"%d" % number)
    assert began.wait(SOON_S)
    with in_thread(peer.close):
        wait_for(lambda: peer._is_closed, what="the end")
    go_on.set()
    peer._tidings._callbacks.join(SOON_S)
    assert called == [b"0"]


# -- handlers of direct messages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["a str", 5, bytearray(b"x")])
def test_a_handler_that_returns_no_bytes_is_a_failure_on_both_sides(network: Network, peer: Peer, hooked: list[Any], answer: Any) -> None:
    peer.on_request(lambda request: answer)
    with pytest.raises(RequestFailed, match="its handler raised TypeError"):
        network.peers[0].request(peer.id, b"", SOON_S)
    assert f"returned {type(answer).__name__}, not bytes" in str(hooked[0].exc_value)
    assert peer.stats()["callbacks.failed"] == 1


@pytest.mark.parametrize("error", [ValueError("a secret"), SystemExit(0)])
def test_a_handler_that_raises_is_a_failure_that_does_not_tell_strangers_more_than_its_kind(
    network: Network, peer: Peer, hooked: list[Any], error: BaseException
) -> None:
    def handle(request: Request) -> bytes:
        raise error

    peer.on_request(handle)
    with pytest.raises(RequestFailed, match=f"its handler raised {type(error).__name__}") as caught:
        network.peers[0].request(peer.id, b"", SOON_S)
    assert "secret" not in str(caught.value) and caught.value.peer_id == peer.id
    peer.on_request(lambda request: None)
    assert network.peers[0].request(peer.id, b"", SOON_S) == b""
    assert len(hooked) == 1


def test_an_answer_that_is_too_large_is_a_failure(network: Network, peer: Peer) -> None:
    peer.on_request(lambda request: bytes(100_000))
    with pytest.raises(RequestFailed, match="100000 bytes, at most 65536 fit"):
        network.peers[0].request(peer.id, b"", SOON_S)


def test_a_handler_that_hangs_costs_the_asker_its_time_and_others_are_told_that_it_is_busy(network: Network) -> None:
    first, second, _ = network.peers
    go_on = threading.Event()

    async def ask_many(busy: Peer) -> list[Any]:
        asking = [asyncio.create_task(second.arequest(busy.id, b"", SOON_S)) for _ in range(6)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_EXCEPTION)
        go_on.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    with network.fresh(protocol={"requests_open_max": 3}) as peer:
        peer.on_request(lambda request: b"late" if go_on.wait(SOON_S) else b"")
        began = time.monotonic()
        with pytest.raises(Timeout, match=r"gave no answer within 0\.1 s") as caught:
            first.request(peer.id, b"", 0.1)
        assert 0.1 <= time.monotonic() - began < 0.1 + END_S and caught.value.timeout_s == 0.1
        ends = asyncio.run(ask_many(peer))
        assert {type(end) for end in ends} == {bytes, PeerBusy}


def test_a_question_without_a_handler_is_a_failure_and_a_send_is_heard(network: Network, peer: Peer) -> None:
    first = network.peers[0]
    with pytest.raises(RequestFailed, match="nobody takes direct messages here"):
        first.request(peer.id, b"", SOON_S)
    got: list[Request] = []
    peer.on_request(lambda request: got.append(request))
    first.send(peer.id, b"hello", SOON_S)
    wait_for(lambda: got, what="the message")
    assert got[0].payload == b"hello" and not got[0].wants_answer and got[0].sender.id == first.id and got[0].timeout_s == SOON_S


# -- ends -----------------------------------------------------------------------------------------------------------------


def test_a_callback_may_close_its_peer(network: Network, peer: Peer) -> None:
    took: list[float] = []

    @peer.on("close.me")
    def close(message: Message) -> None:
        began = time.monotonic()
        peer.close()
        took.append(time.monotonic() - began)

    network.peers[0].publish("close.me", b"")
    wait_for(lambda: took, what="the end")
    assert took[0] < END_S
    with pytest.raises(NodeClosed):
        peer.publish("x", b"")


def test_a_handler_of_requests_may_close_its_peer(network: Network, peer: Peer) -> None:
    closed = threading.Event()

    @peer.on_request
    def close(request: Request) -> bytes:
        peer.close()
        closed.set()
        return b"too late"

    with pytest.raises(Exception, match=r"is gone|could not answer"):
        network.peers[0].request(peer.id, b"", SOON_S)
    assert closed.wait(END_S)


def test_a_callback_that_hangs_does_not_hold_up_the_end(network: Network, peer: Peer) -> None:
    began, go_on = threading.Event(), threading.Event()

    @peer.on("hang")
    def hang(message: Message) -> None:
        began.set()
        go_on.wait(SOON_S)

    network.peers[0].publish("hang", b"")
    assert began.wait(SOON_S)
    at = time.monotonic()
    peer.close()
    assert time.monotonic() - at < END_S
    go_on.set()
    peer._tidings._callbacks.join(SOON_S)


def test_a_callback_whose_peer_ends_under_it_has_not_failed(network: Network, peer: Peer, hooked: list[Any]) -> None:
    begun, ended, raised = threading.Event(), threading.Event(), []

    @peer.on("ends.under")
    def late(message: Message) -> None:
        begun.set()
        ended.wait(SOON_S)
        try:
            peer.publish("ends.reply", b"")
        except NodeClosed as error:
            raised.append(error)
            raise

    network.peers[0].publish("ends.under", b"")
    assert begun.wait(SOON_S)
    peer.close(timeout=0)
    ended.set()
    wait_for(lambda: raised, what="it publishes at last")
    assert hooked == []
