"""Which losses are just. A message of an origin that lives may be lost, by name, only at a peer that was in trouble of its own.

Trouble is what the protocol excuses itself with: somebody found the peer slow, or one of its links went, or no way over links that were
up led to the origin, at some moment between the publication of the first lost message and the word that it is lost. Whoever was in none
may lose what a neighbour had lost justly before, which has nothing to give any more, and no more than that. Everything else is a loss
for which there is no reason, however well it was named. What an origin published before it was ready, it publishes at its own risk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from zmqgossip.core.events import MessagesLost, NeighbourCaughtUp, NeighbourDown, NeighbourSlow, NeighbourUp
from zmqgossip.sim.accounts import life_of, published_by
from zmqgossip.sim.body import Body
from zmqgossip.sim.ledger import Stream, StreamKey
from zmqgossip.sim.world import World

NEVER = float("inf")


@dataclass(slots=True)
class _Trouble:
    """Of one life: from when to when it was slow to somebody, and when a link of it went, at either end."""

    slow: list[tuple[float, float]] = field(default_factory=list)
    downs: list[float] = field(default_factory=list)

    def between(self, since: float, until: float) -> bool:
        return any(begin <= until and end >= since for begin, end in self.slow) or any(since <= at <= until for at in self.downs)


@dataclass(frozen=True, slots=True)
class _Loss:
    at: float
    body: Body
    key: StreamKey
    stream: Stream
    first: int
    last: int


def unjust_losses(world: World) -> list[str]:
    """Losses named at peers that were in no trouble, of origins that still live."""
    troubles = _troubles(world)
    just: list[_Loss] = []
    found = []
    for loss in sorted(_losses(world), key=lambda one: one.at):
        passed_on = sorted((one.first, one.last) for one in just if _passes_on(one, loss))
        parts = _outside(passed_on, loss.first, loss.last)
        unjust = []
        for first, last in parts:
            part = replace(loss, first=first, last=last)
            since = _published_at(loss.stream, first)
            if not troubles[life_of(loss.body)].between(since, loss.at) and not _were_apart(world, part, since):
                unjust.append((first, last))
                name = f"{loss.body.label} lost {first} to {last} of {loss.stream.origin.label}"
                found.append(f"{name} at {loss.at:.3f}, published at {since:.3f}, for no reason")
        just += [replace(loss, first=first, last=last) for first, last in _outside(unjust, loss.first, loss.last)]
    return found


def _outside(ranges: Sequence[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """What of first to last is in none of these ranges, which are sorted."""
    found = []
    for begin, end in ranges:
        if first < begin:
            found.append((first, min(last, begin - 1)))
        first = max(first, end + 1)
    return [*found, (first, last)] if first <= last else found


def _passes_on(earlier: _Loss, loss: _Loss) -> bool:
    """Whether another had lost some of it before, with whom this one was linked since then."""
    overlaps = earlier.first <= loss.last and loss.first <= earlier.last
    return earlier.key == loss.key and earlier.body is not loss.body and overlaps and _was_linked(earlier, loss)


def _was_linked(earlier: _Loss, loss: _Loss) -> bool:
    """Whether a link between them was up at some moment between the two losses."""
    other, is_up = life_of(earlier.body), False
    for at, event in loss.body.events:
        if at > loss.at:
            break
        if isinstance(event, (NeighbourUp, NeighbourDown)) and (event.peer.id, event.peer.epoch) == other:
            if is_up and at >= earlier.at:
                return True
            is_up = isinstance(event, NeighbourUp)
    return is_up


def _losses(world: World) -> list[_Loss]:
    found = []
    for body in world.bodies:
        for at, event in body.events:
            if isinstance(event, MessagesLost):
                stream = world.ledger.streams.get((event.origin, event.epoch))
                if stream is None or not stream.origin.live or body.ready_at is None or stream.origin.ready_at is None:
                    continue
                if event.last > published_by(stream, max(body.ready_at, stream.origin.ready_at)):
                    found.append(_Loss(at, body, (event.origin, event.epoch), stream, event.first, event.last))
    return found


def _published_at(stream: Stream, message: int) -> float:
    return next(one.at for one in stream.publications if one.first + one.count > message)


def _troubles(world: World) -> dict[StreamKey, _Trouble]:
    peers = [body for body in world.bodies if body.gossip is not None]
    troubles = {life_of(body): _Trouble() for body in peers}
    for body in peers:
        mine = troubles[life_of(body)]
        slow_since: dict[StreamKey, float] = {}
        for at, event in body.events:
            if isinstance(event, NeighbourSlow):
                slow_since.setdefault((event.peer.id, event.peer.epoch), at)
            elif isinstance(event, (NeighbourCaughtUp, NeighbourDown)):
                key = (event.peer.id, event.peer.epoch)
                if key in slow_since:
                    troubles[key].slow.append((slow_since.pop(key), at))
                if isinstance(event, NeighbourDown):
                    mine.downs.append(at)
                    troubles[key].downs.append(at)
        for key, at in slow_since.items():
            troubles[key].slow.append((at, body.ended_at if body.ended_at is not None else NEVER))
    return troubles


def _were_apart(world: World, loss: _Loss, since: float) -> bool:
    """Whether at some moment no way over links that were up at both ends led from the origin to who lost it."""
    changes = sorted(_changes_of_links(world), key=lambda change: change[0])
    ends: dict[tuple[StreamKey, StreamKey], bool] = {}
    goal, start = life_of(loss.body), life_of(loss.stream.origin)
    place = 0
    while place < len(changes) and changes[place][0] < since:
        ends[changes[place][1]] = changes[place][2]
        place += 1
    while _reaches(ends, start, goal):
        if place == len(changes) or changes[place][0] > loss.at:
            return False
        ends[changes[place][1]] = changes[place][2]
        place += 1
    return True


def _changes_of_links(world: World) -> Iterator[tuple[float, tuple[StreamKey, StreamKey], bool]]:
    """When which end of a link came up, or went."""
    for body in world.bodies:
        for at, event in body.events:
            if isinstance(event, (NeighbourUp, NeighbourDown)):
                yield at, (life_of(body), (event.peer.id, event.peer.epoch)), isinstance(event, NeighbourUp)


def _reaches(ends: dict[tuple[StreamKey, StreamKey], bool], start: StreamKey, goal: StreamKey) -> bool:
    links: dict[StreamKey, list[StreamKey]] = {}
    for (one, other), is_up in ends.items():
        if is_up and ends.get((other, one)):
            links.setdefault(one, []).append(other)
    reached, frontier = {start: None}, [start]
    while frontier:
        for other in links.get(frontier.pop(), []):
            if other not in reached:
                reached[other] = None
                frontier.append(other)
    return goal in reached
