"""`zmqgossip demo` as a user runs it: its figures, and that no process outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import Process, wait_for
from zmqgossip.cli.demo_ports import OWN_PORTS
from zmqgossip.cli.demo_story import minimum_s

pytestmark = pytest.mark.processes
PEERS = 12
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def objects(demo: Process) -> list[dict[str, Any]]:
    """What it has printed, of whole lines."""
    return [json.loads(line) for line in demo.stdout.read_text().splitlines(keepends=True) if line.endswith("\n")]


def processes_in(directory: Path) -> list[int]:
    """Process ids of the demo's nodes: everything whose stderr is a console file below `directory`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            talk = (entry / "fd" / "2").readlink()
        except OSError:  # it has just ended
            continue
        if directory in talk.parents and talk.name.startswith("console_"):
            found.append(int(entry.name))
    return found


def kill_what_is_left(files: Path) -> None:
    """Whatever a demo has left running, by its id."""
    for process in processes_in(files) if sys.platform == "linux" else []:
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """Where the demo makes its directory."""
    yield tmp_path
    kill_what_is_left(tmp_path)


def start(files: Path, *arguments: str) -> Process:
    return Process(files, "demo", ["demo", *arguments], env={**os.environ, "TMPDIR": str(files)})


def wait_for_kind(demo: Process, kind: str) -> Process:
    wait_for(lambda: kind in [one["kind"] for one in objects(demo)] or not demo.running, what=f"{kind} in the demo")
    assert kind in [one["kind"] for one in objects(demo)], demo.stderr.read_text()
    return demo


def started_one(files: Path, kind: str) -> Process:
    """A demo of four peers that has told of `kind`."""
    return wait_for_kind(start(files, "--json", "--peers", "4"), kind)


@pytest.fixture(scope="module", autouse=True)
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A demo of a dozen peers that takes its whole time. It begins with the first test here, and the last looks at its end."""
    files = tmp_path_factory.mktemp("whole")
    demo = start(files, "--json", "--for", str(minimum_s(PEERS)), "--peers", str(PEERS))
    try:
        yield demo
    finally:
        if demo.running:
            demo.end()
        kill_what_is_left(files)


@LINUX
@pytest.mark.parametrize(("kind", "number"), [("seeds", signal.SIGTERM), ("started", signal.SIGINT), ("listed", signal.SIGINT)])
def test_ctrl_c_and_sigterm_end_it_normally_with_the_account_so_far_and_no_process_left(
    files: Path, kind: str, number: signal.Signals
) -> None:
    demo = started_one(files, kind)
    code, _ = demo.end(number)
    assert (code, demo.stderr.read_text()) == (0, "")
    assert [one["kind"] for one in objects(demo)][-2:] == ["stopped", "result"]
    assert processes_in(files) == []


@LINUX
def test_a_process_that_ends_by_itself_ends_the_demo_with_one_line_and_no_process_left(files: Path) -> None:
    demo = started_one(files, "started")
    others = wait_for(lambda: processes_in(files), what="processes")
    os.kill(others[-1], signal.SIGKILL)
    assert demo.popen.wait(15) == 1
    assert " ended by itself with code -9 " in demo.stderr.read_text()
    assert demo.stderr.read_text().count("\n") == 1
    assert processes_in(files) == []


@LINUX
def test_a_reader_that_goes_away_leaves_no_process_behind(files: Path) -> None:
    command = [sys.executable, "-m", "zmqgossip", "demo", "--peers", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=files, env={**os.environ, "TMPDIR": str(files)}) as demo:
        assert demo.stdout is not None and demo.stdout.readline().startswith(b"  0.0 s  Starting ")
        demo.stdout.close()
        assert demo.wait(15) == 1
    assert processes_in(files) == []


@LINUX
def test_a_demo_that_is_killed_takes_its_processes_with_it(files: Path) -> None:
    demo = started_one(files, "listed")
    assert processes_in(files) != []
    demo.kill()
    wait_for(lambda: processes_in(files) == [], what="the end of all processes")


def test_everything_arrives_once_the_dead_one_is_removed_and_all_is_proved(whole: Process) -> None:
    demo = whole
    assert demo.popen.wait(90) == 0, demo.stderr.read_text()
    assert demo.stderr.read_text() == ""
    told = objects(demo)
    kinds = [one["kind"] for one in told]
    story = ["start", "seeds", "started", "joined", "killed", "reported", "removed", "restarted", "returned", "leaving", "left", "result"]
    assert [kind for kind in kinds if kind in story] == story
    killed = next(one["peer"] for one in told if one["kind"] == "killed")
    assert int(killed.rpartition(":")[2]) in OWN_PORTS, "the system gives its port to nobody while it is away"
    assert all(one["ts"].endswith("Z") for one in told)
    result = told[-1]
    assert result["delivered"] == result["expected"] > 0
    assert (result["lost"], result["duplicates"], result["peers"]) == (0, 0, PEERS)
    assert result["joined_s"] > 0 and result["removed_s"] > 0
    assert len(result["proofs"]) == 4 and all(isinstance(proof, str) for proof in result["proofs"])
    for proof in (result["proofs"][place] for place in (0, 2, 3)):
        name, _, line = proof.partition(": ")
        assert line in (Path(result["dir"]) / name).read_text().splitlines()
    assert processes_in(demo.stdout.parent) == [] if sys.platform == "linux" else True
