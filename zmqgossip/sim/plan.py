"""What a swarm run is made of, drawn from its seed: the network, its knobs, its weather, its load, and which troubles come how often.

Runs in which everything goes wrong at once all look alike, and hide what only shows when one kind of trouble is alone. So each run leaves
out some kinds altogether, and of those that are left the rates differ by as much as eight times: what one seed hardly tries, another
does all the time. Nothing here happens yet; that is `swarm`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.sim.paths import Weather

LOAD = ("message", "burst", "trickle", "stream", "flush")
WEATHER = ("weather", "weather of one", "fine", "small pipes")
GENTLE = ("link drops", "join", "short pause", "clock step")
CUTS = ("cut", "cut both", "cut off", "partition", "mend")
DEADLY = ("pause", "crash", "power off", "leave", "restart", "seed stops", "seed returns")
KINDS = LOAD + WEATHER + GENTLE + CUTS + DEADLY

PEERS_MIN, PEERS_MAX = 2, 12
STEPS = (15, 30, 60)
"""Troubles of one run: some hundred ms of real time."""
GAPS_S = (0.02, 0.1, 0.4)
"""Mean time between two: many in one round trip, or each seen to its end."""
STEPS_S_MAX = 12.0
"""Virtual seconds of troubles in the mean: what takes longer shows nothing more in the time that it costs."""
SIZES = (0, 1, 40, 100, 400, 900, 1500, 6000)
SMALL_STORE, SMALL_MESSAGE = 100_000, 400
"""A store that holds what may be under way, and not much more. Nobody asks for a mark before half of a window is under way, which here
is 16 segments; and a segment of everybody is always under way. So they must be small.
"""
JOINS_MAX = 4
RATES = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, before anything has happened.

    Attributes:
        apart_s: between the starts of two peers.
        is_patient: whether troubles begin when all are ready, and not while they still join.
        keeps_id: whether who is started again has its old id.
        weathers: those that come.
        pipes: how many frames the small pipes hold.
        sizes: of messages, in bytes.
        rates: how often each kind of trouble comes, beside the others; a kind that is not here never comes.
        writers: share of the peers that publish.
        clocks_s: how far a wall clock goes wrong at most.
    """

    config: ProtocolConfig
    peers: int
    seeds: int
    apart_s: float
    is_patient: bool
    keeps_id: bool
    weathers: tuple[Weather, ...]
    pipes: tuple[int, ...]
    sizes: tuple[int, ...]
    rates: dict[str, float]
    writers: float
    clocks_s: float
    steps: int
    gap_s: float


def drawn(rng: Random, peers: int = 0) -> Plan:
    """A run of so many peers; 0: of a few, drawn too."""
    peers = peers or rng.choice((PEERS_MIN, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9, 10, PEERS_MAX))
    config = _config(rng, peers)
    sizes = tuple(rng.sample(SIZES, 3))
    if config.kept_bytes_max == SMALL_STORE:
        sizes = tuple(min(size, SMALL_MESSAGE) for size in sizes)
    steps = rng.choice(STEPS)
    gap_s = min(rng.choice(GAPS_S), STEPS_S_MAX / steps)
    return Plan(
        config=config,
        peers=peers,
        seeds=rng.choice((1, 2, 2, 3)),
        apart_s=rng.choice((0.0, 0.0, 0.05, 0.5)),
        is_patient=rng.random() < 0.7,
        keeps_id=rng.random() < 0.5,
        weathers=tuple(_weather(rng) for _ in range(rng.randint(1, 3))),
        pipes=tuple(rng.sample((8, 15, 30, 100), 2)),
        sizes=sizes,
        rates=_rates(rng),
        writers=rng.choice((0.3, 0.6, 1.0)),
        clocks_s=rng.choice((5.0, 600.0, 40_000.0)),
        steps=steps,
        gap_s=gap_s,
    )


def _rates(rng: Random) -> dict[str, float]:
    """Load is in every run, of two kinds at least; of troubles there may be none, one, or all."""
    load = rng.sample(LOAD, rng.randint(2, len(LOAD)))
    share = rng.choice((0.1, 0.3, 0.5, 0.8))
    deadly = share if rng.random() < 0.6 else 0.0
    cuts = share if rng.random() < 0.6 else 0.0
    chances = [(WEATHER + GENTLE, max(share, 0.3)), (CUTS, cuts), (DEADLY, deadly)]
    on = load + [kind for kinds, chance in chances for kind in kinds if rng.random() < chance]
    rates = {kind: rng.choice(RATES) for kind in on}
    for kind in load:
        rates[kind] *= 2
    for kind in ("crash", "power off", "leave"):  # who is gone is not there for other troubles
        if kind in rates:
            rates[kind] = 1.0
    return rates


def _weather(rng: Random) -> Weather:
    return Weather(
        delay_s=rng.choice((0.0002, 0.001, 0.001, 0.02, 0.15)),
        spread_s=rng.choice((0.0, 0.0, 0.03, 0.1)),
        jitter_s=rng.choice((0.0, 0.001, 0.02, 0.1)),
        loss=rng.choice((0.0, 0.0, 0.02, 0.1, 0.3)),
        gossip_drop=rng.choice((0.0, 0.05, 0.2, 0.5, 0.8)),
    )


def _config(rng: Random, peers: int) -> ProtocolConfig:
    """The profile of a local network, with some of its knobs turned. Half of the runs have a sparse overlay: a few peers are a full mesh
    otherwise, and nobody there has anything to pass on.
    """
    config = replace(LAN, parents=rng.choice((1, 2, 2, 3)), hot_segments_per_s=rng.choice((0, 5, 100)))
    if rng.random() < 0.5:
        dialled = 2 if peers < 9 else 3  # so few that two parts could each be content are not drawn
        config = replace(config, neighbours_dialled=dialled, neighbours_max=2 * dialled + 1)
    if rng.random() < 0.3:
        small = rng.choice((16, 64))
        config = replace(config, pipe_segments=small, kept_bytes_max=SMALL_STORE, beyond_bytes_max=20_000, segment_bytes_max=2_000)
    if rng.random() < 0.3:
        config = replace(config, pull_bytes_max=rng.choice((1, 5_000)), ahead_max=rng.choice((5, 20, 500)))
    if rng.random() < 0.3:
        config = replace(config, slow_after_s=rng.choice((0.5, 1.0, 2.0)), pull_timeout_s=rng.choice((0.1, 0.5)), pull_after_s=0.01)
    if rng.random() < 0.2:
        config = replace(config, sync_timeout_s=0.1, seed_timeout_s=0.3, hello_interval_s=0.1)
    if rng.random() < 0.2:
        config = replace(config, tombstones_max=rng.choice((1, 3)), members_max=max(10, 2 * peers))
    if rng.random() < 0.3:
        config = replace(config, streams_max=peers + JOINS_MAX + 2)  # all that live have a place, and few of those that are gone
    return config
