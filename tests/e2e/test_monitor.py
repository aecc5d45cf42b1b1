"""`zmqgossip monitor`: a SUB on one peer sees what all peers say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import LINE, Network, PeerProcess, Process, free_ports, wait_for, wait_until_ready

pytestmark = pytest.mark.processes


def network_of(network: Network, peers: int, *arguments: str) -> list[PeerProcess]:
    network.start_seed()
    started = [network.start_peer(*arguments) for _ in range(peers)]
    wait_until_ready(started)
    return started


def watching(network: Network, *arguments: str, anew: bool = False) -> Process:
    return network.start("monitor", *arguments, anew=anew)


def test_a_monitor_on_one_peer_sees_the_messages_of_all(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        peers = network_of(network, 4, "--messages", "200", "--every", "0.1", "--after", "3")
        monitor = watching(network, str(peers[0].port), "--count", "40", anew=True)
        assert monitor.popen.wait(15) == 0
        lines = monitor.stdout.read_text().splitlines()
        found = [LINE.match(line) for line in lines]
        assert len(lines) == 40
        assert all(found)
        assert {one["origin"] for one in found if one} == {peer.endpoint for peer in peers}
        assert {one["brought"] for one in found if one} == {peers[0].endpoint}
        assert all((one["code"] == "1133") == (one["origin"] == peers[0].endpoint) for one in found if one)
        listed = json.loads(network.command("peers", "--json").stdout)
        assert len(listed) == 4, "a monitor is never listed"


def test_json_has_every_key_and_the_publishing_endpoint_may_be_given(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        peers = network_of(network, 2, "--messages", "200", "--every", "0.1")
        publish = json.loads(network.command("peers", "--json").stdout)[0]["publish"]
        monitor = watching(network, f"tcp://127.0.0.1:{publish}", "--json", "--payload", "--count", "3")
        assert monitor.popen.wait(15) == 0
        rows = [json.loads(line) for line in monitor.stdout.read_text().splitlines()]
        assert len(rows) == 3
        for row in rows:
            assert list(row) == ["ts", "kind", "code", "origin", "number", "from", "topic", "size", "payload"]
            assert (row["kind"], row["topic"], row["size"], row["payload"]) == ("message", "gossip", 0, "")
            assert row["origin"] in {peer.endpoint for peer in peers}


def test_all_shows_who_comes_and_goes_and_a_pattern_hides_the_rest(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        peers = network_of(network, 3, "--messages", "100", "--every", "0.1")
        monitor = watching(network, str(peers[0].port), "--topic", "chat.>", "--all")
        wait_for(lambda: "watching" in monitor.stderr.read_text(), what="the monitor watches")
        newcomer = network.start_peer("--messages", "0")
        wait_for(lambda: f"alive {newcomer.endpoint} ready" in monitor.stdout.read_text(), 10, "a newcomer is seen")
        peers[2].end()
        wait_for(lambda: f"left {peers[2].endpoint}" in monitor.stdout.read_text(), 10, "a leave is seen")
        peers[1].kill()
        wait_for(lambda: f"dead {peers[1].endpoint}" in monitor.stdout.read_text(), 10, "a death is seen")
        code, took_s = monitor.end()
        assert (code, took_s < 1) == (0, True)
        assert "<1133>" not in monitor.stdout.read_text()


def test_without_a_target_any_peer_of_the_lists_is_watched(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network_of(network, 2, "--messages", "100", "--every", "0.1")
        monitor = watching(network, "--count", "1")
        assert monitor.popen.wait(15) == 0


def test_a_watched_peer_that_dies_or_was_never_there_is_told(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        peer, _ = network_of(network, 2, "--messages", "0")
        monitor = watching(network, str(peer.port))
        wait_for(lambda: "watching" in monitor.stderr.read_text(), what="it has found the peer")
        peer.kill()
        wait_for(lambda: f"no connection to {peer.endpoint}" in monitor.stderr.read_text(), what="it says that the connection is gone")
        nowhere = watching(network, f"tcp://127.0.0.1:{free_ports(1)[0]}")
        wait_for(lambda: "no connection to tcp://" in nowhere.stderr.read_text(), what="it says that nobody is there")
        assert monitor.end()[0] == nowhere.end()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["70000"], 2, "70000"),
        (["nowhere"], 2, "nowhere"),
        (["tcp://x:1"], 2, "tcp://HOST:PORT"),
        (["5001", "--topic", "a..b"], 2, "empty token"),
        ([], 3, "peer"),
        (["1"], 3, "no peer of cluster 'test' answers at 127.0.0.1:1"),
    ],
)
def test_what_cannot_be_watched_is_one_line_and_an_exit_code(tmp_path: Path, arguments: list[str], code: int, named: str) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        wait_for(lambda: "listening" in network.processes[0].stderr.read_text(), what="the seeds listen")
        answer = network.command("monitor", *arguments)
        assert (answer.returncode, len(answer.stderr.splitlines())) == (code, 1), answer.stderr
        assert named in answer.stderr
