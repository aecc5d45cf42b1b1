"""D1, D2 and D4: where nobody dies. Who has it, how late, and in how many copies, beside a flood and Plumtree on the same links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.sim.paths import Weather
from zmqgossip.sim.scenario import EVERYBODY, Must, Plan, Say, Scenario, Step, Variant

LINKS = Weather(delay_s=0.01, spread_s=0.04, jitter_s=0.0)
"""10 to 50 ms, always the same for a pair."""
LOSSY = replace(LINKS, loss=0.01)
YARDSTICKS = ("flood", "plumtree")
DRAWN = ("steady", "flood.steady", "plumtree.steady")


def _config(degree: int, parents: int) -> ProtocolConfig:
    """The default degree is 8. For 4 each dials two, and six links are the most."""
    config = replace(LAN, parents=parents)
    return config if degree == 8 else replace(config, neighbours_dialled=2, neighbours_max=6)


def _grid(peers: int, steps: Mapping[int, tuple[Step, ...]], *, periodic: bool) -> list[tuple[int, int, Variant]]:
    """Both degrees with one and two parents, each with its steps. The yardsticks stand beside k=1; the overlay of k=2 is the same."""
    return [
        (
            degree,
            parents,
            Variant(f"degree {degree}, k={parents}", peers, steps[parents], _config(degree, parents), LINKS, beside, periodic=periodic),
        )
        for degree in (8, 4)
        for parents, beside in ((1, YARDSTICKS), (2, ()))
    ]


def _delivered(name: str) -> list[Must]:
    return [
        Must(f"{name}: delivered %, worst message", f"{name}/steady.final_min", least=100),
        Must(f"{name}: the same while warming up", f"{name}/warm-up.final_min", least=100),
    ]


def _late(name: str, beside: str, times: float, others: str) -> list[Must]:
    return [
        Must(f"{name}: p99 ms", f"{name}/steady.p99_ms", most=times, of=f"{beside}/flood.steady.p99_ms", others=others),
        Must(f"{name}: p99 ms while warming up", f"{name}/warm-up.p99_ms"),
    ]


def _yardsticks(name: str) -> list[Must]:
    what = name.partition(",")[0]
    return [
        Must(f"{what}: links a peer", f"{name}/degree"),
        Must(f"{what}: flood's RMR", f"{name}/flood.steady.rmr"),
        Must(f"{what}: flood's p99 ms", f"{name}/flood.steady.p99_ms"),
        Must(f"{what}: Plumtree's RMR", f"{name}/plumtree.steady.rmr"),
        Must(f"{what}: Plumtree's p99 ms", f"{name}/plumtree.steady.p99_ms"),
    ]


def _same_overlay(name: str, beside: str) -> Must:
    return Must(f"{name}: the overlay is that of k=1", f"{name}/overlay", least=1, most=1, per=f"{beside}/overlay")


# -- D1 -------------------------------------------------------------------------------------------------------------------

D1_COPIES = "degree 4, no echoes: flood 2.0, Plumtree 0.00"
D1_LATE = "degree 4: flood 254, Plumtree 257"


def _one_source(peers: int) -> Plan:
    """Without probes and presence: they carry no message, and at 10,000 peers were two thirds of the work."""
    steps = (Say("warm-up", 1, 30, 0.25, quiet_s=1, learns=True), Say("steady", 1, 20, 0.25, quiet_s=1))
    rows = []
    grid = _grid(peers, {1: steps, 2: steps}, periodic=False)
    for degree, parents, variant in grid:
        name, beside = variant.name, f"degree {degree}, k=1"
        at_4 = degree == 4
        rows += _yardsticks(name) if parents == 1 else [_same_overlay(name, beside)]
        rows += _delivered(name)
        most = 0.1 if parents == 1 else 1.1
        rows.append(Must(f"{name}: RMR", f"{name}/steady.rmr", most=most, others=D1_COPIES if at_4 else ""))
        rows.append(Must(f"{name}: RMR while warming up", f"{name}/warm-up.rmr"))
        rows += _late(name, beside, 1.1, D1_LATE if at_4 else "")
    return Plan(tuple(variant for _, _, variant in grid), tuple(rows), DRAWN)


# -- D2 -------------------------------------------------------------------------------------------------------------------

D2_COPIES = {4: "flood 2.0, Plumtree 0.07-0.14", 8: "flood 6.0; GossipSub D=6 5.3"}
D2_LATE = {4: "flood 176, Plumtree 404-458", 8: "flood 104"}


def _all_publish(peers: int) -> Plan:
    """Trees that share a bucket settle later, and the later the deeper they are: 300 peers have 24 rounds to do so.

    In small networks fewer do, and fewer again where two parents leave less to be settled: so 60 peers take less than half a minute.
    """
    every_s, rounds, steadily = (0.5, {1: 24, 2: 24}, 4) if peers >= 300 else (0.25, {1: 16, 2: 12}, 2)
    steady = Say("steady", EVERYBODY, steadily, every_s, quiet_s=1)
    steps = {k: (Say("warm-up", EVERYBODY, count, every_s, quiet_s=1, learns=True), steady) for k, count in rounds.items()}
    grid = _grid(peers, steps, periodic=True)
    rows = []
    for degree, parents, variant in grid:
        name, beside = variant.name, f"degree {degree}, k=1"
        rows += _yardsticks(name) if parents == 1 else [_same_overlay(name, beside)]
        rows += _delivered(name)
        most = 0.1 if parents == 1 else 1.1
        rows.append(Must(f"{name}: RMR without collisions", f"{name}/steady.rmr_clean", most=most, others=D2_COPIES[degree]))
        rows.append(Must(f"{name}: RMR with them", f"{name}/steady.rmr", most=0.5, of=f"{beside}/flood.steady.rmr"))
        rows.append(Must(f"{name}: RMR while warming up", f"{name}/warm-up.rmr"))
        rows += _late(name, beside, 1.1, D2_LATE[degree])
    return Plan(tuple(variant for _, _, variant in grid), tuple(rows), DRAWN)


# -- D4 -------------------------------------------------------------------------------------------------------------------

D4_LATE = "flood 213, Plumtree 587, two parents 247"


def _loss(peers: int) -> Plan:
    steps = (Say("warm-up", 10, 30, 0.25, quiet_s=3, learns=True), Say("steady", 10, 20, 0.25, quiet_s=3))
    variants = [Variant(f"degree {degree}", peers, steps, _config(degree, 2), LOSSY, YARDSTICKS) for degree in (8, 4)]
    rows = []
    for variant in variants:
        name = variant.name
        rows += [
            *_delivered(name),
            *_late(name, name, 1.25, D4_LATE if name == "degree 4" else ""),
            Must(f"{name}: RMR", f"{name}/steady.rmr"),
            Must(f"{name}: pulls a message", f"{name}/steady.pulls"),
            *_yardsticks(name),
            Must(f"{name}: Plumtree's grafts a message", f"{name}/plumtree.steady.pulls"),
        ]
    return Plan(tuple(variants), tuple(rows), DRAWN)


SCENARIOS = (
    Scenario("D1", "one source, nothing goes wrong", 10_000, 10_000, 8, _one_source),
    Scenario("D2", "everybody publishes", 300, 300, 8, _all_publish),
    Scenario("D4", "1 % of all frames is lost, ten sources", 1_000, 1_000, 12, _loss),
)
