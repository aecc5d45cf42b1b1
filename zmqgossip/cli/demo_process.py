"""One process of the demo: a fork of the demo itself that goes on as `zmqgossip seed` or `zmqgossip peer`.

The intuition: starting an interpreter and importing takes 0.3 s of CPU, which a dozen peers would pay one after the other before
they could say hello. The demo imports everything once, has no socket but those that hold its ports and no thread but the watch
of its signals when it forks, and each fork then runs the very command that a person would type. From there on it is a process like
any other: its own id, memory and sockets.

Left to others: which processes there are, and when they end (`demo_network.py`).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from zmqgossip.cli.alarm import ENDS, deaf
from zmqgossip.cli.errors import ExitCode, run


def import_once() -> None:
    """Imports what a node needs, so that its forks need not."""
    import typer._adapters  # noqa: F401 - what typer would import at each start

    import zmqgossip.cli.running
    import zmqgossip.runtime.node
    import zmqgossip.runtime.report
    import zmqgossip.settings  # noqa: F401


class Child:
    """A node's process.

    Args:
        arguments: what follows `zmqgossip` on its command line.
        talk: the file that its stderr goes to. Its stdout goes nowhere: the same lines stand in output_*.txt.

    Attributes:
        returncode: None while it runs; the exit code, or minus the number of the signal that ended it.
    """

    def __init__(self, arguments: Sequence[str], talk: Path) -> None:
        self.returncode: int | None = None
        talk.touch()  # whoever reads it need not ask whether the child has come so far
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with deaf():  # a signal to the child must not run the demo's handlers in it
            self.pid = os.fork()
            if self.pid == 0:
                _unhook_signals()
        if self.pid == 0:
            _become_node(arguments, talk, parent)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """Waits for its end; the exit code."""
        code = self._reap(0)
        assert code is not None, "a wait without WNOHANG ends with the process"
        return code

    def _reap(self, flags: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, flags)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended: its id may be another process's then."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _unhook_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in ENDS:
        signal.signal(number, signal.SIG_DFL)


def _become_node(arguments: Sequence[str], talk: Path, parent: int) -> NoReturn:
    """In the child: cuts what ties it to the demo, runs the command, and ends without what the demo would do at its end."""
    code: int = ExitCode.FAILED
    try:
        os.setsid()  # Ctrl-C is for the demo, which then ends the others itself
        _die_with(parent)
        _redirect(talk)
        for name in [name for name in os.environ if name.startswith("ZMQGOSSIP_")]:
            del os.environ[name]  # a user's ZMQGOSSIP_LOG_DIR would take the files elsewhere
        from zmqgossip.cli.app import app

        code = run(app, arguments)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _redirect(talk: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    file = os.open(talk, os.O_WRONLY | os.O_TRUNC)
    for source, target in ((nothing, 0), (nothing, 1), (file, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(file)


def _die_with(parent: int) -> None:
    """Asks the kernel for SIGTERM when the demo dies. Linux knows how; elsewhere a killed demo leaves its nodes running."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(ExitCode.FAILED)
