"""`zmqgossip sub`: joins for a while and prints what others publish."""

from __future__ import annotations

import errno
import json
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqgossip.cli.joining import SLICE_S
from zmqgossip.cli.options import AnnounceOption, ConfigOption, HostOption, JsonOption, ProfileOption, QuietOption, seconds

if TYPE_CHECKING:
    from zmqgossip.cli.joining import Guest
    from zmqgossip.cli.running import Stop
    from zmqgossip.handle.message import Message

BATCH_MAX = 256
"""Messages between two looks at the clock and at the signals; their lines go out together."""


def sub(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Which topics: * is one token, > the rest.")] = ">",
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, metavar="N", help="End after N messages.", show_default=False)
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", parser=seconds(0.1), metavar="SECONDS", help="End after so long. [default: never]", show_default=False),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print payloads alone, as they are, each with a line's end.")] = False,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    host: HostOption = None,
    announce: AnnounceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Join and print what others publish, a line a message. Ctrl-C ends it.

    When --wait ends it, its exit code is 0 if N messages came (without -n: at least one), and 4 if not.
    """
    from zmqgossip.cli.errors import Misuse
    from zmqgossip.cli.joining import Guest
    from zmqgossip.cli.running import Stop
    from zmqgossip.core.topics import parse_pattern

    parse_pattern(pattern)
    if raw and as_json:
        raise Misuse("--raw and --json are two forms of the same; choose one")
    if sys.stdout is None:
        raise Misuse("there is no standard output to print to")
    with Stop() as stop, Guest(config, profile, host, announce, stop, quiet=quiet) as guest:
        _Subscription(guest, pattern, count, raw, as_json, quiet).run(wait, stop)


class _Subscription:
    """Prints messages until there were enough, the time is over or somebody stops it."""

    def __init__(self, guest: Guest, pattern: str, count: int | None, raw: bool, as_json: bool, quiet: bool) -> None:
        self._guest = guest
        self._pattern = pattern
        self._messages = guest.peer.subscribe(pattern)
        self._wanted = count
        self._count = 0
        self._raw = raw
        self._as_json = as_json
        self._quiet = quiet
        self._is_ready = False

    @property
    def _is_complete(self) -> bool:
        return self._count == self._wanted

    def run(self, wait_s: float | None, stop: Stop) -> None:
        from zmqgossip.cli.running import say

        until = None if wait_s is None else time.monotonic() + wait_s
        while not stop.asked and not self._is_complete:
            left = SLICE_S if until is None else until - time.monotonic()
            if left <= 0:
                self._print_all(self._wanted)  # what came in time, and has not been printed yet
                break
            self._turn(min(SLICE_S, left))
        if wait_s is not None and not stop.asked:
            self._judge(wait_s)
        if lost := self._guest.peer.stats().get("dropped.user_queue_full", 0):
            say(f"missed {lost} segments: they came faster than they were printed")

    def _turn(self, timeout_s: float) -> None:
        """Waits for the network until it is there, then for messages; what came before is printed all the same."""
        from zmqgossip.cli.running import say
        from zmqgossip.core.errors import Timeout

        if not self._is_ready and self._guest.is_ready(timeout_s):
            self._is_ready = True
            say(f"listening for {self._pattern!r} in cluster {self._guest.settings.cluster!r}; Ctrl-C ends it", self._quiet)
        try:
            self._print(self._messages.get(timeout_s if self._is_ready else 0))
        except Timeout:
            _check_reader()
            return
        self._print_all(BATCH_MAX)

    def _print_all(self, at_most: int | None) -> None:
        """Prints what is there, and lets it out at once."""
        from zmqgossip.core.errors import Timeout

        printed = 0
        while not self._is_complete and printed != at_most:
            try:
                self._print(self._messages.get(0))
            except Timeout:
                break
            printed += 1
        sys.stdout.flush()

    def _judge(self, wait_s: float) -> None:
        """The end of the time. Raises TimedOut or NobodyReachable if less came than was wanted."""
        from zmqgossip.cli.errors import TimedOut

        if self._is_complete or (self._wanted is None and self._count):
            return
        if not self._is_ready:
            raise self._guest.nobody_came(wait_s)
        came = f"{self._count} of {self._wanted} messages" if self._wanted is not None else "no message"
        raise TimedOut(f"{came} for {self._pattern!r} came within {wait_s:g} s; wait longer, or look what passes: zmqgossip monitor")

    def _print(self, message: Message) -> None:
        self._count += 1
        if self._raw:
            sys.stdout.buffer.write(message.payload + b"\n")
        else:
            print(json.dumps(facts_of(message)) if self._as_json else line_of(message))


def line_of(message: Message) -> str:
    """One message for people: what and of whom."""
    from zmqgossip.runtime.words import printable

    text = printable(message.payload.decode("utf-8", errors="replace"))
    return f"{printable(message.topic)}: {text} origin {message.origin}"


def facts_of(message: Message) -> dict[str, Any]:
    """One message for programs, under the names that `zmqgossip monitor --json` has: `ts` is when it was made."""
    from zmqgossip.runtime.report import stamp

    return {
        "ts": stamp(message.sent_at),
        "kind": "message",
        "origin": str(message.origin),
        "number": message.number,
        "topic": message.topic,
        "size": len(message.payload),
        "payload": message.payload.decode("utf-8", errors="backslashreplace"),
        "hops": message.hops,
    }


def _check_reader() -> None:
    """Raises BrokenPipeError when nobody reads our output any more: where no message comes, no write would find that out."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
