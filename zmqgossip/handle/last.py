"""What is still open when the interpreter ends says goodbye: at exit all of them at once, within a second."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from zmqgossip.handle.process import Process

GOODBYE_S = 0.5
# Before the interpreter waits for its threads, one of which may wait for us: a reader of a feed. It has no public name; without it, later.
_at_exit: Callable[[Callable[[], None]], Any] = getattr(threading, "_register_atexit", atexit.register)


class Closable(Protocol):
    """A handle that was started."""

    def begin_to_leave(self) -> object: ...

    def close(self, timeout: float = ...) -> object: ...


_open: dict[int, tuple[Closable, Process]] = {}  # by identity, with the process that they belong to


def remember(handle: Closable) -> None:
    _open[id(handle)] = (handle, Process())


def forget(handle: Closable) -> None:
    _open.pop(id(handle), None)


def _close_all() -> None:
    """A forked child leaves alone what is its parent's."""
    handles = [handle for handle, process in list(_open.values()) if process.is_here]
    for handle in handles:
        handle.begin_to_leave()
    until = time.monotonic() + GOODBYE_S
    for handle in handles:
        handle.close(max(0.0, until - time.monotonic()))


_at_exit(_close_all)
