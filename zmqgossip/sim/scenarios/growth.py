"""D7 and D8: peers come and go without end, and networks grow. What does a peer remember, and what does it cost it?"""

from __future__ import annotations

from dataclasses import replace
from math import log

from zmqgossip.core.config import LAN
from zmqgossip.sim.scenario import EVERYBODY, Churn, Must, Plan, Say, Scenario, Variant, Wait
from zmqgossip.sim.scenarios.dissemination import LINKS

# -- D7 -------------------------------------------------------------------------------------------------------------------

CHURN_FULL_S = 600.0
SECONDS_A_PEER = 0.6
"""Of churn: 1,000 peers have ten minutes, 60 have 36 s."""
SOURCES = 5
GONE_S = 10.0
GONE_MAX = 0.2
"""Of all peers: 1 % a second go, and fade within 14 s."""
CONFIG = replace(LAN, stream_gone_s=GONE_S)
"""`lan`, but that streams of the gone fade after 10 s instead of a minute: so that a minute shows it."""


def _churn(peers: int) -> Plan:
    seconds = min(CHURN_FULL_S, SECONDS_A_PEER * peers)
    name = "churn"
    steps = (
        Say("", EVERYBODY, 1, 1.0, quiet_s=1),  # who has joined has said so: streams are what they are after long
        Say("", SOURCES, 20, 0.25, learns=True),
        Churn(0.01, seconds, but=SOURCES),
        Say("churn", SOURCES, round(seconds), 1.0),
        Wait(10),
    )
    flat = [
        Must(
            f"{what}: second half by first half, the largest",
            f"{name}/churn.second_half_{what}",
            most=1.2,
            per=f"{name}/churn.first_half_{what}",
        )
        for what in ("members", "links", "streams")
    ]
    rows = (
        Must("ghosts in all tables", f"{name}/end.ghosts", most=0),
        Must("delivered % to peers alive throughout, worst message", f"{name}/churn.final_min", least=100),
        Must("lost in silence, anywhere", f"{name}/end.lost_in_silence", most=0),
        Must("overlay in more than one part", f"{name}/end.split", most=0),
        *flat,
        Must(
            "streams of those who are gone, most, by members",
            f"{name}/churn.second_half_streams_gone",
            most=GONE_MAX,
            per=f"{name}/churn.first_half_members",
        ),
        Must("positions of streams that faded, of 10,000 at most", f"{name}/end.past", most=LAN.streams_max),
        Must("tombstones at the end, of 10,000 at most", f"{name}/end.tombstones", most=LAN.tombstones_max),
        Must("KiB kept for repair, most", f"{name}/churn.second_half_kept_kib", most=LAN.kept_bytes_max / 1024),
        Must("p99 ms", f"{name}/churn.p99_ms"),
        Must("KiB a peer a message, all upkeep included", f"{name}/churn.kib"),
    )
    curves = ("churn.members", "churn.degree", "churn.streams")
    return Plan((Variant(name, peers, steps, CONFIG, LINKS),), rows, curves)


# -- D8 -------------------------------------------------------------------------------------------------------------------

LARGE = 2_500
"""From here on a fiftieth is 50 peers: fewer are nearly all neighbours of one another, and hops grow from too little."""
GROWTH_MAX = 1.15
"""Of what should not grow: neighbours that have fewer neighbours in common cost a little more."""
OF_SEEDS = f"a seed's answers carry up to {LAN.sample_max} members, so their bytes grow until a network has so many"


def sizes(peers: int) -> tuple[int, int, int]:
    """1,000, 10,000 and 50,000; a small network has no room for so wide a range."""
    return (peers // 50, peers // 5, peers) if peers >= LARGE else (peers // 4, peers // 2, peers)


def _scale(peers: int) -> Plan:
    steps = (Say("warm-up", 1, 30, 0.25, quiet_s=1, learns=True), Say("steady", 1, 20, 0.25, quiet_s=1))
    small, *_ = names = [f"{size:,} peers" for size in sizes(peers)]
    variants = tuple(Variant(name, size, steps, LAN, LINKS) for name, size in zip(names, sizes(peers), strict=True))
    rows = []
    for name, size in zip(names, sizes(peers), strict=True):
        rows += [
            Must(f"{name}: delivered %, worst message", f"{name}/steady.final_min", least=100),
            Must(f"{name}: hops, mean", f"{name}/steady.hops"),
            Must(f"{name}: p99 ms", f"{name}/steady.p99_ms"),
            Must(f"{name}: KiB a peer a message, between peers", f"{name}/steady.kib_peers"),
            Must(f"{name}: with those of seeds", f"{name}/steady.kib", note=OF_SEEDS),
            Must(f"{name}: engine turns a peer a message", f"{name}/steady.turns"),
            Must(f"{name}: links, most", f"{name}/end.links", most=LAN.neighbours_max),
            Must(f"{name}: members, most", f"{name}/end.members"),
            Must(f"{name}: streams, most", f"{name}/end.streams"),
        ]
        if name != small:
            steps_more = log(size) / log(sizes(peers)[0])
            rows += [
                Must(
                    f"{name}: hops by those of {small}",
                    f"{name}/steady.hops",
                    most=round(steps_more * GROWTH_MAX, 3),
                    per=f"{small}/steady.hops",
                ),
                Must(
                    f"{name}: KiB between peers by those of {small}",
                    f"{name}/steady.kib_peers",
                    most=GROWTH_MAX,
                    per=f"{small}/steady.kib_peers",
                ),
                Must(f"{name}: turns by those of {small}", f"{name}/steady.turns", most=GROWTH_MAX, per=f"{small}/steady.turns"),
            ]
    return Plan(variants, tuple(rows), ("steady",))


SMALLER_D7 = "run with 300 peers for 3 minutes: each coming and going is told to everybody, so 1,000 for 10 minutes cost over an hour"
SMALLER_D8 = "run up to 10,000 peers: 50,000 take more than half an hour"

SCENARIOS = (
    Scenario("D7", "1 % of all peers leave and join each second", 300, 1_000, 20, _churn, ("seconds", "entries"), SMALLER_D7),
    Scenario("D8", "how cost grows with size", 10_000, 50_000, 60, _scale, note=SMALLER_D8),
)
