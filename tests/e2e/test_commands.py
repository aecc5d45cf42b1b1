"""The commands as a person meets them: files, lists, wrong input, and the end within a second."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import LINE, Network, PeerProcess, free_ports, wait_for, wait_until_ready

pytestmark = pytest.mark.processes
END_MAX_S = 1.5
"""A second is what is promised: the watchdog ends a process after 0.95 s. The rest is for a machine that has others to run meanwhile."""


def assert_ends_well(process: PeerProcess, number: int) -> None:
    code, took_s = process.end(number)
    errors = process.stderr.read_text()
    assert (code, "Traceback" in errors) == (0, False), errors
    assert took_s <= END_MAX_S, f"{took_s:.2f} s from the signal to the end"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_peer_that_is_stopped_leaves_at_once_and_everybody_knows(tmp_path: Path, number: int) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peers = [network.start_peer("--messages", "0") for _ in range(4)]
        wait_until_ready(peers)
        leaver = peers[0]
        wait_for(lambda: len(leaver.neighbours()) == 3, 10, "a full mesh")
        assert_ends_well(leaver, number)
        assert "summary" in leaver.text().splitlines()[-1]
        wait_for(lambda: leaver.endpoint not in network.union(), 1, "gone from every seed")
        for peer in peers[1:]:
            wait_for(lambda peer=peer: f" left {leaver.endpoint}" in peer.text(), 1, "the others know")  # type: ignore[misc]
        file = tmp_path / "output_seed.txt"
        wait_for(lambda: f"leave of {leaver.endpoint}" in file.read_text(), 10, "the seed's file says so too")
        assert not any(f"dead {leaver.endpoint}" in peer.text() for peer in peers[1:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signals_inherited_as_ignored_are_heard_all_the_same(tmp_path: Path, number: int) -> None:
    with Network(tmp_path) as network:

        def ignore() -> None:
            signal.signal(number, signal.SIG_IGN)

        seed = network.start_seed()
        peer = network.start_peer(preexec_fn=ignore)
        wait_for(lambda: "listed by seed" in peer.text(), what="listed")
        assert_ends_well(peer, number)
        assert seed.end()[0] == 0


def test_a_peer_ends_within_a_second_without_any_seed_and_in_the_middle_of_joining(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        alone = network.start_peer()
        wait_for(lambda: "no seed reachable" in alone.text(), what="it says that no seed is reachable")
        assert alone.running, "and keeps trying"
        assert_ends_well(alone, signal.SIGINT)
        hanging = [socket.create_server(("127.0.0.1", port)) for port in network.seed_ports]  # accept, and never say a word
        joining = network.start_peer()
        assert joining.port
        assert_ends_well(joining, signal.SIGTERM)
        for listener in hanging:
            listener.close()


def test_a_peer_that_found_no_seed_joins_when_one_comes_up(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        early = network.start_peer("--messages", "0")
        wait_for(lambda: "no seed reachable" in early.text(), what="it says that no seed is reachable")
        network.start_seed()
        wait_for(lambda: "listed by seed" in early.text(), 10, "it joins")


def test_a_peer_ends_within_a_second_among_stopped_neighbours_and_seeds(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        seed = network.start_seed()
        peers = [network.start_peer("--messages", "0") for _ in range(4)]
        wait_until_ready(peers)
        for process in (seed, *peers[1:]):
            process.send(signal.SIGSTOP)
        assert_ends_well(peers[0], signal.SIGINT)


def test_a_peer_whose_console_is_read_by_nobody_says_goodbye_and_ends_within_a_second(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        command = [sys.executable, "-m", "zmqgossip", "peer", "--port", "0", "--profile", "lan", "--every", "0", "--messages", "5000"]
        peer = subprocess.Popen(
            [*command, "--after", "0"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert peer.stderr is not None
            port = int(re.search(rb"peer 127\.0\.0\.1:(\d+) ", peer.stderr.readline())[1])  # type: ignore[index]
            log = tmp_path / f"output_{port}.txt"
            size = -1

            def stuck() -> bool:
                nonlocal size
                before, size = size, log.stat().st_size if log.exists() else -1
                return size == before > 60_000

            wait_for(stuck, 20, "the pipe is full")
            seeds = tmp_path / "output_seed.txt"
            wait_for(lambda: f"listed 127.0.0.1:{port}," in seeds.read_text(), what="it is listed")
            peer.send_signal(signal.SIGINT)
            assert peer.wait(2) == 0
            wait_for(lambda: f"leave of 127.0.0.1:{port}" in seeds.read_text(), what="the seeds have heard it")
        finally:
            peer.kill()
            peer.communicate()


def test_a_peer_that_waits_until_it_may_publish_says_goodbye_and_ends_within_a_second(tmp_path: Path) -> None:
    with Network(tmp_path, profile="default") as network:
        network.start_seed()
        slow = network.start_peer("--messages", "0", "--after", "0")
        peer = network.start_peer("--every", "0", "--messages", "10000000")
        wait_for(lambda: slow.endpoint in peer.text() and "<3>" in peer.text(), what="it publishes")
        slow.send(signal.SIGSTOP)
        size, since = -1, time.monotonic()

        def waits() -> bool:
            nonlocal size, since
            now = peer.log.stat().st_size
            if now != size:
                size, since = now, time.monotonic()
            return time.monotonic() - since > 1.0

        wait_for(waits, 20, "the window is closed, and the queue before it is full")
        assert_ends_well(peer, signal.SIGINT)
        assert "summary" in peer.text().splitlines()[-1]
        wait_for(lambda: f"leave of {peer.endpoint}" in (tmp_path / "output_seed.txt").read_text(), what="the seeds have heard it")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("command", ["peer", "seed"])
def test_a_signal_right_behind_the_banner_is_heard(tmp_path: Path, command: str, number: int) -> None:
    with Network(tmp_path) as network:
        for anew in (True, False, False):
            node = network.start_seed(anew=anew) if command == "seed" else network.start_peer(anew=anew)
            wait_for(lambda node=node: "zmqgossip" in node.stderr.read_text(), what="the first line of the banner")  # type: ignore[misc]
            assert_ends_well(node, number)


def test_a_node_whose_console_goes_away_says_so_once_and_goes_on(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "zmqgossip", "seed", "--profile", "lan"]
        with (tmp_path / "talk").open("wb") as talk:
            seed = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=writer, stderr=talk)
        os.close(writer)
        try:
            peer = network.start_peer("--messages", "0")
            wait_for(lambda: "listed by seed" in peer.text(), what="a peer joins")
            file = tmp_path / "output_seed.txt"
            wait_for(lambda: f"listed {peer.endpoint}" in file.read_text(), what="the seed's file says so too")
            assert (tmp_path / "talk").read_text().count("cannot write to the console any more") == 1
            assert "Traceback" not in (tmp_path / "talk").read_text()
            seed.send_signal(signal.SIGTERM)
            assert seed.wait(5) == 0
        finally:
            seed.kill()
            seed.wait()


def test_a_peer_without_a_standard_input_runs(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peer = network.start_peer(preexec_fn=lambda: os.close(0))
        wait_for(lambda: "listed by seed" in peer.text(), what="it joins")
        assert_ends_well(peer, signal.SIGTERM)


def test_output_files_hold_the_lines_of_the_base_protocol(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed(anew=True)
        peers = [network.start_peer("--messages", "3", "--every", "0.1", "--after", "5", anew=number == 0) for number in range(6)]
        wait_until_ready(peers)
        for peer in peers:
            wait_for(lambda peer=peer: len(peer.messages()) == 15, 15, f"{peer.name} has all")  # type: ignore[misc]
            wait_for(lambda peer=peer: "<1144>" in peer.text() and "<1122>" in peer.text(), 5, "probes and replies")  # type: ignore[misc]
        everybody = {peer.endpoint for peer in peers}
        for peer in peers:
            lines = [line for line in peer.text().splitlines() if line.startswith("<")]
            probe = r"<1122> <\d+\.\d{6}> <(\d+)> from 127\.0\.0\.1:\1 origin 127\.0\.0\.1:\1"
            reply = rf"<1144> <\d+\.\d{{6}}> <{peer.port}> <(\d+)> from 127\.0\.0\.1:\1 origin 127\.0\.0\.1:\1"
            for line in lines:
                found = LINE.match(line)
                assert found or re.fullmatch(probe, line) or re.fullmatch(reply, line), line
                if found:
                    assert found["origin"] in everybody
                    assert found["origin"].endswith(f":{found['port']}")
                    assert (found["code"] == "1133") == (found["brought"] == found["origin"])
            own = [line for line in lines if f"from {peer.endpoint} origin {peer.endpoint}" in line]
            assert len(own) == 3, "one's own are written once, forwards never"
        peers[0].end()  # or it may write a line between the two looks
        console = peers[0].stdout.read_text()
        assert console == peers[0].text(), "the console shows what the file holds"


def test_timestamp_and_count_are_the_origins_all_the_way(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peers = [network.start_peer("--messages", "2", "--every", "0.1", "--after", "11") for _ in range(12)]
        wait_until_ready(peers)
        for peer in peers:
            wait_for(lambda peer=peer: len(peer.messages()) == 22, 15, f"{peer.name} has all")  # type: ignore[misc]
        stamps: dict[tuple[str, str], set[str]] = {}
        codes: set[str] = set()
        for peer in peers:
            for found in filter(None, map(LINE.match, peer.text().splitlines())):
                stamps.setdefault((found["origin"], found["count"]), set()).add(found["timestamp"])
                codes.add(found["code"])
        assert len(stamps) == 24
        assert all(len(one) == 1 for one in stamps.values())
        assert codes == {"1133", "1155"}, "some were propagated"


def test_peers_prints_the_union_of_all_seeds_and_never_itself(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peers = [network.start_peer("--messages", "0") for _ in range(5)]
        wait_until_ready(peers)
        gone, left, *living = peers
        gone.kill()
        left.end()
        wait_for(lambda: network.union() == sorted(peer.endpoint for peer in living), 10, "two are gone")
        listed = json.loads(network.command("peers", "--json").stdout)
        assert sorted(f"{row['host']}:{row['port']}" for row in listed) == sorted(peer.endpoint for peer in living)
        assert {row["state"] for row in listed} == {"alive"}
        assert all(isinstance(row["publish"], int) and row["seeds"] >= 3 and len(row["id"]) == 32 for row in listed)
        everybody = {f"{row['host']}:{row['port']}": row["state"] for row in json.loads(network.command("peers", "--json", "--all").stdout)}
        assert everybody[gone.endpoint] == "dead"
        assert everybody[left.endpoint] == "left"
        text = network.command("peers", anew=True)
        assert text.returncode == 0
        assert len(text.stdout.splitlines()) == 3


def test_a_seed_that_is_named_as_it_is_configured_needs_no_addresses_of_the_others(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        ports = network.seed_ports
        hosts = ["localhost", "no..such", "127.0.0.1"]  # the second is asked of no server
        listed = [{"host": host, "port": port} for host, port in zip(hosts, ports, strict=False)]
        (tmp_path / "config.json").write_text(json.dumps({"cluster": "test", "seeds": listed}))
        seed = network.start_seed("--only", f"localhost:{ports[0]}")
        wait_for(lambda: f"listening on 127.0.0.1:{ports[0]};" in seed.stderr.read_text(), what="it listens")
        other = network.command("seed", "--only", f"localhost:{ports[3]}")
        assert other.returncode == 2 and "no..such" in other.stderr


def test_peers_exits_3_when_no_seed_answers(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        answer = network.command("peers", "--json")
        assert (answer.returncode, answer.stdout) == (3, "")
        assert len(answer.stderr.splitlines()) == 1


def test_a_restarted_seed_is_complete_again_within_a_presence_interval(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        seeds = network.start_seeds_apart()
        peers = [network.start_peer("--messages", "0") for _ in range(6)]
        wait_until_ready(peers)
        wait_for(lambda: sum(len(one) for one in network.listed()) >= 18, 10, "each is listed by three")
        before = network.listed()[0]
        seeds[0].kill()
        again = network.start_seed(
            "--only", f"127.0.0.1:{network.seed_ports[0]}", "--log-dir", str(tmp_path / f"seed_{network.seed_ports[0]}")
        )
        wait_for(lambda: "listening" in again.stderr.read_text(), what="the seed listens")
        wait_for(lambda: set(network.listed()[0]) >= set(before), 2.5, "complete within one interval of 2 s and a dial-back")


def test_a_peer_restarted_on_its_port_replaces_the_dead_one(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peers = [network.start_peer("--messages", "0") for _ in range(3)]
        wait_until_ready(peers)
        killed = peers[0]
        killed.kill()
        killed.log.unlink()
        again = network.add(PeerProcess(tmp_path, "again", "--profile", "lan", "--messages", "0", port=killed.port))
        wait_until_ready([again])
        wanted = sorted(peer.port for peer in peers)

        def listed() -> list[int]:
            return sorted(row["port"] for row in json.loads(network.command("peers", "--json").stdout))

        wait_for(lambda: listed() == wanted, 10, "each port once: the seeds that had listed the dead one have heard that it is")


BAD = [
    (["peer", "--port", "65536"], 2, "65536"),
    (["peer", "--port", "x"], 2, "'x'"),
    (["peer", "--port", "-1"], 2, "-1"),
    (["peer"], 2, "--port is missing"),
    (["peer", "--port", "0", "--config", "nowhere.json"], 2, "nowhere.json"),
    (["peer", "--port", "0", "--config", "broken.json"], 2, "broken.json"),
    (["peer", "--port", "0", "--config", "misspelt.json"], 2, "did you mean cluster"),
    (["peer", "--port", "0", "--config", "empty.json"], 2, "seeds"),
    (["seed", "--only", "127.0.0.1:1"], 2, "127.0.0.1:1"),
    (["seed", "--only", "127.0.0.1"], 2, "is not HOST:PORT"),
    (["seed", "--only", "localhost:" + "9" * 5000], 2, "has no port from 1 to 65535; choose one of"),
    (["seed", "--config", "nowhere.json"], 2, "nowhere.json"),
    (["peers", "--config", "nowhere.json"], 2, "nowhere.json"),
    (["peer", "--port", "0", "--profile", "lam"], 2, "lan"),
    (["peer", "--port", "0", "--host", "0.0.0.0"], 2, "--announce"),
    (["peer", "--port", "0", "--messages", "-1"], 2, "--messages"),
    (["nonsense"], 2, "nonsense"),
    (["peer", "--port", "0", "--log-dir", "broken.json"], 1, "broken.json"),
]
ANEW = (["peer"], ["nonsense"])  # these in interpreters of their own, all the way from the start to the exit code


@pytest.mark.parametrize(("arguments", "code", "named"), BAD, ids=[" ".join(arguments) for arguments, _, _ in BAD])
def test_wrong_input_gets_one_clear_line_and_its_exit_code(tmp_path: Path, arguments: list[str], code: int, named: str) -> None:
    with Network(tmp_path) as network:
        (tmp_path / "broken.json").write_text('{"cluster": "x", ')
        (tmp_path / "misspelt.json").write_text('{"clutser": "x", "seeds": [{"host": "127.0.0.1", "port": 6001}]}')
        (tmp_path / "empty.json").write_text('{"cluster": "x", "seeds": []}')
        answer = network.command(*arguments, anew=arguments in ANEW)
        assert answer.returncode == code
        lines = [line for line in answer.stderr.splitlines() if line]
        assert len(lines) == 1, answer.stderr
        assert lines[0].startswith("zmqgossip: ")
        assert named in lines[0]
        assert answer.stdout == ""


def test_a_taken_port_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with Network(tmp_path) as network, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = network.command("peer", "--port", str(port))
        assert answer.returncode == 1
        assert answer.stderr == f"zmqgossip: port {port} on 127.0.0.1 is taken by another process; choose another, or 0 for any free one\n"
        (tmp_path / "one.json").write_text(json.dumps({"cluster": "test", "seeds": [{"host": "127.0.0.1", "port": port}]}))
        assert network.command("seed", "--config", "one.json").returncode == 1
        assert not list(tmp_path.glob("output_*")), "a failed start writes no log"


def test_a_peer_of_another_cluster_is_told_and_exits_2(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        member = network.start_peer("--messages", "0")
        wait_for(lambda: "listed by seed" in member.text(), what="one of ours joins")
        seeds = [{"host": "127.0.0.1", "port": port} for port in network.seed_ports]
        (tmp_path / "other.json").write_text(json.dumps({"cluster": "other", "seeds": seeds}))
        answer = network.command("peer", "--port", "0", "--config", "other.json")
        assert answer.returncode == 2
        assert "another cluster" in answer.stderr.splitlines()[-1]
        assert "Traceback" not in answer.stderr
        assert network.union() == [member.endpoint]


def test_environment_names_the_configuration(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    (tmp_path / "elsewhere.json").write_text(json.dumps({"cluster": "test", "seeds": [{"host": "127.0.0.1", "port": port}]}))
    environment = {**os.environ, "ZMQGOSSIP_CONFIG": str(tmp_path / "elsewhere.json")}
    answer = subprocess.run(
        [sys.executable, "-m", "zmqgossip", "peers"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert answer.returncode == 3
    assert str(port) in answer.stderr
