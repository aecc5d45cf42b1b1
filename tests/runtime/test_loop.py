"""The loop's turns: fair shares of gossip, and what is told of a loop that is late. No sockets are read here."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support import wait_for
from zmqgossip.runtime import loop as loop_module
from zmqgossip.runtime.loop import Loop


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Body:
    """Is told how late the loop was."""

    domain = b""
    next_deadline: float | None = None

    def __init__(self) -> None:
        self.told: list[float] = []

    def tell_late(self, now: float, late_s: float) -> None:
        self.told.append(late_s)

    def turn(self, now: float) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(loop_module, "time", time)
    return time


@pytest.fixture
def loop() -> Loop:
    """One whose thread does not run: the test calls its parts."""
    loop = object.__new__(Loop)
    loop._handlers, loop._turns, loop._bodies = {}, 0, []
    loop.late_count, loop.lag_max_s, loop._told_late_at = 0, 0.0, -loop_module.TOLD_EVERY_S
    return loop


def drains(loop: Loop, time: Time, *waiting: int, cost_s: float) -> Counter[int]:
    """How often each of the sources, which hold so many shares, was read in one turn."""
    left, read = list(waiting), Counter[int]()

    def reader(source: int) -> Any:
        def handler(now: float) -> bool:
            time.now += cost_s
            read[source] += 1
            left[source] -= 1
            return left[source] > 0

        return handler

    loop._handlers = {source: (False, reader(source)) for source in range(len(waiting))}
    loop._drain_gossip(list(loop._handlers), time.now)
    return read


def test_gossip_is_read_in_turns_until_there_is_none(loop: Loop, time: Time) -> None:
    assert drains(loop, time, 3, 1, 2, cost_s=0.0) == {0: 3, 1: 1, 2: 2}


def test_gossip_without_an_end_gets_its_time_in_fair_shares_and_no_more(loop: Loop, time: Time) -> None:
    read = drains(loop, time, 10_000, 10_000, 10_000, cost_s=0.0005)
    assert sum(read.values()) == 10 and max(read.values()) - min(read.values()) <= 1


def test_shares_that_take_all_of_the_time_are_given_to_another_one_each_turn(loop: Loop, time: Time) -> None:
    read = sum((drains(loop, time, 9, 9, 9, cost_s=1.0) for _ in range(6)), Counter[int]())
    assert read == {0: 2, 1: 2, 2: 2}


def test_a_source_that_is_gone_meanwhile_is_passed_over(loop: Loop, time: Time) -> None:
    loop._handlers = {"here": (False, lambda now: False)}
    loop._drain_gossip(["gone", "here"], 0.0)


def test_a_late_loop_is_counted_each_time_and_told_of_now_and_then(loop: Loop, time: Time) -> None:
    body = Body()
    loop._bodies = [body]  # type: ignore[list-item]
    for late in (0.1, 0.3, 0.4):
        time.now += 1.0
        loop._watch_time(time.now - late, time.now)
    assert (loop.late_count, round(loop.lag_max_s, 6)) == (2, 0.4)
    assert [round(late, 6) for late in body.told] == [0.3]
    time.now += loop_module.TOLD_EVERY_S
    loop._watch_time(time.now - 5.0, time.now)
    assert [round(late, 6) for late in body.told] == [0.3, 5.0]


def test_a_turn_that_takes_long_makes_the_loop_late_too(loop: Loop, time: Time) -> None:
    time.now = 2.0
    loop._watch_time(1.0, 1.0)
    assert (loop.late_count, loop.lag_max_s) == (1, 1.0)


@pytest.mark.sockets
def test_a_loop_that_has_nothing_to_do_is_never_late() -> None:
    loop = Loop(lambda error: None)
    try:
        for _ in range(3):
            loop.call(lambda: None)
        wait_for(lambda: loop.late_count == 0 and loop.lag_max_s < loop_module.LATE_S)
        assert loop.is_caller is False and loop.call(lambda: loop.is_caller)
    finally:
        loop.stop()
    assert loop.wake() is False
