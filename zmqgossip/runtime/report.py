"""Events and deliveries as lines for people, through loguru: on the console and in `output_*.txt`.

A received message is one line in the form of its code, `<1133> <port> <timestamp> <msg_count> from BROUGHT origin MADE`; a line of
this form is written for what was received, and once for each message of one's own. Every other line begins with the time.
Text that came from a remote is escaped, so that nobody can move the reader's cursor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from loguru import logger

from zmqgossip.core import events
from zmqgossip.core.codes import Code
from zmqgossip.core.errors import CannotWrite
from zmqgossip.core.types import Endpoint
from zmqgossip.runtime.outlet import Delivery, Item
from zmqgossip.runtime.words import printable, words

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
        where = f"seed {item.where} " if item.where is not None else ""
        yield f"{stamp(item.at)} {where}{words(what)}"


def _delivery_lines(delivery: Delivery, me: Endpoint | None) -> Iterator[str]:
    body = delivery.messages
    code = Code.PROPAGATED if delivery.hops else Code.GOSSIP
    brought = delivery.brought if delivery.brought is not None else me
    for number, (topic, payload, sent_at) in enumerate(body.rows(), delivery.first):
        yield f"<{code}> <{body.port}> <{seconds(sent_at)}> <{number}> from {brought} origin {delivery.origin}"
        if topic != PLAIN_TOPIC:
            text = payload.decode("utf-8", errors="replace")
            yield f"{stamp(sent_at)} {printable(topic)} {delivery.origin}: {printable(text)}"


def summary(counters: dict[str, int]) -> str:
    """The line at the end: every counter that is not zero."""
    return "summary " + (" ".join(f"{name}={count}" for name, count in sorted(counters.items())) or "nothing happened")


def neighbours_line(at: float, neighbours: list[Endpoint]) -> str:
    """The list of neighbours, links up both ways."""
    return f"{stamp(at)} neighbours {len(neighbours)}: {' '.join(map(str, neighbours)) or 'none'}"
