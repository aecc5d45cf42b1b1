"""What commands that run until they are stopped have in common: the signals, the log, and an end in time.

Ctrl-C and SIGTERM are the normal end of such a command. The handlers are set by force: a shell's background job inherits SIGINT as
ignored, and would otherwise never leave politely.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

from zmqgossip.cli.alarm import ENDS, Alarm, deaf, wake_main

END_S = 0.95
"""From the signal to the end at most a second, unless a command needs more: when the console does not take our lines any more, we go
without them."""
GOODBYE_S = 0.7
"""Of which so much may go into saying goodbye; the rest is for the summary."""


class Stop:
    """A context in which SIGINT and SIGTERM set `asked` and call `wake`, instead of killing the process.

    Handlers are as before afterwards, unless there was a signal: then the process ends, and a second one must not make a failure of that.

    Enter it before anything is promised on the screen, and set `wake` once there is something to wake; it must be safe in a signal
    handler. Outside the main thread, where signals cannot be caught, only `asked` exists.

    Args:
        code: the exit code of a process that hangs and has to be ended.
        end_s: how long after the signal that is.
    """

    def __init__(self, code: int = 0, end_s: float = END_S) -> None:
        self.asked = False
        self._code = code
        self._end_s = end_s
        self.wake: Callable[[], None] | None = None
        self._left = False
        self._before: dict[int, Any] = {}
        self._alarm: Alarm | None = None

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            with deaf():
                for number in ENDS:
                    self._before[number] = signal.signal(number, self._caught)
                self._alarm = Alarm(self._rang)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._alarm is None:
            return
        if self.asked:
            for number in self._before:
                signal.signal(number, signal.SIG_IGN)  # a handler would be taken away while the interpreter ends
            return
        with deaf():
            self._left = True
            self._alarm.stop()
            for number, handler in self._before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self.wake is not None:
            self.wake()

    def _is_heard(self) -> bool:
        return self.asked or self._left

    def _rang(self, number: int) -> None:
        """Has the handler run, and ends the process when it hangs on a pipe that nobody reads: everything that matters has been said to
        the network by then.
        """
        until = time.monotonic() + self._end_s
        wake_main(self._is_heard, self._end_s)
        time.sleep(max(0.0, until - time.monotonic()))
        os._exit(self._code)


def say(text: str, quiet: bool = False) -> None:
    """Talk, as opposed to data: on stderr."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def say_how_safe(hosts: Sequence[str], quiet: bool) -> None:
    """What protects the node: nothing but where it listens. Loud, even when quiet, where that is not the loopback."""
    exposed = [host for host in hosts if not ipaddress.ip_address(host).is_loopback]
    if exposed:
        say(f"WARNING: plain (no encryption, no authentication) on {' '.join(exposed)}: whoever can reach it can read and publish")
    else:
        say("plain: no encryption, no authentication; loopback only", quiet)
