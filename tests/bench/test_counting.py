"""Counting: what is lost, twice or late is exact, whatever comes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest

from zmqgossip.bench.board import DONE, DUPLICATES, LATE, LOST, SEEN, Board, Row
from zmqgossip.bench.counting import NUMBER, Ended, Oddities, count, counter
from zmqgossip.bench.publishing import Window, last


def payloads(numbers: Iterable[int], total: int) -> list[bytes]:
    return [*(NUMBER.pack(number) + b"rest of it" for number in numbers), last(total, 64)]


def by_loop(numbers: Sequence[int], total: int) -> Row:
    oddities = Oddities(Board(1).row(0))
    with pytest.raises(Ended):
        count(iter(payloads(numbers, total)), oddities)
    return oddities.row


def by_calls(numbers: Sequence[int], total: int) -> Row:
    oddities = Oddities(Board(1).row(0))
    take = counter(oddities)
    next(take)
    *before, end = payloads(numbers, total)
    for payload in before:
        take.send(payload)
    with pytest.raises(Ended):
        take.send(end)
    return oddities.row


@pytest.mark.parametrize("counted", [by_loop, by_calls])
def test_what_is_lost_twice_or_late_is_exact(counted: object) -> None:
    assert callable(counted)
    row = counted([0, 1, 2, 2, 5, 3, 3, 9, 0], 12)
    assert row[SEEN] == 12
    assert row[LOST] == 6  # 4, 6, 7, 8, 10 and 11
    assert row[DUPLICATES] == 3
    assert row[LATE] == 1
    assert row[DONE] == 1


@pytest.mark.parametrize("counted", [by_loop, by_calls])
def test_any_order_of_any_messages(counted: object) -> None:
    assert callable(counted)
    rng = random.Random(4)
    for _ in range(100):
        numbers = [rng.randrange(40) for _ in range(rng.randrange(60))]
        row = counted(numbers, 40)
        assert row[SEEN] == 40
        assert row[LOST] == 40 - len(set(numbers))
        assert row[DUPLICATES] == len(numbers) - len(set(numbers))


def test_what_is_missing_is_known_as_ranges() -> None:
    oddities = Oddities(Board(1).row(0))
    with pytest.raises(Ended):
        count(iter(payloads([0, 1, 4, 3, 9], 12)), oddities)
    assert oddities.missing() == [(2, 2), (5, 8), (10, 11)]


def test_a_window_opens_with_the_slowest_receiver() -> None:
    board = Board(2)
    window = Window(100, [board.row(0), board.row(1)])
    assert window.has_room(100)
    assert not window.has_room(101)
    board.row(0)[SEEN] = 90
    assert not window.has_room(101)
    board.row(1)[SEEN] = 60
    assert window.has_room(116)
    assert window.limit == 160
    assert Window(0, [board.row(0)]).has_room(1 << 40)
