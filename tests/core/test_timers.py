"""Deadlines under keys: what is due comes out in order, and a key that is set again has only its new time."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
from hypothesis import given, strategies as st

from tests.core.harness import steady
from zmqgossip.core.timers import TimerKey, Timers

A, B, C = ("a", 0), ("b", 0), ("c", 0)


def all_due(timers: Timers, now: float) -> list[TimerKey]:
    keys = []
    while (key := timers.pop_due(now)) is not None:
        keys.append(key)
    return keys


def test_nothing_is_due_at_first() -> None:
    timers = Timers()
    assert timers.next() is None and timers.pop_due(1e9) is None and len(timers) == 0


@pytest.mark.parametrize(("now", "due"), [(4.999, []), (5.0, [A]), (5.001, [A])])
def test_a_key_is_due_from_its_deadline_on(now: float, due: list[TimerKey]) -> None:
    timers = Timers()
    timers.set(A, 5.0)
    assert all_due(timers, now) == due


def test_keys_come_due_by_time_and_then_in_the_order_in_which_they_were_set() -> None:
    timers = Timers()
    for key, at in ((C, 2.0), (B, 1.0), (A, 2.0), (("d", 0), 2.0)):
        timers.set(key, at)
    assert all_due(timers, 2.0) == [B, C, A, ("d", 0)]


def test_a_key_that_came_due_is_gone_until_it_is_set_again() -> None:
    timers = Timers()
    timers.set(A, 1.0)
    assert timers.pop_due(1.0) == A and timers.when(A) is None and timers.pop_due(1.0) is None
    timers.set(A, 1.0)
    assert timers.pop_due(1.0) == A


@pytest.mark.parametrize("at", [1.0, 9.0])
def test_setting_a_key_again_moves_it(at: float) -> None:
    timers = Timers()
    timers.set(A, 5.0)
    timers.set(B, 6.0)
    timers.set(A, at)
    assert timers.when(A) == at and timers.next() == min(at, 6.0) and len(timers) == 2
    assert sorted(all_due(timers, 10.0)) == [A, B]


def test_a_key_set_to_the_time_that_it_has_goes_behind_its_equals() -> None:
    timers = Timers()
    timers.set(A, 1.0)
    timers.set(B, 1.0)
    timers.set(A, 1.0)
    assert all_due(timers, 1.0) == [B, A]


def test_a_cancelled_key_never_comes_due() -> None:
    timers = Timers()
    timers.set(A, 1.0)
    timers.set(B, 2.0)
    timers.cancel(A)
    timers.cancel(C)  # was never set: nothing to do
    assert timers.next() == 2.0 and timers.when(A) is None and all_due(timers, 9.0) == [B]


def test_the_same_name_with_another_number_is_another_key() -> None:
    timers = Timers()
    timers.set(("probe", 1), 1.0)
    timers.set(("probe", 2), 2.0)
    timers.cancel(("probe", 1))
    assert all_due(timers, 9.0) == [("probe", 2)]


def test_moving_one_key_for_ever_costs_no_memory() -> None:
    timers = Timers()
    timers.set(B, 1e9)
    tracemalloc.start()
    try:
        for step in range(20_000):
            timers.set(A, float(step))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 50_000 and len(timers) == 2


def test_what_was_moved_often_still_comes_due_in_order() -> None:
    timers = Timers()
    luck = Random(1)
    deadlines = {}
    for step in range(5000):
        key = ("key", step % 20)
        deadlines[key] = luck.random()
        timers.set(key, deadlines[key])
    assert all_due(timers, 1.0) == sorted(deadlines, key=deadlines.__getitem__)


KEYS = st.sampled_from([(name, number) for name in "abc" for number in range(3)])
TIMES = st.integers(0, 20).map(float)
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, TIMES),
    st.tuples(st.just("cancel"), KEYS, st.just(0.0)),
    st.tuples(st.just("pop"), st.just(A), TIMES),
)


@steady
@given(st.lists(STEPS, max_size=60))
def test_timers_do_what_a_dict_of_deadlines_would(steps: list[tuple[str, TimerKey, float]]) -> None:
    timers = Timers()
    model: dict[TimerKey, float] = {}  # in the order in which they were set
    for what, key, at in steps:
        if what == "set":
            timers.set(key, at)
            model.pop(key, None)
            model[key] = at
        elif what == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            due = min(model, key=model.__getitem__, default=None)  # the first set among equals
            if due is not None and model[due] > at:
                due = None
            assert timers.pop_due(at) == due
            if due is not None:
                del model[due]
        assert timers.next() == min(model.values(), default=None)
        assert len(timers) == len(model) and all(timers.when(key) == at for key, at in model.items())
