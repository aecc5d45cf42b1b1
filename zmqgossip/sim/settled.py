"""A network in the midst of its life: thousands of peers that joined long ago, without their joins being played.

    world = World(seed=1)
    settle(world, 10_000)
    world.run(10)

By the protocol itself 10,000 joins cost more than all that a scenario wants to see of them. So each engine is put where joining would
have taken it: listed at its seeds, linked up at both ends with whom the overlay's rule gives it, subscriptions in force, its baseline
whole and empty, ready. It is done by the engines' own calls and public tables; what they want to send meanwhile is not sent. There
is no stream: nobody has announced itself. From here on everything is played.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from msgspec.structs import replace

from zmqgossip.core.liveness import PROBE
from zmqgossip.core.messages import Receipt, Register, Registered
from zmqgossip.core.outbox import OPEN, REQUEST
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.presence import ASK, RENEW
from zmqgossip.core.registry import LEASE
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.shuffles import SHUFFLE_DUE
from zmqgossip.core.timers import TimerKey, Timers
from zmqgossip.core.types import Member, PeerId, PeerState
from zmqgossip.core.view import Link, LinkState
from zmqgossip.core.wire import TOPIC_DIGEST, TOPIC_GOSSIP, link_topic
from zmqgossip.sim.body import Body
from zmqgossip.sim.garbage import rare_collections
from zmqgossip.sim.world import World


def settle(world: World, count: int, *, periodic: bool = True, links: Sequence[tuple[int, int]] | None = None) -> list[Body]:
    """Adds `count` peers that are ready and linked with one another. The world has no peers before.

    `links`: who has dialled whom, as places from 0, for an overlay that was seen elsewhere; None draws one by the overlay's rule.
    `periodic`: probes, presence renewals and leases run, each from a random point of its interval. Otherwise nothing
    happens by itself, for as long as it takes, until `begin_periodic`, on links that these make meanwhile neither.
    """
    assert not world.peers, "a settled world begins settled: others join it afterwards"
    with rare_collections():
        bodies = [world.create_peer() for _ in range(count)]
        if not periodic:
            for body in bodies:
                _engine(body).node.timers = _Muted()
        _settle(world, bodies, links, Random(f"{world.seed}/settled"))
    if periodic:
        begin_periodic(world)
    return bodies


class _Muted(Timers):
    """Timers without those of what links do at intervals. The others are not set before `begin_periodic`."""

    __slots__ = ("mutes",)

    def __init__(self) -> None:
        super().__init__()
        self.mutes = True

    def set(self, key: TimerKey, at: float) -> None:
        if not self.mutes or key[0] not in (PROBE, SHUFFLE_DUE):
            super().set(key, at)


def _settle(world: World, bodies: list[Body], links: Sequence[tuple[int, int]] | None, luck: Random) -> None:
    peers = [_engine(body) for body in bodies]
    for peer in peers:
        peer.membership.me = replace(peer.me, ready=True)
        peer.members.become(peer.me)
    _list_all(world, bodies)
    for one, other in _draw_overlay(world, peers, luck) if links is None else links:
        _link(world, bodies[one], bodies[other])
    _tell_members(world, peers, luck)
    for body, peer in zip(bodies, peers, strict=True):
        _make_ready(world, body, peer)


def begin_periodic(world: World) -> None:
    """What peers and seeds do at intervals begins, each somewhere in its interval."""
    now = world.now
    for body in world.seeds:
        registry = _seed(body).registry
        for member in registry.living():
            entry = registry.get(member.record.id)
            assert entry is not None, "who is in the list has an entry"
            registry.renew(entry, now)
        body.arm()
    for body in world.peers:
        peer = _engine(body)
        config, rng, timers = peer.node.config, peer.node.rng, peer.node.timers
        if isinstance(timers, _Muted):
            timers.mutes = False
        peer.membership.shuffles.arm(now)
        for link in peer.view.up():
            peer.liveness.watch(link, now)
        for key in [key for key in body.dealers if peer.presence.knows(key)]:
            timers.set((RENEW, key), now + rng.random() * config.presence_interval_s)
        timers.set((ASK, 0), now + rng.random() * config.refill_interval_s)
        body.arm()


# -- seeds ----------------------------------------------------------------------------------------------------------------


def _list_all(world: World, bodies: list[Body]) -> None:
    """Every peer chooses its seeds, as it does when it starts, and is listed there."""
    seeds = {body.endpoint: _seed(body) for body in world.seeds}
    asked: list[tuple[PeerEngine, int, SeedEngine]] = []
    for body in bodies:
        peer = _engine(body)
        peer.presence.start(world.now)
        for key, endpoint in [(effect[1], effect[2]) for effect in peer.outbox.drain() if effect[0] == OPEN]:
            world.network.establish(body, key, endpoint, None)
            _enter(seeds[endpoint], peer, key, world.now)
            asked.append((peer, key, seeds[endpoint]))
        peer.node.timers.cancel((ASK, 0))
    for peer, key, seed in asked:  # when all are listed, so that each hears how many they are
        peer.presence.on_answer(peer.me, key, Registered(True, len(seed.registry), []), 0, world.now)
        peer.node.timers.cancel((RENEW, key))
        peer.outbox.drain()
    for body in world.seeds:
        _seed(body).outbox.drain()


def _enter(seed: SeedEngine, peer: PeerEngine, key: int, now: float) -> None:
    """A seed lists a peer by what it would have been sent. No lease runs yet."""
    peer.presence.on_connected(peer.me, key, now)
    (frame,) = [effect[2] for effect in peer.outbox.drain() if effect[0] == REQUEST]
    body, _ = peer.node.codec.decode(frame)
    assert isinstance(body, Register)
    entry = seed.registry.enter(body.record, body.ticket, now)
    seed.node.timers.cancel((LEASE, entry.key))


# -- links ----------------------------------------------------------------------------------------------------------------


def _draw_overlay(world: World, peers: list[PeerEngine], luck: Random) -> list[tuple[int, int]]:
    """Whom each peer has dialled: random others that are not its neighbours yet and have room, as many as the config says."""
    count = len(peers)
    links: list[dict[int, None]] = [{} for _ in peers]
    dialled: list[list[int]] = [[] for _ in peers]
    for one in luck.sample(range(count), count):
        config = peers[one].node.config
        wanted = min(config.neighbours_dialled, config.neighbours_max - len(links[one]))
        for other in _others(one, count, luck):
            if len(dialled[one]) >= wanted:
                break
            if other not in links[one] and len(links[other]) < peers[other].node.config.neighbours_max:
                links[one][other] = links[other][one] = None
                dialled[one].append(other)
    return [(one, other) for one, others in enumerate(dialled) for other in others]


def _others(one: int, count: int, luck: Random) -> Iterator[int]:
    """Everybody but one in random order, drawn only as far as it is asked for (Fisher and Yates' shuffle, its swaps in a dict)."""
    moved: dict[int, int] = {}
    for place in range(count):
        drawn = luck.randrange(place, count)
        other = moved.get(drawn, drawn)
        moved[drawn] = moved.get(place, place)
        if other != one:
            yield other


def _link(world: World, dialler: Body, acceptor: Body) -> None:
    """A link that is up at both ends."""
    theirs, mine = (_new_link(world, *ends, dialled=ends[0] is dialler) for ends in ((acceptor, dialler), (dialler, acceptor)))
    mine.theirs, theirs.theirs = theirs.mine, mine.mine
    for body, other, link in ((dialler, acceptor, mine), (acceptor, dialler, theirs)):
        peer, network = _engine(body), world.network
        peer.view.add(link)
        topics = (TOPIC_DIGEST, TOPIC_GOSSIP, link_topic(peer.me.id, link.theirs))
        network.establish(body, link.key, link.peer.endpoint, None)
        for topic in network.establish(body, link.key, link.peer.publish_endpoint, topics):
            _engine(other).gossip.audience.change(topic, wanted=True)


def _new_link(world: World, body: Body, other: Body, *, dialled: bool) -> Link:
    node, me, them, now = _engine(body).node, _engine(body).me, _engine(other).me, world.now
    link = Link(node.new_key(), them, node.nonce(), dialled=dialled, since=now, up_at=now, last_heard=now)
    link.state = LinkState.UP
    link.said_hello, link.connected, link.heard, link.seen, link.synced = dialled, True, True, True, True
    link.receipt = Receipt(them.id, them.epoch, me.id, me.epoch, node.wall(now), b"")
    return link


# -- what each one knows --------------------------------------------------------------------------------------------------


def _tell_members(world: World, peers: list[PeerEngine], luck: Random) -> None:
    """Who exists, as far as a peer knows in a network of this size. All tables share their entries."""
    everybody = [Member(peer.me, PeerState.ALIVE, peer.node.wall(world.now)) for peer in peers]
    by_id: dict[PeerId, Member] = {member.record.id: member for member in everybody}
    for peer in peers:
        members, config = peer.members, peer.node.config
        if len(peers) <= config.members_full_max:
            if peer is peers[0]:
                members.begin(everybody)
            else:
                members.begin_as(peers[0].members, everybody[0])
        else:
            members.narrow(config.candidates_max, peer.node.rng, peer.node.wall(world.now))
            near = [by_id[link.peer.id] for link in peer.view.links()]
            members.begin(near + luck.sample(everybody, config.candidates_max))
        for link in peer.view.links():
            members.follow(link.peer.id)
        peer.outbox.drain()


def _make_ready(world: World, body: Body, peer: PeerEngine) -> None:
    """Nothing was ever published: the baseline is whole and empty."""
    peer.gossip.begin([], [], {}, world.now)
    peer.membership.baseline.complete = True
    peer.membership.announced = True
    body.ready_at = world.now
    links = ", ".join(link.peer.id.hex() for link in peer.view.links())
    world.trace.note(world.now, body.label, "settled", links)
    assert not peer.outbox.drain(), f"{body.label} would have said something"
    body.arm()


def _engine(body: Body) -> PeerEngine:
    assert isinstance(body.engine, PeerEngine)
    return body.engine


def _seed(body: Body) -> SeedEngine:
    assert isinstance(body.engine, SeedEngine)
    return body.engine
