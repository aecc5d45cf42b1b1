"""A signal is heard also when the main thread has just begun to wait.

The intuition: a handler runs when the main thread comes to it. A signal in the very moment in which that begins to wait, or one that
another thread got, is heard of when the wait is over, which may be in a minute, or never. So a thread reads what the interpreter writes
at each signal, and interrupts the main thread's wait until the handler has run.

Left to others: the handlers, and what shall happen then (`running.py`, `long_run.py`).
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDS = (signal.SIGINT, signal.SIGTERM)
"""The signals that end a command."""
WAKE = signal.SIGURG
"""Ends a wait, and means nothing: after any signal the interpreter runs all handlers that have not had their turn."""
AGAIN_S = 0.02
"""Until the main thread is woken again that has not heard of a signal."""


class Alarm:
    """The thread that hears of signals. To be made, with `deaf`, and stopped in the main thread.

    Args:
        rang: is called in that thread with the number of each of `ENDS`.
    """

    def __init__(self, rang: Callable[[int], None]) -> None:
        self._rang = rang
        self._in, self._out = os.pipe()
        os.set_blocking(self._out, False)
        self._wake_before = signal.signal(WAKE, lambda number, frame: None)
        self._fd_before = signal.set_wakeup_fd(self._out, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; if it is inside `rang`, as soon as that returns."""
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._out)
        signal.signal(WAKE, self._wake_before)

    def _watch(self) -> None:
        while rang := os.read(self._in, 1):
            if rang[0] in ENDS:
                self._rang(rang[0])
        os.close(self._in)


@contextmanager
def deaf() -> Iterator[None]:
    """None of `ENDS` is heard before the end of this, if no other thread gets one: threads that are made meanwhile never do."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # which may raise what the handler of one that came before raises
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wake_main(is_heard: Callable[[], bool], within_s: float = math.inf) -> None:
    """Has the main thread run its handlers, from another thread: until `is_heard`, or for so long."""
    until = time.monotonic() + within_s
    while not is_heard() and time.monotonic() < until:
        time.sleep(AGAIN_S)
        if not is_heard():
            signal.pthread_kill(threading.main_thread().ident or 0, WAKE)
