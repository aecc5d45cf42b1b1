"""`zmqgossip demo`: a whole network on this machine, told line by line, with an account and four proofs at its end.

The intuition: a student types one command and sees within ten seconds what this package is about, done by real processes that
anybody can look at with `ps`. The figures at the end come from the files that those processes have written.

Left to others: what happens when (`demo_story.py`), the processes (`demo_network.py`), counting (`demo_account.py`).
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqgossip.cli.options import JsonOption

if TYPE_CHECKING:
    from zmqgossip.cli.demo_account import Account

PEERS_MIN, PEERS_MAX = 4, 100  # with fewer nobody has anything to pass on; more want more memory than a laptop likes to give
INDENT = " " * 9
WIDTH_MIN = 40
HANGS_S = 3.0
"""So long after a signal it hangs and is ended: ending all processes takes a second, more on a busy machine, and then comes the account."""
PROOFS = (
    "A message that somebody else than its maker has brought:",
    "A peer that has heard from everybody:",
    "A dead report at the seeds:",
    "A goodbye at the seeds:",
)


def demo(
    duration: Annotated[float, typer.Option("--for", metavar="SECONDS", help="About how long it may take.")] = 30.0,
    peers: Annotated[int, typer.Option("--peers", min=PEERS_MIN, max=PEERS_MAX, help="How many peers.")] = 12,
    as_json: JsonOption = False,
) -> None:
    """Show a network that lives: seeds and peers on this machine, each peer a process, told line by line. Ctrl-C ends it."""
    from zmqgossip.cli.demo_network import HURRIED_GRACE_S, SEEDS, Network
    from zmqgossip.cli.demo_process import import_once
    from zmqgossip.cli.demo_story import Enough, Story, plan
    from zmqgossip.cli.errors import ExitCode
    from zmqgossip.cli.running import Stop

    _check(duration, peers)
    with Stop(ExitCode.CUT_SHORT, HANGS_S) as stop, Network() as network:
        say = _Narrator(as_json)
        text = f"Starting {SEEDS} seeds and {peers} peers on this machine, each peer a process of its own."
        say("start", text, seeds=SEEDS, peers=peers, dir=str(network.directory))
        import_once()
        story = Story(network, plan(duration, peers), say, lambda: stop.asked)
        try:
            story.tell()
        except Enough:
            say("stopped", "Stopped before its end; this is how far it came.")
        account, survivors = story.settle()
        if not stop.asked:
            say("end", "The end: this is what the peers and the seeds have written down.")
        if stop.asked:
            network.stop(HURRIED_GRACE_S)
        else:
            network.stop()
    proofs = story.proofs(survivors)
    say.account(account, proofs)
    say.result(
        _next_commands(),
        delivered=account.delivered,
        expected=account.expected,
        lost=account.lost,
        duplicates=account.duplicates,
        messages=account.messages,
        joined_s=_rounded(story.joined_s),
        removed_s=_rounded(story.removed_s),
        peers=peers,
        proofs=proofs,
        dir=str(network.directory),
    )
    if not stop.asked:
        _judge(account, proofs, network.directory, joined=story.joined_s is not None)


class _Narrator:
    """Prints the story: a sentence a line for people, an object a line for programs, flushed at once."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, kind: str, text: str, **facts: Any) -> None:
        if self._as_json:
            self._object(kind, text=text, at_s=_rounded(self.elapsed_s), **facts)
        else:
            self._line(f"{self.elapsed_s:5.1f} s  ", text)

    def _line(self, start: str, text: str) -> None:
        """On a terminal wrapped under its own beginning, elsewhere one line."""
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
        print(textwrap.fill(start + text, max(width, WIDTH_MIN), subsequent_indent=" " * len(start)), flush=True)

    def account(self, account: Account, proofs: list[str | None]) -> None:
        """The figures and the proofs, for people; for programs they stand in the result."""
        if self._as_json:
            return
        rows = [
            ("messages", account.messages, "made by all peers together"),
            ("expected", account.expected, "deliveries: to each other peer that was ready then and lived to the end"),
            ("delivered", account.delivered, "of these, counted where they arrived"),
            ("lost", account.lost, "expected, but not delivered"),
            ("duplicates", account.duplicates, "delivered again to who had it already"),
        ]
        print()
        for name, number, meaning in rows:
            print(f"{INDENT}{name:<10} {number:>6,}  {meaning}")
        print()
        for place, (title, proof) in enumerate(zip(PROOFS, proofs, strict=True), 1):
            print(f"{INDENT}{place}. {title}")
            print(f"{INDENT}   {proof or 'none'}")
        print()

    def result(self, commands: tuple[str, str], **figures: Any) -> None:
        """The last line."""
        seed, peer = commands
        if self._as_json:
            self._object("result", **figures, next=[seed, peer])
        else:
            self._line("", f"Next: type `{seed}` in one terminal and `{peer}` in others; this demo's files are in {figures['dir']}.")

    def _object(self, kind: str, **facts: Any) -> None:
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        print(json.dumps({"ts": at, "kind": kind, **facts}), flush=True)


def _check(duration_s: float, peers: int) -> None:
    from zmqgossip.cli.demo_story import minimum_s
    from zmqgossip.cli.errors import Misuse

    least = minimum_s(peers)
    if not least <= duration_s < float("inf"):  # neither is NaN
        raise Misuse(f"--for {duration_s:g} is too short to show {peers} peers; give at least {least} seconds")


def _next_commands() -> tuple[str, str]:
    """The commands for seeds and a peer, as they can be typed here: not everybody has `zmqgossip` on the path."""
    started = Path(sys.argv[0])
    if shutil.which("zmqgossip") is not None:
        program = "zmqgossip"
    elif started.stem == "zmqgossip":
        program = str(started)
    else:
        program = f"{Path(sys.executable).name} -m zmqgossip"
    return f"{program} seed", f"{program} peer --port 5001"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _judge(account: Account, proofs: list[str | None], directory: Path, joined: bool) -> None:
    """Raises DemoFailed if the network has not done what it promises."""
    from zmqgossip.cli.demo_network import DemoFailed

    wrong = [] if joined else ["not all peers became ready"]
    if account.lost:
        receiver, line = account.missing[0]
        wrong.append(f"{account.lost} of {account.expected} deliveries are lost, the first at {receiver}: {line}")
    if account.duplicates:
        wrong.append(f"{account.duplicates} messages were delivered twice")
    if not account.expected:
        wrong.append("no message was made")
    wrong += [f"proof {place} is missing" for place, proof in enumerate(proofs, 1) if proof is None]
    if wrong:
        raise DemoFailed(f"{'; '.join(wrong)}; look into {directory}, or give it more time with --for")
