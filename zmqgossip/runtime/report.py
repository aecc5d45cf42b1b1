"""Events and deliveries as lines for people, through loguru: on the console and in `output_*.txt`.

A received message is one line in the form of its code, `<1133> <port> <timestamp> <msg_count> from BROUGHT origin MADE`; a line of
this form is written for what was received, and once for each message of one's own. Every other line begins with the time.
Text that came from a remote is escaped, so that nobody can move the reader's cursor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from loguru import logger

from zmqgossip.core import events
from zmqgossip.core.errors import CannotWrite
from zmqgossip.core.messages import Code
from zmqgossip.core.types import Endpoint, PeerState
from zmqgossip.runtime.outlet import Delivery, Item

PLAIN_TOPIC = "gossip"
"""The topic of the base protocol's own messages: their line says everything, so their body is not shown."""


def open_log(console: TextIO | None, file: Path | None) -> None:
    """Sends lines to `console` and appends them to `file`, each flushed at once. Raises CannotWrite."""
    logger.remove()
    if console is not None:
        logger.add(_Sink(console, "the console"), format="{message}", level="INFO", catch=False)
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            stream = file.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise CannotWrite(str(file), error.strerror or str(error)) from None
        logger.add(_Sink(stream, str(file)), format="{message}", level="INFO", catch=False)


class _Sink:
    """Where lines go, until it cannot be written any more: then one line on stderr, and the node goes on without it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream: TextIO | None = stream
        self._name = name

    def __call__(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            self._stream = None
            with suppress(OSError):
                sys.stderr.write(f"zmqgossip: cannot write to {self._name} any more: {error.strerror}; going on without\n")


def write(line: str) -> None:
    """One line. Loguru adds nothing to it."""
    logger.opt(raw=False).info("{}", line)


def stamp(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC, with microseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(timestamp: float) -> str:
    """A timestamp as the base protocol shows it."""
    return f"{timestamp:.6f}"


def lines(item: Item, me: Endpoint | None = None) -> Iterator[str]:
    """What is written for one item; `me` is the peer that it happened to."""
    what = item.what
    if isinstance(what, Delivery):
        yield from _delivery_lines(what, me)
    elif isinstance(what, events.ProbeReceived):
        yield f"<{Code.PROBE}> <{seconds(what.timestamp)}> <{what.port}> from {what.sender} origin {what.sender}"
    elif isinstance(what, events.ReplyReceived):
        ports = f"<{what.sender_port}> <{what.own_port}>"
        yield f"<{Code.REPLY}> <{seconds(what.timestamp)}> {ports} from {what.sender} origin {what.sender}"
    else:
        words = _WORDS[type(what)](what)
        where = f"seed {item.where} " if item.where is not None else ""
        yield f"{stamp(item.at)} {where}{printable(words)}"


def _delivery_lines(delivery: Delivery, me: Endpoint | None) -> Iterator[str]:
    body = delivery.messages
    code = Code.PROPAGATED if delivery.hops else Code.GOSSIP
    brought = delivery.brought if delivery.brought is not None else me
    for place, message in enumerate(body.messages):
        fields = f"<{code}> <{body.port}> <{seconds(message.sent_at)}> <{body.first + place}>"
        yield f"{fields} from {brought} origin {delivery.origin}"
        if message.topic != PLAIN_TOPIC:
            text = message.payload.decode("utf-8", errors="replace")
            yield f"{stamp(message.sent_at)} {printable(message.topic)} {delivery.origin}: {printable(text)}"


def printable(text: str) -> str:
    """`text` with everything that a terminal would act on written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def counted(number: int, noun: str) -> str:
    """`1 link`, `2 links`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _accepted(event: events.SeedAccepted) -> str:
    return f"listed by seed {event.seed}, {counted(event.total, 'peer')} there"


def _no_seed(event: events.NoSeed) -> str:
    return f"no seed reachable ({', '.join(map(str, event.seeds))}); going on without and trying again for ever"


def _wrong_cluster(event: events.WrongCluster) -> str:
    return f"seed {event.seed} belongs to another cluster; check `cluster` and `seeds` in the configuration"


def _reported(event: events.NeighbourReported) -> str:
    return f"reported {event.peer} dead to all seeds ({event.evidence.name.lower()}, {event.misses} misses)"


def _verdict(event: events.VerdictHeard) -> str:
    held = "it lives, the link was at fault" if event.state is PeerState.ALIVE else event.state.name.lower()
    return f"verdict of seed {event.seed} on {event.peer}: {held}"


def _dead_report(event: events.DeadReportReceived) -> str:
    return f"dead report of {event.peer} by {event.reporter} ({event.evidence.name.lower()}, {event.misses} misses)"


def _not_listed(event: events.PeerNotListed) -> str:
    return f"registration of {event.peer} refused ({event.why.name.lower()}): {event.text}"


def _refused(event: events.RegistrationRefused) -> str:
    return f"seed {event.seed} does not list this peer ({event.why.name.lower()}, {event.address}): {event.text}"


def _version(event: events.VersionRefused) -> str:
    return f"{event.remote} speaks protocol {event.theirs}, this node {event.ours}: refused; upgrade the older one"


def _frame_refused(event: events.FrameRefused) -> str:
    detail = f" ({printable(event.detail)})" if event.detail else ""
    return f"refused a frame of {event.remote}: {event.reason}{detail}; from now on only counted, as refused.{event.reason}"


def _limited(event: events.RemoteLimited) -> str:
    if event.what == "lines":
        return f"{event.remote} causes more lines than are written of one; from now on only counted, as limited.lines"
    return f"{event.remote} sends more {event.what} than are taken of one; from now on only counted, as limited.{event.what}"


_WORDS: dict[type[events.Event], Callable[[Any], str]] = {
    events.PeerJoined: lambda event: f"joined {event.peer}",
    events.PeerReady: lambda event: f"peer ready {event.peer}",
    events.PeerSuspected: lambda event: f"suspect {event.peer}",
    events.PeerAlive: lambda event: f"alive after all {event.peer}",
    events.PeerDead: lambda event: f"dead {event.peer}",
    events.PeerLeft: lambda event: f"left {event.peer}",
    events.SeedAccepted: _accepted,
    events.SeedLost: lambda event: f"lost seed {event.seed}: {event.why}",
    events.NoSeed: _no_seed,
    events.WrongCluster: _wrong_cluster,
    events.VersionRefused: _version,
    events.FrameRefused: _frame_refused,
    events.RemoteLimited: _limited,
    events.RegistrationRefused: _refused,
    events.NeighbourUp: lambda event: f"link up {event.peer} ({'dialled' if event.dialled else 'accepted'})",
    events.NeighbourDown: lambda event: f"link down {event.peer}: {event.why}",
    events.ProbeMissed: lambda event: f"no reply from {event.peer}, miss {event.misses} of {event.misses_max}",
    events.NeighbourReported: _reported,
    events.VerdictHeard: _verdict,
    events.Refuted: lambda event: f"this peer was called dead; it lives, revision {event.revision}",
    events.Ready: lambda event: f"ready, {counted(event.links, 'link')} up",
    events.Left: lambda event: f"left the network: {event.heard} of {event.told} neighbours and seeds confirmed it",
    events.Connected: lambda event: f"connection from {event.address}",
    events.RegistrationReceived: lambda event: f"registration of {event.peer} from {event.address}",
    events.PeerListed: lambda event: f"listed {event.peer}, {counted(event.total, 'peer')}",
    events.PeerNotListed: _not_listed,
    events.DeadReportReceived: _dead_report,
    events.PeerCleared: lambda event: f"cleared {event.peer}: {event.answered} of {event.asked} probes answered",
    events.PeerHeld: lambda event: f"held {event.peer} suspect: {event.unreachable} unreachable at once, waiting for its lease",
    events.PeerRemoved: lambda event: f"removed {event.peer}: {event.why}, {counted(event.total, 'peer')}",
    events.LeaveReceived: lambda event: f"leave of {event.peer}, {counted(event.total, 'peer')}",
}


def summary(counters: dict[str, int]) -> str:
    """The line at the end: every counter that is not zero."""
    return "summary " + (" ".join(f"{name}={count}" for name, count in sorted(counters.items())) or "nothing happened")


def neighbours_line(at: float, neighbours: list[Endpoint]) -> str:
    """The list of neighbours, links up both ways."""
    return f"{stamp(at)} neighbours {len(neighbours)}: {' '.join(map(str, neighbours)) or 'none'}"
