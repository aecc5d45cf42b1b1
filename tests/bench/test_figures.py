"""Figures out of figures."""

from __future__ import annotations

import math

import pytest

from zmqgossip.bench import ranges
from zmqgossip.bench.figures import percentile, ratio, rounded, spread


def test_a_spread_is_the_distance_of_the_rounds_by_the_middle_one() -> None:
    assert spread([90, 100, 120]) == pytest.approx(0.3)
    assert spread([5]) == 0
    assert spread([]) == spread([0, 0]) == 0


def test_a_percentile_is_a_value_that_was_measured() -> None:
    hundred = list(range(1, 101))
    assert percentile(hundred, 0.5) == 50
    assert percentile(hundred, 0.99) == 99
    assert percentile(hundred, 1.0) == 100
    assert percentile([7], 0.99) == 7


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_the_medians() -> None:
    assert ratio([10, 100, 30], [10, 50, 10]) == 2
    assert ratio([1, 2], [0, 1]) == 2
    assert ratio([1], [0]) is None
    assert ratio([], []) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [(1234.5, 1234), (0.123456, 0.123), (12.3456, 12.3), (0.0, 0.0), (None, None), (math.nan, None), (math.inf, None)],
)
def test_three_digits_are_said(value: float | None, said: float | None) -> None:
    assert rounded(value) == said


def test_ranges_are_sets_of_numbers() -> None:
    these = ranges.merged([(5, 9), (0, 1), (2, 3), (8, 12), (20, 20)])
    assert these == [(0, 3), (5, 12), (20, 20)]
    assert ranges.size(these) == 13
    assert ranges.without(these, [(2, 5), (7, 7), (12, 30)]) == [(0, 1), (6, 6), (8, 11)]
    assert ranges.without(these, []) == these
    assert ranges.without([], these) == ranges.without(these, these) == []
