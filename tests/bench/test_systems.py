"""How systems take turns, are held back and are compared: alike for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from zmqgossip.bench import catalogue, footprint, networks, publishing, redundancy
from zmqgossip.bench.account import Account
from zmqgossip.bench.counting import HEADER
from zmqgossip.bench.publishing import Schedule
from zmqgossip.bench.redundancy import Round
from zmqgossip.bench.rounds import in_turn
from zmqgossip.bench.task import Task
from zmqgossip.cli.bench import ROUNDS
from zmqgossip.core.config import DEFAULT

MS = 1_000_000


def test_each_round_begins_with_another_system() -> None:
    systems = ["zmqgossip", "raw", "nats"]
    assert in_turn(systems, 0) == systems
    assert [in_turn(systems, number)[0] for number in range(6)] == systems * 2
    assert all(sorted(in_turn(systems, number)) == sorted(systems) for number in range(6))


@pytest.mark.parametrize("number", range(8))
def test_the_flood_comes_behind_the_network_whose_links_it_runs_on(number: int) -> None:
    order = in_turn(["zmqgossip", "raw", "flood", "nats"], number)
    assert order.index("zmqgossip") < order.index("flood") and len(order) == 4
    assert sorted(in_turn(["raw", "flood"], number)) == ["flood", "raw"]  # it finds links of its own


def test_who_cannot_slow_its_publisher_gets_a_window_and_a_flood_never_a_larger_one_than_raw() -> None:
    assert networks.pace("zmqgossip-async", 64) == networks.pace("zenoh", 64) == {}
    assert [networks.pace("raw", size)["window"] for size in (64, 1024, 8192, 8193, 65_536)] == [1000, 1000, 1000, 64, 64]
    assert [networks.pace("flood", size)["window"] for size in (64, 8192, 8193, 65_536)] == [250, 250, 64, 64]
    assert networks.pace("nats", 64) == {"window": 1000, "look_s": 0.001}


def test_zmqgossip_is_watched_idle_for_some_turns_of_its_slowest_timer_over_all_rounds() -> None:
    assert ROUNDS * footprint.times_of("zmqgossip").idle_s > 3 * DEFAULT.liveness_interval_s
    assert footprint.times_of("raw") == footprint.times_of("flood")
    assert footprint.times_of("zenoh").idle_s > 2.5


class Clock:
    """Time that goes on by what sleeping and sending take. In nanoseconds."""

    def __init__(self, late_ns: int, sending_ns: Iterator[int]) -> None:
        self.now_ns = 0
        self.stamps: list[int] = []
        self._late_ns = late_ns
        self._sending_ns = sending_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9) + self._late_ns

    def send(self, payload: bytes) -> None:
        self.stamps.append(HEADER.unpack_from(payload)[1])
        self.now_ns += next(self._sending_ns)


@pytest.mark.parametrize(
    ("late_ns", "sending_ms", "stamps_ms"),
    [
        (0, (0, 0, 0, 0, 0), [0, 5, 10, 15, 20]),
        (0, (12, 1, 1, 1, 0), [0, 5, 10, 15, 20]),  # sending took longer than there was time: the next ones were due all the same
        (MS // 2, (0, 0, 7, 0, 0), [0, 5.5, 10.5, 15, 20.5]),  # waking late is no system's doing
        (7 * MS, (0, 0, 0, 0, 0), [0, 12, 12, 22, 22]),
    ],
)
def test_a_message_is_as_old_as_its_schedule_says(
    late_ns: int, sending_ms: tuple[int, ...], stamps_ms: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(late_ns, iter(ms * MS for ms in sending_ms))
    monkeypatch.setattr(publishing, "time", clock)
    publishing.publish_each(clock.send, Schedule(200, 5, 64), lambda: None)
    assert clock.stamps == [ms * MS for ms in stamps_ms]


def test_a_message_that_is_awaited_is_as_old_as_its_schedule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0, iter([12 * MS, 0, 0, 0]))

    async def send(payload: bytes) -> None:
        clock.send(payload)

    async def sleep(seconds: float) -> None:
        clock.sleep(seconds)

    monkeypatch.setattr(publishing, "time", clock)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(publishing.publish_each_as_task(send, Schedule(200, 4, 64)))
    assert clock.stamps == [0, 5 * MS, 10 * MS, 15 * MS]


def test_all_copies_are_compared_and_those_of_collisions_stand_beside() -> None:
    task = Task(4, (64,), 2, catalogue.REDUNDANT, lambda text, share: None)
    ours = [Round(received=100, copies=50, collisions=50, pulls=10), Round(received=100, copies=70, collisions=30, pulls=30)]
    flood = [Round(received=100, copies=400, collisions=0, pulls=0)] * 2
    document = redundancy.document(task, [], {"zmqgossip": (ours, Account()), "flood": (flood, Account())})
    mine = document["systems"]["zmqgossip"]
    assert (mine["copies"], mine["collisions"], mine["copies_all"], mine["pulls"]) == (0.6, 0.4, 1.0, 0.2)
    assert mine["spread"] == 0
    assert document["copies_leave_out"] == "collisions"
    assert document["systems"]["flood"]["copies_all"] == 4
    assert document["ratios"] == {"flood": 0.25}
