"""`zmqgossip ping`: whether a peer answers, how fast, and whether it is still the same one."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqgossip.cli.options import ConfigOption, JsonOption, seconds

if TYPE_CHECKING:
    from zmqgossip.cli.running import Stop
    from zmqgossip.core.types import Endpoint, PeerId
    from zmqgossip.runtime.ping import Ping, Pong
    from zmqgossip.settings import Settings

ASK_S = 2.0
PREFIX_DIGITS_MIN = 4
ID_DIGITS_MAX = 32
MATCHES_SHOWN_MAX = 5
SLICE_S = 0.1  # a signal is noticed between two waits


def ping(
    target: Annotated[
        str,
        typer.Argument(metavar="PEER", help="Its port, HOST:PORT, or the first 4 digits or more of its id.", show_default=False),
    ],
    count: Annotated[int, typer.Option("-n", "--count", min=1, metavar="N", help="How many times to ask.")] = 5,
    every: Annotated[float, typer.Option("--every", parser=seconds(0), metavar="SECONDS", help="From one question to the next.")] = 1.0,
    wait: Annotated[float, typer.Option("--wait", parser=seconds(0.01), metavar="SECONDS", help="How long to wait for each answer.")] = 2.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a peer whether it lives, and measure how long it takes. Joins nothing. Ctrl-C ends it."""
    from zmqgossip.cli.running import Stop
    from zmqgossip.runtime.ping import Ping
    from zmqgossip.settings import load

    with Stop() as stop:
        settings = load(config)
        endpoint, expected = find(target, settings)
        with Ping(endpoint, settings.cluster) as line:
            _Series(line, endpoint, expected, wait, as_json).run(count, every, stop)


def find(target: str, settings: Settings) -> tuple[Endpoint, PeerId | None]:
    """Where the peer is that was named, and its id if that was named. Raises Misuse, ConfigError, NobodyReachable."""
    from zmqgossip.cli.errors import Misuse
    from zmqgossip.core.types import parse_endpoint
    from zmqgossip.settings import resolve_host

    if is_id(target):
        return _listed(target.lower(), settings)
    host, colon, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    try:
        if not host or not port.isdecimal():
            raise ValueError(f"{target!r} names no peer")
        resolved = resolve_host(host, "PEER")
        return parse_endpoint(f"{resolved}:{port}"), None
    except ValueError as error:
        hint = f"give its port, HOST:PORT, or the first {PREFIX_DIGITS_MIN} digits of its id or more, as zmqgossip peers shows it"
        raise Misuse(f"{error}; {hint}") from None


def is_id(target: str) -> bool:
    """Whether this is (the beginning of) an id. Up to five figures are a port, unless the first is 0."""
    is_hex = all(char in "0123456789abcdefABCDEF" for char in target)
    is_port = target.isdecimal() and len(target) <= len("65535") and target[0] != "0"
    return is_hex and not is_port and PREFIX_DIGITS_MIN <= len(target) <= ID_DIGITS_MAX


def _listed(prefix: str, settings: Settings) -> tuple[Endpoint, PeerId]:
    """The one living peer of the seeds' lists whose id begins with `prefix`."""
    from zmqgossip.cli.errors import Misuse, NobodyReachable
    from zmqgossip.cli.peers import complain
    from zmqgossip.runtime.query import ask_seeds, union
    from zmqgossip.settings import resolve

    answers = ask_seeds(resolve(settings.seeds), settings.cluster, tombstones=False, timeout_s=ASK_S)
    complain(answers)  # only seeds know peers by their id
    found = [listing.member.record for listing in union(answers) if listing.member.record.id.hex().startswith(prefix)]
    if not found:
        raise NobodyReachable(f"the seeds list no peer whose id begins with {prefix}; see zmqgossip peers")
    if len(found) > 1:
        shown = ", ".join(f"{record.id.hex()} ({record})" for record in found[:MATCHES_SHOWN_MAX])
        more = f" and {len(found) - MATCHES_SHOWN_MAX} more" if len(found) > MATCHES_SHOWN_MAX else ""
        raise Misuse(f"{len(found)} peers have an id that begins with {prefix}: {shown}{more}; give more of its digits")
    return found[0].endpoint, found[0].id


class _Series:
    """Asks time after time, prints what comes of it, and adds it up."""

    def __init__(self, line: Ping, endpoint: Endpoint, expected: PeerId | None, wait_s: float, as_json: bool) -> None:
        self._line = line
        self._endpoint = endpoint
        self._id = expected
        self._wait_s = wait_s
        self._as_json = as_json
        self._sent = 0
        self._times_ms: list[float] = []

    def run(self, count: int, every_s: float, stop: Stop) -> None:
        """Raises NobodyReachable, TimedOut and PartialAnswer, once the summary is said."""
        from zmqgossip.cli.running import say

        due = time.monotonic()
        while self._sent < count and not stop.asked:
            self._ask(stop)
            due = max(due + every_s, time.monotonic())
            if self._sent < count:
                _sleep_until(due, stop)
        say(summary(self._sent, self._times_ms))
        if not stop.asked:
            self._judge()

    def _ask(self, stop: Stop) -> None:
        from zmqgossip.cli.errors import NobodyReachable

        pong = self._line.ask(self._wait_s, lambda: stop.asked)
        if pong is None and stop.asked:  # it was not given its time
            return
        if self._line.failed and not self._sent:
            raise NobodyReachable(f"no peer answers at {self._endpoint}: {self._line.failed}; see zmqgossip peers")
        self._sent += 1
        if pong is not None:
            self._answered(pong)
            return
        why = self._line.failed or f"no reply within {self._wait_s:g} s"
        if self._as_json:
            self._object("miss", why=why)
        else:
            print(f"{why} from {self._endpoint} number {self._sent}", flush=True)

    def _answered(self, pong: Pong) -> None:
        took_ms = pong.took_s * 1000
        self._times_ms.append(took_ms)
        peer = pong.record.id
        changed, self._id = self._id not in (None, peer), peer
        if self._as_json:
            self._object("reply", id=peer.hex(), ms=round(took_ms, 3), changed=changed)
        else:
            note = " (another peer lives there now)" if changed else ""
            print(f"reply from {self._endpoint} id {peer.hex()[:8]} number {self._sent} time {took_ms:.2f} ms{note}", flush=True)

    def _object(self, kind: str, **facts: Any) -> None:
        from zmqgossip.runtime.report import stamp

        always = {"ts": stamp(time.time()), "kind": kind, "peer": str(self._endpoint), "number": self._sent}
        print(json.dumps(always | facts), flush=True)

    def _judge(self) -> None:
        from zmqgossip.cli.errors import PartialAnswer, TimedOut

        if not self._times_ms:
            raise TimedOut(f"{self._endpoint} answered none of {self._sent} questions; it hangs, or is of another cluster")
        if len(self._times_ms) < self._sent:
            raise PartialAnswer(f"{self._endpoint} answered {len(self._times_ms)} of {self._sent} questions")


def _sleep_until(due: float, stop: Stop) -> None:
    while not stop.asked and (left := due - time.monotonic()) > 0:
        time.sleep(min(SLICE_S, left))


def summary(sent: int, times_ms: list[float]) -> str:
    """The line at the end."""
    from statistics import median  # takes its time, and --help needs none of it

    line = f"{sent} sent, {len(times_ms)} received"
    if not times_ms:
        return line
    return f"{line}, min {min(times_ms):.2f} median {median(times_ms):.2f} max {max(times_ms):.2f} ms"
