"""Sixteen peers and more, four seeds, real processes: everything arrives once, and the dead are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import Network, PeerProcess, wait_for, wait_until_ready

pytestmark = pytest.mark.processes


def received_exactly(receiver: PeerProcess, origins: Sequence[PeerProcess], counts: Sequence[int]) -> bool:
    """Whether each of `counts` came from each origin, exactly once."""
    seen = Counter(receiver.messages())
    return all(seen[origin.endpoint, count] == 1 for origin in origins if origin is not receiver for count in counts)


def test_sixteen_peers_get_every_message_once_and_the_survivors_of_a_crash_still_do(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        seeds = network.start_seeds_apart()
        # Sixteen origins on sixteen processes: four times as fast would fill two cores, with digests too, and then everything queues.
        arguments = ("--after", "15", "--messages", "400", "--every", "1")  # more than are waited for, however slow the machine
        peers = [network.start_peer(*arguments) for _ in range(16)]
        wait_until_ready(peers, 60)
        first = range(1, 4)
        for peer in peers:
            wait_for(lambda peer=peer: received_exactly(peer, peers, first), 60, f"{peer.name} has 45 messages")  # type: ignore[misc]

        for peer in peers[:5]:
            peer.kill()
        for seed in seeds[:2]:
            seed.end()
        survivors = peers[5:]
        living = sorted(peer.endpoint for peer in survivors)
        wait_for(lambda: network.union(network.seed_ports[2:]) == living, 10, "the living seeds list exactly the survivors")
        sent = {peer.endpoint: own_count(peer) for peer in survivors}
        later = {endpoint: range(count + 1, count + 4) for endpoint, count in sent.items()}
        for peer in survivors:
            wait_for(lambda peer=peer: has_all(peer, later), 30, f"{peer.name} has what survivors published after the crash")  # type: ignore[misc]
        for peer in survivors:
            assert max(Counter(peer.messages()).values()) == 1, f"{peer.name} got something twice"
            assert_no_hole(peer, survivors)


def own_count(peer: PeerProcess) -> int:
    """msg_count of the last message that it published."""
    return sum(f"from {peer.endpoint} origin {peer.endpoint}" in line for line in peer.text().splitlines() if line.startswith("<1133>"))


def has_all(peer: PeerProcess, wanted: dict[str, range]) -> bool:
    seen = set(peer.messages())
    return all((origin, count) in seen for origin, counts in wanted.items() if origin != peer.endpoint for count in counts)


def assert_no_hole(receiver: PeerProcess, origins: Sequence[PeerProcess]) -> None:
    """Nothing between the first and the last message of a survivor is missing, the moments of the crash included."""
    seen = set(receiver.messages())
    for origin in origins:
        if origin is not receiver:
            last = max(count for maker, count in seen if maker == origin.endpoint)
            missing = [count for count in range(1, last + 1) if (origin.endpoint, count) not in seen]
            assert not missing, f"{receiver.name} lacks {missing} of {origin.endpoint}"


def test_a_peer_that_loses_all_neighbours_but_one_has_four_again_within_two_seconds(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        network.start_seed()
        peers = [network.start_peer("--messages", "0") for _ in range(20)]
        wait_until_ready(peers, 60)
        by_endpoint = {peer.endpoint: peer for peer in peers}
        bereft = peers[0]
        wait_for(lambda: len(bereft.neighbours()) >= 4, 10, "four neighbours to begin with")
        lost = bereft.neighbours()[1:]
        for endpoint in lost:
            by_endpoint[endpoint].kill()
        gone = set(lost)
        wait_for(lambda: len([one for one in bereft.neighbours() if one not in gone]) >= 4, 2, "four living neighbours again")
