"""Every program and every command line of README and docs is run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import LONG_S, Process, wait_for
from zmqgossip import Peer, Seed

pytestmark = [pytest.mark.sockets, pytest.mark.processes]
ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/PYTHON.md")
NOT_HERE = re.compile(r"^(bin/|pip |\w+=|cd )")
"""What a person types around the commands: bin/demo and bin/test have tests and runs of their own, pip is what made this run."""

UNTIL_STOPPED = ("seed", "peer", "monitor", "sub")


def blocks(language: str) -> list[tuple[str, str]]:
    """(where, text) of each fenced block of that language."""
    return [
        (f"{page}:{number}", text)
        for page in PAGES
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL), 1)
    ]


def command_lines() -> list[str]:
    lines = [line.partition(" #")[0].strip() for _, text in blocks("sh") for line in text.splitlines()]
    return [line for line in lines if line and not NOT_HERE.match(line)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a config.json whose seeds are up, and peers that publish prices for ever."""
    directory = tmp_path_factory.mktemp("examples")
    with Seed("127.0.0.1:0", "127.0.0.1:0", cluster="docs", profile="lan") as seed:
        pairs = [endpoint.rsplit(":", 1) for endpoint in seed.endpoints]
        listed = [{"host": host, "port": int(port)} for host, port in pairs]
        (directory / "config.json").write_text(json.dumps({"cluster": "docs", "profile": "lan", "seeds": listed}))
        with Peer(config=directory / "config.json") as first, Peer(config=directory / "config.json") as second:
            first.ready(10)
            second.ready(10)  # or it may not hear the hello of the first program
            (directory / "port").write_text(str(first.me.port))

            @second.on("never.said")
            @second.on("hello.>")
            def on_hello(message: object) -> None:
                second.publish("prices.btc", b"67012.5")

            # Whoever is ready gets a price, whether it says hello or only listens.
            with second.events() as events:
                import threading

                from zmqgossip import PeerReady

                def on_events() -> None:
                    for event in events:
                        if isinstance(event, PeerReady):
                            for _ in range(3):
                                second.publish("prices.btc", b"67012.5")

                thread = threading.Thread(target=on_events, daemon=True)
                thread.start()
                yield directory
            thread.join(5)


@pytest.mark.parametrize(("where", "text"), [pytest.param(*block, id=block[0]) for block in blocks("python")])
def test_a_program_of_the_pages_runs_to_its_end(where: str, text: str, place: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", text], cwd=place, capture_output=True, text=True, timeout=20, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), where


@pytest.mark.parametrize("path", sorted((ROOT / "docs/examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs_to_its_end(path: Path, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert (ran.returncode, ran.stderr) == (0, "") and ran.stdout, path.name


@pytest.mark.parametrize("line", command_lines())
def test_a_command_of_the_pages_ends_well_by_itself_or_when_it_is_told_to(line: str, place: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((place / "config.json").read_bytes())
    first, *rest = (shlex.split(part) for part in line.split("|"))
    assert first[0] == "zmqgossip" or rest, line
    command = rest[-1] if rest else first
    assert command[0] == "zmqgossip", line
    if command[1] == "seed":  # its ports are taken by the network that the other lines need: another cluster, and ports of its own
        command = [*command, "--config", str(_config_of_its_own(tmp_path))]
    if command[1] in ("ping", "monitor"):  # the peer of the pages is the first one here
        command = [(place / "port").read_text() if word == "5001" else word for word in command]
    process = Process(tmp_path, "command", command[1:])
    try:
        wait_for(lambda: process.stdout.stat().st_size or process.stderr.stat().st_size or not process.running, LONG_S, line)
        if command[1] in UNTIL_STOPPED and process.running:
            process.end()
        assert process.popen.wait(LONG_S) == 0, (line, process.stderr.read_text())
    finally:
        if process.running:
            process.kill()


def _config_of_its_own(directory: Path) -> Path:
    from tests.support import free_ports

    path = directory / "other.json"
    path.write_text(json.dumps({"cluster": "other", "seeds": [{"host": "127.0.0.1", "port": free_ports(1)[0]}]}))
    return path
