"""Every scenario at a small size: what must hold does, and the same seed gives the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from math import ceil

import pytest

from zmqgossip.sim.driver import play
from zmqgossip.sim.outcome import Outcome
from zmqgossip.sim.scenario import Kill, Must, Plan, Recover, Report, Say, Scenario, Variant, outcome
from zmqgossip.sim.scenarios import SCENARIOS
from zmqgossip.sim.scenarios.dissemination import LINKS
from zmqgossip.sim.scenarios.growth import sizes

SMALL = {
    "D1": (8, ("degree 8, k=1", "degree 4, k=2")),
    "D2": (8, ("degree 4, k=1",)),
    "D3": (40, ("70 % killed", "95 % killed")),
    "D4": (12, ("degree 4",)),
    "D5": (20, ("30 % killed",)),
    "D6": (6, ("one paused",)),
    "D7": (20, ("churn",)),
    "D8": (60, ("15 peers", "30 peers")),
}
"""Peers, and the variants that are run."""
LOOSE = {
    "D4": ("p99 ms",),  # a flood has more ways than two parents, which shows most where all are near
}
"""What does not hold at so small a size, or not yet."""


def run(name: str) -> Outcome:
    """The rows of a scenario's named variants only."""
    peers, names = SMALL[name]
    scenario = SCENARIOS[name]
    whole = scenario.plan(peers)
    variants = tuple(one for one in whole.variants if one.name in names)
    others = [one.name for one in whole.variants if one not in variants]
    rows = tuple(
        row for row in whole.rows if not any(f"{other}/" in figure for other in others for figure in (row.figure, row.of, row.per))
    )
    some = replace(scenario, plan=lambda peers: replace(whole, variants=variants, rows=rows))
    return outcome(some, peers, 1, [play(variant, 1) for variant in variants], 1.0)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_what_must_hold_does_in_a_small_network(name: str) -> None:
    found = run(name)
    assert any(row.must for row in found.rows)
    wrong = [(row.name, row.value, row.must) for row in found.rows if not row.ok]
    assert [row for row in wrong if not any(words in row[0] for words in LOOSE.get(name, ()))] == []


def test_every_scenario_has_a_size_at_which_it_is_run_here() -> None:
    assert sorted(SMALL) == sorted(SCENARIOS)


# -- the driver -----------------------------------------------------------------------------------------------------------

STEPS = (Say("said", 2, 3, 0.25, quiet_s=0.5), Kill(0.25, but=2), Say("after", 2, 3, 0.25, quiet_s=1))
SOME = Variant("some", 8, STEPS, weather=LINKS, beside=("flood", "plumtree"))


def test_a_seed_gives_one_run_and_another_seed_another() -> None:
    first, again, other = play(SOME, 1), play(SOME, 1), play(SOME, 2)
    assert first == again
    assert first.digest != other.digest
    assert first.violation == ""


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_a_run_does_not_depend_on_how_strings_are_hashed(hash_seed: str) -> None:
    program = "from tests.sim.test_scenario_rows import SOME, play; print(play(SOME, 1).digest)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == play(SOME, 1).digest


def test_a_yardstick_goes_through_the_same_steps() -> None:
    figures = play(SOME, 1).figures
    assert figures["said.messages"] == figures["flood.said.messages"] == figures["plumtree.said.messages"] == 6
    assert figures["flood.said.p50_ms"] == figures["said.p50_ms"]  # what is said first floods everywhere
    assert figures["flood.said.reach_min"] == figures["after.final_min"] == 100


def test_the_flood_leaves_out_what_is_only_there_for_trees_to_grow() -> None:
    steps = (Say("grows", 1, 2, 0.25, learns=True), Say("said", 1, 2, 0.25, quiet_s=1))
    figures = play(replace(SOME, steps=steps), 1).figures
    assert "flood.grows.messages" not in figures
    assert figures["grows.messages"] == figures["flood.said.messages"] == 2


def test_a_network_that_has_recovered_for_long_enough_is_not_watched_any_longer() -> None:
    def recovers(seconds: float, stays_s: float) -> Report:
        steps = (Kill(0.25), Recover("mended", seconds, stays_s=stays_s))
        return play(replace(SOME, steps=steps, beside=(), periodic=False), 1)

    to_the_end, not_so_long = recovers(6.0, 6.0), recovers(6.0, 2.0)
    assert to_the_end.figures["mended.whole_s"] == not_so_long.figures["mended.whole_s"] is not None
    assert to_the_end.figures["mended.messages"] == 12
    assert not_so_long.figures["mended.messages"] == ceil((not_so_long.figures["mended.whole_s"] + 2.0) / 0.5)


def test_a_violation_ends_a_run_with_the_seed_and_the_end_of_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqgossip.sim.driver.SAFETY", (lambda world: ["something that must not be"],))
    report = play(SOME, 7)
    assert "something that must not be" in report.violation
    assert "seed 7" in report.violation
    assert " request " in report.violation
    found = outcome(scenario_of(Plan((SOME,), ())), 8, 7, [report], 1.0)
    assert not found.passed
    assert found.rows[-1].name == "some: safety"


# -- rows -----------------------------------------------------------------------------------------------------------------


def scenario_of(plan: Plan, peers: int = 8, note: str = "") -> Scenario:
    return Scenario("x", "x", peers, 100, 2, lambda peers: plan, note=note)


def row_of(must: Must, **figures: float) -> tuple[object, str, bool]:
    report = Report("v", {name.replace("_", "."): value for name, value in figures.items()}, digest="d")
    row = outcome(scenario_of(Plan((Variant("v", 8, ()),), (must,))), 8, 1, [report], 1.0).rows[0]
    return row.value, row.must, row.ok


@pytest.mark.parametrize(
    ("must", "value", "words", "ok"),
    [
        (Must("reported", "v/a.x"), 3.0, "", True),
        (Must("enough", "v/a.x", least=3), 3.0, ">= 3", True),
        (Must("too little", "v/a.x", least=3.5), 3.0, ">= 3.5", False),
        (Must("too much", "v/a.x", most=2), 3.0, "<= 2", False),
        (Must("twice another", "v/a.x", most=2, of="v/a.y"), 3.0, "<= 2 x 1.5", True),
        (Must("more than twice another", "v/a.x", most=1.9, of="v/a.y"), 3.0, "<= 1.9 x 1.5", False),
        (Must("divided", "v/a.x", most=2, per="v/a.y"), 2.0, "<= 2", True),
        (Must("by nothing", "v/a.x", most=2, per="v/a.z"), None, "<= 2", False),
        (Must("of what is not there", "v/a.x", most=2, of="v/a.z"), 3.0, "<= 2 x what was not measured", False),
        (Must("not there", "v/a.z", most=2), None, "<= 2", False),
    ],
)
def test_a_row_is_ok_when_its_figure_keeps_to_its_bounds(must: Must, value: float | None, words: str, ok: bool) -> None:
    assert row_of(must, a_x=3.0, a_y=1.5) == (value, words, ok)


def test_a_note_says_why_only_where_the_default_size_is_smaller() -> None:
    plan = Plan((Variant("v", 8, ()),), (Must("a", "v/a"),))
    report = Report("v", {"a": 1})
    assert outcome(scenario_of(plan, 8, "why"), 8, 1, [report], 1.0).rows[0].note == "why"
    assert outcome(scenario_of(plan, 8, "why"), 20, 1, [report], 1.0).rows[0].note == ""


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_rows_and_rules_do_not_change_with_the_size(name: str) -> None:
    scenario = SCENARIOS[name]
    small, large = scenario.plan(scenario.peers_min), scenario.plan(scenario.peers)
    if name == "D8":  # its variants are named by their sizes, and one bound is a ratio of logarithms
        assert len(small.rows) == len(large.rows)
        assert sizes(50_000) == (1_000, 10_000, 50_000)
        return
    assert small.rows == large.rows
    assert [one.name for one in small.variants] == [one.name for one in large.variants]
    assert [one.config for one in small.variants] == [one.config for one in large.variants]


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_row_asks_for_a_variant_that_there_is(name: str) -> None:
    plan = SCENARIOS[name].plan(SCENARIOS[name].peers)
    names = [variant.name for variant in plan.variants]
    for row in plan.rows:
        for figure in filter(None, (row.figure, row.of, row.per)):
            assert figure.partition("/")[0] in names
