"""What a phase of a run came to, in numbers: who got it, how late, in how many copies, at what cost.

A phase is what was published between two moments. Some figures are taken as soon as it is over, some when the run is:

    reach, reach_min      at its end: per cent of the peers that were there all the time, the mean of all messages and the worst one
    final, final_min      the same at the end of the run
    within_1s             per cent of what was owed that came within a second
    p50_ms, p99_ms, max_ms, hops    of all deliveries, from publishing to there
    rmr                   payload copies received / deliveries - 1: pushes, echoes and answers to pulls all count
    collisions, rmr_clean     copies because origins share a bucket, a delivery; and rmr without them
    messages, pulls       how many; and pulls a message
    kib, kib_peers, turns     a peer a message: all bytes that went into pipes, those between peers, all calls into engines

Copies, bytes, turns and pulls are those of the time between two looks, so a phase that asks for them begins and ends in quiet.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from zmqgossip.core.codes import Code
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import PeerId
from zmqgossip.sim.body import Body, State
from zmqgossip.sim.checkers import split_overlay
from zmqgossip.sim.ledger import Publication, StreamKey
from zmqgossip.sim.outcome import Value
from zmqgossip.sim.world import World

POINTS = 40
"""Of a curve in a picture."""
PROMPT_S = 1.0
Figures: TypeAlias = dict[str, Value]
Points: TypeAlias = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Look:
    """How far the counters of a world are."""

    at: float
    copies: int
    bytes: int
    bytes_of_seeds: int
    turns: int
    deliveries: int
    pulls: int
    collisions: int


def look(world: World) -> Look:
    traffic = world.network.traffic
    return Look(
        world.now,
        sum(traffic.get(code, (0, 0))[0] for code in (Code.GOSSIP, Code.PROPAGATED)),
        sum(sums[1] for sums in traffic.values()),
        sum(sums[1] for code, sums in traffic.items() if Code.REGISTER <= code <= Code.LEAVE_HEARD),
        world.turns_count,
        world.ledger.delivered_count,
        world.counts("pulls.sent"),
        world.counts("duplicates.bucket_collision"),
    )


# -- a phase --------------------------------------------------------------------------------------------------------------


def at_its_end(world: World, before: Look, until: float) -> Figures:
    """Figures of what was published from `before` to `until`, as it stands now."""
    now = look(world)
    published = publications(world, before.at, until)
    reached = reaches(world, published, before.at)
    peers, messages, deliveries = len(world.peers), len(published), now.deliveries - before.deliveries
    figures: Figures = {"messages": messages, "reach": _mean(reached), "reach_min": min(reached, default=None)}
    if deliveries:
        copies, collisions = now.copies - before.copies, now.collisions - before.collisions
        figures["rmr"] = copies / deliveries - 1
        figures["collisions"] = collisions / deliveries
        figures["rmr_clean"] = (copies - collisions) / deliveries - 1
    if messages:
        figures["pulls"] = (now.pulls - before.pulls) / messages
        figures["kib"] = (now.bytes - before.bytes) / 1024 / peers / messages
        seeds = now.bytes_of_seeds - before.bytes_of_seeds
        figures["kib_peers"] = (now.bytes - before.bytes - seeds) / 1024 / peers / messages
        figures["turns"] = (now.turns - before.turns) / peers / messages
    return figures


def at_the_end(world: World, since: float, until: float) -> tuple[Figures, Points]:
    """Figures of what was published in that time, when the run is over; and the curve of coverage over milliseconds."""
    published = publications(world, since, until)
    reached = reaches(world, published, since)
    late, hops = _deliveries(world, since, until)
    wanted = _owed(world, published, since)
    figures: Figures = {
        "final": _mean(reached),
        "final_min": min(reached, default=None),
        "p50_ms": share_ms(late, 0.5),
        "p99_ms": share_ms(late, 0.99),
        "max_ms": share_ms(late, 1.0),
        "hops": _mean(hops),
        "within_1s": 100 * min(bisect_left(late, PROMPT_S), wanted) / wanted if wanted else None,
    }
    return figures, coverage(late, wanted)


def publications(world: World, since: float, until: float) -> list[tuple[StreamKey, Body, Publication]]:
    """What was published from one moment to another by peers that still live."""
    found = []
    for key, stream in world.ledger.streams.items():
        if stream.origin.live:
            start = bisect_left(stream.publications, since, key=attrgetter("at"))
            found += [(key, stream.origin, one) for one in stream.publications[start:] if one.at < until]
    return found


def _constant(world: World, since: float) -> list[Body]:
    """Who was there all the time: a receiver that must have everything."""
    return [body for body in world.peers if body.state is State.RUNNING and body.started_at <= since and _was_ready(body, since)]


def _was_ready(body: Body, since: float) -> bool:
    return not isinstance(body.engine, PeerEngine) or (body.ready_at is not None and body.ready_at <= since)


def reaches(world: World, published: list[tuple[StreamKey, Body, Publication]], since: float) -> list[float]:
    """Of each publication: how many per cent of those who must have it do."""
    receivers = _constant(world, since)
    found = []
    for key, origin, publication in published:
        got = wanted = 0
        for body in receivers:
            if body is not origin:
                wanted += 1
                track = world.ledger.track(body, key)
                got += track is not None and publication.index < len(track.seen) and track.seen[publication.index]
        if wanted:
            found.append(100.0 * got / wanted)
    return found


def _owed(world: World, published: list[tuple[StreamKey, Body, Publication]], since: float) -> int:
    receivers = dict.fromkeys(_constant(world, since))
    return sum(len(receivers) - (origin in receivers) for _, origin, _ in published)


def _deliveries(world: World, since: float, until: float) -> tuple[list[float], list[int]]:
    """Latencies, sorted, and hops of what was published from one moment to another."""
    ledger = world.ledger
    late, hops = [], []
    for at, latency, count in zip(ledger.published_at, ledger.latencies, ledger.hops, strict=True):
        if since <= at < until:
            late.append(latency)
            hops.append(count + 1)
    late.sort()
    return late, hops


def _mean(values: list[float] | list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def share_ms(ordered: list[float], share: float) -> float | None:
    """What that share of all deliveries kept to, in milliseconds."""
    return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def coverage(ordered: list[float], wanted: int) -> Points:
    """How many per cent had it after so many milliseconds."""
    if not ordered:
        return []
    places = [len(ordered) * number // POINTS for number in range(POINTS)] + [len(ordered) - 1]
    return [(1000 * ordered[place], 100 * (place + 1) / max(wanted, len(ordered))) for place in places]


# -- tables ---------------------------------------------------------------------------------------------------------------


def of_tables(world: World) -> dict[str, float]:
    """How large the tables of engines are: the largest of each."""
    engines = [body.engine for body in world.peers if isinstance(body.engine, PeerEngine)]
    living = {engine.me.id: None for engine in engines}
    return {
        "links": max((len(engine.view) for engine in engines), default=0),
        "members": max((engine.members.living_count for engine in engines), default=0),
        "tombstones": max((engine.members.tombstones_count for engine in engines), default=0),
        "streams": max((len(engine.gossip.streams) for engine in engines), default=0),
        "streams_gone": max((_gone_streams(engine, living) for engine in engines), default=0),
        "past": max((len(engine.gossip.streams.past_positions()) for engine in engines), default=0),
        "kept_kib": max((engine.gossip.streams.kept_bytes / 1024 for engine in engines), default=0),
    }


def _gone_streams(engine: PeerEngine, living: dict[PeerId, None]) -> int:
    """Of origins that are gone."""
    return sum(stream.origin not in living for stream in engine.gossip.streams.all())


def of_the_end(world: World, excused: str = "") -> Figures:
    """What is left when a run is over: tables, ghosts, parts of the overlay, what was lost, by name or in silence.

    `excused`: a peer that may have lost something, if it was told what.
    """
    lost = {body.name: body.engine.counters.get("lost.messages") for body in world.peers}
    return {
        **of_tables(world),
        "ghosts": ghosts(world),
        "split": len(split_overlay(world)),
        "lost_by_name": sum(lost.values()),
        "lost_elsewhere": sum(lost.values()) - lost.get(excused, 0),
        "lost_in_silence": sum(_lacking(world, body) for body in world.peers) - sum(lost.values()),
        "unpublished": sum(body.engine.gossip.publisher.waiting_bytes for body in world.peers if isinstance(body.engine, PeerEngine)),
    }


def _lacking(world: World, body: Body) -> int:
    """Messages of origins that live that a peer has not, of those published since it was ready."""
    if body.ready_at is None or body.state is not State.RUNNING:
        return 0
    lacking = 0
    for key, origin, publication in publications(world, body.ready_at, world.now):
        track = world.ledger.track(body, key)
        if origin is not body and (track is None or publication.index >= len(track.seen) or not track.seen[publication.index]):
            lacking += publication.count
    return lacking


def ghosts(world: World) -> int:
    """Entries alive, in all tables of peers, for processes that are not."""
    gone: dict[PeerId, None] = {body.engine.me.id: None for body in world.bodies if isinstance(body.engine, PeerEngine) and not body.live}
    engines = [body.engine for body in world.peers if isinstance(body.engine, PeerEngine)]
    return sum(member.record.id in gone for engine in engines for member in engine.members.living()) if gone else 0


def degree(world: World) -> float:
    """Mean number of links of a peer that are up."""
    engines = [body.engine for body in world.peers if isinstance(body.engine, PeerEngine)]
    return sum(engine.view.up_count for engine in engines) / max(len(engines), 1)
