"""What commands that run until they are stopped make of signals."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from typing import ClassVar

import pytest

from zmqgossip.cli import seed
from zmqgossip.cli.long_run import terminable
from zmqgossip.cli.running import Stop
from zmqgossip.core.events import NoSeed
from zmqgossip.core.types import Endpoint
from zmqgossip.runtime import report
from zmqgossip.runtime.outlet import Item

HANGS = """
import os, signal, time
from zmqgossip.cli.running import Stop
with Stop(5):
    print(time.monotonic(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        time.sleep(60)
"""
HANGS_BEFORE_IT_WATCHES = """
import os, signal, time
from zmqgossip.cli.running import Stop
watch = signal.set_wakeup_fd
def signalled_before(*args, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    return watch(*args, **options)
signal.set_wakeup_fd = signalled_before
print(time.monotonic(), flush=True)
with Stop(5):
    time.sleep(60)
"""
HANGS_FOR_LONGER = HANGS.replace("Stop(5)", "Stop(5, 1.5)")
SIGNALLED_TWICE = """
import os, signal
from zmqgossip.cli.running import Stop
with Stop():
    os.kill(os.getpid(), signal.SIGINT)
for number in (signal.SIGINT, signal.SIGTERM):
    os.kill(os.getpid(), number)
print("ends as after the first")
"""
DEAF = """
import os, signal
from pathlib import Path
from zmqgossip.cli.long_run import terminable
ends = 1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1
def is_deaf(task):
    blocked = task.joinpath("status").read_text().partition("SigBlk:")[2].split()[0]
    return int(blocked, 16) & ends == ends
with terminable():
    tasks = sorted(Path("/proc/self/task").iterdir(), key=lambda task: task.name != str(os.getpid()))
    print([is_deaf(task) for task in tasks])
"""
LATER_ENDS = """
import os, signal, threading, time
from zmqgossip.cli.running import Stop
def found():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGURG)]  # which may be inherited as ignored
    return handlers, len(os.listdir("/dev/fd")), signal.pthread_sigmask(signal.SIG_BLOCK, [])
before, threads = found(), threading.active_count()
with Stop(5):
    pass
while threading.active_count() > threads:
    time.sleep(0.01)
print(found() == before, signal.set_wakeup_fd(-1))
"""
LATER_ENDS_A_RUN = LATER_ENDS.replace("running import Stop", "long_run import terminable").replace("Stop(5)", "terminable()")


WAIT_S = 10.0


def child(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.processes
@pytest.mark.parametrize(
    "waiting", ["waits_in_stop(signal.SIGINT)", "waits_in_terminable(signal.SIGINT)", "waits_in_terminable(signal.SIGTERM)"]
)
def test_a_signal_that_the_waiting_main_thread_did_not_get_is_heard_all_the_same(waiting: str) -> None:
    assert child(f"import signal\nfrom {__name__} import *\nprint({waiting})").stdout == "True\n"


def waits_in_stop(number: signal.Signals) -> bool:
    """Whether a wait that only the handler ends does end."""
    happened: queue.SimpleQueue[bool] = queue.SimpleQueue()
    with Stop(0, 2 * WAIT_S) as stop:
        stop.wake = lambda: happened.put(True)
        return waits(number, happened)


def waits_in_terminable(number: signal.Signals) -> bool:
    """Whether a wait is interrupted, long before its end."""
    began = time.monotonic()
    try:
        with terminable():
            waits(number, queue.SimpleQueue())
    except KeyboardInterrupt:
        return time.monotonic() - began < WAIT_S / 2
    return False


def waits(number: signal.Signals, happened: queue.SimpleQueue[bool]) -> bool:
    """Whether something happened while another thread got the signal."""
    begun = threading.Event()

    def get() -> None:
        begun.wait(10)
        signal.pthread_kill(threading.get_ident(), number)

    threading.Thread(target=get, daemon=True).start()
    begun.set()
    try:
        return happened.get(timeout=WAIT_S)
    except queue.Empty:
        return False


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_signal_goes_to_the_main_thread_and_to_none_of_ours() -> None:
    assert child(DEAF).stdout == "[False, True]\n"


@pytest.mark.processes
@pytest.mark.parametrize(("program", "least_s"), [(HANGS, 0.9), (HANGS_BEFORE_IT_WATCHES, 0.9), (HANGS_FOR_LONGER, 1.4)])
def test_a_process_that_hangs_after_a_signal_is_ended_within_a_second_or_what_it_needs_with_its_code(program: str, least_s: float) -> None:
    ended = child(program)
    assert ended.returncode == 5 and least_s <= time.monotonic() - float(ended.stdout) < 3


@pytest.mark.processes
def test_a_second_signal_does_not_make_a_failure_of_the_end() -> None:
    ended = child(SIGNALLED_TWICE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ends as after the first\n", "")


@pytest.mark.processes
@pytest.mark.parametrize("program", [LATER_ENDS, LATER_ENDS_A_RUN])
def test_afterwards_handlers_are_as_before_and_no_thread_or_descriptor_is_left(program: str) -> None:
    assert child(program).stdout == "True -1\n"


def test_a_seed_that_is_stopped_writes_what_had_happened_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seeds:
        """Two things have happened; then the signal came, and a third thing."""

        items: ClassVar[list[Item | None]] = [Item(1.0, NoSeed(())), Item(2.0, NoSeed(())), None, Item(3.0, NoSeed(()))]

        def take(self, timeout_s: float | None = None) -> Item | None:
            return self.items.pop(0)

        def counters(self) -> dict[Endpoint, dict[str, int]]:
            return {Endpoint("127.0.0.1", 1): {}}

    written: list[str] = []
    monkeypatch.setattr(report, "write", written.append)
    stop = Stop()
    stop.asked = True
    seed._run(Seeds(), stop)  # type: ignore[arg-type]
    assert [line[:20] for line in written] == ["1970-01-01T00:00:01.", "1970-01-01T00:00:02.", "seed 127.0.0.1:1 sum"]
