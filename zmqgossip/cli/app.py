"""The command `zmqgossip`: which subcommands there are, and `--version`.

The intuition: a subcommand is a plain function in a file of its own, and this file is the list of them. Importing those files
must cost nothing, since every start does it, `--help` too: a command imports zmq, loguru and the runtime inside its function.

Left to others: what the commands do (one file a family), shared options (`options.py`), errors and exit codes (`errors.py`).
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from zmqgossip.cli.bench import bench
from zmqgossip.cli.demo import demo
from zmqgossip.cli.errors import ExitCode, run
from zmqgossip.cli.monitor import monitor
from zmqgossip.cli.peer import peer
from zmqgossip.cli.peers import peers
from zmqgossip.cli.ping import ping
from zmqgossip.cli.pub import pub
from zmqgossip.cli.seed import seed
from zmqgossip.cli.simulate import simulate
from zmqgossip.cli.sub import sub

# No rich: errors are one line each (errors.py), a traceback is plain, and help does not wait for an import of 0.1 s.
app = typer.Typer(name="zmqgossip", rich_markup_mode=None, pretty_exceptions_enable=False)
for command in (seed, peer, pub, sub, peers, ping, monitor, demo, bench, simulate):  # the order of --help
    app.command()(command)


def main() -> NoReturn:
    """Does what the process was asked for; ends it with the command's exit code."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # typer asks pydantic, which would look for plugins at each start
    sys.exit(run(app))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo("\n".join(_versions()))
        raise typer.Exit()


def _versions() -> list[str]:
    """What a bug report needs to know, one line each."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import zmq

    from zmqgossip.core.wire import MAJOR, MINOR

    try:
        own = version("zmqgossip")
    except PackageNotFoundError:
        own = "(not installed)"
    return [
        f"zmqgossip {own}",
        f"Python {platform.python_version()}",
        f"pyzmq {zmq.__version__}",
        f"libzmq {zmq.zmq_version()}",
        f"CURVE {'yes' if zmq.has('curve') else 'no'}",
        f"protocol {MAJOR}.{MINOR}",
    ]


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show versions of everything and exit.")
    ] = False,
) -> None:
    """A brokerless gossip bus over ZeroMQ: peers find each other through seeds, spread messages and notice who dies."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)
