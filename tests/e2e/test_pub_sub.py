"""`zmqgossip pub` and `zmqgossip sub`: a message from one pipe to another, through peers that come for a moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import free_ports, wait_for
from zmqgossip import Peer, Seed

pytestmark = pytest.mark.processes
COMMAND = [sys.executable, "-m", "zmqgossip"]


def write_config(directory: Path, *ports: int) -> Path:
    seeds = [{"host": "127.0.0.1", "port": port} for port in ports]
    (directory / "config.json").write_text(json.dumps({"cluster": "test", "profile": "lan", "seeds": seeds}))
    return directory


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory whose config.json names a seed that runs in this process."""
    directory = write_config(tmp_path_factory.mktemp("network"), *free_ports(1))
    with Seed(config=directory / "config.json"):
        yield directory


@pytest.fixture(scope="module")
def friend(place: Path) -> Iterator[Peer]:
    """A peer in this process, for the commands to meet."""
    with Peer(config=place / "config.json") as peer:
        yield peer


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A directory whose config.json names a seed that does not run."""
    return write_config(tmp_path, *free_ports(1))


@pytest.fixture
def start(place: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts commands with pipes; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([*COMMAND, *arguments], cwd=place, **{**pipes, **options}))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def run(directory: Path, *arguments: str, stdin: bytes | None = None, **options: Any) -> tuple[int, bytes, str]:
    """A command that ends by itself: exit code, what it printed, and what it said."""
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run([*COMMAND, *arguments], cwd=directory, capture_output=True, timeout=20, check=False, **{**given, **options})
    return done.returncode, done.stdout, done.stderr.decode()


def without_waiting(said: str) -> list[str]:
    """The lines of a command, but for the one which says that it waits: joining may take over a second on a busy machine."""
    return [line for line in said.splitlines() if not line.startswith("waiting for others")]


def listening(sub: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """A `sub`, once it says that it hears everything from now on."""
    assert sub.stderr is not None
    while b"listening" not in (line := sub.stderr.readline()):  # before it, perhaps, that it waits for others
        assert line, "it ended, and never listened"
    return sub


def test_lines_of_a_pipe_come_out_of_another_and_both_end(start: Callable[..., subprocess.Popen[bytes]], friend: Peer, place: Path) -> None:
    sub = listening(start("sub", "numbers.*", "-n", "3"))
    assert run(place, "pub", "numbers.few", stdin=b"1\n2\n3\n")[0] == 0
    out, said = sub.communicate(timeout=10)
    assert (sub.returncode, said) == (0, b"")
    assert [line.split(b" origin ")[0] for line in out.splitlines()] == [b"numbers.few: 1", b"numbers.few: 2", b"numbers.few: 3"]


def test_raw_prints_the_bytes_as_they_are(start: Callable[..., subprocess.Popen[bytes]], friend: Peer) -> None:
    sub = listening(start("sub", "bytes", "--raw", "-n", "2"))
    friend.publish("other", b"not asked for")
    friend.publish("bytes", b"\xff\x00\x1b[31m")
    friend.publish("bytes", b"")
    assert sub.communicate(timeout=10)[0] == b"\xff\x00\x1b[31m\n\n"


def test_json_has_every_key_at_both_ends(start: Callable[..., subprocess.Popen[bytes]], friend: Peer, place: Path) -> None:
    sub = listening(start("sub", "--json", "-n", "1"))
    code, out, said = run(place, "pub", "a.b", os.fsdecode(b"x\xff"), "--json", "-q")
    told = json.loads(out)
    assert (code, said, list(told)) == (0, "", ["ts", "kind", "topic", "number", "size"])
    assert (told["kind"], told["topic"], told["number"], told["size"]) == ("published", "a.b", 1, 2)
    heard = json.loads(sub.communicate(timeout=10)[0])
    assert list(heard) == ["ts", "kind", "origin", "number", "topic", "size", "payload", "hops"]
    assert (heard["kind"], heard["topic"], heard["number"], heard["size"], heard["payload"]) == ("message", "a.b", 1, 2, "x\\xff")


def test_lines_are_published_as_they_come_empty_ones_and_the_last_without_an_end_too(
    start: Callable[..., subprocess.Popen[bytes]], friend: Peer
) -> None:
    with friend.subscribe("typed") as messages:
        pub = start("pub", "typed")
        assert pub.stdin is not None
        pub.stdin.write(b"one\n\n\xfe\nla")
        pub.stdin.flush()
        assert [messages.get(10).payload for _ in range(3)] == [b"one", b"", b"\xfe"]
        _, said = pub.communicate(b"st", timeout=10)
        assert messages.get(10).payload == b"last"
        (summary,) = without_waiting(said.decode())
        assert (pub.returncode, summary.startswith("published 4 messages; ")) == (0, True)


def test_a_line_that_is_too_long_ends_it_and_is_named(friend: Peer, place: Path) -> None:
    with friend.subscribe("long") as messages:
        code, _, said = run(place, "pub", "long", stdin=b"one\n" + b"x" * 70_000 + b"\nthree\n")
        (error,) = without_waiting(said)
        assert (code, error.startswith("zmqgossip: line 2 is too long")) == (1, True)
        assert messages.get(10).payload == b"one"


def test_a_signal_cuts_pub_short_and_is_the_end_of_sub(start: Callable[..., subprocess.Popen[bytes]], friend: Peer) -> None:
    with friend.subscribe("cut") as messages:
        pub, sub = start("pub", "cut"), listening(start("sub"))
        assert pub.stdin is not None
        pub.stdin.write(b"before\n")
        pub.stdin.flush()
        assert messages.get(10).payload == b"before"
    for process, number, code in ((pub, signal.SIGINT, 130), (sub, signal.SIGTERM, 0)):
        process.send_signal(number)
        assert process.wait(1) == code
    wait_for(lambda: not friend.members(), 5, "both have left")


def test_a_reader_that_goes_away_ends_sub_quietly_though_no_message_comes(
    start: Callable[..., subprocess.Popen[bytes]], friend: Peer
) -> None:
    sub = listening(start("sub", "nothing"))
    assert sub.stdout is not None
    assert sub.stderr is not None
    sub.stdout.close()
    assert sub.wait(5) == 1
    assert sub.stderr.read() == b""
    sub.stdout = None  # communicate at the end would read it


def test_sub_that_got_too_little_in_time_exits_4(friend: Peer, place: Path) -> None:
    code, out, said = run(place, "sub", "silence", "-n", "2", "--wait", "2", "-q")
    assert (code, out) == (4, b"")
    assert said.startswith("zmqgossip: 0 of 2 messages")


@pytest.mark.parametrize("arguments", [["pub", "a", "x"], ["sub"]], ids=["pub", "sub"])
def test_without_any_seed_the_exit_code_is_3(nowhere: Path, arguments: list[str]) -> None:
    code, _, said = run(nowhere, *arguments, "--wait", "0.3", "-q")
    assert (code, said.count("\n")) == (3, 1)
    assert said.startswith("zmqgossip: no seed answers within 0.3 s")


def test_pub_that_finds_nobody_in_time_exits_4(tmp_path: Path) -> None:
    directory = write_config(tmp_path, *free_ports(1))
    with Seed(config=directory / "config.json"):
        code, _, said = run(directory, "pub", "a", "x", "--wait", "2", "-q")
    assert (code, said.count("\n")) == (4, 1)
    assert "no neighbour was found within 2 s" in said


def test_pub_without_a_standard_input_says_so(nowhere: Path) -> None:
    code, _, said = run(nowhere, "pub", "a", preexec_fn=lambda: os.close(0))
    assert (code, said) == (2, "zmqgossip: there is no standard input to read messages from; give the message as BODY\n")
