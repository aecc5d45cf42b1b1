"""One network for each file of tests; every test has topics of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.handle.network import Network
from zmqgossip import Peer


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(peers=3) as network:
        yield network


@pytest.fixture
def peer(network: Network) -> Iterator[Peer]:
    """A further peer, ready and known, for one test alone."""
    with network.fresh() as peer:
        yield peer
