"""What commands that run for minutes share: how they end, what they show meanwhile, and where their picture goes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from zmqgossip.cli.alarm import ENDS, Alarm, deaf, wake_main


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does, and so the processes that it has started."""
    heard = left = False

    def caught(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard = True
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    alarm: Alarm | None = None
    try:
        with deaf():
            for number in ENDS:
                before[number] = signal.signal(number, caught)
            alarm = Alarm(lambda number: wake_main(lambda: heard or left))
        yield
    finally:
        with deaf():
            left = True
            if alarm is not None:
                alarm.stop()
            for one, handler in before.items():
                signal.signal(one, handler)


@contextmanager
def progress() -> Iterator[Callable[[str, float], object]]:
    """What is being done and for how long, on a terminal; elsewhere nothing. Nothing else is to be printed meanwhile."""
    if not sys.stderr.isatty():
        yield lambda text, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # What is printed while the bar stands would go to stderr with it, and not where stdout was sent to, unless rich leaves both alone.
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        with deaf():  # it has a thread
            bar.start()
        task = bar.add_task("", total=1.0)
        yield lambda text, share: bar.update(task, description=text, completed=share)
    finally:
        bar.stop()


def check_plot(plot: Path) -> None:
    """Raises Misuse for a picture that could not be written in the end."""
    from zmqgossip.cli.errors import Misuse

    if plot.suffix.lower() != ".svg":
        raise Misuse(f"--plot {plot}: what is drawn is SVG; name a file that ends in .svg")
    if plot.is_dir() or not (plot.parent.is_dir() and os.access(plot if plot.exists() else plot.parent, os.W_OK)):
        raise Misuse(f"--plot: nothing can be written to {plot}; name a file in a directory of yours")
