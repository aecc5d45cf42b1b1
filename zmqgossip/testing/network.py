"""A network of real nodes on loopback, inside the process of a test.

    from zmqgossip.testing import Network

    def test_everybody_hears_it():
        with Network(peers=8) as network:
            feed = network.peers[7].subscribe("news.*")
            network.peers[0].publish("news.today", b"sun")
            assert feed.get(timeout=5).payload == b"sun"

Sockets, threads and timings are those of a real network with the profile `lan`; nothing is simulated but the faults.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from zmqgossip.core.errors import Timeout
from zmqgossip.core.types import Endpoint, parse_endpoint
from zmqgossip.handle.peer import Peer
from zmqgossip.handle.seed import Seed
from zmqgossip.testing.partition import Partition

READY_S = 20.0
LOOK_S = 0.01  # between two looks at whether something has come true


class Network:
    """Seeds and peers, all ready and known to each other when the `with` is entered, all closed when it is left.

    Args:
        peers: how many.
        seeds: how many; each is a handle of its own.
        cluster, profile, protocol: as of a Peer.
        timeout: seconds in which all peers must be ready.

    Attributes:
        peers: Peer handles, those that were killed not among them; one that a test closes itself stays, closed.
        seeds: Seed handles, those that were killed not among them.
    """

    def __init__(
        self,
        peers: int = 8,
        *,
        seeds: int = 2,
        cluster: str = "test",
        profile: str = "lan",
        protocol: Mapping[str, Any] | None = None,
        timeout: float = READY_S,
    ) -> None:
        if peers < 0 or seeds < 1:
            raise ValueError(f"a network has at least one seed and no negative number of peers, not {seeds} and {peers}")
        self.peers: list[Peer] = []
        self.seeds: list[Seed] = []
        self._wanted = (peers, seeds)
        self._kind: dict[str, Any] = {"cluster": cluster, "profile": profile, "protocol": protocol}
        self._timeout = timeout
        self._partition = Partition()
        self._stopped: dict[int, threading.Event] = {}  # by the identity of the handle, which a test may have closed itself
        self._addresses: list[str] = []

    def __enter__(self) -> Network:
        peers, seeds = self._wanted
        try:
            for _ in range(seeds):
                self._start_seed("127.0.0.1:0")
            self._addresses = [endpoint for seed in self.seeds for endpoint in seed.endpoints]
            for _ in range(peers):
                self.add(wait=False)
            self.settle(self._timeout)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends everything, without goodbyes. A second call does nothing."""
        for peer in list(self.peers):
            self.kill(peer)
        for seed in list(self.seeds):
            self.kill(seed)

    # -- growing ----------------------------------------------------------------------------------------------------------

    def add(self, *, wait: bool = True, **arguments: Any) -> Peer:
        """Starts one more peer. `wait`: until it is ready. `arguments`: of Peer, as port or protocol."""
        peer = Peer(**{"seeds": self._addresses, **self._kind, **arguments})
        peer._body = self._partition.body()
        peer.start()
        self.peers.append(peer)
        if wait:
            peer.ready(self._timeout)
        return peer

    def restart_seed(self, endpoint: str) -> Seed:
        """Starts a seed again that was killed, at its HOST:PORT; it remembers nobody."""
        return self._start_seed(endpoint)

    def _start_seed(self, endpoint: str) -> Seed:
        seed = Seed(endpoint, **self._kind)
        seed._body = self._partition.body()
        seed.start()
        self.seeds.append(seed)
        return seed

    def settle(self, timeout: float = READY_S) -> None:
        """Waits until every peer is ready and holds exactly the others for living. Raises Timeout.

        It looks at how things are, and does not wait for a partition to be noticed: peers that are stopped, or on another side,
        are held for living until they are found dead. `wait_for` waits for whatever a test needs.
        """
        running = [peer for peer in self.peers if id(peer) not in self._stopped and not peer.is_closed]
        wanted = {peer.id for peer in running}

        def is_settled() -> bool:
            return all(peer.me.ready and {member.record.id for member in peer.members()} == wanted - {peer.id} for peer in running)

        if len(running) > 1:
            self.wait_for(is_settled, timeout, "the peers do not all know each other")

    def wait_for(self, condition: Callable[[], object], timeout: float = READY_S, what: str = "it has not come true") -> None:
        """Waits until `condition()` is true. Raises Timeout with `what`."""
        until = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > until:
                raise Timeout(what, timeout, "wait longer, or look at peer.stats()")
            time.sleep(LOOK_S)

    # -- faults -----------------------------------------------------------------------------------------------------------

    def kill(self, node: Peer | Seed) -> None:
        """Ends a peer or a seed at once and without a goodbye, as `kill -9` does a process: its ports refuse, its connections drop.

        A second call does nothing.
        """
        if isinstance(node, Peer):
            self.resume(node)
            self.peers = [peer for peer in self.peers if peer is not node]
        else:
            self.seeds = [seed for seed in self.seeds if seed is not node]
        node.close(timeout=0)

    def stop(self, peer: Peer) -> None:
        """Makes a peer hang, as SIGSTOP does a process: connections stand, and nothing is answered. Its own methods wait as well."""
        if id(peer) in self._stopped:
            return
        go_on = self._stopped[id(peer)] = threading.Event()
        has_stopped = threading.Event()

        def hang(*_: object) -> None:
            has_stopped.set()
            go_on.wait()

        peer._running().submit(hang)
        has_stopped.wait()

    def resume(self, peer: Peer) -> None:
        """Lets a stopped peer go on, late, with all that has come in. Does nothing for one that runs."""
        go_on = self._stopped.pop(id(peer), None)
        if go_on is not None:
            go_on.set()

    def partition(self, *groups: Iterable[Peer | Seed]) -> None:
        """Parts the network: nobody reaches anybody of another group. Who is in no group goes on reaching all."""
        self._partition.part([endpoint for node in group for endpoint in _endpoints(node)] for group in groups)

    def heal(self) -> None:
        """Ends the partition."""
        self._partition.part(())


def _endpoints(node: Peer | Seed) -> list[Endpoint]:
    """Where others connect to a node."""
    if isinstance(node, Seed):
        return [parse_endpoint(endpoint) for endpoint in node.endpoints]
    return [node.me.endpoint, node.me.publish_endpoint]
