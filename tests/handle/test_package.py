"""The package: its public names, what importing it costs, and what a type checker sees of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zmqgossip

NAMES = """
CannotBind ConfigError Connected DeadReportReceived Endpoint Event Feed FrameRefused InvalidTimeout InvalidTopic Isolated LeaveReceived Left
LoopLate Member MembersFull MembersPartial Message MessagesLost NeighbourCaughtUp NeighbourDown NeighbourReported NeighbourSlow
NeighbourUp NoSeed NodeClosed Origin PayloadTooLarge Peer PeerAlive PeerBusy PeerCleared PeerDead PeerGone PeerHeld PeerJoined PeerLeft
PeerListed PeerNotListed PeerReady PeerRecord PeerRemoved PeerState PeerSuspected PortInUse ProbeMissed ProbeReceived ProtocolConfig
Ready Refuted RegistrationReceived RegistrationRefused RemoteLimited ReplyReceived Request RequestFailed Seed SeedAccepted SeedLost
Timeout VerdictHeard VersionRefused WouldBlock WrongCluster ZmqGossipError
"""
USER = """
import asyncio
from zmqgossip import Event, Feed, Member, Message, Peer, PeerDead, Request, Seed, Timeout

def sync() -> None:
    with Seed("127.0.0.1:0", cluster="demo") as seed, Peer(seeds=seed.endpoints, cluster="demo", profile="lan") as peer:
        peer.ready(timeout=5)

        @peer.on("prices.*")
        def priced(message: Message) -> None:
            peer.publish("seen", message.payload)

        @peer.on_request
        def answer(request: Request) -> bytes | None:
            return request.payload

        feed: Feed[Message] = peer.subscribe("prices.>")
        for message in feed:
            reveal_type(message.origin.id)
            break
        members: list[Member] = peer.members()
        events: Feed[Event] = peer.events(PeerDead)
        try:
            reveal_type(peer.request(members[0], b"x", timeout=1.0))
        except Timeout as error:
            print(error.timeout_s, events.get(1.0), peer.stats()["members"])

async def tasks() -> None:
    async with Peer(config="config.json") as peer:
        await peer.aready(timeout=5)
        await peer.apublish("prices.btc", b"67012.5")
        async for message in peer.subscribe():
            reveal_type(message.payload)
            reveal_type(await peer.arequest(message.origin, b"x"))

sync()
asyncio.run(tasks())
"""


def test_the_public_names_are_these_and_all_are_there() -> None:
    assert zmqgossip.__all__ == NAMES.split()
    for name in zmqgossip.__all__:
        assert getattr(zmqgossip, name).__name__ == name
    assert set(zmqgossip.__all__) <= set(dir(zmqgossip))
    with pytest.raises(AttributeError, match="has no attribute 'Publisher'"):
        zmqgossip.Publisher  # noqa: B018


@pytest.mark.processes
def test_importing_it_imports_neither_zeromq_nor_asyncio_and_the_first_peer_does() -> None:
    program = """
import sys, zmqgossip
assert not {"zmq", "asyncio", "msgspec", "threading"} & set(sys.modules) - before
from zmqgossip import *
assert {"zmq", "asyncio"} <= set(sys.modules) and Peer and Timeout
"""
    subprocess.run([sys.executable, "-c", "import sys; before = set(sys.modules)" + program], check=True, timeout=20)


@pytest.mark.processes
def test_the_help_of_the_command_line_does_without_the_handle() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "zmqgossip", "--help"]
    imported = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stderr
    names = {line.rpartition("|")[2].strip() for line in imported.splitlines()}
    assert "zmqgossip" in names and not {"zmq", "zmqgossip.handle.peer", "zmqgossip.runtime.node"} & names


@pytest.mark.processes
def test_a_users_program_passes_the_strict_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "program.py").write_text(USER)
    cache = Path(zmqgossip.__file__).parents[1] / ".mypy_cache"  # warm where the package itself has been checked
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(cache), "program.py"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    told = [line.partition('"')[2].rstrip('"') for line in checked.stdout.splitlines() if "Revealed type" in line]
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert [one.replace("builtins.", "") for one in told] == ["bytes"] * 4
    assert (Path(zmqgossip.__file__).parent / "py.typed").exists()
