"""zmqgossip, as a program uses it: `peer.publish(topic, payload)` and `for message in peer.subscribe()`.

Its other faces are systems of their own: `publish_many`, callbacks, asyncio.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import attrgetter

from zmqgossip import Event, Feed, Message, MessagesLost, NeighbourSlow, Peer, Seed
from zmqgossip.bench import publishing
from zmqgossip.bench.board import PUBLISHED, STOP, Row
from zmqgossip.bench.counting import NUMBER, Ended, Oddities
from zmqgossip.bench.publishing import Schedule
from zmqgossip.bench.systems.station import Station, sent_by_calls
from zmqgossip.bench.task import Facts

TOPIC = "bench"
CLUSTER = "bench"
READY_S = 60.0
BATCH_BYTES = 65_536
"""What one call of publish_many hands over; at most BATCH_MAX messages."""
BATCH_MAX = 500


class Seeds(Station):
    """The process of the seeds; it carries no messages."""

    def __init__(self, settings: Facts) -> None:
        self._seed = Seed("127.0.0.1:0", cluster=CLUSTER, **settings)

    def open(self, facts: Facts) -> Facts:
        return {"endpoints": self._seed.start().endpoints}


class Gossip(Station):
    """A peer. One that only publishes does not subscribe, since it would hear nothing.

    Settings: `seeds`, `listens`, `protocol` (knobs), `bucket` (the last byte that its id shall have).
    """

    def __init__(self, settings: Facts) -> None:
        self.peer = Peer(seeds=settings["seeds"], cluster=CLUSTER, protocol=settings.get("protocol"))
        self._bucket: int | None = settings.get("bucket")
        self.send = partial(self.peer.publish, TOPIC)
        self.feed: Feed[Message] | None = self.subscribe() if settings["listens"] else None
        self._lost: list[tuple[int, int]] = []
        self._slow_count = 0
        troubles = self.peer.events(MessagesLost, NeighbourSlow)
        threading.Thread(target=self._watch, args=(troubles,), daemon=True).start()

    def subscribe(self) -> Feed[Message] | None:
        return self.peer.subscribe()

    def at_once(self) -> dict[str, Callable[[], Facts]]:
        return super().at_once() | {"look": self._look, "named": self._named, "stats": self.peer.stats}

    def _named(self) -> Facts:
        """What it was told: `lost`, as (first, last) numbers of messages, and `slow`, how often a neighbour was not waited for any more."""
        return {"lost": list(self._lost), "slow": self._slow_count}

    def _watch(self, events: Feed[Event]) -> None:
        for event in events:
            if isinstance(event, MessagesLost):
                self._lost.append((event.first, event.last))
            else:
                self._slow_count += 1

    def _look(self) -> Facts:
        """Whom it knows and is linked with."""
        neighbours = [str(neighbour.endpoint) for neighbour in self.peer.neighbours()]
        return {"members": len(self.peer.members()), "neighbours": neighbours}

    def open(self, facts: Facts) -> Facts:
        with ids_ending_with(self._bucket):
            self.peer.start()
        return {"endpoint": str(self.peer.me.endpoint)}

    def wait(self, facts: Facts) -> Facts:
        self.peer.ready(READY_S)
        return {"ready_ns": time.monotonic_ns()}

    def payloads(self) -> Iterator[bytes]:
        assert self.feed is not None
        return map(attrgetter("payload"), self.feed)  # in C, as raw's and zenoh's


@contextmanager
def ids_ending_with(byte: int | None) -> Iterator[None]:
    """A peer draws its id when it starts, and nobody can choose one: here what it draws from is held. None: let it draw."""
    if byte is None:
        yield
        return

    def drawn(self: random.SystemRandom, count: int) -> bytes:
        return os.urandom(count - 1) + bytes([byte])

    setattr(random.SystemRandom, "randbytes", drawn)  # noqa: B010 - mypy lets nobody assign to a method
    try:
        yield
    finally:
        delattr(random.SystemRandom, "randbytes")


class GossipMany(Gossip):
    """The publisher hands over many messages in one call."""

    def publish(self, size: int, head: Row, window: publishing.Window) -> int:
        pack, rest = NUMBER.pack, bytes(size - NUMBER.size)
        batch = max(1, min(BATCH_MAX, BATCH_BYTES // size))
        number = 0
        while not head[STOP]:
            self.peer.publish_many(TOPIC, [pack(one) + rest for one in range(number, number + batch)])
            number += batch
        head[PUBLISHED] = number
        return number


class GossipCallbacks(Gossip):
    """The receivers are called with each message."""

    def subscribe(self) -> None:
        self._take: Callable[[bytes], object] = self._take_later
        self._listening, self._ended = threading.Event(), threading.Event()
        self.peer.on()(self._on_message)

    def _on_message(self, message: Message) -> None:
        try:
            self._take(message.payload)
        except Ended:
            self._take = lambda payload: None
            self._ended.set()

    def _take_later(self, payload: bytes) -> None:
        """The first message may come before anybody has asked for messages."""
        self._listening.wait()
        self._take(payload)

    def listen(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._listening.set()
        self._ended.wait()

    def count(self, oddities: Oddities) -> None:
        self.listen(sent_by_calls(oddities))


class GossipAsync(Gossip):
    """Both ends are tasks: `await peer.apublish(...)` and `async for message in peer.subscribe()`."""

    def listen(self, take: Callable[[bytes], object]) -> None:
        asyncio.run(self._listen(take))

    async def _listen(self, take: Callable[[bytes], object]) -> None:
        assert self.feed is not None
        async for message in self.feed:
            take(message.payload)

    def count(self, oddities: Oddities) -> None:
        self.listen(sent_by_calls(oddities))

    def publish(self, size: int, head: Row, window: publishing.Window) -> int:
        return asyncio.run(publishing.publish_as_task(partial(self.peer.apublish, TOPIC), size, head, window))

    def publish_each(self, schedule: Schedule) -> None:
        asyncio.run(publishing.publish_each_as_task(partial(self.peer.apublish, TOPIC), schedule))
