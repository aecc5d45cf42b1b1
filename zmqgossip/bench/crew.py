"""The processes of a run: started anew, told what to do over pipes, and certainly ended.

Each is an interpreter of its own in a session of its own, so that Ctrl-C is the bench's alone, which then ends them by their ids. Should
the bench be killed, their pipes end, and they with them; on Linux the kernel ends those too that are stopped.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import zmqgossip
from zmqgossip.bench import upkeep
from zmqgossip.bench.board import Board
from zmqgossip.bench.errors import BenchFailed
from zmqgossip.bench.task import Facts

ANSWER_S = 60.0
LAST_LINE_MAX = 300


class Child:
    """A process of a run.

    Args:
        name: for people.
        station: "module:Class" that it opens.
        board: where it counts, in row `row`.
        settings: of the station.
    """

    def __init__(self, name: str, station: str, board: Board, row: int, settings: Facts) -> None:
        self.name = name
        self.row = row
        self.opened: Facts = {}  # what it said when it opened
        self._asked = 0
        self._answers: dict[int, Facts] = {}
        self._rest = b""
        self._talk = tempfile.TemporaryFile()  # noqa: SIM115 - closed after its end
        given = {"parent": os.getpid(), "station": station, "board": board.number, "rows": board.rows, "row": row, "settings": settings}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zmqgossip.bench.child", json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._talk,
            pass_fds=[board.number],
            start_new_session=True,
            env=_environment(),
        )
        self.pid = self._process.pid

    # -- talking ----------------------------------------------------------------------------------------------------------

    def begin(self, do: str, facts: Facts | None = None) -> int:
        """Tells it what to do; the number under which it will answer."""
        self._asked += 1
        line = json.dumps({"number": self._asked, "do": do, "facts": facts or {}}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError:
            raise self._has_died() from None
        return self._asked

    def answer(self, number: int, timeout_s: float = ANSWER_S) -> Facts:
        """What it answered. Raises BenchFailed if it has died, or says nothing in time."""
        until = time.monotonic() + timeout_s
        while number not in self._answers:
            self._read(until, timeout_s)
        return self._answers.pop(number)

    def has_answered(self, number: int) -> bool:
        """Whether the answer is there; does not wait."""
        assert self._process.stdout is not None
        while number not in self._answers and select.select([self._process.stdout], [], [], 0)[0]:
            self._read(time.monotonic() + 1.0, 1.0)
        return number in self._answers

    def _read(self, until: float, timeout_s: float) -> None:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            raise BenchFailed(f"{self.name} has not answered within {timeout_s:g} s; is the machine too busy? Try fewer --peers")
        data = os.read(self._process.stdout.fileno(), 1 << 20)
        if not data:
            raise self._has_died()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            self._answers[answer["number"]] = answer

    def _has_died(self) -> BenchFailed:
        code = self._process.wait()
        self._talk.seek(0)
        said = self._talk.read().decode(errors="replace").strip().rpartition("\n")[2][:LAST_LINE_MAX]
        return BenchFailed(f"{self.name} has ended by itself with code {code}" + (f": {said}" if said else ""))

    # -- looking ----------------------------------------------------------------------------------------------------------

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the number of the signal that ended it."""
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        """After its end."""
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # we were cut off with half a command in the buffer, which nobody will read any more
                    pipe.close()
        self._talk.close()
        return code


class Crew:
    """The processes of one run and the board that they share. A context: its end is theirs."""

    def __init__(self, rows: int) -> None:
        self.board = Board(rows + 1)  # the first row is no receiver's
        self.stations: list[Child] = []  # by their places; the first one publishes where one does
        self.helpers: list[Child] = []  # seeds: not counted among the N, but their CPU is
        self.servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        started: list[Child | subprocess.Popen[bytes]] = [*self.stations, *self.helpers, *self.servers]
        for process in started:
            process.kill()
        for process in started:
            process.wait()
        self.board.close()

    def add(self, station: str, settings: Facts, name: str = "peer") -> Child:
        """One more of the N."""
        place = len(self.stations)
        child = Child(f"{name} {place}", station, self.board, place + 1, settings)
        self.stations.append(child)
        return child

    def add_helper(self, name: str, station: str, settings: Facts) -> Child:
        child = Child(name, station, self.board, 0, settings)
        self.helpers.append(child)
        return child

    def add_server(self, *command: str) -> None:
        """A program that is not ours."""
        starter = [sys.executable, "-P", "-m", "zmqgossip.bench.server", str(os.getpid()), *command]
        nowhere = subprocess.DEVNULL
        self.servers.append(
            subprocess.Popen(starter, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True, env=_environment())
        )

    @property
    def receivers(self) -> list[int]:
        """The rows of all but the publisher."""
        return [child.row for child in self.stations[1:]]

    @property
    def pids(self) -> list[int]:
        children = [child.pid for child in (*self.stations, *self.helpers)]
        return children + [server.pid for server in self.servers]

    def cpu_s(self) -> float:
        """Seconds of CPU that all of them have used, seeds and servers too."""
        return sum(upkeep.cpu_s(pid) for pid in self.pids)

    def open(self) -> None:
        """All open; what they say is kept."""
        for child, opened in zip(self.stations, tell_all(self.stations, "open"), strict=True):
            child.opened = opened

    def connect(self, **facts: Any) -> None:
        """All hear what all have said, connect, and wait until what is sent arrives."""
        facts["opened"] = [child.opened for child in self.stations]
        tell_all(self.stations, "connect", facts)
        tell_all(self.stations, "wait", facts)


def tell_all(children: Sequence[Child], do: str, facts: Facts | None = None, timeout_s: float = ANSWER_S) -> list[Facts]:
    """Has all of them do the same at once; their answers."""
    begun = [(child, child.begin(do, facts)) for child in children]
    return [child.answer(number, timeout_s) for child, number in begun]


def wait_until(condition: Callable[[], object], timeout_s: float, what: str, every_s: float = 0.05) -> None:
    """Returns when `condition` holds. Raises BenchFailed."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise BenchFailed(f"{what} within {timeout_s:g} s; is the machine too busy? Try fewer --peers")
        time.sleep(every_s)


def _environment() -> dict[str, str]:
    """What the children inherit: nothing of zmqgossip's settings, and where its package lies."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZMQGOSSIP_")}
    home = str(Path(zmqgossip.__file__).parent.parent)
    paths: Iterable[str] = (home, *environment.get("PYTHONPATH", "").split(os.pathsep))
    return environment | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
