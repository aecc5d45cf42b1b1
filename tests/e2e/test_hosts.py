"""Several hosts: network namespaces with addresses of their own on a bridge, and a host whose link goes down and comes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nursery import Nursery
from tests.support import LINE, Network, PeerProcess, Process, wait_for

pytestmark = pytest.mark.processes
HOSTS = 3
NET = "10.213.77"


def ip(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Hosts:
    """Namespaces on a bridge; whatever they are called, they are gone at the end."""

    def __init__(self) -> None:
        self._name = f"zg{os.getpid()}"
        self._made: list[str] = []

    def make(self) -> None:
        self._add(self.bridge)
        self._in(self.bridge, "link", "add", "br0", "type", "bridge")
        self._in(self.bridge, "link", "set", "br0", "up")
        for number in range(1, HOSTS + 1):
            host = self.host(number)
            self._add(host)
            ip("link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", f"port{number}", "netns", self.bridge)
            self._in(self.bridge, "link", "set", f"port{number}", "master", "br0", "up")
            self._in(host, "addr", "add", f"{NET}.{number}/24", "dev", "eth0")
            self._in(host, "link", "set", "eth0", "up")
            self._in(host, "link", "set", "lo", "up")

    def _add(self, name: str) -> None:
        ip("netns", "add", name)
        self._made.append(name)

    @staticmethod
    def _in(name: str, *arguments: str) -> None:
        ip("-n", name, *arguments)

    @property
    def bridge(self) -> str:
        return f"{self._name}b"

    def host(self, number: int) -> str:
        return f"{self._name}h{number}"

    def set_link(self, number: int, state: str) -> None:
        self._in(self.bridge, "link", "set", f"port{number}", state)

    def end(self) -> None:
        for name in self._made:
            ip("netns", "del", name)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which("ip") is None:
        pytest.skip("no `ip` on this machine (package iproute2)")
    found = Hosts()
    try:
        found.make()
    except subprocess.CalledProcessError as error:
        found.end()
        pytest.skip(f"this machine allows no network namespaces: {error.stderr.decode().strip()}")
    yield found
    found.end()


class Host(Network):
    """Commands that run in one namespace, from a nursery there, and in a directory of their own."""

    def __init__(self, directory: Path, namespace: str, address: str, config: str) -> None:
        self.directory = directory / namespace
        self.directory.mkdir()
        (self.directory / "config.json").write_text(config)
        self.profile = "lan"
        self.processes: list[Process] = []
        self.address = address
        self.nursery = Nursery(prefix=["ip", "netns", "exec", namespace])

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        super().__exit__(kind, *rest)
        self.nursery.end()

    def seed(self, port: int) -> None:
        self.start_seed("--only", f"{self.address}:{port}", "--log-dir", str(self.directory / f"seed_{port}"))

    def peer(self, port: int) -> HostPeer:
        return self.add(HostPeer(self, port))

    def peers(self) -> list[str]:
        """What `zmqgossip peers` shows here."""
        rows = json.loads(self.command("peers", "--json").stdout or "[]")
        return sorted(f"{row['host']}:{row['port']}" for row in rows if row["state"] == "alive")


class HostPeer(PeerProcess):
    """A peer in a namespace, at its address."""

    def __init__(self, host: Host, port: int) -> None:
        arguments = ["--host", host.address, "--profile", "lan", "--messages", "400", "--every", "0.5", "--after", "11"]
        super().__init__(host.directory, f"peer_{port}", *arguments, port=port, nursery=host.nursery)
        self.address = host.address

    @property
    def endpoint(self) -> str:
        return f"{self.address}:{self.port}"

    def links_across(self, cut_off: Host) -> list[str]:
        """Its neighbours on the other side of the cut."""
        inside = self.address == cut_off.address
        return [neighbour for neighbour in self.neighbours() if neighbour.startswith(f"{cut_off.address}:") != inside]

    def made(self, since: float, until: float) -> list[int]:
        """msg_count of its own messages of that time."""
        found = filter(None, map(LINE.match, self.text().splitlines()))
        own = [one for one in found if one["origin"] == one["brought"] == self.endpoint]
        return [int(one["count"]) for one in own if since <= float(one["timestamp"]) <= until]


def has_all(receiver: HostPeer, made: dict[str, list[int]]) -> bool:
    seen = dict.fromkeys(receiver.messages())
    return all((origin, count) in seen for origin, counts in made.items() if origin != receiver.endpoint for count in counts)


def test_a_host_that_was_cut_off_comes_back_without_a_restart(tmp_path: Path, hosts: Hosts) -> None:
    addresses = [f"{NET}.{number}" for number in range(1, HOSTS + 1)]
    seeds = [{"host": address, "port": port} for address in addresses[:2] for port in (6001, 6002)]
    config = json.dumps({"cluster": "test", "seeds": seeds})
    first, second, third = [Host(tmp_path, hosts.host(number), addresses[number - 1], config) for number in range(1, HOSTS + 1)]
    with first, second, third:
        for host in (first, second):
            for port in (6001, 6002):
                host.seed(port)
        peers = [host.peer(5001 + place) for place, host in enumerate([first, second, third] * 4)]
        for peer in peers:
            wait_for(lambda peer=peer: peer.is_ready, 40, f"{peer.name} is ready")  # type: ignore[misc]
        everybody = sorted(peer.endpoint for peer in peers)
        here = sorted(peer.endpoint for peer in peers if peer.address != third.address)
        wait_for(lambda: first.peers() == everybody, 20, "all listed")

        hosts.set_link(3, "down")
        wait_for(lambda: first.peers() == here, 20, "the cut-off host's peers are gone")
        wait_for(lambda: all(not peer.links_across(third) for peer in peers), 20, "each side has given up its links to the other")
        hosts.set_link(3, "up")
        wait_for(lambda: first.peers() == everybody == third.peers(), 40, "all are listed again")
        wait_for(lambda: all(len(peer.neighbours()) >= 4 for peer in peers), 20, "all have neighbours")

        since = time.time()
        wait_for(lambda: all(len(peer.made(since, time.time())) >= 3 for peer in peers), 20, "everybody has said something")
        made = {peer.endpoint: peer.made(since, time.time()) for peer in peers}
        for peer in peers:
            wait_for(lambda peer=peer: has_all(peer, made), 10, f"{peer.name} has it all")  # type: ignore[misc]
        for peer in peers:
            received = peer.messages()  # read once: more comes meanwhile
            assert len(dict.fromkeys(received)) == len(received), "nothing twice"
            assert peer.running
            assert not re.search("Traceback", peer.stderr.read_text())
