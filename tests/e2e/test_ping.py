"""`zmqgossip ping`: a peer that lives, one that hangs, one that is gone, and another one in its place."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.support import Network, Process, free_ports, wait_for
from zmqgossip import Peer, Seed

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Seeds in this process, commands in others."""
    with Network(tmp_path_factory.mktemp("network"), seeds=1) as network, Seed(config=network.directory / "config.json"):
        yield network


@pytest.fixture(scope="module")
def peer(network: Network) -> Iterator[Peer]:
    """A listed peer in this process."""
    with Peer(config=network.directory / "config.json") as peer:
        wait_for(lambda: network.union() == [str(peer.me)], 10, "listed")
        yield peer


def test_a_peer_that_lives_answers_each_time(network: Network, peer: Peer) -> None:
    answer = network.command("ping", str(peer.me.port), "-n", "2", "--every", "0")
    assert answer.returncode == 0
    assert [line.rpartition(" time ")[0] for line in answer.stdout.splitlines()] == [
        f"reply from {peer.me} id {peer.id.hex()[:8]} number {number}" for number in (1, 2)
    ]
    assert answer.stderr.startswith("2 sent, 2 received, min ")


def test_a_peer_is_found_by_the_beginning_of_its_id(network: Network, peer: Peer) -> None:
    answer = network.command("ping", peer.id.hex()[:10].upper(), "-n", "1", "--json")
    row = json.loads(answer.stdout)
    assert list(row) == ["ts", "kind", "peer", "number", "id", "ms", "changed"]
    assert (answer.returncode, row["kind"], row["id"], row["changed"]) == (0, "reply", peer.id.hex(), False)
    other = f"{(peer.id[0] + 1) % 256:02x}" * 5
    unknown = network.command("ping", other)
    assert (unknown.returncode, unknown.stderr.count("\n"), other in unknown.stderr) == (3, 1, True)


def test_a_stopped_peer_does_not_answer_and_a_killed_one_is_not_there(network: Network) -> None:
    peer = network.start_peer("--messages", "0")
    assert peer.port
    ping = network.command("ping", peer.endpoint, "-n", "1")
    assert ping.returncode == 0
    peer.send(signal.SIGSTOP)
    ping = network.command("ping", peer.endpoint, "-n", "2", "--every", "0", "--wait", "0.1")
    assert (ping.returncode, ping.stdout.splitlines()[0]) == (4, f"no reply within 0.1 s from {peer.endpoint} number 1")
    assert ping.stderr.splitlines()[0] == "2 sent, 0 received"
    peer.kill()
    ping = network.command("ping", peer.endpoint)
    assert (ping.returncode, ping.stdout, ping.stderr.count("\n")) == (3, "", 1)


def test_another_peer_in_its_place_is_noticed_and_what_was_missed_is_counted(network: Network) -> None:
    port = free_ports(1)[0]
    config = network.directory / "config.json"
    ping_arguments = ["ping", str(port), "-n", "1000", "--every", "0.02"]
    with Peer(port, config=config):
        ping = network.add(Process(network.directory, "ping", ping_arguments))
        wait_for(lambda: "reply" in ping.stdout.read_text(), what="a first reply")
    wait_for(lambda: "nobody listens" in ping.stdout.read_text(), what="it is gone")
    with Peer(port, config=config):
        wait_for(lambda: "(another peer lives there now)" in ping.stdout.read_text(), what="another one is seen")
        code, took_s = ping.end(signal.SIGINT)
    assert (code, took_s < 1) == (0, True)
    assert "received, min" in ping.stderr.read_text()
