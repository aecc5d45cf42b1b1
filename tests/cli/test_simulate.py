"""`zmqgossip simulate`: what it prints, what it refuses before anything runs, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import wait_for
from zmqgossip.cli import simulate_jobs, simulate_output
from zmqgossip.cli.app import app
from zmqgossip.cli.errors import ExitCode, run
from zmqgossip.sim.outcome import Outcome, Row
from zmqgossip.sim.paths import Weather
from zmqgossip.sim.scenario import Must, Plan, Say, Scenario, Variant
from zmqgossip.sim.scenarios import SCENARIOS

Captured = pytest.CaptureFixture[str]
LINKS = Weather(delay_s=0.01, spread_s=0.04, jitter_s=0.0)


def tiny(peers: int, most: float = 100.0, names: tuple[str, ...] = ("one", "two")) -> Plan:
    steps = (Say("said", 1, 2, 0.25, quiet_s=0.5),)
    variants = tuple(Variant(name, peers, steps, weather=LINKS, beside=("flood",)) for name in names)
    rows = [Must(f"{name}: p99 ms", f"{name}/said.p99_ms", most=most, others="theirs 213", note="a note") for name in names]
    return Plan(variants, tuple(rows), ("said", "flood.said"))


@pytest.fixture
def scenario(monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """The only scenario there is, over in a moment."""
    only = Scenario("tiny", "a moment", 6, 6, 3, tiny)
    for name in list(SCENARIOS):
        monkeypatch.delitem(SCENARIOS, name)
    monkeypatch.setitem(SCENARIOS, "tiny", only)
    return only


# -- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name what to simulate: list shows the scenarios"),
        (["Nothing"], "there is no scenario 'Nothing'; give D1, D2,"),
        (["nope", "--seeds", "1..2"], "there is no scenario 'nope'"),
        (["list", "--peers", "20"], "list runs nothing"),
        (["list", "--seeds", "1..2"], "list runs nothing"),
        (["d1", "--peers", "2"], "--peers 2 is too few for D1; give at least"),
        (["all", "--peers", "20"], "--peers 20 is too few for all; give at least 60"),
        (["swarm", "--peers", "1"], "--peers 1 is too few for a swarm"),
        (["d1", "--peers", "1000000"], "'--peers'"),
        (["d1", "--peers", "many"], "'--peers'"),
        (["d1", "--seed", "-1"], "'--seed'"),
        (["d1", "--jobs", "0"], "'--jobs'"),
        (["d1", "--seeds", "1..3"], "--seeds is for swarm"),
        (["swarm", "--seeds", "1..3", "--seed", "1"], "do not go together"),
        (["swarm", "--seeds", "3..1"], "'3..1' is no range"),
        (["swarm", "--seeds", "7"], "'7' is no range"),
        (["swarm", "--seeds", "a..b"], "'a..b' is no range"),
        (["swarm", "--seeds", "1..9000000"], "give fewer"),
        (["d1", "--plot", "/nowhere/at/all.svg"], "nothing can be written to /nowhere/at/all.svg"),
        (["d1", "--plot", "x.png"], "name a file that ends in .svg"),
        (["all", "--plot", "x.svg"], "--plot draws one scenario"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_runs(
    arguments: list[str], words: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate_jobs, "_variant", None)
    assert run(app, ["simulate", *arguments]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("zmqgossip: ")
    assert words in err
    assert err.count("\n") == 1


# -- what is shown --------------------------------------------------------------------------------------------------------


def test_the_list_names_every_scenario_with_its_sizes(capsys: Captured) -> None:
    assert run(app, ["simulate", "list"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert all(f"{name}  {one.title}" in shown for name, one in SCENARIOS.items())
    assert run(app, ["simulate", "list", "--json"]) == ExitCode.DONE
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(SCENARIOS)


def test_a_scenario_is_a_table_beside_what_others_published(scenario: Scenario, capsys: Captured) -> None:
    assert run(app, ["simulate", "TINY", "--jobs", "1"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert shown.startswith("tiny: a moment; 6 peers, 5.00 links a peer, seed 1\n")
    assert shown.count("theirs 213") == 2
    assert shown.count("note: a note") == 1
    assert "must hold: 2, and all do" in shown


def test_the_document_is_the_last_line_and_follows_from_the_seed(scenario: Scenario, capsys: Captured) -> None:
    documents = []
    for seed in ("3", "3", "4"):
        assert run(app, ["simulate", "tiny", "--peers", "5", "--seed", seed, "--jobs", "1", "--json"]) == ExitCode.DONE
        documents.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    first, again, other = documents
    assert {"scenario", "peers", "seed", "degree", "digest", "passed", "rows", "seconds", "events_per_s"} == set(first)
    assert (first["scenario"], first["peers"], first["seed"], first["passed"]) == ("tiny", 5, 3, True)
    assert {"name", "value", "must", "ok"} <= set(first["rows"][0])
    assert (first["digest"], first["rows"]) == (again["digest"], again["rows"])
    assert first["digest"] != other["digest"]


@pytest.mark.processes
def test_results_come_in_the_order_of_the_tasks_however_many_processes_there_are() -> None:
    tasks = [(number, 1) for number in range(3)]
    found = [simulate_jobs._spread(divmod, tasks, jobs, str, lambda words, share: None) for jobs in (1, 2)]
    assert found == [[(0, 0), (1, 0), (2, 0)]] * 2


def test_what_does_not_hold_has_an_exit_code_of_its_own_and_says_how_to_see_it_again(
    scenario: Scenario, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCENARIOS, "tiny", Scenario("tiny", "a moment", 6, 6, 3, lambda peers: tiny(peers, most=0.001)))
    assert run(app, ["simulate", "tiny", "--jobs", "1", "--json", "--seed", "9"]) == ExitCode.NOT_HELD
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["passed"] is False
    assert err == ("zmqgossip: tiny did not hold: one: p99 ms; two: p99 ms; to see it again: zmqgossip simulate tiny --peers 6 --seed 9\n")


def test_a_violation_shows_the_seed_the_command_and_the_end_of_the_trace(
    scenario: Scenario, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqgossip.sim.driver.SAFETY", (lambda world: ["what must not be"],))
    assert run(app, ["simulate", "tiny", "--jobs", "1", "--seed", "9", "--json"]) == ExitCode.NOT_HELD
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["passed"] is False
    assert "one, seed 9; to see it again: zmqgossip simulate tiny --peers 6 --seed 9\n1 problems\nwhat must not be\nseed 9, " in err
    assert " request " in err


def test_all_ends_with_a_row_for_each_scenario(scenario: Scenario, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCENARIOS, "more", Scenario("more", "another", 6, 6, 3, lambda peers: tiny(peers, names=("one",))))
    assert run(app, ["simulate", "all", "--jobs", "1", "--json"]) == ExitCode.DONE
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["scenario"] for document in documents] == ["tiny", "more", "all"]
    assert [row["name"] for row in documents[-1]["rows"]] == ["tiny", "more"]


def test_a_picture_has_a_line_for_ours_and_for_the_yardstick(scenario: Scenario, capsys: Captured, tmp_path: Path) -> None:
    target = tmp_path / "coverage.svg"
    assert run(app, ["simulate", "tiny", "--jobs", "1", "--plot", str(target)]) == ExitCode.DONE
    assert capsys.readouterr().err == f"zmqgossip: the picture is {target}\n"
    drawn = target.read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert "one: said" in drawn
    assert "two: flood.said" in drawn


def test_seeds_of_a_swarm_that_did_not_hold_are_named() -> None:
    held = Outcome("swarm", 12, 1, 8.0, "a", [Row("order", 0, "0", True)], 1.0, 10.0)
    broken = Outcome("swarm", 12, 2, 8.0, "b", [Row("order", 3, "0", False)], 1.0, 10.0)
    both = simulate_output.together("swarm", [held, broken], range(1, 3))
    assert [(row.name, row.value, row.ok) for row in both.rows] == [("seeds that hold", 1, False), ("seed 2", "order", False)]
    assert both.document()["seeds"] == "1..2" and simulate_output.heading(both, "faults").startswith(
        "swarm: faults, seeds 1..2; at most 12"
    )


def test_a_swarm_tells_how_many_seeds_are_done_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate_jobs, "_seeds", lambda seeds, peers: [])
    told: list[str] = []
    simulate_jobs.run_swarm(range(1, 11), 0, 1, lambda words, share: told.append(words))
    assert told == [f"swarm: {done} of 10 seeds" for done in (0, 2, 4, 6, 8)]


# -- processes ------------------------------------------------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_takes_its_processes_with_it(number: signal.Signals) -> None:
    started = [sys.executable, "-m", "zmqgossip", "simulate", "d1", "--peers", "400", "--jobs", "2"]
    process = subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: len(_children(process.pid)) >= 3, 60, "two workers, and what multiprocessing keeps beside them")
    children = _children(process.pid)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == ExitCode.CUT_SHORT
        assert err == "zmqgossip: D1 was cut short; a run that has not ended has no figures\n"
    wait_for(lambda: not any(_runs(child) for child in children), 60, "they are gone")


@pytest.mark.processes
def test_on_a_terminal_with_its_output_sent_elsewhere_the_document_goes_there_and_only_the_progress_stays(tmp_path: Path) -> None:
    target, (ours, theirs) = tmp_path / "document", os.openpty()
    started = [sys.executable, "-m", "zmqgossip", "simulate", "d1", "--peers", "8", "--jobs", "1", "--json"]
    shown: list[bytes] = []
    with target.open("wb") as out:
        process = subprocess.Popen(started, stdout=out, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    with suppress(OSError):  # the terminal ends with the process
        while read := os.read(ours, 4096):
            shown.append(read)
    os.close(ours)
    assert process.wait(60) == ExitCode.DONE
    document = json.loads(target.read_text())
    assert document["scenario"] == "D1" and document["passed"]
    assert b"D1: " in b"".join(shown) and b"digest" not in b"".join(shown)


def _runs(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of one that nobody has asked for."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(text) for text in found.read_text().split()] if found.exists() else []
