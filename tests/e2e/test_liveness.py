"""A peer that hangs: removed after three misses and not before, and back by itself when it goes on."""

from __future__ import annotations

import re
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support import Network, PeerProcess, wait_for, wait_until_ready

pytestmark = pytest.mark.processes
PRESENCE_INTERVAL_S = 2.0  # of the profile `lan`


def when(line: str) -> float:
    """The time at the start of a line."""
    return datetime.fromisoformat(line.split(maxsplit=1)[0]).timestamp()


def misses_of(peer: PeerProcess, endpoint: str) -> list[str]:
    return [line for line in peer.text().splitlines() if f"no reply from {endpoint}, miss" in line]


def test_a_stopped_peer_is_removed_after_three_misses_and_is_back_within_two_presence_intervals(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peers = [network.start_peer("--messages", "0") for _ in range(6)]
        wait_until_ready(peers)
        everybody = sorted(peer.endpoint for peer in peers)
        wait_for(lambda: network.union() == everybody, 10, "all listed")
        stopped, others = peers[0], peers[1:]
        stopped.send(signal.SIGSTOP)
        wait_for(lambda: stopped.endpoint not in network.union(), 15, "removed")
        reports = [(peer, line) for peer in others for line in peer.text().splitlines() if f"reported {stopped.endpoint} dead" in line]
        assert reports, "somebody reported it"
        for peer, line in reports:
            assert "(misses, 3 misses)" in line
            misses = [re.search(r"miss (\d) of 3", miss)[1] for miss in misses_of(peer, stopped.endpoint)]  # type: ignore[index]
            assert misses[-3:] == ["1", "2", "3"]  # before them, perhaps, some that an answer made up for
            assert "3" not in misses[:-3]
        file = tmp_path / "output_seed.txt"
        wait_for(lambda: f"removed {stopped.endpoint}" in file.read_text(), 10, "the seed's file says so too")
        removed = [line for line in file.read_text().splitlines() if f"removed {stopped.endpoint}" in line]
        assert min(map(when, removed)) > min(when(line) for _, line in reports), "no seed removes it before a report"

        stopped.send(signal.SIGCONT)
        woken = time.monotonic()
        wait_for(lambda: network.listed()[:4] and stopped.endpoint in network.union(), 2 * PRESENCE_INTERVAL_S, "back in a list")
        wait_for(lambda: len(stopped.neighbours()) >= 4, 2 * PRESENCE_INTERVAL_S - (time.monotonic() - woken), "linked again")
        assert stopped.running
        assert "reported" not in stopped.text(), "who was away itself accuses nobody"


def test_a_peer_that_hangs_for_less_than_three_misses_is_not_reported(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peers = [network.start_peer("--messages", "0") for _ in range(5)]
        wait_until_ready(peers)
        stopped, others = peers[0], peers[1:]
        wait_for(lambda: len(stopped.neighbours()) == 4, 10, "a full mesh")
        stopped.send(signal.SIGSTOP)
        wait_for(lambda: any(len(misses_of(peer, stopped.endpoint)) == 2 for peer in others), 10, "a second miss")
        stopped.send(signal.SIGCONT)
        asked = {peer.name: len(re.findall(rf"<1144> .* from {stopped.endpoint} ", peer.text())) for peer in others}
        for peer in others:
            answered = rf"<1144> .* from {stopped.endpoint} "
            wait_for(lambda: len(re.findall(answered, peer.text())) > asked[peer.name] + 1, 10, "probes answered again")  # noqa: B023
        assert not any("reported" in peer.text() for peer in peers)
        assert stopped.endpoint in network.union()
