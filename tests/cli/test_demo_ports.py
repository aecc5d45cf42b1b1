"""The ports that the demo draws are its own before anybody listens on them."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
import zmq

from zmqgossip.cli import demo_ports
from zmqgossip.cli.demo_ports import HOST, OWN_PORTS, hold_ports
from zmqgossip.core.errors import ZmqGossipError

pytestmark = pytest.mark.sockets
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a held port would be refused to our nodes too")


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as sockets:
        yield sockets


def offer(monkeypatch: pytest.MonkeyPatch, *ports: int) -> list[int]:
    """Lets `hold_ports` draw these before any others; those that follow."""
    rest = random.sample([port for port in OWN_PORTS if port not in ports], 100)

    class Draw:
        def sample(self, among: Sequence[int], count: int) -> list[int]:
            return [*ports, *rest]

    monkeypatch.setattr(demo_ports.random, "SystemRandom", Draw)
    return rest


@LINUX
def test_a_port_that_another_demo_holds_is_not_drawn(held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = hold_ports(2, held)
    rest = offer(monkeypatch, *theirs)
    assert set(hold_ports(2, held)) <= set(rest)


def test_a_port_on_which_somebody_listens_is_not_drawn(held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as listening:
        rest = offer(monkeypatch, listening.getsockname()[1])
        assert hold_ports(1, held)[0] in rest


def test_where_nodes_would_be_refused_a_held_port_it_is_only_drawn(held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_ports, "_is_free_for_nodes", lambda port: False)
    (port,) = hold_ports(1, held)
    with socket.socket() as anybody:
        anybody.bind((HOST, port))


@LINUX
def test_a_held_port_refuses_who_connects_and_takes_a_node_that_listens_as_often_as_it_comes_back(held: ExitStack) -> None:
    (port,) = hold_ports(1, held)
    for _ in range(2):
        with socket.socket() as other:
            assert other.connect_ex((HOST, port)) != 0
        with zmq.Context() as context, context.socket(zmq.ROUTER) as node:
            node.bind(f"tcp://{HOST}:{port}")
            with socket.create_connection((HOST, port)):
                pass


@LINUX
def test_no_port_left_is_said_in_one_line(held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = hold_ports(1, held)
    with socket.create_server((HOST, port)):
        monkeypatch.setattr(demo_ports, "OWN_PORTS", range(port, port + 1))
        with pytest.raises(ZmqGossipError) as refused:
            hold_ports(1, held)
    assert str(refused.value) == f"fewer than 1 ports of 127.0.0.1 from {port} to {port} are free; end what listens there"
