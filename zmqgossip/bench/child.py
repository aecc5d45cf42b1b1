"""The beginning of a process of the bench: it is told over a pipe what to do, and ends when that pipe does.

Commands are lines of JSON on stdin, answers lines on stdout, both numbered. A thread reads them: what a station answers at any time,
such as its counters, it answers from there, while the main thread counts or publishes.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from zmqgossip.bench.ending import die_with

if TYPE_CHECKING:
    from zmqgossip.bench.task import Facts


class Control:
    """The child's end of the pipes."""

    def __init__(self) -> None:
        # Whatever prints shall not print between the answers.
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._writing = threading.Lock()
        self._waiting: SimpleQueue[Facts] = SimpleQueue()
        self._at_once: dict[str, Callable[[], Facts]] = {}

    def start(self, at_once: dict[str, Callable[[], Facts]]) -> None:
        """Begins to read. `at_once`: commands that are answered in the reading thread."""
        self._at_once = at_once
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] in self._at_once:
                self.answer(command, self._at_once[command["do"]]())
            else:
                self._waiting.put(command)
        os._exit(0)  # the bench has let go of us, or is no more

    def hear(self) -> Facts:
        """The next command."""
        return self._waiting.get()

    def answer(self, command: Facts, facts: Facts) -> None:
        with self._writing:
            self._answers.write(json.dumps({"number": command["number"], **facts}) + "\n")
            self._answers.flush()


def main() -> None:
    """Opens the station that the command line names, and does what it is told."""
    given = json.loads(sys.argv[1])
    die_with(given["parent"])  # before the imports, which take their time
    from zmqgossip.bench.board import Board
    from zmqgossip.bench.roles import ROLES

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = Control()
    module, _, kind = given["station"].partition(":")
    station = getattr(importlib.import_module(module), kind)(given["settings"])
    board = Board(given["rows"], given["board"])
    control.start(station.at_once())
    while True:
        command = control.hear()
        role = ROLES.get(command["do"])
        facts = command["facts"]
        control.answer(command, role(station, board, given["row"], facts) if role else getattr(station, command["do"])(facts))


if __name__ == "__main__":
    main()
