"""`zmqgossip monitor`: what passes at a peer, a line a message."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqgossip.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from zmqgossip.cli.running import Stop
    from zmqgossip.core.types import Endpoint
    from zmqgossip.runtime.watch import Connection, Heard, Missed, Seen, Watch
    from zmqgossip.settings import Settings

ASK_S = 2.0
TAKE_S = 0.2  # a signal is noticed between two takes


def monitor(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[PORT | HOST:PORT | tcp://HOST:PORT]", help="A peer, or its publishing endpoint. [default: any]", show_default=False
        ),
    ] = None,
    pattern: Annotated[str, typer.Option("--topic", metavar="PATTERN", help="Only these topics: * is one token, > the rest.")] = ">",
    count: Annotated[int | None, typer.Option("--count", min=1, metavar="N", help="End after N messages.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also who joins, leaves and dies.")] = False,
    payload: Annotated[bool, typer.Option("--payload", help="With --json: payloads too.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch the gossip that passes at a peer. Changes nothing there and slows nobody. Ctrl-C ends it."""
    from zmqgossip.cli.errors import Misuse
    from zmqgossip.cli.running import Stop, say
    from zmqgossip.core.topics import parse_pattern
    from zmqgossip.runtime.report import summary
    from zmqgossip.runtime.watch import Watch
    from zmqgossip.settings import load

    if payload and not as_json:
        raise Misuse("--payload goes with --json; without it, payloads are shown anyway")
    tokens = parse_pattern(pattern)
    settings = load(config)
    with Stop() as stop:
        shown, publishing = _find(target, settings)
        watch = Watch(publishing, settings.cluster, deaths=everything)
        try:
            say(f"watching {shown}, cluster {settings.cluster!r}; Ctrl-C ends it")
            _Printer(shown, tokens, count, everything, payload, as_json).run(watch, stop)
        finally:
            watch.close()
        if watch.missed:
            say(f"missed {watch.missed} segments")
        if refused := watch.counters.as_dict():
            say(summary(refused))


def _find(target: str | None, settings: Settings) -> tuple[str, Endpoint]:
    """Name and publishing endpoint of what to watch."""
    from zmqgossip.cli.errors import Misuse, NobodyReachable
    from zmqgossip.core.types import parse_endpoint
    from zmqgossip.runtime.ping import who_lives_at

    if target is None:
        return _any_peer(settings)
    try:
        if target.startswith("tcp://"):
            return target, parse_endpoint(target.removeprefix("tcp://"))
        endpoint = parse_endpoint(target if ":" in target else f"127.0.0.1:{target}")
    except ValueError as error:
        raise Misuse(f"{error}; give a peer's port, HOST:PORT, or tcp://HOST:PORT of its publishing socket") from None
    record = who_lives_at(endpoint, settings.cluster, ASK_S)
    if record is None:
        raise NobodyReachable(f"no peer of cluster {settings.cluster!r} answers at {endpoint}; see zmqgossip peers")
    return str(endpoint), record.publish_endpoint


def _any_peer(settings: Settings) -> tuple[str, Endpoint]:
    from zmqgossip.cli.errors import NobodyReachable
    from zmqgossip.cli.peers import complain
    from zmqgossip.core.types import PeerState
    from zmqgossip.runtime.query import ask_seeds, union
    from zmqgossip.settings import resolve

    answers = ask_seeds(resolve(settings.seeds), settings.cluster, tombstones=False, timeout_s=ASK_S)
    complain(answers)
    for listing in union(answers):
        if listing.member.state is PeerState.ALIVE:
            record = listing.member.record
            return str(record.endpoint), record.publish_endpoint
    raise NobodyReachable("the seeds list no peer to watch; start one with: zmqgossip peer --port 5001")


class _Printer:
    """Turns what was seen into lines, until there were enough."""

    def __init__(self, shown: str, tokens: tuple[str, ...], count: int | None, everything: bool, payload: bool, as_json: bool) -> None:
        self._shown = shown
        self._tokens = tokens
        self._left = count
        self._everything = everything
        self._payload = payload
        self._as_json = as_json
        self._was_down = False

    def run(self, watch: Watch, stop: Stop) -> None:
        from zmqgossip.runtime.watch import Connection, Heard, Missed

        while not stop.asked and self._left != 0:
            for item in watch.take(TAKE_S):
                if isinstance(item, Connection):
                    self._tell(item)
                elif isinstance(item, Missed):
                    self._missed(item)
                elif isinstance(item, Heard):
                    self._heard(item)
                elif self._left != 0:
                    self._seen(item)

    def _tell(self, connection: Connection) -> None:
        if not connection.up:
            self._was_down = True
            print(f"no connection to {self._shown}; trying again, see zmqgossip peers for others", file=sys.stderr, flush=True)
        elif self._was_down:
            print(f"connected to {self._shown}", file=sys.stderr, flush=True)

    def _seen(self, seen: Seen) -> None:
        from zmqgossip.core.topics import matches
        from zmqgossip.runtime.report import PLAIN_TOPIC, seconds
        from zmqgossip.runtime.words import printable

        if not matches(self._tokens, seen.topic):
            return
        if self._left is not None:
            self._left -= 1
        if self._as_json:
            facts: dict[str, Any] = {"code": seen.code, "origin": str(seen.origin), "number": seen.number}
            facts |= {"from": self._shown, "topic": seen.topic, "size": len(seen.payload)}
            if self._payload:
                facts["payload"] = seen.payload.decode("utf-8", errors="backslashreplace")
            self._object("message", seen.sent_at, **facts)
            return
        fields = f"<{seen.code}> <{seen.origin.port}> <{seconds(seen.sent_at)}> <{seen.number}>"
        text = "" if seen.topic == PLAIN_TOPIC else f" {printable(seen.topic)}: "
        text += printable(seen.payload.decode("utf-8", errors="replace")) if text else ""
        print(f"{fields} from {self._shown} origin {seen.origin}{text}", flush=True)

    def _heard(self, heard: Heard) -> None:
        if not self._everything:
            return
        record, state = heard.notice.record, heard.notice.state.name.lower()
        if self._as_json:
            facts = {"peer": str(record.endpoint), "id": record.id.hex(), "state": state, "ready": record.ready}
            self._object("member", None, **facts, by=heard.origin.hex() if heard.origin is not None else None)
        else:
            print(f"{state} {record.endpoint}{' ready' if record.ready and state == 'alive' else ''}", flush=True)

    def _missed(self, missed: Missed) -> None:
        if missed.count < 0:  # late ones have come after all
            return
        if self._as_json:
            self._object("missed", None, count=missed.count, total=missed.total)
        else:
            print(f"missed {missed.count} segments, {missed.total} in all", file=sys.stderr, flush=True)

    @staticmethod
    def _object(kind: str, at: float | None, **facts: Any) -> None:
        import time

        from zmqgossip.runtime.report import stamp

        print(json.dumps({"ts": stamp(time.time() if at is None else at), "kind": kind, **facts}), flush=True)
