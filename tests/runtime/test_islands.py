"""What a watcher has seen of one origin: what is new, what is missing, and what memory that costs. All is compared with a plain set."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.core.harness import peer, steady
from zmqgossip.runtime.islands import Islands, Seen

MANY = 1_000_000
U64_MAX = 2**64 - 1


def ranges_of(numbers: set[int]) -> list[tuple[int, int]]:
    """The closed ranges that a set of numbers is made of."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def missing(numbers: set[int]) -> int:
    return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0


def filled(*numbers: int, ranges_max: int = MANY) -> Islands:
    stream = Islands(ranges_max)
    for number in numbers:
        assert stream.add(number)
    return stream


# -- one stream -----------------------------------------------------------------------------------------------------------


@steady
@given(st.lists(st.integers(1, 40), max_size=80))
def test_a_stream_knows_what_a_set_knows(numbers: list[int]) -> None:
    stream, seen = Islands(MANY), set[int]()
    for number in numbers:
        assert (number in stream) == (number in seen)
        assert stream.add(number) == (number not in seen)
        seen.add(number)
        assert stream.ranges == ranges_of(seen)
        assert stream.missing == missing(seen)
        assert stream.highest == max(seen)


@steady
@given(st.lists(st.integers(1, 60), max_size=80), st.integers(2, 5))
def test_with_too_many_islands_the_oldest_gap_counts_as_seen(numbers: list[int], ranges_max: int) -> None:
    stream, seen = Islands(ranges_max), set[int]()
    for number in numbers:
        assert stream.add(number) == (number not in seen)
        seen.add(number)
        found = ranges_of(seen)
        if len(found) > ranges_max:
            seen.update(range(found[0][1], found[1][0]))
        assert stream.ranges == ranges_of(seen) and len(stream.ranges) <= ranges_max
        assert stream.missing == missing(seen)


@steady
@given(st.permutations(range(1, 30)))
def test_a_stream_that_came_whole_is_one_island_in_whatever_order_it_came(numbers: list[int]) -> None:
    stream = filled(*numbers)
    assert stream.ranges == [(1, 29)] and stream.missing == 0


def test_a_new_stream_has_seen_nothing() -> None:
    stream = Islands(MANY)
    assert (stream.highest, stream.missing, stream.ranges) == (0, 0, [])


def test_what_was_before_the_first_number_seen_is_not_missing() -> None:
    assert filled(1_000).missing == 0


def test_an_older_number_that_comes_late_makes_what_lies_between_missing() -> None:
    stream = filled(10, 5)
    assert stream.missing == 4 and stream.highest == 10


def test_a_gap_closes_from_both_sides() -> None:
    stream = filled(1, 2, 6, 3, 5)
    assert stream.missing == 1 and stream.ranges == [(1, 3), (5, 6)]
    assert stream.add(4) and stream.missing == 0 and stream.ranges == [(1, 6)]


@pytest.mark.parametrize("number", [1, 3, 5, 6, U64_MAX])
def test_a_duplicate_changes_nothing(number: int) -> None:
    stream = filled(1, 3, 5, 6, U64_MAX)
    before = stream.ranges, stream.missing, stream.highest
    assert not stream.add(number)
    assert (stream.ranges, stream.missing, stream.highest) == before


def test_a_number_as_far_ahead_as_a_remote_can_name_costs_one_island() -> None:
    stream = filled(1, U64_MAX)
    assert stream.ranges == [(1, 1), (U64_MAX, U64_MAX)] and stream.missing == U64_MAX - 2


def test_giving_up_a_gap_forgets_what_was_missing_in_it() -> None:
    stream = filled(1, 5, 10, ranges_max=2)
    assert stream.ranges == [(1, 5), (10, 10)] and stream.missing == 4
    assert not stream.add(3), "a number of the gap that was given up counts as seen"
    assert stream.add(8)


# -- all streams ----------------------------------------------------------------------------------------------------------


def test_each_origin_and_each_epoch_has_numbers_of_its_own() -> None:
    streams = Seen(10, MANY)
    assert streams.of(peer(1).id, 1).add(1)
    assert streams.of(peer(1).id, 2).add(1)
    assert streams.of(peer(2).id, 1).add(1)
    assert not streams.of(peer(1).id, 1).add(1)
    assert len(streams) == 3


def test_too_many_streams_forget_the_one_that_was_quiet_longest() -> None:
    streams = Seen(2, MANY)
    streams.of(peer(1).id, 1).add(1)
    streams.of(peer(2).id, 1).add(1)
    streams.of(peer(1).id, 1).add(2)  # peer 2 is the quiet one now
    streams.of(peer(3).id, 1).add(1)
    assert len(streams) == 2
    assert not streams.of(peer(1).id, 1).add(1), "still remembered"
    assert streams.of(peer(2).id, 1).add(1), "forgotten"


@steady
@given(st.lists(st.integers(1, 12), max_size=60), st.integers(1, 5))
def test_streams_never_exceed_their_limit_and_those_heard_last_are_remembered(origins: list[int], limit: int) -> None:
    streams = Seen(limit, MANY)
    order: list[int] = []  # the quiet ones first
    for origin in origins:
        known = origin in order
        if known:
            order.remove(origin)
        elif len(order) == limit:
            order.pop(0)
        order.append(origin)
        assert streams.of(peer(origin).id, 1).add(1) is not known
        assert len(streams) == len(order)
