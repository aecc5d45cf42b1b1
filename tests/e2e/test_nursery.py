"""The nursery of the tests itself: what comes from it is what a new interpreter would be, and none of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nursery import Nursery
from tests.support import Network, Process, wait_for

pytestmark = pytest.mark.processes
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
OWNER = """
import os, signal, sys
from pathlib import Path
from tests.nursery import Nursery

directory = Path(sys.argv[1])
nursery = Nursery()
child = nursery.start(["seed"], directory, directory / "stdout", directory / "stderr")
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def of_the_kernel(process: Process) -> dict[str, object]:
    """What the kernel knows of a process, as far as its start has given it that."""
    entry = Path("/proc") / str(process.popen.pid)
    status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines())
    kept = {key: status[key].strip() for key in ("Threads", "SigBlk", "SigIgn", "SigCgt", "Umask", "Uid", "NoNewPrivs")}
    files = {number.name: number.readlink().name.replace(process.name, "NAME") for number in (entry / "fd").iterdir()}
    standard = {number: files[number] for number in ("0", "1", "2")}
    kinds = sorted(name.partition(":")[0] for name in files.values())
    return kept | standard | {"descriptors": kinds, "cwd": (entry / "cwd").readlink()}


@LINUX
def test_a_node_from_the_nursery_has_the_signals_threads_and_descriptors_of_a_new_interpreter(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        found = []
        for anew in (True, False):
            seed = network.start_seed(anew=anew)
            wait_for(lambda seed=seed: "next: " in seed.stderr.read_text(), what="the last line of the banner")  # type: ignore[misc]
            found.append(of_the_kernel(seed))
            assert seed.end()[0] == 0
        assert found[0] == found[1]


@pytest.mark.parametrize("arguments", [["--version"], ["nonsense"], ["peer", "--help"], ["peers"], []], ids=" ".join)
def test_a_command_says_the_same_and_has_the_same_exit_code(tmp_path: Path, arguments: list[str]) -> None:
    with Network(tmp_path) as network:
        (tmp_path / "config.json").unlink()
        new, born = [network.add(Process(tmp_path, f"anew{anew}", arguments, anew=anew)) for anew in (True, False)]
        assert new.popen.wait(20) == born.popen.wait(20)
        assert (new.stdout.read_text(), new.stderr.read_text()) == (born.stdout.read_text(), born.stderr.read_text())


def test_the_environment_is_that_of_the_moment_and_not_the_nurserys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Network(tmp_path) as network:
        monkeypatch.setenv("ZMQGOSSIP_CONFIG", str(tmp_path / "elsewhere.json"))
        assert "elsewhere.json" in network.command("peers").stderr
        monkeypatch.delenv("ZMQGOSSIP_CONFIG")
        assert "elsewhere.json" not in network.command("peers").stderr


def test_a_killed_process_has_the_exit_code_of_one(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        seed = network.start_seed()
        with pytest.raises(subprocess.TimeoutExpired, match="State: .*, which said " if sys.platform == "linux" else ""):
            seed.popen.wait(0.05)
        seed.kill()
        assert seed.popen.poll() == -signal.SIGKILL


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_nursery_that_ends_takes_its_children_with_it(tmp_path: Path) -> None:
    with Network(tmp_path):
        nursery = Nursery()
        child = nursery.start(["seed"], tmp_path, tmp_path / "stdout", tmp_path / "stderr")
        wait_for(lambda: "listening" in (tmp_path / "stderr").read_text(), what="the seed listens")
        nursery.end()
        assert not runs(child.pid)


def test_a_session_that_is_killed_takes_nursery_and_children_with_it(tmp_path: Path) -> None:
    with Network(tmp_path):
        command = [sys.executable, "-c", OWNER, str(tmp_path)]
        root = Path(__file__).parents[2]
        owner = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=20, check=False)
        assert owner.returncode == -signal.SIGKILL
        wait_for(lambda: not runs(int(owner.stdout)), 10, "the end of the child")
