"""What must be true of a run. Each checker looks at a world and returns what is wrong, in words; an empty list is good.

*Safety* may be asked at any moment, in the middle of any fault. *Liveness* holds once faults have stopped and the time that the
protocol takes is over. They look at what users were given (the ledger) and at the tables of the engines, never at the network.

    world.check(*SAFETY)        raises Violation with everything that was found
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from operator import attrgetter

from zmqgossip.core.gossip_messages import MARKS_MAX
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import FIRST_ID, Member, PeerState
from zmqgossip.core.wire import SEGMENT_BYTES_MAX
from zmqgossip.sim.body import Body, State
from zmqgossip.sim.ledger import Stream, StreamKey
from zmqgossip.sim.world import World

Checker = Callable[[World], list[str]]
EVERYBODY = 10_000_000
"""More than any list holds: a page of all of it."""


# -- messages -------------------------------------------------------------------------------------------------------------


def wrong_deliveries(world: World) -> list[str]:
    """Nothing is delivered twice, altered, or without having been published."""
    return list(world.ledger.problems)


def disorder(world: World) -> list[str]:
    """A user gets each origin's messages in order."""
    found = []
    for body in world.bodies:
        for key, stream in world.ledger.streams.items():
            track = world.ledger.track(body, key)
            if track is not None and track.disorder:
                found.append(f"{body.label} got {track.disorder} of {stream.origin.label}'s messages late")
    return found


def undelivered(world: World, since: float = 0.0) -> list[str]:
    """What a ready origin that still lives has published is at every running peer that was ready then.

    `since`: earlier publications do not count.
    """
    found = []
    running = [body for body in world.peers if body.state is State.RUNNING and body.ready_at is not None]
    for key, stream in world.ledger.streams.items():
        if not stream.origin.live:
            continue
        if stream.message_count != stream.origin.published:
            found.append(f"{stream.origin.label} published {stream.message_count} of {stream.origin.published} messages")
        for body in running:
            if body is not stream.origin and body.ready_at is not None:
                found += _missing(world, body, key, stream, max(since, body.ready_at))
    return found


def _missing(world: World, body: Body, key: StreamKey, stream: Stream, since: float) -> Iterator[str]:
    publications = stream.publications
    start = bisect_left(publications, since, key=attrgetter("at"))
    track = world.ledger.track(body, key)
    seen = track.seen if track is not None else bytearray()
    if start == len(publications) or (len(seen) == len(publications) and 0 not in seen[start:]):
        return
    for publication in publications[start:]:
        if publication.ready and (publication.index >= len(seen) or not seen[publication.index]):
            yield f"{body.label} lacks {stream.origin.label}'s message {publication.first} of {publication.at:.6f}"


# -- members --------------------------------------------------------------------------------------------------------------


def held_dead(world: World) -> list[str]:
    """Nobody holds a running peer dead, or gone by its own will."""
    living = _living(world)
    found = []
    for observer, peer in _peer_engines(world):
        found += _ghosts_of(observer, peer.members.tombstones(), living)
    for observer, seed in _seed_engines(world):
        found += _ghosts_of(observer, seed.registry.page_of_gone(FIRST_ID, EVERYBODY)[0], living)
    return found


def _ghosts_of(observer: Body, tombstones: Iterator[Member] | list[Member], living: dict[StreamKey, Body]) -> list[str]:
    return [f"{observer.label} holds {living[_life(member)].label} {member.state.name}" for member in tombstones if _life(member) in living]


def wrong_tables(world: World) -> list[str]:
    """Every peer holds every running peer alive, and nobody who is gone; one whose table is partial, its neighbours and few others."""
    living, gone = _living(world), _gone(world)
    found = []
    for observer, peer in _peer_engines(world):
        held = {_life(member): member for member in peer.members.living()}
        wanted = {(link.peer.id, link.peer.epoch) for link in peer.view.up()} if peer.members.partial else living.keys()
        unknown = [body for key, body in living.items() if body is not observer and key in wanted and key not in held]
        found += [f"{observer.label} does not know {body.label}" for body in unknown]
        ghosts = [(gone[key], member.state) for key, member in held.items() if key in gone]
        found += [f"{observer.label} holds {body.label} {state.name}, who is gone" for body, state in ghosts]
        found += [
            f"{observer.label} holds {living[key].label} {member.state.name}"
            for key, member in held.items()
            if key in living and member.state is not PeerState.ALIVE
        ]
    return found


def wrong_lists(world: World) -> list[str]:
    """No seed lists anybody who is gone; every running peer is listed, alive, by as many seeds as it chooses, if they run."""
    living, gone = _living(world), _gone(world)
    listed: dict[StreamKey, int] = {}
    seeds = _seed_engines(world)
    found = []
    for observer, seed in seeds:
        for member in seed.registry.page(FIRST_ID, EVERYBODY)[0]:
            key = _life(member)
            if key in gone:
                found.append(f"{observer.label} lists {gone[key].label}, who is gone")
            elif key in living and member.state is not PeerState.ALIVE:
                found.append(f"{observer.label} lists {living[key].label} as {member.state.name}")
            else:
                listed[key] = listed.get(key, 0) + 1
    wanted = min(len(world.seed_endpoints) // 2 + 1, len(seeds))
    for key, body in living.items():
        if listed.get(key, 0) < wanted:
            found.append(f"{body.label} is listed by {listed.get(key, 0)} seeds of at least {wanted}")
    return found


# -- overlay --------------------------------------------------------------------------------------------------------------


def split_overlay(world: World) -> list[str]:
    """The links that are up at both ends hold all running peers together."""
    links = up_links(world)
    unreached = dict.fromkeys(links)
    components = []
    while unreached:
        start = next(iter(unreached))
        del unreached[start]
        component, frontier = [start], [start]
        while frontier:
            for name in links[frontier.pop()]:
                if name in unreached:
                    del unreached[name]
                    component.append(name)
                    frontier.append(name)
        components.append(component)
    if len(components) <= 1:
        return []
    return [f"the overlay is in {len(components)} parts: " + " | ".join(" ".join(part[:20]) for part in components)]


def up_links(world: World) -> dict[str, list[str]]:
    """Names of running peers, and with whom each has a link that is up at both ends."""
    engines = dict(_peer_engines(world))
    by_id = {peer.me.id: body for body, peer in engines.items()}
    ups = {body: {by_id[link.peer.id]: None for link in peer.view.up() if link.peer.id in by_id} for body, peer in engines.items()}
    return {body.name: [other.name for other in others if body in ups[other]] for body, others in ups.items()}


def starving(world: World) -> list[str]:
    """Nobody has pruned all neighbours that push a bucket in which something travels."""
    found = []
    for observer, peer in _peer_engines(world):
        buckets = peer.gossip.trees.starving(world.now)
        if buckets:
            found.append(f"{observer.label} has {len(peer.view)} links and nobody who pushes buckets {buckets}")
    return found


# -- limits ---------------------------------------------------------------------------------------------------------------


def over_limits(world: World) -> list[str]:
    """Every table keeps to its limit, and no frame is larger than any receiver takes."""
    found = []
    for observer, peer in _peer_engines(world):
        config, streams = peer.node.config, peer.gossip.streams
        sizes = (
            ("links", len(peer.view), config.neighbours_max + config.neighbours_spare),
            ("members", peer.members.living_count, config.members_max),
            ("candidates", peer.members.candidates_count if peer.members.partial else 0, config.candidates_max),
            ("tombstones", peer.members.tombstones_count, peer.members.tombstones_max),
            ("streams", len(streams), config.streams_max),
            ("kept bytes", streams.kept_bytes, config.kept_bytes_max),
            ("bytes beyond gaps", streams.beyond_bytes, config.beyond_bytes_max),
            ("marks of one stream", max((len(stream.marks) for stream in streams.all()), default=0), MARKS_MAX),
        )
        found += [f"{observer.label} has {count} {what} of at most {most}" for what, count, most in sizes if count > most]
    for observer, seed in _seed_engines(world):
        if len(seed.registry) > seed.node.config.members_max:
            found.append(f"{observer.label} lists {len(seed.registry)} of at most {seed.node.config.members_max}")
    if world.network.frame_bytes_max > SEGMENT_BYTES_MAX:
        found.append(f"a frame had {world.network.frame_bytes_max} bytes of at most {SEGMENT_BYTES_MAX}")
    return found


SAFETY: tuple[Checker, ...] = (wrong_deliveries, disorder, over_limits, starving)
"""Always."""
LIVENESS: tuple[Checker, ...] = (undelivered, held_dead, wrong_tables, wrong_lists, split_overlay)
"""When faults have stopped and it is quiet again."""
ALL: tuple[Checker, ...] = SAFETY + LIVENESS


# -- who is there ---------------------------------------------------------------------------------------------------------


def _peer_engines(world: World) -> list[tuple[Body, PeerEngine]]:
    """The running peers that have the engine that ships."""
    running = [body for body in world.nodes.values() if body.state is State.RUNNING]
    return [(body, body.engine) for body in running if isinstance(body.engine, PeerEngine)]


def _seed_engines(world: World) -> list[tuple[Body, SeedEngine]]:
    running = [body for body in world.nodes.values() if body.state is State.RUNNING]
    return [(body, body.engine) for body in running if isinstance(body.engine, SeedEngine)]


def _living(world: World) -> dict[StreamKey, Body]:
    """By id and epoch: a process that was started again under its old id is another one."""
    return {(peer.me.id, peer.me.epoch): body for body, peer in _peer_engines(world)}


def _gone(world: World) -> dict[StreamKey, Body]:
    """Whoever has lived and does not now. A paused one is in neither: it may be held anything."""
    engines = [(body, body.engine) for body in world.bodies if not body.live]
    return {(engine.me.id, engine.me.epoch): body for body, engine in engines if isinstance(engine, PeerEngine)}


def _life(member: Member) -> StreamKey:
    return member.record.id, member.record.epoch
