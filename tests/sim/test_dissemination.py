"""Everything that is published reaches everybody once and in order, or is named: whole networks with random troubles.

A schedule is drawn by hypothesis as a list of what happens (`schedules`), and counted afterwards (`accounts`). Times are virtual.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tests.sim.schedules import DEADLY, GENTLE, KNOBS, ROUGH, play, verdict

few = settings(max_examples=8, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 10_000)


def schedules(kinds: tuple[str, ...], length: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(kinds), min_size=length // 2, max_size=length)


@few
@given(seed=SEEDS, steps=schedules(GENTLE, 16), knobs=st.sampled_from(list(KNOBS)), peers=st.integers(2, 5))
def test_nothing_is_lost_by_loss_reordering_full_pipes_short_pauses_and_joins(seed: int, steps: list[str], knobs: str, peers: int) -> None:
    run = play(seed, steps, KNOBS[knobs], peers=peers, quiet_s=15.0)
    assert verdict(run, gentle=True) == []


@few
@given(seed=SEEDS, steps=schedules(ROUGH, 20), knobs=st.sampled_from(list(KNOBS)), peers=st.integers(2, 5))
def test_cuts_and_long_pauses_cost_no_message_without_its_name(seed: int, steps: list[str], knobs: str, peers: int) -> None:
    run = play(seed, steps, KNOBS[knobs], peers=peers)
    assert verdict(run, gentle=False) == []


@few
@given(seed=SEEDS, steps=schedules(DEADLY, 20), knobs=st.sampled_from(list(KNOBS)), peers=st.integers(2, 6))
def test_crashes_and_restarts_cost_survivors_no_message_of_each_other(seed: int, steps: list[str], knobs: str, peers: int) -> None:
    run = play(seed, steps, KNOBS[knobs], peers=peers)
    assert verdict(run, gentle=False) == []


# -- schedules that found something ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("knobs", ["small", "small, one parent"])
def test_windows_that_shrink_while_nothing_under_way_has_a_mark_open_again(knobs: str) -> None:
    run = play(6, ["trickle", "flush", "trickle", "trickle", "join", "trickle", "trickle", "join", "trickle"], KNOBS[knobs], quiet_s=10.0)
    assert verdict(run, gentle=True) == []
