"""Publishing as fast as it goes, the same for all systems: one call of `send` a message, each with its number at the start.

What cannot slow its publisher would fill the memory, so such a system is paced by a window: the publisher is never further than so many
messages ahead of the slowest receiver, whose counts it reads on the board. It looks only when the room that it knew of is used up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from zmqgossip.bench.board import DONE, PUBLISHED, SEEN, STOP, Row
from zmqgossip.bench.counting import END, HEADER, NUMBER, SHOWN_EVERY
from zmqgossip.bench.hearing import Hearing

END_LOOK_S = 0.0001
END_EVERY_S = 0.05
END_MAX_S = 10.0
UNBOUNDED = 1 << 62
NS_A_S = 1_000_000_000


class Window:
    """How far a publisher may go.

    Args:
        size: messages that may be on their way; 0 for any number.
        receivers: their rows.
        look_s: between two looks while it is full. Looking all the time would take from the receivers the core that they need.
    """

    def __init__(self, size: int, receivers: Sequence[Row], look_s: float = 0.0) -> None:
        self.look_s = look_s
        self._size = size
        self._receivers = receivers
        self.limit = size or UNBOUNDED

    def has_room(self, number: int) -> bool:
        """Whether what comes before `number` may go."""
        if number > self.limit:
            self.limit = min(row[SEEN] for row in self._receivers) + self._size
        return number <= self.limit


def publish(send: Callable[[bytes], object], size: int, head: Row, window: Window, meanwhile: Callable[[], object]) -> int:
    """Publishes until the board says stop; how many.

    Args:
        size: bytes of a payload.
        meanwhile: is called every few messages and while the window is full, for what else the system's maker has to do.
    """
    pack, rest = NUMBER.pack, bytes(size - NUMBER.size)
    number = 0
    while not head[STOP]:
        meanwhile()
        if not window.has_room(number + SHOWN_EVERY):
            time.sleep(window.look_s)
            continue
        for _ in range(SHOWN_EVERY):
            send(pack(number) + rest)
            number += 1
    head[PUBLISHED] = number
    return number


class Schedule:
    """Messages at a fixed rate, each with the moment in it when it was due.

    Due by the schedule, so that a message that had to wait until the one before was sent bears that wait. But who sleeps until a message
    is due wakes a little late, which is no system's doing: nothing is due before the publisher has woken.

    Args:
        rate: messages a second.
        count: how many.
        size: bytes of each.
    """

    def __init__(self, rate: float, count: int, size: int) -> None:
        self.count = count
        self._interval_ns = round(NS_A_S / rate)
        self._start_ns = self._woke_ns = time.monotonic_ns()
        self._rest = bytes(size - HEADER.size)

    def wait_s(self, number: int) -> float:
        """Seconds until a message is due; not above 0 when it is."""
        return (self._start_ns + number * self._interval_ns - time.monotonic_ns()) / NS_A_S

    def woke(self) -> None:
        """The publisher has slept, until now."""
        self._woke_ns = time.monotonic_ns()

    def payload(self, number: int) -> bytes:
        due_ns = self._start_ns + number * self._interval_ns
        return HEADER.pack(number, max(due_ns, self._woke_ns)) + self._rest


def publish_each(send: Callable[[bytes], object], schedule: Schedule, meanwhile: Callable[[], object]) -> None:
    """Publishes what the schedule has, each one when it is due."""
    for number in range(schedule.count):
        while (wait_s := schedule.wait_s(number)) > 0:
            time.sleep(wait_s)
            schedule.woke()
        send(schedule.payload(number))
        meanwhile()


@dataclass(frozen=True, slots=True)
class Talk:
    """How one of many publishes steadily: who it is, how often a second, how large, and until which flag is set."""

    place: int
    rate: float
    size: int
    head: Row

    @property
    def rest(self) -> bytes:
        return bytes(self.size - HEADER.size)


def talk(send: Callable[[bytes], object], hearing: Hearing, plan: Talk) -> None:
    """Publishes steadily until the board says stop. What it has made stands in `hearing`."""
    due, rest = time.monotonic(), plan.rest
    while not plan.head[STOP]:
        due += 1 / plan.rate
        time.sleep(max(0.0, due - time.monotonic()))
        send(hearing.make(plan.place, rest, time.monotonic_ns()))


def last(count: int, size: int) -> bytes:
    """The payload that ends a run of `count` messages."""
    return HEADER.pack(END, count) + bytes(size - HEADER.size)


def say_the_end(
    send: Callable[[bytes], object],
    count: int,
    size: int,
    receivers: Sequence[Row],
    meanwhile: Callable[[], object],
    timeout_s: float = END_MAX_S,
) -> None:
    """Tells all receivers that there were `count` messages, again and again where it was dropped, until all have heard it."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        send(last(count, size))
        again = time.monotonic() + END_EVERY_S
        while time.monotonic() < again:
            meanwhile()
            if all(row[DONE] for row in receivers):
                return
            time.sleep(END_LOOK_S)


async def publish_each_as_task(send: Callable[[bytes], Awaitable[object]], schedule: Schedule) -> None:
    """Publishes what the schedule has, each one when it is due."""
    for number in range(schedule.count):
        while (wait_s := schedule.wait_s(number)) > 0:
            await asyncio.sleep(wait_s)
            schedule.woke()
        await send(schedule.payload(number))
        await asyncio.sleep(0)  # what has been sent goes when its loop has its turn


async def say_the_end_as_task(
    send: Callable[[bytes], Awaitable[object]], count: int, size: int, receivers: Sequence[Row], timeout_s: float
) -> None:
    """`say_the_end` for systems whose sending is awaited."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and not all(row[DONE] for row in receivers):
        await send(last(count, size))
        await asyncio.sleep(END_EVERY_S)


async def publish_as_task(send: Callable[[bytes], Awaitable[object]], size: int, head: Row, window: Window) -> int:
    """`publish` for systems whose sending is awaited."""
    pack, rest = NUMBER.pack, bytes(size - NUMBER.size)
    number = 0
    while not head[STOP]:
        if not window.has_room(number + SHOWN_EVERY):
            await asyncio.sleep(window.look_s)
            continue
        for _ in range(SHOWN_EVERY):
            await send(pack(number) + rest)
            number += 1
    head[PUBLISHED] = number
    return number
