"""A process that has imported everything, and forks whenever a test wants `python -m zmqgossip ...`.

The intuition: an interpreter takes a third of a second of CPU to come up, and a test of thirty peers would pay that thirty times. The
nursery pays it once. It is single-threaded and has no ZeroMQ context, so that a fork of it is what a new interpreter would be after
its imports; from there on the child takes the way of `python -m`, its end included. That a new interpreter comes as far is for those
tests to show that ask for one.

This file is both ends: imported it is the tests' side (`Nursery`, `Child`), run as a script it is the nursery itself. Between them is
a socket with a line of JSON a request and one an answer, both numbered. The nursery reaps only when it is asked, so a process id is
a process's until the test knows of its end. When the tests' side is gone, also without a word, the nursery kills what is left and ends.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

POLL_S = 0.01


class Nursery:
    """The tests' side. `prefix` goes before its command line, say `ip netns exec NAME`: its children live there too."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            number = theirs.fileno()
            # Ctrl-C is for pytest, hence a session of its own: the children's end is the tests' business.
            self._process = subprocess.Popen(
                [*prefix, sys.executable, __file__, str(number)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[number],
                start_new_session=True,
            )
            self._link = ours.makefile("rw")
        self._asked = 0

    def start(self, arguments: Sequence[str], directory: Path, stdout: Path, stderr: Path) -> Child:
        """`python -m zmqgossip` with these arguments in `directory`; its output replaces what is in the files."""
        for file in (stdout, stderr):
            file.write_bytes(b"")  # whoever reads them need not ask whether the child has come so far
        wanted = {"arguments": list(arguments), "directory": str(directory), "files": [str(stdout), str(stderr)]}
        return Child(self, self.ask("start", wanted | {"environment": dict(os.environ)}), stderr)

    def ask(self, what: str, about: Any) -> Any:
        self._asked += 1
        self._link.write(json.dumps([self._asked, what, about]) + "\n")
        self._link.flush()
        while line := self._link.readline():
            number, answer = json.loads(line)
            if number == self._asked:  # else Ctrl-C has cut off who waited for that one
                return answer
        raise AssertionError("the nursery has ended; what it said is in the captured stderr of some test")

    def end(self) -> None:
        """Ends it, and the children that are left."""
        self._link.close()
        assert self._process.wait(10) == 0


class Child:
    """A process that the nursery has started, with that of a Popen's face which tests look at."""

    def __init__(self, nursery: Nursery, pid: int, stderr: Path) -> None:
        self.pid = pid
        self._stderr = stderr
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """The exit code, minus the number of the signal that ended it, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask("poll", self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Waits for its end. Raises TimeoutExpired, with what it was at."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() >= until:
                raise subprocess.TimeoutExpired(f"process {self.pid} ({state_of(self.pid)}), which said {self._said()},", timeout)
            time.sleep(POLL_S)
        return code

    def _said(self) -> str:
        return repr(self._stderr.read_text(errors="replace")[-1_000:])


def state_of(pid: int) -> str:
    """What the kernel knows of a process that should have ended: its signals, and where each of its threads is; or why it does not say."""
    kernel = Path(f"/proc/{pid}")
    status = _read(kernel / "status").splitlines()
    signals = [" ".join(line.split()) for line in status if len(status) == 1 or line.startswith(("State", "Sig", "ShdPnd"))]
    tasks = sorted(kernel.glob("task/*"))
    return "; ".join([*signals, *(f"{task.name} {_read(task / 'wchan')} {_read(task / 'syscall')}" for task in tasks)])


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        return str(error)


def serve(link: socket.socket) -> dict[str, Any] | None:
    """Answers until nobody asks any more: None. In each child that it forks it returns what that child shall be."""
    children: set[int] = set()
    with link, link.makefile("rw") as lines:
        for line in lines:
            number, what, about = json.loads(line)
            answer: int | None
            if what == "start":
                answer = os.fork()
                if answer == 0:
                    return about
                children.add(answer)
            else:
                pid, status = os.waitpid(about, os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
                children -= {pid}
            lines.write(json.dumps([number, answer]) + "\n")
            lines.flush()
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    return None


def import_everything() -> None:
    """What the commands import, and what typer does at each start; nothing here makes a thread or a ZeroMQ context."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "1"  # as the command line does before it has typer ask pydantic
    import importlib.metadata  # noqa: F401 - pydantic asks it for plugins all the same

    import typer

    import zmqgossip.runtime.query
    import zmqgossip.runtime.watch  # noqa: F401
    from zmqgossip.cli.app import app
    from zmqgossip.cli.demo_process import import_once

    import_once()
    typer.main.get_command(app)  # fills the caches of `inspect` and `typing`
    gc.freeze()  # or the collection at a child's end would touch, and so copy, every page of all this


def become(wanted: dict[str, Any]) -> None:
    """Gives this process everything that a new one would have from its parent."""
    for number, file in enumerate(wanted["files"], 1):
        opened = os.open(file, os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(wanted["directory"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.path[0] = wanted["directory"]
    sys.argv[1:] = wanted["arguments"]


if __name__ == "__main__":
    import runpy

    import_everything()
    shall_be = serve(socket.socket(fileno=int(sys.argv[1])))
    if shall_be is not None:
        become(shall_be)
        runpy.run_module("zmqgossip", run_name="__main__", alter_sys=True)  # what `-m` does
