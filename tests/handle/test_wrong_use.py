"""Wrong use: each mistake is one clear error of the right type, said where it was made."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.handle.network import CLUSTER, SOON_S, Network
from zmqgossip import CannotBind, ConfigError, InvalidTimeout, InvalidTopic, Peer, PeerDead, PortInUse, Seed

pytestmark = pytest.mark.sockets
SEEDS = ["127.0.0.1:6001"]


@pytest.mark.parametrize(
    ("arguments", "path", "words"),
    [
        ({"port": "5001"}, "port", "port is '5001'; give one from 1 to 65535, or 0"),
        ({"port": 70_000}, "port", "port is 70000"),
        ({"port": -1}, "port", "port is -1"),
        ({"port": True}, "port", "port is True"),
        ({"publish_port": 5001.0}, "publish_port", "publish_port is 5001.0"),
        ({"seeds": "127.0.0.1:6001"}, "seeds", "give a list of HOST:PORT"),
        ({"seeds": b"127.0.0.1:6001"}, "seeds", "give a list of HOST:PORT"),
        ({"seeds": [("127.0.0.1", 6001)]}, "seeds", "give a list of HOST:PORT"),
        ({"seeds": 6001}, "seeds", "give a list of HOST:PORT"),
        ({"seeds": []}, "seeds", "is empty"),
        ({"seeds": [*SEEDS, "127.0.0.1"]}, "seeds[1]", "is '127.0.0.1'; write it as HOST:PORT"),
        ({"seeds": ["127.0.0.1:"]}, "seeds[0].port", "a number from 1 to 65535"),
        ({"seeds": ["127.0.0.1:port"]}, "seeds[0].port", '"port"; it must be a number'),
        ({"seeds": ["127.0.0.1:70000"]}, "seeds[0].port", "70000"),
        ({"seeds": ["127.0.0.1:" + "9" * 5_000]}, "seeds[0].port", "a number from 1 to 65535"),
        ({"seeds": [*SEEDS, *SEEDS]}, "seeds[1]", "the same as seeds[0]"),
        ({"cluster": ""}, "cluster", "cluster"),
        ({"cluster": 5}, "cluster", "cluster"),
        ({"profile": "fast"}, "profile", "fast"),
        ({"host": "not a host"}, "host", "not a host"),
        ({"protocol": {"neighbors_max": 3}}, "protocol.neighbors_max", "did you mean neighbours_max?"),
        ({"protocol": {"neighbours_max": 0}}, "protocol.neighbours_max", "0"),
        ({"config": "/nowhere/config.json"}, "", "no such file"),
    ],
)
def test_a_wrong_argument_is_a_config_error_that_names_it(arguments: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Peer(**({"seeds": SEEDS, "cluster": CLUSTER} | arguments))
    assert caught.value.path == path and words in str(caught.value)


@pytest.mark.parametrize("endpoint", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", ":6001", 6001])
def test_a_wrong_endpoint_of_a_seed_is_a_config_error(endpoint: Any) -> None:
    with pytest.raises(ConfigError):
        Seed(endpoint, cluster=CLUSTER)


def test_seeds_with_free_ports_stand_beside_any_others() -> None:
    Seed("127.0.0.1:2", "127.0.0.1:0", "127.0.0.1:0", cluster=CLUSTER)
    with pytest.raises(ConfigError, match="the same as"):
        Seed("127.0.0.1:2", "127.0.0.1:2", cluster=CLUSTER)


def test_without_a_file_the_missing_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for make in (Peer, Seed):
        with pytest.raises(ConfigError, match=r"config\.json: no such file"):
            make()
    with pytest.raises(ConfigError, match=r"config\.json: no such file"):
        Peer(seeds=SEEDS)  # whose cluster?


def test_what_is_said_stands_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"cluster": "of the file", "seeds": [{"host": "127.0.0.1", "port": 1}], "profile": "lan"}))
    settings = Peer(config=path, seeds=SEEDS, protocol=MappingProxyType({"misses_max": 7}))._settings
    assert (settings.cluster, settings.profile, settings.protocol.misses_max) == ("of the file", "lan", 7)
    assert [str(seed) for seed in settings.seeds] == SEEDS
    assert Peer(config=str(path), cluster=CLUSTER)._settings.cluster == CLUSTER


def test_an_address_that_is_none_of_one_machine_is_refused_at_the_start() -> None:
    for arguments in ({"announce": "0.0.0.0"}, {"host": "0.0.0.0"}, {"announce": "224.0.0.1"}, {"announce": "255.255.255.255"}):
        peer = Peer(seeds=SEEDS, cluster=CLUSTER, **arguments)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="is no address of one machine") as caught:
            peer.start()
        assert caught.value.path == "announce"


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    for handle in (Peer(seeds=SEEDS, cluster=CLUSTER, host="192.0.2.1"), Seed("192.0.2.1:0", cluster=CLUSTER)):
        with pytest.raises(CannotBind, match="choose an address of this machine"):
            handle.start()


@pytest.mark.parametrize(
    "make", [lambda port: Peer(port, seeds=SEEDS, cluster=CLUSTER), lambda port: Seed(f"127.0.0.1:{port}", cluster=CLUSTER)]
)
def test_a_taken_port_is_an_error_and_the_same_object_starts_once_it_is_free(make: Callable[[int], Peer | Seed]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        handle = make(port)
        for _ in range(2):
            with pytest.raises(PortInUse) as caught:
                handle.start()
            assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    with handle:
        assert str(port) in (handle.endpoints[0] if isinstance(handle, Seed) else str(handle.me.endpoint))


def test_topics_and_payloads_of_the_wrong_kind_are_refused(network: Network) -> None:
    first = network.peers[0]
    for payload in ("text", None, 5, [1]):
        with pytest.raises(TypeError, match="a payload is bytes, not"):
            first.publish("x", payload)  # type: ignore[arg-type]
    for topic in (b"x", None, 5):
        with pytest.raises(TypeError, match="a topic is a str, not"):
            first.publish(topic, b"")  # type: ignore[arg-type]
    for name in ("\ud800", "x" * 10_000):
        with pytest.raises(InvalidTopic):
            first.publish(name, b"")


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("-inf")])
def test_a_negative_time_to_wait_is_refused_before_anything_is_done(network: Network, seconds: float) -> None:
    first = network.peers[0]
    feed = first.subscribe("x")
    waits: list[Callable[[], object]] = [
        lambda: first.publish("x", b"", timeout=seconds),
        lambda: first.publish_many("x", [b""], timeout=seconds),
        lambda: first.flush(seconds),
        lambda: first.ready(seconds),
        lambda: feed.get(seconds),
    ]
    for wait in waits:
        with pytest.raises(InvalidTimeout, match="choose 0 or more"):
            wait()


def test_an_endless_time_to_wait_is_as_good_as_none(network: Network) -> None:
    first, second = network.peers[:2]
    feed = second.subscribe("endless")
    first.ready(float("inf"))
    assert first.flush(float("inf"))
    first.publish("endless", b"1", timeout=float("inf"))
    assert feed.get(float("inf")).payload == b"1"


def test_patterns_and_kinds_that_nothing_fits_are_refused(network: Network) -> None:
    first = network.peers[0]
    for pattern in ("", ".", "a.", ">.a", "a.>.b"):
        with pytest.raises(ConfigError, match="pattern"):
            first.subscribe(pattern)
    with pytest.raises(TypeError, match="a pattern is a str, not bytes"):
        first.subscribe(b"a")  # type: ignore[arg-type]
    for events in (first.events, network.seed.events):
        for kind in ("PeerDead", str, PeerDead(first.me)):
            with pytest.raises(TypeError, match="is no kind of event"):
                events(kind)  # type: ignore[arg-type]


def test_a_peer_of_another_cluster_is_told_instead_of_waiting(network: Network) -> None:
    with Peer(seeds=network.seed.endpoints, cluster="another", profile="lan") as peer:
        with pytest.raises(ConfigError, match="belongs to another cluster") as caught:
            peer.ready(SOON_S)
        assert caught.value.path == "cluster"
