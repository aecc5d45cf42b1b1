"""The options that several commands share, each written once: its names, its help, its type.

The intuition: a command says `config: ConfigOption = None` and the option looks the same everywhere. Defaults are None or False,
which means "not given": the environment and config.json then decide, and `settings.load` is where they meet. So no option reads
the environment by itself.

Left to others: what the values mean (`settings.py`), and options that only one command has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

PORT_MAX = 65_535
SECONDS_MAX = 1_000_000


def _profiles(incomplete: str) -> list[str]:
    """For shell completion only; a name that is not one of these is refused by the settings, with a suggestion."""
    from zmqgossip.core.config import PROFILES

    return [name for name in PROFILES if name.startswith(incomplete)]


def port(text: str) -> int:
    """A port from 0 (any free one) to 65535. Raises typer.BadParameter, in words that tell what may be written."""
    try:
        number = int(text) if text.isascii() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= PORT_MAX:
        raise typer.BadParameter(f"{text!r} is not a port; give one from 1 to {PORT_MAX}, or 0 for any free one")
    return number


def seconds(least: float) -> Callable[[str], float]:
    """A parser of times from `least` to SECONDS_MAX seconds, eleven days. It raises typer.BadParameter."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= SECONDS_MAX:  # nor is nan
            raise typer.BadParameter(f"{text!r} is no such time; give seconds, from {least:g} to {SECONDS_MAX}")
        return number

    return parse


ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file. [default: $ZMQGOSSIP_CONFIG, else ./config.json]", show_default=False),
]
ProfileOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Set of timings: default, or lan for one switch or one host.",
        show_default=False,
        autocompletion=_profiles,
    ),
]
PortOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--port", parser=port, metavar="PORT", help="Port to listen on; 0 for any free one.", show_default=False),
]
HostOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--host", metavar="ADDRESS", help="Address to bind and to announce. [default: 127.0.0.1]", show_default=False),
]
AnnounceOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--announce", metavar="ADDRESS", help="Address that others reach this peer at, if not --host.", show_default=False),
]
LogDirOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--log-dir", metavar="DIR", help="Where output_*.txt are appended to. [default: .]", show_default=False),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
QuietOption: TypeAlias = Annotated[bool, typer.Option("-q", "--quiet", help="Say only what went wrong.")]
