"""D1, D2 and D4: where nothing dies. Who has it, how late, and in how many copies, beside a flood and Plumtree on the same links."""

from __future__ import annotations

from dataclasses import replace

from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.sim.paths import Weather
from zmqgossip.sim.scenario import Must, Plan, Say, Scenario, Variant

LINKS = Weather(delay_s=0.01, spread_s=0.04, jitter_s=0.0)
"""10 to 50 ms, always the same for a pair."""
YARDSTICKS = ("flood", "plumtree")


def _degree_4(config: ProtocolConfig) -> ProtocolConfig:
    """Each dials two: a mean of four links, six at most."""
    return replace(config, neighbours_dialled=2, neighbours_max=6)


def _stable(peers: int) -> Plan:
    steps = (Say("warm-up", 1, 40, 0.25, quiet_s=2), Say("steady", 1, 20, 0.25, quiet_s=2))
    variants, rows = [], []
    for degree in (8, 4):
        for parents in (1, 2):
            name = f"degree {degree}, k={parents}"
            config = replace(LAN, parents=parents)
            config = config if degree == 8 else _degree_4(config)
            variants.append(Variant(name, peers, steps, config, LINKS, YARDSTICKS))
            rows += _beside_flood(name, degree, parents)
    return Plan(tuple(variants), tuple(rows), ("steady", "flood.steady", "plumtree.steady"))


def _beside_flood(name: str, degree: int, parents: int) -> list[Must]:
    others = "at degree 4: flood 254, Plumtree 257" if degree == 4 else ""
    copies = "at degree 4: flood 2.0 without echoes, Plumtree 0.00" if degree == 4 else ""
    return [
        Must(f"{name}: mean degree", f"{name}/degree"),
        Must(f"{name}: delivered %, worst message", f"{name}/steady.reach_min", least=100),
        Must(f"{name}: delivered % while warming up", f"{name}/warm-up.reach_min", least=100),
        Must(f"{name}: RMR", f"{name}/steady.rmr", most=0.1 if parents == 1 else 1.1, others=copies),
        Must(f"{name}: RMR while warming up", f"{name}/warm-up.rmr"),
        Must(f"{name}: flood's RMR", f"{name}/flood.steady.rmr"),
        Must(f"{name}: Plumtree's RMR", f"{name}/plumtree.steady.rmr"),
        Must(f"{name}: p99 ms", f"{name}/steady.p99_ms", most=1.1, of=f"{name}/flood.steady.p99_ms", others=others),
        Must(f"{name}: p99 ms while warming up", f"{name}/warm-up.p99_ms"),
        Must(f"{name}: flood's p99 ms", f"{name}/flood.steady.p99_ms"),
        Must(f"{name}: Plumtree's p99 ms", f"{name}/plumtree.steady.p99_ms"),
    ]


D1 = Scenario("d1", "one source, nothing goes wrong", 10_000, 10_000, 8, _stable)
SCENARIOS = (D1,)
