"""`zmqgossip peers`: everybody, as the seeds together list them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqgossip.cli.options import ConfigOption, JsonOption, seconds

if TYPE_CHECKING:
    from zmqgossip.runtime.query import Answer, Listing

_MARKS = {"alive": "●", "suspect": "▲", "dead": "✕", "left": "○"}


def peers(
    config: ConfigOption = None,
    everybody: Annotated[bool, typer.Option("--all", help="Also the dead and the left that seeds remember.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", parser=seconds(0.1), metavar="SECONDS", help="How long a seed may be silent.")
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """List all peers: who they are, where, and how they stand."""
    from zmqgossip.core.census import seeds_wanted
    from zmqgossip.runtime.query import ask_seeds, union
    from zmqgossip.settings import load, resolve

    settings = load(config)
    answers = ask_seeds(resolve(settings.seeds), settings.cluster, tombstones=everybody, timeout_s=timeout)
    complain(answers)
    rows = [_row(listing) for listing in union(answers)]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    # Each peer is listed by floor(n/2)+1 seeds: so many silent ones could hide one.
    missing = sum(not answer.complete for answer in answers)
    if missing >= seeds_wanted(len(answers)):
        from zmqgossip.cli.errors import PartialAnswer

        raise PartialAnswer(f"{missing} of {len(answers)} seeds did not answer in full: peers that only they list are not shown")


def complain(answers: list[Answer]) -> None:
    """Tells which seeds did not answer in full, and why.

    Raises:
        NobodyReachable: none has said anything.
        ConfigError: nor would they, since this is another cluster.
    """
    from zmqgossip.cli.errors import NobodyReachable
    from zmqgossip.cli.running import say
    from zmqgossip.core.errors import ConfigError

    failed = [answer for answer in answers if not answer.complete]
    if not any(answer.complete or answer.heard for answer in answers):
        if any(answer.failed == "another cluster" for answer in answers):
            raise ConfigError("the seeds belong to another cluster; check `cluster` and `seeds`")
        why = "; ".join(f"{answer.seed}: {answer.failed}" for answer in failed)
        raise NobodyReachable(f"no seed answers ({why}); start one with: zmqgossip seed")
    for answer in failed:
        say(f"zmqgossip: seed {answer.seed}: {answer.failed}")


def _row(listing: Listing) -> dict[str, Any]:
    from zmqgossip.runtime.report import stamp

    record = listing.member.record
    return {
        "id": record.id.hex(),
        "host": record.host,
        "port": record.port,
        "publish": record.publish,
        "state": listing.member.state.name.lower(),
        "ready": record.ready,
        "since": stamp(listing.member.since),
        "epoch": record.epoch,
        "revision": record.revision,
        "seeds": listing.seeds,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from zmqgossip.runtime.words import counted

    marked = sys.stdout.isatty()
    for row in rows:
        mark = f"{_MARKS[row['state']]} " if marked else ""
        address = f"{row['host']}:{row['port']}"
        ready = "ready" if row["ready"] else "joining"
        print(f"{mark}{row['state']:<7} {address:<21} {ready:<7} id {row['id'][:8]} since {row['since']} seeds {row['seeds']}")
    if marked:
        print(counted(len(rows), "peer"))
