"""What a phase of a run came to, in numbers: who got it, how late, in how many copies, at what cost.

A phase is what was published between two moments; it is looked at some time later, when it should have arrived. Figures of a phase:

    reach, reach_min      per cent of the peers that were there all the time: the mean of all messages, and the worst one
    within_1s             the same mean, of what came within a second
    p50_ms, p99_ms, max_ms    from publishing to delivery
    rmr                   payload copies received / deliveries - 1: pushes, echoes and answers to pulls all count
    collisions, rmr_clean     copies because origins share a bucket, a delivery; and rmr without them
    pulls                 a message
    hops                  the mean
    kib, turns            a peer a message: all bytes that went into pipes, all calls into engines

Copies, bytes, turns and pulls are those of the time between the two looks, so a phase that asks for them begins and ends in quiet.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter

from zmqgossip.core.codes import Code
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.types import PeerId
from zmqgossip.sim.body import Body, State
from zmqgossip.sim.ledger import Publication, StreamKey
from zmqgossip.sim.outcome import Value
from zmqgossip.sim.world import World

POINTS = 40
"""Of a curve in a picture."""
PROMPT_S = 1.0
Figures = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Look:
    """How far the counters of a world are."""

    at: float
    copies: int
    bytes: int
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
        world.turns_count,
        world.ledger.delivered_count,
        world.counts("pulls.sent"),
        world.counts("duplicates.bucket_collision"),
    )


# -- a phase --------------------------------------------------------------------------------------------------------------


def of_phase(world: World, before: Look, until: float) -> tuple[Figures, list[tuple[float, float]]]:
    """Figures of what was published from `before` to `until`, as it stands now, and the curve of coverage over milliseconds."""
    now = look(world)
    published = publications(world, before.at, until)
    late, hops = _deliveries(world, before.at, until)
    reached = reaches(world, published, before.at)
    peers, messages, deliveries = len(world.peers), len(published), now.deliveries - before.deliveries
    figures: Figures = {
        "messages": messages,
        "reach": _mean(reached),
        "reach_min": min(reached, default=None),
        "p50_ms": share_ms(late, 0.5),
        "p99_ms": share_ms(late, 0.99),
        "max_ms": share_ms(late, 1.0),
        "hops": _mean(hops),
    }
    wanted = _owed(world, published, before.at)
    figures["within_1s"] = 100 * bisect_left(late, PROMPT_S) / wanted if wanted else None
    if deliveries:
        copies, collisions = now.copies - before.copies, now.collisions - before.collisions
        figures["rmr"] = copies / deliveries - 1
        figures["collisions"] = collisions / deliveries
        figures["rmr_clean"] = (copies - collisions) / deliveries - 1
    if messages:
        figures["pulls"] = (now.pulls - before.pulls) / messages
        figures["kib"] = (now.bytes - before.bytes) / 1024 / peers / messages
        figures["turns"] = (now.turns - before.turns) / peers / messages
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
            hops.append(count)
    late.sort()
    return late, hops


def _mean(values: list[float] | list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def share_ms(ordered: list[float], share: float) -> float | None:
    """What that share of all deliveries kept to, in milliseconds."""
    return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def coverage(ordered: list[float], wanted: int) -> list[tuple[float, float]]:
    """How many per cent had it after so many milliseconds."""
    if not ordered:
        return []
    places = [len(ordered) * number // POINTS for number in range(POINTS)] + [len(ordered) - 1]
    return [(1000 * ordered[place], 100 * (place + 1) / max(wanted, len(ordered))) for place in places]


# -- tables ---------------------------------------------------------------------------------------------------------------


def of_tables(world: World) -> Figures:
    """How large the tables of engines are: the largest of each, and what stands in them that should not."""
    engines = [body.engine for body in world.peers if isinstance(body.engine, PeerEngine)]
    figures: Figures = {
        "links": max((len(engine.view) for engine in engines), default=0),
        "members": max((engine.members.living_count for engine in engines), default=0),
        "tombstones": max((engine.members.tombstones_count for engine in engines), default=0),
        "streams": max((len(engine.gossip.streams) for engine in engines), default=0),
        "kept_kib": max((engine.gossip.streams.kept_bytes / 1024 for engine in engines), default=0),
        "ghosts": ghosts(world),
        "lost_by_name": world.counts("lost.messages"),
    }
    return figures


def ghosts(world: World) -> int:
    """Entries alive, in all tables of peers, for processes that are not."""
    gone: dict[PeerId, None] = {body.engine.me.id: None for body in world.bodies if isinstance(body.engine, PeerEngine) and not body.live}
    engines = [body.engine for body in world.peers if isinstance(body.engine, PeerEngine)]
    return sum(member.record.id in gone for engine in engines for member in engine.members.living()) if gone else 0


def degree(world: World) -> float:
    """Mean number of links of a peer that are up."""
    engines = [body.engine for body in world.peers if isinstance(body.engine, PeerEngine)]
    return sum(engine.view.up_count for engine in engines) / max(len(engines), 1)
