"""The processes of the demo: one for the four seeds and one for each peer, their files, and their certain end.

The intuition: each node is what a person would start in a terminal, `zmqgossip seed` or `zmqgossip peer --port PORT`, and all that
the demo knows of it stands in the files that it writes. Processes are ended by their process ids, politely first. Whatever
happens in between, none is left behind: leaving the context ends them all, and on Linux the kernel does it if the demo itself is
killed.

Left to others: how a process begins (`demo_process.py`), that the ports are the demo's (`demo_ports.py`), what the lines mean
(`demo_account.py`), and what happens when (`demo_story.py`).
"""

from __future__ import annotations

import json
import re
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from zmqgossip.cli.demo_account import Life, SeedLog, port_of
from zmqgossip.cli.demo_ports import HOST, hold_ports
from zmqgossip.cli.demo_process import Child
from zmqgossip.core.errors import ZmqGossipError

CLUSTER = "demo"
SEEDS = 4
GRACE_S = 2.0  # a peer leaves within a second; two on a busy machine
HURRIED_GRACE_S = 0.3  # after Ctrl-C all is usually over within a second
REAP_S = 0.02

_BANNER = re.compile(r"zmqgossip peer (\S+) \(id ")
_LISTENING = re.compile(r"listening on ")


class DemoFailed(ZmqGossipError):
    """The demo has not shown what it is there to show."""


class NodeEnded(DemoFailed):
    """A process of the demo has ended by itself, which none should."""


class Tail:
    """The lines of a file that grows and may not exist yet, from the byte `start` on."""

    def __init__(self, path: Path, files: ExitStack, start: int = 0) -> None:
        self._path = path
        self._files = files
        self._file: IO[bytes] | None = None
        self._start = start
        self._rest = b""

    def lines(self) -> Iterator[str]:
        """What is new since the last call; the beginning of a line waits for its end."""
        if self._file is None:
            try:
                self._file = self._files.enter_context(self._path.open("rb"))
            except FileNotFoundError:
                return
            self._file.seek(self._start)
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")


@dataclass(slots=True, eq=False)
class Node:
    """A process. `talk` is its stderr; `told` that its end is the demo's doing."""

    name: str
    process: Child
    talk: Path
    told: bool = False

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Tells it to end."""
        self.told = True
        self.process.send_signal(number)

    def said(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.search(self.talk.read_text(encoding="utf-8", errors="replace"))


@dataclass(slots=True, eq=False)
class PeerNode(Node):
    """A peer's process and, once its port is known, what it writes. `messages`: how many it is to make."""

    messages: int = 0
    life: Life | None = None
    tail: Tail | None = None

    @property
    def endpoint(self) -> str:
        """Empty until its port is known."""
        return self.life.endpoint if self.life is not None else ""

    @property
    def ready(self) -> bool:
        return self.life is not None and self.life.ready_us is not None

    @property
    def published(self) -> bool:
        """Has it made all its messages?"""
        return self.life is not None and len(self.life.own) >= self.messages


class Network:
    """A context that holds the processes; its end is theirs. All files are in `directory`, which stays.

    `returning_port` is for the peer that is to be killed and to come back: nobody who asks for any port gets it meanwhile.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zmqgossip-demo-"))
        self.seed_log = SeedLog()
        self.peers: list[PeerNode] = []  # in the order of their start, the dead ones too
        self._seeds: Node | None = None
        self._files = ExitStack()
        *self.seed_ports, self.returning_port = hold_ports(SEEDS + 1, self._files)
        self._seed_tail = Tail(self.directory / "output_seed.txt", self._files)
        self._config = self.directory / "config.json"
        seeds = [{"host": HOST, "port": port} for port in self.seed_ports]
        self._config.write_text(json.dumps({"cluster": CLUSTER, "seeds": seeds}, indent=2) + "\n", encoding="utf-8")

    def __enter__(self) -> Network:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(HURRIED_GRACE_S)
        self._files.close()

    # -- starting ---------------------------------------------------------------------------------------------------------

    def start_seeds(self) -> None:
        """Starts the process of all four seeds."""
        self._seeds = Node("seeds", *self._spawn("seeds", ["seed"]))

    def start_peer(self, messages: int, every_s: float, after: int, port: int = 0) -> PeerNode:
        """Starts one more peer; `port` 0 takes any free one."""
        name = f"peer_{len(self.peers) + 1}"
        flags = ["--port", str(port), "--messages", str(messages), "--every", f"{every_s:.3f}", "--after", str(after)]
        log = self._log(f"{HOST}:{port}")
        former = log.stat().st_size if log.exists() else 0  # what the former life has written, perhaps with half a line at its end
        node = PeerNode(name, *self._spawn(name, ["peer", *flags]), messages=messages)
        self.peers.append(node)
        if port:
            self._open(node, f"{HOST}:{port}", former)
        return node

    def _spawn(self, name: str, arguments: list[str]) -> tuple[Child, Path]:
        talk = self.directory / f"console_{name}.txt"
        own = ["--config", str(self._config), "--log-dir", str(self.directory), "--profile", "lan"]
        return Child([*arguments, *own], talk), talk

    # -- watching ---------------------------------------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        """Have the seeds bound their ports?"""
        return self._seeds is not None and self._seeds.said(_LISTENING) is not None

    def read(self) -> None:
        """Takes in everything that the processes have written. Raises NodeEnded."""
        for line in self._seed_tail.lines():
            self.seed_log.read(line)
        for node in self.peers:
            if node.life is None and (banner := node.said(_BANNER)) is not None:
                self._open(node, banner[1])
            if node.life is not None and node.tail is not None:
                for line in node.tail.lines():
                    node.life.read(line)
        for one in self._nodes():
            if not one.told and not one.alive:
                last = one.talk.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
                raise NodeEnded(f"{one.name} ended by itself with code {one.process.returncode} ({last}); see {self.directory}")

    def _open(self, node: PeerNode, endpoint: str, start: int = 0) -> None:
        node.life = Life(endpoint)
        node.tail = Tail(self._log(endpoint), self._files, start)

    def _log(self, endpoint: str) -> Path:
        return self.directory / f"output_{port_of(endpoint)}.txt"

    @property
    def lives(self) -> list[Life]:
        """Of all peers, those that have ended too."""
        return [node.life for node in self.peers if node.life is not None]

    @property
    def living(self) -> list[PeerNode]:
        """The peers that run and were not told to end."""
        return [node for node in self.peers if not node.told and node.alive]

    # -- ending -----------------------------------------------------------------------------------------------------------

    def kill(self, node: PeerNode) -> None:
        """kill -9: without a word. Returns when the process is gone and everything that it wrote is read."""
        node.signal(signal.SIGKILL)
        node.process.wait()
        self.read()
        node.tail = None  # what follows in its file is another life's

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Ends all processes: the peers first, while there are seeds to say goodbye to. What is left after the grace is killed.

        The seeds get a third of it, since they owe nobody a goodbye.
        """
        peers: list[Node] = [node for node in self.peers if node.alive]
        self._end(peers, grace_s)
        self._end([one for one in self._nodes() if one.alive], grace_s / 3)
        left = [one for one in self._nodes() if one.alive]
        for one in left:
            one.signal(signal.SIGKILL)
        for one in left:
            one.process.wait()

    def _end(self, nodes: Iterable[Node], grace_s: float) -> None:
        nodes = list(nodes)
        for one in nodes:
            one.signal(signal.SIGTERM)
        until = time.monotonic() + grace_s
        while time.monotonic() < until and any(one.alive for one in nodes):
            time.sleep(REAP_S)

    def _nodes(self) -> list[Node]:
        return [*([self._seeds] if self._seeds is not None else []), *self.peers]
