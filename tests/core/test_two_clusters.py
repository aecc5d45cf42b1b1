"""Two clusters whose seeds swap an address: what was configured for one is now the other's, and nothing crosses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.core.harness import WALL
from tests.core.mesh import Mesh, Place
from zmqgossip.core.config import LAN
from zmqgossip.core.events import NoSeed, WrongCluster
from zmqgossip.core.types import PeerId
from zmqgossip.core.wire import Codec, cluster_hash, decode_messages

PEERS, SEEDS = 6, 3


@dataclass
class Cluster:
    """One cluster in the mesh of both. `number`, 1 or 2, keeps addresses apart."""

    mesh: Mesh
    number: int

    def __post_init__(self) -> None:
        self.hash = cluster_hash(f"cluster {self.number}")
        self.seeds = [self.start_seed(10 * self.number + place) for place in range(SEEDS)]
        self.configured = list(self.seeds)
        self.peers = [self.start_peer(100 * self.number + place) for place in range(PEERS)]

    def start_seed(self, number: int) -> Place:
        return self.mesh.seed(number, knobs=LAN, cluster=self.hash)

    def start_peer(self, number: int) -> Place:
        place = self.mesh.peer(number, seeds=self.configured, knobs=LAN, cluster=self.hash)
        self.mesh.do(place, "start")
        return place

    @property
    def ids(self) -> set[PeerId]:
        return {place.engine.me.id for place in self.peers}

    def known(self) -> set[PeerId]:
        """Every id in any table of this cluster, the dead and the left included."""
        listed = [member.record.id for seed in self.seeds for member in seed.engine.registry.page(bytes(16), 1000)[0]]
        gone = [member.record.id for seed in self.seeds for member in seed.engine.registry.page_of_gone(bytes(16), 1000)[0]]
        candidates = [place.engine.members for place in self.peers]
        return {*listed, *gone, *(member.record.id for members in candidates for member in [*members.living(), *members.tombstones()])}

    def heard(self) -> set[bytes]:
        """Payloads delivered anywhere in this cluster."""
        codec = Codec(self.hash)
        bodies = [decode_messages(item.frame, codec.decode_segment(item.frame)) for place in self.peers for item in place.delivered]
        return {payload for body in bodies for payload in body.payloads}

    def says(self, payload: bytes) -> None:
        for place in self.peers:
            place.engine.publish([("topic", payload, WALL)], self.mesh.now)
            self.mesh.run(0.0)


@pytest.mark.parametrize("luck", [None, 1])
def test_when_seeds_of_two_clusters_swap_an_address_nothing_crosses(luck: int | None) -> None:
    mesh = Mesh(luck)
    one, two = Cluster(mesh, 1), Cluster(mesh, 2)
    mesh.run(4.0)
    for cluster in (one, two):
        mesh.crash(cluster.seeds.pop())
    one.seeds.append(one.start_seed(22))
    two.seeds.append(two.start_seed(12))
    mesh.run(4.0)
    late = [cluster.start_peer(100 * cluster.number + 50) for cluster in (one, two)]
    for cluster, place in zip((one, two), late, strict=True):
        cluster.peers.append(place)
    mesh.run(4.0)
    one.says(b"one")
    two.says(b"two")
    mesh.run(20.0)
    for cluster, payload in ((one, b"one"), (two, b"two")):
        assert cluster.known() == cluster.ids and cluster.heard() == {payload}
        for place in cluster.peers:
            assert len(place.delivered) == len(cluster.peers)
            engine = place.engine
            assert {link.peer.id for link in engine.view.up()} <= cluster.ids and engine.view.up_count >= 4
            assert engine.presence.listed_count == 2 and not [event for event in place.events if isinstance(event, NoSeed)]
            told = [event for event in place.events if isinstance(event, WrongCluster)]
            assert len(told) <= 1 and not any(event.fatal for event in told)
            assert (engine.counters.get("seeds.wrong_cluster") > 0) == bool(told)
            assert engine.counters.get("refused.cluster") == 0, "no frame of the other cluster came but the one that says so"
        assert sum(place.engine.counters.get("seeds.wrong_cluster") for place in cluster.peers) > 0
        assert [seed.engine.counters.get("refused.cluster") > 0 for seed in cluster.seeds] == [False, False, True]
        assert all(len(seed.engine.registry) <= PEERS + 1 for seed in cluster.seeds)


def test_a_peer_at_an_address_that_was_one_of_the_other_cluster_links_with_nobody_there() -> None:
    mesh = Mesh()
    one, two = Cluster(mesh, 1), Cluster(mesh, 2)
    mesh.run(4.0)
    gone = one.peers.pop()
    mesh.crash(gone)
    two.peers.append(two.start_peer(100 + PEERS - 1))
    assert two.peers[-1].endpoint == gone.endpoint
    known_of_one = one.ids | {gone.engine.me.id}
    mesh.run(20.0)
    one.says(b"one")
    two.says(b"two")
    mesh.run(20.0)
    assert one.heard() == {b"one"} and two.heard() == {b"two"}
    assert one.known() <= known_of_one and two.known() == two.ids
    assert all({link.peer.id for link in place.engine.view.up()} <= cluster.ids for cluster in (one, two) for place in cluster.peers)
