"""A small network of handles in this process, for the tests of one file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.support import wait_for
from zmqgossip import Peer, Seed

CLUSTER = "test"
SOON_S = 10.0
"""Deadline of what comes at once on a machine that has time."""
END_S = 1.0
"""No end takes longer."""
PATIENT: dict[str, Any] = {"leave_timeout_s": SOON_S}
"""For a peer whose goodbye must be heard, and that waits so long for it; with `close(SOON_S)`."""


class Network:
    """A seed and some ready peers. What `join` makes is closed with it."""

    def __init__(self, peers: int, profile: str = "lan", **protocol: Any) -> None:
        self._stack = ExitStack()
        self._profile, self._protocol = profile, protocol
        self.seed = self._stack.enter_context(Seed("127.0.0.1:0", cluster=CLUSTER, profile=profile, protocol=protocol))
        self.peers = [self.join() for _ in range(peers)]
        for peer in self.peers:
            peer.ready(SOON_S)
        ids = {peer.id for peer in self.peers}
        wait_for(lambda: all(known(peer) | {peer.id} == ids for peer in self.peers), what="everybody knows everybody")

    def peer(self, **arguments: Any) -> Peer:
        """A peer of this network that is not started."""
        said = {"seeds": self.seed.endpoints, "cluster": CLUSTER, "profile": self._profile, "protocol": self._protocol}
        return Peer(**(said | arguments))

    def join(self, **arguments: Any) -> Peer:
        return self._stack.enter_context(self.peer(**arguments))

    @contextmanager
    def fresh(self, **arguments: Any) -> Iterator[Peer]:
        """A ready peer that everybody knows and that knows everybody, until the end of the block."""
        with self.peer(**arguments) as peer:
            peer.ready(SOON_S)
            wait_for(lambda: all(peer.id in known(other) for other in self.peers), what="everybody knows it")
            wait_for(lambda: known(peer) >= {other.id for other in self.peers}, what="it knows everybody")
            yield peer

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def known(peer: Peer) -> set[bytes]:
    """The ids of the others that a peer knows."""
    return {member.record.id for member in peer.members()}


@contextmanager
def in_thread(function: Any, *arguments: Any) -> Iterator[list[Any]]:
    """Runs a function in a thread beside the body, and joins it; the list gets what it returned, or raised."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function(*arguments))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield outcome
    thread.join(SOON_S)
    assert not thread.is_alive(), "it has not ended"
