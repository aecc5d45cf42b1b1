"""From an error to an exit code and one line on stderr: the only place that knows the codes.

The intuition: a command raises what went wrong and returns nothing; `run` is the one frame around every command that catches it.
What a person can do something about is one line, "zmqgossip: what, why, what to do". A traceback is left to what nobody foresaw,
our own bugs, for which it is the best report there is.

Left to others: the words of an error (whoever raises it) and the commands themselves.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from enum import IntEnum

import typer

from zmqgossip.core.errors import ConfigError, Timeout, ZmqGossipError

PROGRAM = "zmqgossip"


class ExitCode(IntEnum):
    """What a command tells its caller. The numbers are part of the interface."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOBODY_REACHABLE = 3
    TIMED_OUT = 4
    PARTIAL = 5
    NOT_HELD = 6  # a scenario has run, and what must hold did not
    CUT_SHORT = 130  # as a shell counts a death by SIGINT; not for commands that Ctrl-C ends normally


class Misuse(ZmqGossipError):
    """The flags of a command do not fit together, or one is missing that could not be asked for."""


class NobodyReachable(ZmqGossipError):
    """Nobody that the command could have asked has answered."""


class TimedOut(ZmqGossipError):
    """What the command was to wait for has not come in time."""


class PartialAnswer(ZmqGossipError):
    """Some have answered and some have not; what was heard is printed already."""


class NotHeld(ZmqGossipError):
    """A scenario has run to its end, its figures are printed, and one is not what it must be."""


# The first row that fits counts, so a child stands before its parent.
_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (ConfigError, ExitCode.USAGE),
    (Misuse, ExitCode.USAGE),
    (NobodyReachable, ExitCode.NOBODY_REACHABLE),
    (TimedOut, ExitCode.TIMED_OUT),
    (Timeout, ExitCode.TIMED_OUT),
    (PartialAnswer, ExitCode.PARTIAL),
    (NotHeld, ExitCode.NOT_HELD),
    (ZmqGossipError, ExitCode.FAILED),
    (KeyboardInterrupt, ExitCode.CUT_SHORT),
    (typer.Abort, ExitCode.CUT_SHORT),
)


# Nothing can be written any more: the reader went away, or the disk under a redirection is full.
_OUTPUT_GONE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT)
# The process, or the machine, may open nothing more.
_NOTHING_LEFT = (errno.EMFILE, errno.ENFILE)


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Runs the command that `arguments` name (None: those of the process) and gives its exit code.

    What is wrong in a foreseen way becomes one line on stderr. Raises only what nobody foresaw.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a remote's text must not end a command on an old terminal
    try:
        command = typer.main.get_command(app)
        # Not standalone: typer would print its own errors, three lines each, and end the process.
        # The result is the code of a typer.Exit; a command itself returns None.
        result = command.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a reader that went away is still an error that can be caught
    except (Exception, KeyboardInterrupt) as error:
        code = code_of(error)
        if code is None:
            raise
        if isinstance(error, OSError) and error.errno in _OUTPUT_GONE:
            _give_up_stdout()
        line = line_of(error)
        if line:
            print(f"{PROGRAM}: {line}", file=sys.stderr)
        return code
    return result if isinstance(result, int) else ExitCode.DONE


def code_of(error: BaseException) -> int | None:
    """The exit code that stands for `error`; None if it is nothing foreseen."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    if isinstance(error, typer.TyperException):
        return error.exit_code
    if getattr(error, "errno", None) in _NOTHING_LEFT:  # of zmq too, whose errors are no OSError
        return ExitCode.FAILED
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _OUTPUT_GONE):
        return ExitCode.FAILED  # a file that the user named; an OSError of another kind is a bug of ours
    return None


def line_of(error: BaseException) -> str:
    """What to tell a person about a foreseen `error`, on one line; empty if there is nothing to say."""
    if isinstance(error, (KeyboardInterrupt, typer.Abort, BrokenPipeError)):
        return ""
    if isinstance(error, typer.TyperException):
        return _usage_line(error)
    if isinstance(error, ZmqGossipError):  # Timeout is an OSError too, as every TimeoutError
        return one_line(str(error))
    if getattr(error, "errno", None) in _NOTHING_LEFT:
        return "no file descriptor is left; allow more (ulimit -n), or run less at once"
    if isinstance(error, OSError) and error.filename is None:
        return one_line(f"cannot write: {error.strerror}; make room, or write elsewhere")
    if isinstance(error, OSError):
        return one_line(f"{error.filename}: {error.strerror or error}; check the path and its permissions")
    return one_line(str(error))


def one_line(text: str) -> str:
    """`text` with white space run together, and without characters that would do something to a terminal."""
    joined = " ".join(text.split())
    return joined if joined.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)


def _usage_line(error: typer.TyperException) -> str:
    """typer's message in our form: "invalid value for '--port': ...; see zmqgossip peer --help"."""
    message = one_line(error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)  # only errors of usage have one
    hint = f"; see {context.command_path} --help" if context is not None else ""
    return message[:1].lower() + message[1:] + hint


def _give_up_stdout() -> None:
    """Sends what is still buffered nowhere: the interpreter flushes once more at its end, and would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
