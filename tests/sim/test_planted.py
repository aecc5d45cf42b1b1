"""The checkers can fail: the swarm finds each bug that is planted, at a seed that is right without it."""

from __future__ import annotations

import pytest

from tests.sim.planted import BUGS, SEEDS_MAX, Bug, first_seed


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_is_found_at_a_seed_that_is_right_without_it(bug: Bug) -> None:
    """The seed that found it last is tried first: a change of the protocol changes what seeds come to."""
    seed, words = first_seed(bug, [bug.found_at, *range(1, SEEDS_MAX + 1)])
    assert seed, f"none of {SEEDS_MAX} seeds finds it"
    assert f"--seeds {seed}..{seed}" in words


def test_each_part_that_keeps_a_promise_has_a_bug_planted() -> None:
    parts = {bug.name.partition(":")[0] for bug in BUGS}
    assert parts == {"dedup", "ordering", "repair", "marks", "prune", "tombstones", "baseline"}
