"""What a script sees of a command that went wrong, its exit code, and what a person sees, one line."""

import errno
import io
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated

import pytest
import typer
import zmq

from zmqgossip.__main__ import main
from zmqgossip.cli.app import app
from zmqgossip.cli.errors import ExitCode, Misuse, NobodyReachable, PartialAnswer, TimedOut, code_of, line_of, run
from zmqgossip.cli.options import ConfigOption, PortOption
from zmqgossip.core.errors import CannotBind, ConfigError, NodeClosed, PayloadTooLarge, PortInUse, Timeout, ZmqGossipError

FORESEEN = [
    (ConfigError("config.json: seeds is empty", "seeds"), 2, "config.json: seeds is empty"),
    (Misuse("no port; name one with --port"), 2, "no port; name one with --port"),
    (NobodyReachable("no seed answered"), 3, "no seed answered"),
    (TimedOut("nothing came in 5 s"), 4, "nothing came in 5 s"),
    (Timeout("nothing came", 5.0, "wait longer"), 4, "nothing came within 5 s; wait longer"),
    (PartialAnswer("2 of 4 seeds answered"), 5, "2 of 4 seeds answered"),
    (
        PortInUse("127.0.0.1", 5001),
        1,
        "port 5001 on 127.0.0.1 is taken by another process; choose another, or 0 for any free one",
    ),
    (CannotBind("192.0.2.1", 1, "no such address"), 1, str(CannotBind("192.0.2.1", 1, "no such address"))),
    (PayloadTooLarge(70_000, 60_000), 1, "the message has 70000 bytes, at most 60000 fit; send it in parts"),
    (NodeClosed("the node has left"), 1, "the node has left"),
    (OSError(errno.EMFILE, "Too many open files"), 1, "no file descriptor is left; allow more (ulimit -n), or run less at once"),
    (zmq.ZMQError(errno.EMFILE), 1, "no file descriptor is left; allow more (ulimit -n), or run less at once"),
    (ZmqGossipError("something else"), 1, "something else"),
    (
        PermissionError(errno.EACCES, "Permission denied", "/logs/output_1.txt"),
        1,
        "/logs/output_1.txt: Permission denied; check the path and its permissions",
    ),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "cannot write: No space left on device; make room, or write elsewhere"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
    (KeyboardInterrupt(), 130, ""),
    (typer.Abort(), 130, ""),
]
UNFORESEEN = [RuntimeError("a bug"), KeyError("x"), OSError(errno.EBADF, "Bad file descriptor"), AssertionError()]


def an_app(body: Callable[[], None] = lambda: None) -> typer.Typer:
    """A command line with two commands: `work` runs `body`, `peer` has some options."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.command()
    def work() -> None:
        body()

    @app.command()
    def peer(port: PortOption = None, config: ConfigOption = None, every: Annotated[float, typer.Option(min=0, max=3600)] = 5) -> None:
        typer.echo(f"{port} {config} {every}")

    return app


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(("error", "code", "line"), FORESEEN, ids=lambda value: type(value).__name__)
def test_each_foreseen_error_has_its_code_and_its_line(error: BaseException, code: int, line: str) -> None:
    assert code_of(error) == code
    assert line_of(error) == line


@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda error: type(error).__name__)
def test_what_nobody_foresaw_keeps_its_traceback(error: Exception) -> None:
    assert code_of(error) is None
    with pytest.raises(type(error)):
        run(an_app(raising(error)), ["work"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [row for row in FORESEEN if not (isinstance(row[0], OSError) and row[0].filename is None)],
    ids=lambda value: type(value).__name__,
)
def test_a_command_that_fails_prints_its_line_on_stderr_alone(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(an_app(raising(error)), ["work"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip() == (f"zmqgossip: {line}" if line else "")


def test_a_command_that_ends_normally_is_done() -> None:
    assert run(an_app(), ["work"]) == ExitCode.DONE


@pytest.mark.parametrize("code", [0, 1, 5])
def test_a_command_may_end_itself_with_a_code(code: int) -> None:
    assert run(an_app(raising(typer.Exit(code))), ["work"]) == code


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["peer", "--port", "70000"],
            "invalid value for '--port': '70000' is not a port; give one from 1 to 65535, or 0 for any free one; see zmqgossip peer --help",
        ),
        (
            ["peer", "--port", "five"],
            "invalid value for '--port': 'five' is not a port; give one from 1 to 65535, or 0 for any free one; see zmqgossip peer --help",
        ),
        (["peer", "--port"], "option '--port' requires an argument"),
        (["pear"], "no such command 'pear'. Did you mean 'peer'?; see zmqgossip --help"),
        (["peer", "extra"], "got unexpected extra argument(s) (extra); see zmqgossip peer --help"),
    ],
)
def test_a_mistake_of_usage_is_one_line_and_code_2(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(an_app(), arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"zmqgossip: {line}\n")


@pytest.mark.parametrize("arguments", [["peer", "--prot", "1"], ["peer", "--every", "-1"], ["peer", "--every", "x"], ["--nothing"]])
def test_what_typer_finds_wrong_by_itself_is_one_line_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(an_app(), arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("zmqgossip: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("port", ["0", "1", "65535"])
def test_a_port_in_range_is_taken(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(an_app(), ["peer", "--port", port]) == ExitCode.DONE
    assert capsys.readouterr().out == f"{port} None 5.0\n"


@pytest.mark.parametrize("time", ["nan", "inf", "1e7", "-1", "soon", ""])
@pytest.mark.parametrize("command", [["peer", "--every"], ["peers", "--timeout"], ["ping", "5001", "--every"], ["pub", "a", "b", "--wait"]])
def test_a_time_that_is_none_is_refused(command: list[str], time: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, [*command, time]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert f"{time!r} is no such time; give seconds, from " in captured.err and captured.err.count("\n") == 1


def test_what_the_terminal_cannot_show_is_escaped_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    old = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", old)
    assert run(an_app(lambda: print("日本", file=old)), ["work"]) == ExitCode.DONE
    assert old.buffer.getvalue() == b"\\u65e5\\u672c\n"  # type: ignore[attr-defined]


def test_a_line_cannot_be_broken_by_what_the_error_holds() -> None:
    assert line_of(ZmqGossipError("two\nlines\tand \x1b[31mred")) == "two lines and \\x1b[31mred"


def test_a_reader_that_went_away_is_noticed_at_the_last_flush_and_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        """A stdout whose reader has gone; it shows only when the buffer is flushed."""

        def flush(self) -> None:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    given_up: list[bool] = []
    monkeypatch.setattr("zmqgossip.cli.errors._give_up_stdout", lambda: given_up.append(True))
    monkeypatch.setattr(sys, "stdout", Gone())
    assert run(an_app(), ["work"]) == ExitCode.FAILED
    assert given_up == [True]


def test_ctrl_c_before_all_is_imported_cuts_a_command_short_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(ModuleType):
        """A module in whose import the signal comes."""

        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "zmqgossip.cli.app", Interrupted("zmqgossip.cli.app"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.CUT_SHORT
    assert capsys.readouterr().err == ""
