"""The ports that the demo draws are its own before anybody listens on them."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import zmq

from zmqgossip.cli import demo_ports
from zmqgossip.cli.demo_ports import HOST, hold_ports

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems would refuse a held port to our nodes too"),
]


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as sockets:
        yield sockets


def test_demos_that_draw_at_the_same_time_never_draw_the_same_port(held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_ports, "OWN_PORTS", (31_000, 31_040))
    drawn = [port for _ in range(6) for port in hold_ports(5, held)]
    assert len(set(drawn)) == 30


def test_a_held_port_refuses_who_connects_and_takes_a_node_that_listens_as_often_as_it_comes_back(held: ExitStack) -> None:
    (port,) = hold_ports(1, held)
    for _ in range(2):
        with socket.socket() as other:
            assert other.connect_ex((HOST, port)) != 0
        with zmq.Context() as context, context.socket(zmq.ROUTER) as node:
            node.bind(f"tcp://{HOST}:{port}")
            with socket.create_connection((HOST, port)):
                pass


def test_a_port_that_another_holds_or_listens_on_is_not_drawn(held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = hold_ports(2, held)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, second))
        listening.listen()
        offered = [first, second, first, second]
        at_random = random.SystemRandom()

        class Draw:
            def randrange(self, start: int, stop: int) -> int:
                return offered.pop() if offered else at_random.randrange(start, stop)

        monkeypatch.setattr(demo_ports.random, "SystemRandom", Draw)
        (drawn,) = hold_ports(1, held)
    assert offered == [] and drawn not in (first, second)
