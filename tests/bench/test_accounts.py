"""Who owes whom what, where everybody publishes; and when the others of a stalled one are well again."""

from __future__ import annotations

import pytest

from zmqgossip.bench.account import Account, owe
from zmqgossip.bench.hearing import Hearing
from zmqgossip.bench.stall import Timeline


def test_hearing_keeps_makers_apart() -> None:
    maker, other, listener = Hearing(), Hearing(), Hearing()
    made = [maker.make(3, b"rest", at) for at in range(6)]
    others = [other.make(4, b"", at) for at in range(2)]
    for payload in (made[2], made[4], others[0], made[3], made[4], made[1], others[1]):
        listener.take(payload)
    assert listener.facts()["heard"] == {"3": [1, 4, 1, 2], "4": [0, 2, 0, 0]}
    assert maker.facts()["made_ns"] == [0, 1, 2, 3, 4, 5]


def test_a_survivor_is_owed_everything() -> None:
    account = Account()
    owe(account, [0, 8, 1, 2], list(range(10)), None)
    owe(account, [2, 8, 0, 0], list(range(10)), None)  # the first two never came
    owe(account, None, list(range(5)), None)
    assert account == Account(expected=25, lost=9, duplicates=1, out_of_order=2, pairs=3)


@pytest.mark.parametrize(
    ("heard", "lost"),
    [
        ([3, 7, 0, 0], 0),  # ready after number 4 was made, and heard from 3 on
        ([5, 5, 0, 0], 0),
        ([6, 4, 0, 0], 1),  # 5 was made after it was ready
        ([3, 6, 0, 0], 1),
        (None, 5),
    ],
)
def test_a_joiner_lacks_nothing_from_where_its_hearing_begins(heard: list[int] | None, lost: int) -> None:
    account = Account()
    owe(account, heard, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100], ready_ns=50)
    assert account.lost == lost


def timeline(rates: list[int], begin: float, end: float) -> Timeline:
    """One point a tenth of a second; `rates` of the others, a second each."""
    points, got = [(0.0, [0, 0, 0])], 0.0
    for tenth in range(10 * len(rates)):
        got += rates[tenth // 10] / 10
        points.append(((tenth + 1) / 10, [round(got), round(got) + 5, 0]))
    return Timeline(points, begin, end)


def test_the_others_are_well_again_when_they_have_had_their_rate_for_a_second() -> None:
    stalled = timeline([1000] * 10 + [0, 100, 500, 950] + [1000] * 10, begin=10.0, end=15.0)
    assert stalled.rate(0.0, 10.0) == pytest.approx(1000)
    recovered = stalled.recovered_s(1000)
    assert recovered is not None and 2.5 < recovered < 4.1
    twice = timeline([1000] * 10 + [500, 1000, 0, 0, 0] + [1000] * 9, begin=10.0, end=15.0).recovered_s(1000)
    assert twice is not None and 2.5 < twice < 4.1
    assert timeline([1000] * 24, 10.0, 15.0).recovered_s(1000) == 0
    assert timeline([1000] * 10 + [100] * 14, 10.0, 15.0).recovered_s(1000) is None
    assert stalled.rate(100.0, 200.0) is None
    assert timeline([1000] * 10 + [0, 1000, 0, 0, 500] + [0] * 3, begin=10.0, end=15.0).halted_s(1000) == pytest.approx(3.0)
    assert stalled.halted_s(None) is stalled.halted_s(0) is None  # nothing came before: nobody knows what standing still is
    assert len(stalled.series()["the troubled one"]) == len(stalled.series()["slowest of the others"])
