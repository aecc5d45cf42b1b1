"""What tests of processes and sockets share: start and end processes by their id, follow their files, wait with a deadline."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tests.nursery import Child, Nursery
from zmqgossip.cli.demo_ports import OWN_PORTS

T = TypeVar("T")
LONG_S = 60.0
"""For what is only a matter of time: a machine may be busy with much else."""
LINE = re.compile(
    r"^<(?P<code>1133|1155)> <(?P<port>\d+)> <(?P<timestamp>\d+\.\d{6})> <(?P<count>\d+)> from (?P<brought>\S+) origin (?P<origin>\S+)$"
)
READY = re.compile(r"^(?P<at>\S+) ready, \d+ links? up$", re.MULTILINE)
NEIGHBOURS = re.compile(r"^\S+ neighbours \d+: (?P<list>.*)$", re.MULTILINE)


def wait_for(condition: Callable[[], T], timeout_s: float = LONG_S, what: str = "") -> T:
    """What `condition` returns once it is true; AssertionError when it is not within `timeout_s`."""
    until = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {timeout_s} s: {what or condition}"
        time.sleep(0.02)
    return value


def free_ports(count: int) -> list[int]:
    """Ports that nobody holds now, and that no other process is given when it asks for any free one.

    Whoever binds port 0 or connects gets a port from 32768 up; a port from there could be taken before the seed that it is
    meant for has started. For the same reason each worker of the suite has ports of its own to choose from, and the demo others.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000 + worker, OWN_PORTS.start, workers)
        with socket.socket() as one:
            if port not in ports and one.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
    return ports


@cache
def session_nursery() -> Nursery:
    """The nursery of this session, which the first call starts and conftest.py ends."""
    return Nursery()


class Process:
    """A command of zmqgossip, its output in files.

    It comes from a nursery, unless it shall be `anew`, an interpreter of its own: for tests of the start itself, and for those that
    need something special of it, the `options` of a Popen.
    """

    def __init__(
        self, directory: Path, name: str, arguments: Sequence[str], *, nursery: Nursery | None = None, anew: bool = False, **options: Any
    ) -> None:
        self.name = name
        self.stdout = directory / f"{name}.stdout"
        self.stderr = directory / f"{name}.stderr"
        self.popen: subprocess.Popen[bytes] | Child
        if not anew and not options:
            self.popen = (nursery or session_nursery()).start(arguments, directory, self.stdout, self.stderr)
            return
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            command = [sys.executable, "-m", "zmqgossip", *arguments]
            self.popen = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **options)

    def send(self, number: int) -> None:
        os.kill(self.popen.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.popen.wait(5)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Ends it by a signal: exit code, and the seconds that it took."""
        began = time.monotonic()
        self.send(number)
        code = self.popen.wait(10)
        return code, time.monotonic() - began

    @property
    def running(self) -> bool:
        return self.popen.poll() is None


class PeerProcess(Process):
    """A peer, and what it wrote to its output file."""

    def __init__(self, directory: Path, name: str, *arguments: str, port: int = 0, **options: Any) -> None:
        super().__init__(directory, name, ["peer", "--port", str(port), *arguments], **options)
        self._directory = directory
        self._port = port

    @property
    def port(self) -> int:
        if not self._port:
            banner = wait_for(lambda: re.search(r"peer 127\.0\.0\.1:(\d+) ", self.stderr.read_text()), what=f"banner of {self.name}")
            self._port = int(banner[1])
        return self._port

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self._directory / f"output_{self.port}.txt"

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    @property
    def is_ready(self) -> bool:
        return READY.search(self.text()) is not None

    def neighbours(self) -> list[str]:
        """The last list of neighbours that it wrote."""
        found = NEIGHBOURS.findall(self.text())
        return [] if not found or found[-1] == "none" else found[-1].split()

    def messages(self) -> list[tuple[str, int]]:
        """(origin, msg_count) of every message line that others made, in order."""
        lines = (LINE.match(line) for line in self.text().splitlines())
        return [(found["origin"], int(found["count"])) for found in lines if found and found["origin"] != self.endpoint]


class Network:
    """Processes of one test in one directory. Use as a context manager: whatever is left at its end is killed by its id."""

    def __init__(self, directory: Path, seeds: int = 4, profile: str = "lan", cluster: str = "test") -> None:
        self.directory = directory
        self.profile = profile
        self.nursery = session_nursery()
        self.seed_ports = free_ports(seeds)
        self.processes: list[Process] = []
        listed = [{"host": "127.0.0.1", "port": port} for port in self.seed_ports]
        (directory / "config.json").write_text(json.dumps({"cluster": cluster, "seeds": listed}))

    def __enter__(self) -> Network:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.show()
        for process in self.processes:
            if process.running:
                process.send(signal.SIGKILL)
        for process in self.processes:
            process.popen.wait(10)

    def show(self) -> None:
        """What each process did and said last, for the report of a failed test."""
        for process in self.processes:
            said = [*process.stdout.read_text().splitlines()[-8:], *process.stderr.read_text().splitlines()[-8:]]
            print(f"-- {process.name}, exit code {process.popen.poll()}:", *said, sep="\n   ")  # noqa: T201

    def add(self, process: T) -> T:
        self.processes.append(process)  # type: ignore[arg-type]
        return process

    def start(self, *arguments: str, **options: Any) -> Process:
        """Any command."""
        name = f"{arguments[0]}{len(self.processes)}"
        return self.add(Process(self.directory, name, arguments, nursery=self.nursery, **options))

    def start_seed(self, *arguments: str, **options: Any) -> Process:
        """All seeds in one process, or one with `--only`."""
        return self.start("seed", "--profile", self.profile, *arguments, **options)

    def start_seeds_apart(self) -> list[Process]:
        """Each seed in a process and a directory of its own, so that one can be ended alone."""
        started = []
        for port in self.seed_ports:
            log_dir = self.directory / f"seed_{port}"
            log_dir.mkdir(exist_ok=True)
            started.append(self.start_seed("--only", f"127.0.0.1:{port}", "--log-dir", str(log_dir)))
        return started

    def start_peer(self, *arguments: str, **options: Any) -> PeerProcess:
        name = f"peer{len(self.processes)}"
        return self.add(PeerProcess(self.directory, name, "--profile", self.profile, *arguments, nursery=self.nursery, **options))

    def command(self, *arguments: str, timeout_s: float = 20.0, anew: bool = False) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        process = self.start(*arguments, anew=anew)
        code = process.popen.wait(timeout_s)
        return subprocess.CompletedProcess(arguments, code, process.stdout.read_text(), process.stderr.read_text())

    def listed(self, seeds: Sequence[int] | None = None, states: Sequence[str] = ("alive", "suspect")) -> list[list[str]]:
        """What each seed lists now, as sorted endpoints; an empty list for a seed that does not answer."""
        from zmqgossip.core.types import Endpoint
        from zmqgossip.runtime.query import ask_seeds

        endpoints = [Endpoint("127.0.0.1", port) for port in (self.seed_ports if seeds is None else seeds)]
        answers = ask_seeds(endpoints, "test", tombstones=False, timeout_s=2.0)
        return [
            sorted(str(member.record.endpoint) for member in answer.members if member.state.name.lower() in states) for answer in answers
        ]

    def union(self, seeds: Sequence[int] | None = None) -> list[str]:
        return sorted({endpoint for seed in self.listed(seeds) for endpoint in seed})


def wait_until_ready(peers: Sequence[PeerProcess], timeout_s: float = 30.0) -> None:
    for peer in peers:
        wait_for(lambda peer=peer: peer.is_ready, timeout_s, f"{peer.name} ready")  # type: ignore[misc]
