"""The network for users' own tests: up in one line, and every fault does what its name says."""

from __future__ import annotations

import pytest

from zmqgossip import Message, Peer, PeerDead, PeerGone, PeerJoined, PeerLeft, Timeout
from zmqgossip.testing import Network

pytestmark = pytest.mark.sockets
QUICK = {
    "liveness_interval_s": 0.3,
    "reply_timeout_s": 0.2,
    "presence_interval_s": 0.5,
    "refill_interval_s": 0.1,
    "redial_min_s": 0.1,
    "redial_max_s": 0.5,
    "link_timeout_s": 0.5,
    "verify_window_s": 0.3,
    "dial_timeout_s": 0.2,
}
"""A partition is noticed in a second instead of ten."""


def others(peer: Peer) -> int:
    return len(peer.members())


def test_a_network_is_ready_when_it_is_entered_and_everybody_hears_everybody() -> None:
    with Network(peers=8) as network:
        feeds = {peer.id: peer.subscribe("news.*") for peer in network.peers}
        for peer in network.peers:
            peer.publish("news.today", peer.id)
        for peer in network.peers:
            heard: list[Message] = [feeds[peer.id].get(timeout=5) for _ in range(7)]
            assert sorted(message.payload for message in heard) == sorted(one.id for one in network.peers if one is not peer)
        peers = list(network.peers)
    assert all(list(feed) == [] for feed in feeds.values()), "the end of the network is the end of its feeds"
    assert network.peers == [] and len(peers) == 8


def test_a_peer_that_is_killed_is_found_dead_and_one_that_is_added_joins() -> None:
    with Network(peers=4) as network:
        first, victim = network.peers[0], network.peers[2]
        deaths, joins = first.events(PeerDead), first.events(PeerJoined)
        gone, record = victim.id, victim.me
        network.kill(victim)
        assert deaths.get(timeout=5).peer.id == gone  # type: ignore[attr-defined]
        with pytest.raises(PeerGone):
            first.request(record, b"still there?")
        newcomer = network.add()
        assert joins.get(timeout=5).peer.id == newcomer.id  # type: ignore[attr-defined]
        network.settle()
        assert [others(peer) for peer in network.peers] == [3, 3, 3, 3]


def test_a_peer_that_is_stopped_is_found_dead_and_is_back_when_it_goes_on() -> None:
    with Network(peers=4, protocol=QUICK) as network:
        first, sleeper = network.peers[0], network.peers[3]
        network.stop(sleeper)
        network.stop(sleeper)
        with pytest.raises((Timeout, PeerGone)):
            first.request(sleeper._running().me, b"awake?", timeout=0.2)
        network.wait_for(lambda: others(first) == 2, what="the sleeper is not found dead")
        network.resume(sleeper)
        network.settle()
        feed = sleeper.subscribe()
        first.publish("x", b"good morning")
        assert feed.get(timeout=5).payload == b"good morning"


def test_parts_of_a_partition_hear_only_themselves_and_are_one_again_after_healing() -> None:
    with Network(peers=5, seeds=2, protocol=QUICK) as network:
        left, right = network.peers[:2], network.peers[2:]
        network.partition([*left, network.seeds[0]], [*right, network.seeds[1]])
        feed = right[0].subscribe("side.*")
        left[0].publish("side.left", b"")
        right[1].publish("side.right", b"")
        assert feed.get(timeout=5).topic == "side.right"
        network.wait_for(lambda: [others(peer) for peer in network.peers] == [1, 1, 2, 2, 2], what="the sides do not part")
        network.heal()
        network.settle()
        feeds = [peer.subscribe("all.*") for peer in network.peers[1:]]
        left[0].publish("all.again", b"")
        assert [one.get(timeout=5).topic for one in feeds] == ["all.again"] * 4


def test_seeds_may_die_and_come_back_while_messages_pass() -> None:
    with Network(peers=3, seeds=2, protocol=QUICK) as network:
        addresses = [seed.endpoints[0] for seed in network.seeds]
        for seed in list(network.seeds):
            network.kill(seed)
        feed = network.peers[1].subscribe()
        network.peers[0].publish("x", b"without seeds")
        assert feed.get(timeout=5).payload == b"without seeds"
        seed = network.restart_seed(addresses[0])
        network.wait_for(lambda: len(seed.members()) == 3, what="the seed does not learn of all peers again")
        network.add()
        network.settle()


def test_a_peer_that_the_test_closes_itself_is_in_nobodys_way() -> None:
    with Network(peers=3, protocol={"leave_timeout_s": 10.0}) as network:
        leaver = network.peers[1]
        lefts = network.peers[0].events(PeerLeft)
        leaver.close(10.0)  # its goodbye must be heard, or it is found dead
        assert isinstance(lefts.get(timeout=5), PeerLeft) and leaver.is_closed
        network.settle()
        network.partition([network.peers[0]], [network.peers[2], network.seeds[0]])
        network.heal()


def test_a_wish_that_does_not_come_true_is_a_timeout_in_its_own_words() -> None:
    with Network(peers=1) as network, pytest.raises(Timeout, match="no rain within"):
        network.wait_for(lambda: False, 0.05, "no rain")


@pytest.mark.parametrize(("peers", "seeds"), [(-1, 1), (2, 0)])
def test_a_network_that_cannot_be_is_refused(peers: int, seeds: int) -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        Network(peers, seeds=seeds)
