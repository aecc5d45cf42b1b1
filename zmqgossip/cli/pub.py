"""`zmqgossip pub`: joins for a moment and publishes what it is given."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from zmqgossip.cli.joining import SLICE_S
from zmqgossip.cli.options import AnnounceOption, ConfigOption, HostOption, JsonOption, ProfileOption, QuietOption, seconds

if TYPE_CHECKING:
    from zmqgossip.cli.running import Stop
    from zmqgossip.handle.peer import Peer

CHUNK_BYTES = 65_536
FLUSH_S = 2.0
"""To hear that everybody has it: milliseconds, unless somebody is slow."""


def pub(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Dot-separated tokens, as prices.btc.", show_default=False)],
    body: Annotated[
        str | None, typer.Argument(metavar="BODY", help="The message. [default: each line of standard input]", show_default=False)
    ] = None,
    wait: Annotated[float, typer.Option("--wait", parser=seconds(0.1), metavar="SECONDS", help="How long to wait for other peers.")] = 10.0,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    host: HostOption = None,
    announce: AnnounceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Join, publish one message or each line of standard input, and leave. Ctrl-C cuts it short."""
    from zmqgossip.cli.errors import ExitCode, Misuse
    from zmqgossip.cli.joining import Guest
    from zmqgossip.cli.running import Stop, say
    from zmqgossip.runtime.words import counted

    check_topic(topic)
    if body is None and sys.stdin is None:
        raise Misuse("there is no standard input to read messages from; give the message as BODY")
    with Stop(ExitCode.CUT_SHORT) as stop, Guest(config, profile, host, announce, stop, quiet=quiet) as guest:
        if not guest.wait_until_ready(wait):
            raise typer.Exit(ExitCode.CUT_SHORT)
        publisher = _Publisher(guest.peer, topic, as_json, stop)
        if body is not None:
            complete = publisher.publish(os.fsencode(body))
        else:
            if sys.stdin.isatty():
                signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # in the background, reading is an error then and not a halt
                say("each line is a message; Ctrl-D ends it", quiet)
            complete = publisher.publish_lines(guest.settings.protocol.message_bytes_max)
        if not stop.asked and not guest.peer.flush(FLUSH_S):
            say(f"not everybody is known to have it after {FLUSH_S:g} s", quiet)
        say(f"published {counted(publisher.count, 'message')}; {counted(len(guest.peer.members()), 'other peer')} known", quiet)
    if not complete:
        raise typer.Exit(ExitCode.CUT_SHORT)


def check_topic(topic: str) -> None:
    """Raises Misuse for a topic that no message can have."""
    from zmqgossip.cli.errors import Misuse
    from zmqgossip.core import topics
    from zmqgossip.core.errors import InvalidTopic

    try:
        topics.check_topic(topic)
    except InvalidTopic as error:  # half a surrogate pair is how Python shows bytes of the command line that are not UTF-8
        raise Misuse(str(error)) from None


class _Publisher:
    """Publishes, counts, and says so where that is asked for.

    Attributes:
        count: messages published by now.
    """

    def __init__(self, peer: Peer, topic: str, as_json: bool, stop: Stop) -> None:
        self.count = 0
        self._stop = stop
        self._peer = peer
        self._topic = topic
        self._as_json = as_json

    def publish(self, payload: bytes) -> bool:
        """False: a signal came first, and the peer has said goodbye."""
        from zmqgossip.core.errors import NodeClosed
        from zmqgossip.runtime.report import stamp

        try:
            self._peer.publish(self._topic, payload)
        except NodeClosed:
            if not self._stop.asked:
                raise
            return False
        self.count += 1
        if self._as_json:
            facts = {"topic": self._topic, "number": self.count, "size": len(payload)}
            print(json.dumps({"ts": stamp(time.time()), "kind": "published", **facts}), flush=True)
        return True

    def publish_lines(self, bytes_max: int) -> bool:
        """Each line of standard input as it comes; false if a signal came before its end. Raises ZmqGossipError at a line too long."""
        from zmqgossip.core.errors import PayloadTooLarge, ZmqGossipError

        for line in _lines_of_stdin(bytes_max, self._stop):
            try:
                if self._stop.asked or not self.publish(line):
                    break
            except PayloadTooLarge as error:
                limit = f"with the topic it has more than {error.size_max} bytes"  # how many is not known: not all of it was read
                raise ZmqGossipError(f"line {self.count + 1} is too long: {limit}; the lines before it were published") from None
        return not self._stop.asked


def _lines_of_stdin(bytes_max: int, stop: Stop) -> Iterator[bytes]:
    """The lines without their ends. A line of more than `bytes_max` is not read to its end, and is the last.

    It reads the descriptor itself, between waits that a signal may end: a read of sys.stdin would go on after the signal.
    """
    rest = b""
    while not stop.asked:
        chunk = _read_stdin()
        if chunk is None:
            continue
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > bytes_max:
            break
    if rest:
        yield rest


def _read_stdin() -> bytes | None:
    """What is there; b"" at the end, None when nothing came for a while."""
    from zmqgossip.core.errors import ZmqGossipError

    try:
        if not select.select([sys.stdin], [], [], SLICE_S)[0]:
            return None
        return os.read(sys.stdin.fileno(), CHUNK_BYTES)
    except OSError as error:  # a directory, or a terminal that this job does not have
        raise ZmqGossipError(f"cannot read standard input: {error.strerror}; give the message as BODY") from None
