"""Seed: the seeds of one process, as a program holds them: where peers register and find each other."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from zmqgossip.core.errors import NodeClosed
from zmqgossip.core.events import Event
from zmqgossip.core.types import Endpoint, Member
from zmqgossip.handle import last
from zmqgossip.handle.event_feed import EventFeed
from zmqgossip.handle.feed import Feed
from zmqgossip.handle.peer import check_kinds, parse_seeds
from zmqgossip.handle.process import Process
from zmqgossip.runtime.body import Body, Told
from zmqgossip.runtime.node import SeedsNode
from zmqgossip.settings import load, resolve_host


class Seed:
    """One seed, or several on one loop. They listen from `with`, `async with` or `start()` until the end, or `close()`.

    Args:
        endpoints: HOST:PORT of each, port 0 for any free one; none for all seeds of the settings.
        config, cluster, profile, protocol: as for a Peer.

    Raises:
        ConfigError: a setting is missing or wrong.
    """

    def __init__(
        self,
        *endpoints: str,
        config: str | Path | None = None,
        cluster: str | None = None,
        profile: str | None = None,
        protocol: Mapping[str, Any] | None = None,
    ) -> None:
        places = parse_seeds(endpoints) or []
        wanted = [(str(place["host"]), place["port"]) for place in places]
        # Port 0 is none that a peer could be told of, so the settings would refuse it.
        taken = {place["port"] for place in places}
        others = (port for port in range(1, 65536) if port not in taken)
        named = [{**place, "port": next(others) if place["port"] == 0 else place["port"]} for place in places] or None
        said = {"seeds": named, "cluster": cluster, "profile": profile, "protocol": None if protocol is None else dict(protocol)}
        given = {key: value for key, value in said.items() if value is not None}
        self._settings = load(Path(config) if config is not None else None, given=given)
        self._wanted = wanted or [(seed.host, seed.port) for seed in self._settings.seeds]
        self._node: SeedsNode | None = None
        self._feeds: tuple[weakref.ref[EventFeed], ...] = ()
        self._process = Process()
        self._lock = threading.RLock()
        self._is_closed = False
        self._body: type[Body] = Body

    # -- a sink -----------------------------------------------------------------------------------------------------------

    def put(self, at: float, item: Told, where: Endpoint | None) -> None:
        """Hands on what happened; called in the node's thread."""
        for weak in self._feeds:
            feed = weak()
            if feed is not None and isinstance(item, Event) and feed.wants(item):
                feed.put(item)

    def turn_over(self) -> None:
        """Every reader was awake at once: at a seed little happens."""

    def fail(self, error: BaseException) -> None:
        """The node has ended by a bug of ours; called in its thread."""
        self._end_feeds(error)

    def _end_feeds(self, error: BaseException | None) -> None:
        for weak in self._feeds:
            feed = weak()
            if feed is not None:
                feed.end(error)

    # -- beginning and end ------------------------------------------------------------------------------------------------

    def start(self) -> Seed:
        """Binds the ports. A second call does nothing. Raises PortInUse, CannotBind, ConfigError, NodeClosed.

        One that has failed may be tried again.
        """
        self._process.check()
        with self._lock:
            self._refuse_if_closed()
            if self._node is None:
                places = [(resolve_host(host), port) for host, port in self._wanted]
                node = SeedsNode(places, self._settings.cluster, self._settings.protocol, sink=self, body=self._body)
                if self._is_closed:  # by a signal handler, in this very thread, a moment ago
                    node.close()
                    self._refuse_if_closed()
                self._node = node
                last.remember(self)
        return self

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise NodeClosed("this seed was closed; make another one")

    def begin_to_leave(self) -> None:
        """A seed has nobody to say goodbye to: its peers use the others, and come back when it does."""

    def close(self, timeout: float = 0.0) -> None:
        """Ends the sockets. A second call does nothing, nor does one in a forked child."""
        if not self._process.is_here:
            return
        with self._lock:
            self._is_closed = True
            node, self._node = self._node, None
            if node is not None:
                node.close()
                last.forget(self)
            self._end_feeds(None)

    def __enter__(self) -> Seed:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Seed:
        try:
            return await asyncio.to_thread(self.start)
        except asyncio.CancelledError:  # its thread goes on, and nobody would leave what it enters
            asyncio.get_running_loop().run_in_executor(None, self.close)
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.close)

    def _running(self) -> SeedsNode:
        self._process.check()
        if self._is_closed:
            raise NodeClosed("this seed was closed; make another one")
        if self._node is None:
            raise NodeClosed("this seed does not run; use it in a `with`, or call start()")
        return self._node

    # -- who and how ------------------------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[str]:
        """HOST:PORT of each, with the ports that were bound: what peers are given as seeds.

        Raises NodeClosed if the seed was closed, or not started, or in a forked child.
        """
        return [str(endpoint) for endpoint in self._running().endpoints]

    def members(self) -> list[Member]:
        """Everybody whom at least one of the seeds lists. Raises NodeClosed as `endpoints` does."""
        union = {member.record.id: member for members in self._running().members().values() for member in members}
        return [union[peer] for peer in sorted(union)]

    def events(self, *kinds: type[Event]) -> Feed[Event]:
        """A feed of what happens at the seeds from now on. `kinds`: only these. Raises TypeError, and NodeClosed in a forked child."""
        self._process.check()
        check_kinds(kinds)
        feed = EventFeed(kinds, self._forget)
        with self._lock:
            self._feeds = (*self._feeds, weakref.ref(feed))
            if self._is_closed:
                feed.end()
        return feed

    def _forget(self, gone: Feed[Any]) -> None:
        with self._lock:
            self._feeds = tuple(feed for feed in self._feeds if feed() not in (None, gone))

    def stats(self) -> dict[str, dict[str, int]]:
        """Every counter that is not zero, of each seed by its HOST:PORT, and how many peers it lists (`members`).

        Raises NodeClosed as `endpoints` does.
        """
        node = self._running()
        listed = node.listed()
        return {str(seed): {**counts, "members": listed[seed]} for seed, counts in node.counters().items()}
