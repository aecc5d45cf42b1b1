"""What the tests stand on."""

from __future__ import annotations

import pytest

from tests.support import free_ports
from zmqgossip.cli.demo_ports import OWN_PORTS


def test_workers_never_choose_the_same_port_before_either_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    for worker in range(3):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{worker}")
        ports = free_ports(20)
        assert {(port - 10_000) % 3 for port in ports} == {worker} and len(set(ports)) == 20
        assert all(10_000 <= port < OWN_PORTS.start for port in ports), "beyond, the demo draws"
