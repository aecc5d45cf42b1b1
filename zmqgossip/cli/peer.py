"""`zmqgossip peer`: one peer that publishes its messages, shows what it receives, and stays until it is stopped."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from zmqgossip.cli.options import (
    AnnounceOption,
    ConfigOption,
    HostOption,
    LogDirOption,
    PortOption,
    ProfileOption,
    QuietOption,
    port as parse_port,
    seconds,
)

if TYPE_CHECKING:
    from zmqgossip.cli.running import Stop
    from zmqgossip.core.types import Endpoint, PeerId
    from zmqgossip.runtime.node import PeerNode
    from zmqgossip.runtime.outlet import Item
    from zmqgossip.settings import Settings

NEIGHBOURS_EVERY_S = 13.0
CHAT_TOPIC = "chat"


def peer(
    port: PortOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    host: HostOption = None,
    announce: AnnounceOption = None,
    publish_port: Annotated[
        int | None,
        typer.Option("--publish-port", parser=parse_port, metavar="PORT", help="Port to publish on. [default: any]", show_default=False),
    ] = None,
    messages: Annotated[int, typer.Option("--messages", min=0, help="How many messages to publish.")] = 10,
    every: Annotated[float, typer.Option("--every", parser=seconds(0), metavar="SECONDS", help="From one of them to the next.")] = 5.0,
    after: Annotated[int, typer.Option("--after", min=0, help="Publish when so many other peers are known to be ready.")] = 1,
    log_dir: LogDirOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run a peer: join through the seeds, link with 4 neighbours, gossip. What is typed is published. Ctrl-C leaves."""
    from zmqgossip.cli.joining import announced_address
    from zmqgossip.cli.running import Stop
    from zmqgossip.runtime import report
    from zmqgossip.settings import load, resolve_host

    if port is None:
        port = _ask_port()
    settings = load(config, profile=profile, host=host, log_dir=log_dir)
    bound_host = resolve_host(settings.host)
    announced = announced_address(bound_host, announce)
    with Stop() as stop:
        node = _bind(settings, bound_host, port, publish_port or 0, announced)
        try:
            log = settings.log_dir / f"output_{node.me.port}.txt"
            report.open_log(None if quiet else sys.stdout, log)
            _banner(settings, node, bound_host, str(log), quiet)
            _Run(node, messages, every, after).run(stop)
        finally:
            node.close()


def _bind(settings: Settings, host: str, port: int, publish_port: int, announced: str) -> PeerNode:
    from zmqgossip.runtime.node import PeerNode, Place
    from zmqgossip.settings import resolve

    place = Place(host=host, port=port, publish_port=publish_port, announce=announced)
    return PeerNode(resolve(settings.seeds), settings.cluster, place, config=settings.protocol)


def _ask_port() -> int:
    from zmqgossip.cli.errors import Misuse

    if not _has_terminal():
        raise Misuse("--port is missing; give one from 1 to 65535, or 0 for any free one")
    answer: int = typer.prompt("port", value_proc=parse_port, err=True)
    return answer


def _has_terminal() -> bool:
    """Whether somebody types here. Standard input may be closed altogether."""
    return sys.stdin is not None and sys.stdin.isatty()


def _banner(settings: Settings, node: PeerNode, host: str, log: str, quiet: bool) -> None:
    from zmqgossip.cli.running import say, say_how_safe

    me = node.me
    say(f"zmqgossip peer {me.endpoint} (id {me.id.hex()[:8]}), publishing on port {me.publish}; log {log}", quiet)
    say(f"cluster {settings.cluster!r}, profile {settings.profile}, {len(settings.seeds)} seeds", quiet)
    say_how_safe([host], quiet)
    say("next: zmqgossip peers", quiet)


def _read_terminal() -> bytes:
    """What was typed; nothing when the terminal is gone or this is a background job, which both end the reading."""
    try:
        return os.read(sys.stdin.fileno(), 4096)
    except OSError:
        return b""


class _Run:
    """The life of the command between the banner and the end."""

    def __init__(self, node: PeerNode, messages: int, every_s: float, after: int) -> None:
        self._node = node
        self._left_to_send = messages
        self._every_s = every_s
        self._after = after
        self._next_message: float | None = None
        self._next_list = time.monotonic() + NEIGHBOURS_EVERY_S
        self._neighbours: dict[PeerId, Endpoint] = {}
        self._typed: list[str] = []
        self._gone = False
        self._ends_at = math.inf

    def run(self, stop: Stop) -> None:
        from zmqgossip.core.errors import NodeClosed
        from zmqgossip.runtime import report

        self._node.start(ready_wanted=self._after)
        if _has_terminal():
            signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # in the background, reading is an error then and not a halt
            threading.Thread(target=self._read_typed, daemon=True).start()
        stop.wake = self._end  # at once: this thread may hang in writing to a pipe, or wait until it may publish
        with suppress(NodeClosed):  # it leaves while this thread publishes; or its loop has failed: `_leave` raises that
            while not stop.asked:
                self._show(self._node.take(self._sleep_s()))
                self._act()
        self._leave()
        report.write(report.summary(self._node.counters()))

    def _sleep_s(self) -> float:
        """Until the next message or list is due; readiness and typed lines wake by themselves."""
        due = self._next_list
        if self._left_to_send and self._next_message is not None:
            due = min(due, self._next_message)
        return max(0.0, due - time.monotonic())

    def _show(self, item: Item | None) -> None:
        from zmqgossip.core import events
        from zmqgossip.core.errors import ConfigError
        from zmqgossip.runtime import report

        if item is None:
            return
        for line in report.lines(item, self._node.me.endpoint):
            if self._is_over:
                return
            report.write(line)
        match item.what:
            case events.NeighbourUp(peer=neighbour):
                self._neighbours[neighbour.id] = neighbour.endpoint
                self._list(item.at)
            case events.NeighbourDown(peer=neighbour):
                self._neighbours.pop(neighbour.id, None)
                self._list(item.at)
            case events.Left():
                self._gone = True
            case events.WrongCluster(seed=seed, fatal=True):
                raise ConfigError(f"every seed that answers ({seed}) belongs to another cluster; check `cluster` and `seeds`")

    @property
    def _is_over(self) -> bool:
        """It says goodbye, and there is no time for more than the summary."""
        return time.monotonic() >= self._ends_at

    def _list(self, at: float) -> None:
        from zmqgossip.runtime import report

        report.write(report.neighbours_line(at, list(self._neighbours.values())))

    def _act(self) -> None:
        """Publishes what is due, and what was typed; lists the neighbours."""
        from zmqgossip.runtime.report import PLAIN_TOPIC

        now = time.monotonic()
        if self._next_message is None and self._node.ready_count >= self._after and (self._node.me.ready or self._after == 0):
            self._next_message = now
        if self._left_to_send and self._next_message is not None and self._next_message <= now:
            self._left_to_send -= 1
            self._next_message = max(now, self._next_message + self._every_s)
            self._node.publish(PLAIN_TOPIC, b"")
        while self._typed:
            self._publish_typed(self._typed.pop(0))
        if self._next_list <= now:
            self._next_list = now + NEIGHBOURS_EVERY_S
            self._list(time.time())

    def _publish_typed(self, line: str) -> None:
        from zmqgossip.cli.running import say
        from zmqgossip.core.errors import PayloadTooLarge

        try:
            self._node.publish(CHAT_TOPIC, line.encode())
        except PayloadTooLarge as error:
            say(f"not published: {error}")

    def _read_typed(self) -> None:
        """Reads the descriptor itself: a thread that waits inside sys.stdin holds its lock, and Python aborts at the end over that."""
        rest = b""
        while chunk := _read_terminal():
            *lines, rest = (rest + chunk).split(b"\n")
            self._typed += [line.decode(errors="replace") for line in lines if line.strip()]
            self._node.wake()

    def _end(self) -> None:
        """Begins to say goodbye and wakes who waits for the next item. A signal handler calls it: it waits for nothing."""
        from zmqgossip.cli.running import GOODBYE_S
        from zmqgossip.core.errors import NodeClosed

        self._ends_at = min(self._ends_at, time.monotonic() + GOODBYE_S)
        with suppress(NodeClosed):  # a second signal, right at the end
            self._node.leave()
        self._node.wake()

    def _leave(self) -> None:
        """Says goodbye and shows what still comes in until that is done."""
        self._end()
        while not self._gone and not self._is_over:
            self._show(self._node.take(max(0.0, self._ends_at - time.monotonic())))
