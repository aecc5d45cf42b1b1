"""What the yardsticks have in common: an overlay that is given, messages of their own, each delivered once.

They speak in segments as our own engines do, so that the ledger counts them in the same way, byte for byte. An engine does nothing before
`begin`: all its neighbours listen by then. Nothing is kept for order, nobody is found dead, no link is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from zmqgossip.core.counters import Counters
from zmqgossip.core.gossip_messages import Messages
from zmqgossip.core.outbox import Knock, Outbox, Segment
from zmqgossip.core.types import Endpoint, PeerRecord
from zmqgossip.core.wire import Codec, SegmentHeader, encode_messages, propagated
from zmqgossip.sim.body import Body
from zmqgossip.sim.world import World

Message: TypeAlias = tuple[bytes, int]
"""Origin and number: what a message is known by."""
CONNECT_S = 1.0
"""Virtual time in which the slowest link of a scenario is connected, several times over."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One end of a link: both engines have such a thing, under keys of their own."""

    key: int
    endpoint: Endpoint
    publish_endpoint: Endpoint


class Relay:
    """An engine without a way to send: its children have that.

    Attributes:
        seen: what came or was published here, and the frame as it is passed on from here.
    """

    def __init__(self, me: PeerRecord, cluster: int, neighbours: Sequence[Neighbour]) -> None:
        self.me = me
        self.neighbours = neighbours
        self.outbox = Outbox()
        self.counters = Counters()
        self.next_deadline: float | None = None
        self.finished = False
        self.seen: dict[Message, bytes] = {}
        self._codec = Codec(cluster)
        self._number = 0

    # -- what children do -------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """All are there: connects with the neighbours."""
        raise NotImplementedError

    def spread(self, message: Message, header: SegmentHeader, brought_by: int, now: float) -> None:
        """Passes on what is new here. `brought_by` is the key of a neighbour, 0 for one's own, which is published already."""
        raise NotImplementedError

    # -- messages ---------------------------------------------------------------------------------------------------------

    def publish(self, batch: Sequence[tuple[str, bytes, float]], now: float) -> None:
        topics, payloads, times = zip(*batch, strict=True)
        body = encode_messages(Messages(self.me.host, self.me.port, list(times), list(topics), list(payloads)))
        first, self._number = self.counters.get("published.messages") + 1, self._number + 1
        self.counters.add("published.messages", len(batch))
        frame = self._codec.encode_segment(self.me.id, self.me.epoch, self._number, first, len(batch), 0, body)
        self.outbox.publish(frame)  # also where nobody subscribes: the ledger reads there what there is to deliver
        self._take(frame, self._codec.decode_segment(frame), 0, frame, now)

    def take(self, frame: bytes, brought_by: int, now: float) -> bool:
        """A frame came. Whether it was new: then it is delivered and passed on."""
        header = self._codec.decode_segment(frame)
        if (header.origin, header.number) in self.seen:
            self.counters.add("duplicates.known")
            return False
        self._take(frame, header, brought_by, propagated(frame), now)
        return True

    def _take(self, frame: bytes, header: SegmentHeader, brought_by: int, onwards: bytes, now: float) -> None:
        message = (header.origin, header.number)
        self.seen[message] = onwards
        self.outbox.deliver(Segment(frame, header, None))
        self.spread(message, header, brought_by, now)

    # -- what a body calls, and a yardstick has no use for ------------------------------------------------------------------

    def start(self, now: float) -> None: ...
    def on_connected(self, key: int, now: float) -> None: ...
    def on_disconnected(self, key: int, now: float) -> None: ...
    def on_reply(self, key: int, frame: bytes, now: float) -> None: ...
    def on_request(self, route: bytes, frame: bytes, address: str, now: float) -> None: ...
    def on_knock(self, key: int, results: Sequence[Knock], now: float) -> None: ...
    def on_timers(self, now: float) -> None: ...
    def on_gossip(self, key: int, frame: bytes, now: float) -> None: ...
    def on_subscription(self, topic: bytes, now: float) -> None: ...
    def on_unsubscription(self, topic: bytes, now: float) -> None: ...
    def flush(self, token: int, timeout_s: float, now: float) -> None: ...

    def leave(self, now: float) -> None:
        self.finished = True


Kind: TypeAlias = Callable[[PeerRecord, int, Sequence[Neighbour]], Relay]


def beside(world: World, links: Mapping[str, Sequence[str]], kind: Kind) -> World:
    """Another world of the same seed, weather and links, its peers of another kind, connected and quiet."""
    other = World(world.seed, world.config, seeds=0, weather=world.paths.weather, keep=False)
    other.network.pipe_max = world.network.pipe_max
    keys = {name: key for key, name in enumerate(links, 1)}
    for name, others in links.items():
        own = world.nodes[name]
        assert own.publish_endpoint is not None, "who has links publishes"
        neighbours = [Neighbour(keys[each], world.nodes[each].endpoint, _publishes_at(world.nodes[each])) for each in others]
        record = PeerRecord(keys[name].to_bytes(16, "big"), 1, 0, own.endpoint.host, own.endpoint.port, own.publish_endpoint.port)
        other.add(name, own.endpoint, own.publish_endpoint, _maker(kind, record, other.cluster, neighbours))
    for body in other.peers:
        assert isinstance(body.engine, Relay)
        body.turn(body.engine.begin)
    other.run(CONNECT_S)
    return other


def _publishes_at(body: Body) -> Endpoint:
    assert body.publish_endpoint is not None, "who has links publishes"
    return body.publish_endpoint


def _maker(kind: Kind, record: PeerRecord, cluster: int, neighbours: Sequence[Neighbour]) -> Callable[[Body, Random], Relay]:
    return lambda _body, _rng: kind(record, cluster, neighbours)
