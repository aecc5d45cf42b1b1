"""The processes of a run and their end."""

from __future__ import annotations

import signal

import pytest

from zmqgossip.bench.crew import Crew


@pytest.mark.processes
def test_who_is_cut_off_in_the_middle_of_a_command_ends_all_processes_without_another_error() -> None:
    with Crew(2) as crew:
        children = [crew.add("zmqgossip.bench.systems.raw:Raw", {"publishes": False}) for _ in range(2)]
        for child in children:
            assert child._process.stdin is not None
            child._process.stdin.write(b"half a command")  # and never flushed
    assert [child.returncode for child in children] == [-signal.SIGKILL] * 2
