"""What commands that run until they are stopped have in common: the signals, the log, and an end within a second.

Ctrl-C and SIGTERM are the normal end of such a command. The handlers are set by force: a shell's background job inherits SIGINT as
ignored, and would otherwise never leave politely.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

END_S = 0.9
"""From the signal to the end at most a second: when the console does not take our lines any more, we go without them."""


class Stop:
    """A context in which SIGINT and SIGTERM set `asked` and call `wake`, instead of killing the process.

    `wake` must be safe in a signal handler. Outside the main thread, where signals cannot be caught, only `asked` exists.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.asked = False
        self._wake = wake
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
            watchdog = threading.Timer(END_S, _end_now)
            watchdog.daemon = True
            watchdog.start()
        self._wake()


def _end_now() -> None:
    """The process hangs, on a pipe that nobody reads: everything that matters has been said to the network by now."""
    os._exit(0)


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
