"""Addresses: IPv6, names, and a peer that announces what nobody can reach, all told in one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from zmqgossip import ConfigError, Peer, PeerNotListed, RegistrationRefused, Seed, Timeout
from zmqgossip.core.codes import Why

pytestmark = pytest.mark.sockets


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_a_network_runs_over_ipv6() -> None:
    with Seed("[::1]:0", cluster="six", profile="lan") as seed, peer_of(seed, host="::1") as one, peer_of(seed, host="::1") as two:
        one.ready(10)
        two.ready(10)
        assert str(one.me.endpoint).startswith("[::1]:") and seed.endpoints[0].startswith("[::1]:")
        feed = two.subscribe()
        one.publish("x", b"six")
        assert feed.get(timeout=5).payload == b"six"
        one.on_request(lambda request: b"answer to " + request.payload)
        assert two.request(one.me, b"six") == b"answer to six"


def peer_of(seed: Seed, **arguments: object) -> Peer:
    return Peer(seeds=seed.endpoints, cluster="six", profile="lan", **arguments)  # type: ignore[arg-type]


def test_names_of_hosts_are_resolved_before_anything_connects() -> None:
    with Seed("localhost:0", cluster="six", profile="lan") as seed:
        port = seed.endpoints[0].rpartition(":")[2]
        with Peer(seeds=[f"localhost:{port}"], cluster="six", profile="lan", host="localhost") as one, peer_of(seed) as two:
            one.ready(10)
            two.ready(10)
            assert one.me.host == "127.0.0.1"


def test_a_name_that_does_not_resolve_is_one_line_and_nothing_is_left_open() -> None:
    peer = Peer(seeds=["no-such-host.invalid:6001"], cluster="six")
    with pytest.raises(ConfigError, match=r"cannot resolve 'no-such-host\.invalid'") as error:
        peer.start()
    assert "\n" not in str(error.value)
    peer.close()


def test_who_announces_an_address_that_it_does_not_come_from_is_not_listed_and_told_why() -> None:
    with Seed("127.0.0.1:0", cluster="six", profile="lan") as seed:
        refused = seed.events(PeerNotListed)
        liar = peer_of(seed, announce="127.0.0.2")
        told = liar.events(RegistrationRefused)
        with liar:
            event = refused.get(timeout=5)
            assert isinstance(event, PeerNotListed) and event.why is Why.ADDRESS
            assert isinstance(told.get(timeout=5), RegistrationRefused)
            with pytest.raises(Timeout, match=r"\(address, 127\.0\.0\.2:\d+\): the connection came from 127\.0\.0\.1; announce that"):
                liar.ready(0)
            assert seed.members() == []


def test_an_announced_network_lets_another_address_in_but_it_must_be_reachable(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"cluster": "six", "profile": "lan", "advertise_networks": ["127.0.0.0/8"], "seeds": [{"host": "::1", "port": 1}]}')
    with Seed("127.0.0.1:0", config=config) as seed:
        lost = peer_of(seed, announce="127.0.0.2")
        told = lost.events(RegistrationRefused)
        with lost, peer_of(seed, host="127.0.0.3") as found:
            event = told.get(timeout=10)
            assert isinstance(event, RegistrationRefused) and event.why is Why.UNREACHABLE and event.address.host == "127.0.0.2"
            assert "refused" in event.text, "nobody listens there"
            assert {member.record.id for member in seed.members()} <= {found.id}
