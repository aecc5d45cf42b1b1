"""`zmqgossip bench` as it is called: wrong input, real runs, and no process that outlives it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import Process, wait_for
from zmqgossip.bench import catalogue
from zmqgossip.cli.app import app
from zmqgossip.cli.errors import ExitCode, run

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
FIGURES = {"goodput", "lost", "duplicates", "cpu_s_per_million", "spread"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["speed"], "'speed' is not one of"),
        (["goodput", "--peers", "1"], "--peers"),
        (["goodput", "--size", "15"], "--size"),
        (["goodput", "--rounds", "0"], "--rounds"),
        (["goodput", "--systems", "raw,zeromq"], "--systems: goodput knows no 'zeromq'; give some of zmqgossip, raw, "),
        (["goodput", "--systems", ","], "--systems names none; give some of"),
        (["churn", "--systems", "raw"], "--systems: churn knows no 'raw'; give some of zmqgossip"),
        (["churn", "--rounds", "5"], "churn is measured once, for minutes; leave --rounds out"),
        (["stall", "--peers", "2"], "--peers 2 is too few for stall; give at least 3"),
        (["goodput", "--plot", "no/such/directory/x.svg"], "--plot: nothing can be written to no/such/directory"),
    ],
)
def test_wrong_input_is_one_line_that_says_what_to_give(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["bench", *arguments]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1
    assert not captured.out


def test_alone_it_shows_what_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["bench"]) == ExitCode.USAGE
    assert "churn: who misses what" in " ".join(capsys.readouterr().err.split())


def test_what_a_machine_lacks_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)
    assert catalogue.missing("zenoh") == "pip install 'zmqgossip[bench]'"
    assert "nats-server" in (catalogue.missing("nats") or "") or catalogue.missing("nats") == "pip install 'zmqgossip[bench]'"
    assert run(app, ["bench", "goodput", "--systems", "zenoh"]) == ExitCode.USAGE
    assert "this machine lacks zenoh; to have it: pip install" in capsys.readouterr().err


def measured(directory: Path, *arguments: str) -> dict[str, Any]:
    bench = Process(directory, "bench", ["bench", *arguments, "--peers", "3", "--rounds", "1", "--json"])
    assert bench.popen.wait(30) == 0, bench.stderr.read_text()
    document: dict[str, Any] = json.loads(bench.stdout.read_text())
    return document


@pytest.mark.processes
def test_goodput_of_three_systems_in_the_shape_that_scripts_read(tmp_path: Path) -> None:
    picture = tmp_path / "goodput.svg"
    document = measured(
        tmp_path, "goodput", "--systems", "raw,flood,zmqgossip", "--seconds", "0.5", "--size", "100", "--plot", str(picture)
    )
    assert list(document) == ["ts", "kind", "peers", "size", "degree", "systems", "ratios", "machine"]
    assert (document["kind"], document["peers"], document["size"], document["degree"]) == ("goodput", 3, 100, 2.0)
    assert set(document["systems"]) == {"raw", "flood", "zmqgossip"}
    assert all(set(figures) == FIGURES for figures in document["systems"].values())
    assert all(figures["goodput"] > 0 and figures["cpu_s_per_million"] > 0 for figures in document["systems"].values())
    assert all(figures["lost"] == figures["duplicates"] == figures["spread"] == 0 for figures in document["systems"].values())
    assert set(document["ratios"]) == {"raw", "flood"}
    assert {"zmqgossip", "python", "pyzmq", "libzmq", "cpus"} <= set(document["machine"])
    assert picture.read_text().startswith("<svg")


@pytest.mark.processes
def test_latency_counts_every_delivery(tmp_path: Path) -> None:
    document = measured(tmp_path, "latency", "--systems", "raw", "--seconds", "0.1")
    raw = document["systems"]["raw"]
    assert 0 < raw["p50_ms"] <= raw["p99_ms"] <= raw["max_ms"]
    assert raw["lost"] == raw["duplicates"] == 0
    assert document["size"] == 1024 and document["ratios"] == {}


def children(pid: int) -> Sequence[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@LINUX
@pytest.mark.processes
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_no_process_outlives_the_bench(tmp_path: Path, number: int, code: int) -> None:
    bench = Process(tmp_path, "bench", ["bench", "goodput", "--systems", "raw", "--peers", "3"])
    started = wait_for(lambda: len(found := children(bench.popen.pid)) >= 3 and all(map(reads, found)) and found, what="processes")
    assert started
    os.kill(started[0], signal.SIGSTOP)  # one that cannot see that its pipe has ended
    bench.send(number)
    assert bench.popen.wait(10) == code
    wait_for(lambda: not any(is_alive(pid) for pid in started), what="the end of all")


def reads(pid: int) -> bool:
    """Whether it has come so far that a second thread reads what it is told."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
