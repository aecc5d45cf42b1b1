"""The checkers can fail: the swarm finds each bug that is planted, at a seed that is right without it."""

from __future__ import annotations

import pytest

from tests.sim.planted import BUGS, SEEDS_MAX, Bug, said


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_is_found_at_a_seed_that_is_right_without_it(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= bug.found_at <= SEEDS_MAX
    assert said(bug.found_at) == ""
    bug.plant(monkeypatch)
    words = said(bug.found_at)
    assert f"--seeds {bug.found_at}..{bug.found_at}" in words


def test_each_part_that_keeps_a_promise_has_a_bug_planted() -> None:
    parts = {bug.name.partition(":")[0] for bug in BUGS}
    assert parts == {"dedup", "ordering", "repair", "marks", "prune", "tombstones", "baseline"}
