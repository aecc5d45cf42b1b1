"""The queue of what is to be published: order, bounds, and who may wait for room. No sockets: the loop is whoever takes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import pytest

from tests.handle.network import END_S, SOON_S, in_thread
from tests.support import wait_for
from zmqgossip.core.errors import InvalidTopic, NodeClosed, PayloadTooLarge, Timeout, WouldBlock
from zmqgossip.runtime import outgoing as outgoing_module
from zmqgossip.runtime.outgoing import MESSAGE_BYTES, Outgoing, Pouring

ROOM = 10 * MESSAGE_BYTES
"""For ten empty messages."""


class Loop:
    """Counts how often it is woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def queue(bytes_max: int = ROOM, message_bytes_max: int = 60_000) -> Outgoing:
    return Outgoing(message_bytes_max, lambda: None, bytes_max)


def full() -> Outgoing:
    outgoing = queue()
    while outgoing.put("t", b""):
        pass
    return outgoing


def payloads(outgoing: Outgoing) -> list[bytes]:
    return [payload for _, payload, _ in outgoing.take()]


@contextmanager
def taken_from() -> Iterator[tuple[Outgoing, list[bytes]]]:
    """A queue that a thread empties whenever it is woken, and what it took; all of it at the end of the block."""
    woken, done, taken = threading.Event(), threading.Event(), []
    outgoing = Outgoing(60_000, woken.set, ROOM)

    def take() -> None:
        while not done.is_set():
            woken.wait(SOON_S)
            woken.clear()
            taken.extend(payloads(outgoing))
            outgoing.settle(0)

    with in_thread(take):
        yield outgoing, taken
        done.set()
        woken.set()


# -- in and out -----------------------------------------------------------------------------------------------------------


def test_what_goes_in_comes_out_in_order_with_the_time_of_its_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    outgoing, times = queue(), iter([1.5, 2.5])
    monkeypatch.setattr(outgoing_module.time, "time", lambda: next(times))
    outgoing.publish("a.b", b"1")
    outgoing.publish("a.c", bytearray(b"2"))
    assert outgoing.take() == [("a.b", b"1", 1.5), ("a.c", b"2", 2.5)]
    assert outgoing.take() == [] and len(outgoing) == 0


def test_many_threads_wait_for_room_and_each_keeps_its_order() -> None:
    def publish(name: int) -> None:
        for number in range(300):
            outgoing.publish("t", b"%d %d" % (name, number))

    with taken_from() as (outgoing, taken):
        threads = [threading.Thread(target=publish, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON_S)
    assert len(taken) == 8 * 300
    for name in range(8):
        assert [one for one in taken if one.startswith(b"%d " % name)] == [b"%d %d" % (name, number) for number in range(300)]


def test_the_loop_is_woken_once_for_all_that_comes_until_it_looks() -> None:
    loop = Loop()
    outgoing = Outgoing(100, loop.wake)
    for _ in range(5):
        outgoing.put("t", b"")
    assert loop.woken == 1
    outgoing.take()
    outgoing.take()
    outgoing.put("t", b"")
    assert loop.woken == 2


def test_an_interrupt_while_the_loop_is_woken_leaves_the_next_one_to_wake_it() -> None:
    woken: list[int] = []

    def wake() -> None:
        woken.append(1)
        if len(woken) == 1:
            raise KeyboardInterrupt

    outgoing = Outgoing(100, wake)
    with pytest.raises(KeyboardInterrupt):
        outgoing.put("t", b"1")
    outgoing.put("t", b"2")
    assert len(woken) == 2 and payloads(outgoing) == [b"1", b"2"]


def test_what_the_engine_holds_back_counts_as_waiting() -> None:
    outgoing = queue()
    outgoing.settle(ROOM)
    assert not outgoing.put("t", b"")
    outgoing.settle(ROOM - 1)
    assert outgoing.put("t", b"") and not outgoing.put("t", b"")


# -- what is refused ------------------------------------------------------------------------------------------------------


def test_topics_and_payloads_are_checked_whether_they_were_seen_before_or_not() -> None:
    outgoing = queue(message_bytes_max=10)
    for _ in range(2):
        for topic in ("", "a..b", "*", "a.>", "x" * 201, "\ud800"):
            with pytest.raises(InvalidTopic):
                outgoing.put(topic, b"")
        with pytest.raises(PayloadTooLarge) as caught:
            outgoing.put("grüße", b"12345678901")
        assert (caught.value.size, caught.value.size_max) == (11, 10)
        assert outgoing.put("grüße", b"1234567890")
    for wrong in (b"x", None, 5, ["x"], {}):
        with pytest.raises(TypeError, match="a topic is a str, not"):
            outgoing.put(wrong, b"")  # type: ignore[arg-type]
    for wrong in ("x", None, 5, [1]):
        with pytest.raises(TypeError, match="a payload is bytes, not"):
            outgoing.put("t", wrong)  # type: ignore[arg-type]
    assert len(outgoing) == 2


def test_a_topic_of_a_class_of_its_own_goes_out_as_a_plain_one() -> None:
    class Topic(StrEnum):
        PRICES = "prices.btc"

    class Own(str):
        pass

    outgoing = queue()
    for topic in (Topic.PRICES, Own("prices.btc"), "prices.btc"):
        for _ in range(2):
            outgoing.publish(topic, b"")
    assert {(type(topic), topic) for topic, _, _ in outgoing.take()} == {(str, "prices.btc")}


def test_so_many_topics_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing_module, "TOPICS_MAX", 3)
    outgoing = queue(1_000_000)
    for number in range(20):
        outgoing.put(f"t.{number}", b"")
        assert len(outgoing._good) <= 3
    assert [topic for topic, _, _ in outgoing.take()] == [f"t.{number}" for number in range(20)]


# -- no room --------------------------------------------------------------------------------------------------------------


def test_who_finds_no_room_waits_until_some_is_made() -> None:
    outgoing = full()
    with in_thread(outgoing.publish, "t", b"late") as outcome:
        wait_for(lambda: outgoing._waiting, SOON_S)
        assert outcome == [] and len(outgoing) == 10
        outgoing.take()
        outgoing.settle(0)
    assert outcome == [None] and payloads(outgoing) == [b"late"]


@pytest.mark.parametrize("timeout", [0.01, 1e-9])
def test_who_waits_too_long_is_told(timeout: float) -> None:
    outgoing = full()
    with pytest.raises(Timeout, match=f"no room within {timeout:g} s") as caught:
        outgoing.publish("t", b"", timeout)
    assert caught.value.timeout_s == timeout and not outgoing._waiting and len(outgoing) == 10


@pytest.mark.parametrize("timeout", [0, 0.0])
def test_who_has_no_time_is_told_at_once(timeout: float) -> None:
    with pytest.raises(WouldBlock, match="the time-out is 0"):
        full().publish("t", b"", timeout)


def test_who_must_not_wait_is_told_why_also_if_that_begins_while_it_waits() -> None:
    outgoing = full()
    why: list[str] = []
    outgoing.forbids = lambda: why[0] if why else None
    with in_thread(outgoing.publish, "t", b"") as outcome:
        wait_for(lambda: outgoing._waiting, SOON_S)
        why.append("it is so")
        outgoing.nudge()
    with pytest.raises(WouldBlock, match="and it is so") as caught:
        outgoing.publish("t", b"")
    assert isinstance(outcome[0], WouldBlock) and caught.value.why == "it is so" and not outgoing._waiting


def test_the_end_is_told_to_who_waits_and_to_who_comes_and_what_was_put_in_stays() -> None:
    outgoing = full()
    with in_thread(outgoing.publish, "t", b"") as outcome:
        wait_for(lambda: outgoing._waiting, SOON_S)
        outgoing.close()
    assert isinstance(outcome[0], NodeClosed)
    assert len(outgoing.take()) == 10
    outgoing.settle(0)
    with pytest.raises(NodeClosed, match="the peer was closed"):
        outgoing.publish("t", b"")


def test_a_forked_child_may_not_even_look() -> None:
    outgoing, other = queue(), full()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = b""
        for one in (outgoing, other):
            try:
                one.publish("t", b"", 0.01)
            except NodeClosed as error:
                said += str(error).encode()
        os.write(write, said)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.read().count(b"a forked child cannot use") == 2
    assert outgoing.put("t", b"")


@pytest.fixture
def alarm() -> Iterator[Any]:
    before = signal.getsignal(signal.SIGALRM)
    yield lambda handler: signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_may_publish_while_its_own_thread_publishes(alarm: Any) -> None:
    outgoing, handled = queue(1 << 30), []

    def handler(number: int, frame: object) -> None:
        outgoing.publish("t", b"handler")
        handled.append(1)

    alarm(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    count = 0
    while len(handled) < 50:
        outgoing.publish("t", b"main")
        count += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    taken = payloads(outgoing)
    assert (taken.count(b"main"), taken.count(b"handler")) == (count, len(handled))


def test_a_signal_handler_may_publish_and_close_while_its_own_thread_waits_for_room(alarm: Any) -> None:
    outgoing = full()

    def handler(number: int, frame: object) -> None:
        with pytest.raises(Timeout):
            outgoing.publish("t", b"", 0.001)
        outgoing.close()

    alarm(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with pytest.raises(NodeClosed):
        outgoing.publish("t", b"", END_S)


# -- many at once ---------------------------------------------------------------------------------------------------------


def poured(outgoing: Outgoing, some: Any, timeout: float | None = 0) -> int:
    pouring = Pouring(outgoing, "t", some)
    for attempt in pouring:
        outgoing.wait(attempt, None, timeout)
    return pouring.count


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_many_go_in_in_order_whatever_holds_them(kind: Any) -> None:
    outgoing = queue(1 << 30)
    some = [b"%d" % number for number in range(1_000)]
    assert poured(outgoing, kind(some)) == 1_000 and payloads(outgoing) == some
    assert poured(outgoing, kind([])) == 0


def test_many_large_ones_go_in_one_by_one_and_do_not_exceed_the_bounds() -> None:
    outgoing = queue(200_000)
    with pytest.raises(WouldBlock):
        poured(outgoing, [bytes(50_000)] * 100)
    assert len(outgoing) == 4


@pytest.mark.parametrize("kind", [list, iter])
@pytest.mark.parametrize(("bad", "error"), [(bytes(60_001), PayloadTooLarge), ("text", TypeError), (None, TypeError)])
def test_a_bad_one_in_the_middle_is_told_and_those_before_it_are_in(kind: Any, bad: Any, error: type[Exception]) -> None:
    outgoing = queue(1 << 30)
    pouring = Pouring(outgoing, "t", kind([*[b"good"] * 300, bad, b"never"]))
    with pytest.raises(error):
        list(pouring)
    assert pouring.count == len(outgoing) == 300


@pytest.mark.parametrize("kind", [list, iter])
def test_many_wait_for_room_together(kind: Any) -> None:
    some = [b"%d" % number for number in range(1_000)]
    with taken_from() as (outgoing, taken):
        assert poured(outgoing, kind(some), None) == 1_000
    assert taken == some


def test_what_takes_its_time_to_come_goes_out_as_it_comes() -> None:
    outgoing = queue()

    def slow() -> Iterator[bytes]:
        for number in range(3):
            assert len(outgoing) == number
            yield b""

    assert poured(outgoing, slow()) == 3
