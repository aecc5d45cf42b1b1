"""Peer: one member of the network, as a program holds it. Sync and async are two faces of the same object.

    with Peer(config="config.json") as peer:            async with Peer(config="config.json") as peer:
        prices = peer.subscribe("prices.*")                 prices = peer.subscribe("prices.*")
        peer.ready(timeout=5)                               await peer.aready(timeout=5)
        peer.publish("hello.world", b"here I am")           await peer.apublish("hello.world", b"here I am")
        for message in prices: ...                          async for message in prices: ...

Every method may be called from any thread: what needs a socket is handed to the node's own thread. What the network says comes
the other way, through feeds, futures and callbacks. A forked child can use none of it; its end leaves the parent's node alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from zmqgossip.core.errors import ConfigError, NodeClosed, Timeout
from zmqgossip.core.events import Event
from zmqgossip.core.types import Member, PeerId, PeerRecord, is_unicast_host
from zmqgossip.handle import last
from zmqgossip.handle.awaiting import settled
from zmqgossip.handle.callbacks import OnMessage, OnRequest
from zmqgossip.handle.feed import Feed
from zmqgossip.handle.message import AnyPeer, Message, whom
from zmqgossip.handle.process import Process
from zmqgossip.handle.publishing import Publishing
from zmqgossip.handle.tidings import Tidings
from zmqgossip.runtime.arguments import bytes_of, limit_of, seconds_of, text_of
from zmqgossip.runtime.body import Body
from zmqgossip.runtime.node import PeerNode, Place
from zmqgossip.runtime.words import words
from zmqgossip.settings import Settings, load, resolve, resolve_host

REQUEST_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 0.5
"""To say goodbye: a neighbour that lives answers in milliseconds, and the end shall take no longer than a second."""


class Peer(Publishing):
    """A peer. It joins when it is entered with `with` or `async with`, or by `start()`, and leaves at the end, or by `close()`.

    Args:
        port: to listen on; 0 takes any free one.
        config: path of the settings file. None: `$ZMQGOSSIP_CONFIG`, else ./config.json; not read if seeds and cluster are given.
            Or Settings that were read before; the other settings here are not given then.
        seeds: HOST:PORT of each seed, over those of the file.
        cluster: the network's name, over that of the file.
        profile: "default", or "lan" for machines that share a switch or a host.
        host: address to bind and to announce, 127.0.0.1 unless the settings say otherwise.
        announce: address that others reach this peer at, if it is not `host`.
        publish_port: to publish on; 0 takes any free one.
        protocol: knobs over those of the profile, by name, as {"liveness_interval_s": 2.0}.

    Raises:
        ConfigError: a setting is missing or wrong; said at once, before anything is opened.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        config: str | Path | Settings | None = None,
        seeds: Sequence[str] | None = None,
        cluster: str | None = None,
        profile: str | None = None,
        host: str | None = None,
        announce: str | None = None,
        publish_port: int = 0,
        protocol: Mapping[str, Any] | None = None,
    ) -> None:
        for name, number in (("port", port), ("publish_port", publish_port)):
            if type(number) is not int or not 0 <= number <= 65535:
                raise ConfigError(f"{name} is {number!r}; give one from 1 to 65535, or 0 for any free one", name)
        said: dict[str, Any] = {"seeds": parse_seeds(seeds), "cluster": cluster, "profile": profile, "host": host}
        said["protocol"] = None if protocol is None else dict(protocol)
        given = {key: value for key, value in said.items() if value is not None}
        self._settings = _settings(config, given)
        self._place = (port, publish_port, announce)
        self._tidings = Tidings(self._settings.protocol.slow_after_s)
        self._node: PeerNode | None = None
        self._process = Process()
        self._starting = threading.RLock()  # a signal handler may close what its own thread is just starting, or closing
        self._closing = threading.RLock()
        self._is_closed = False
        self._body: type[Body] = Body

    # -- beginning and end ------------------------------------------------------------------------------------------------

    def start(self) -> Peer:
        """Binds the ports and begins to join. A second call does nothing; one that has failed may be tried again.

        Raises:
            PortInUse, CannotBind: nothing is left open.
            ConfigError: a name does not resolve, or the address to announce is none of one machine.
            NodeClosed: it was closed before.
        """
        self._process.check()
        with self._starting:
            self._refuse_if_closed()
            if self._node is None:
                settings, (port, publish_port, announce) = self._settings, self._place
                host = resolve_host(settings.host)
                announced = host if announce is None else resolve_host(announce, "announce")
                if not is_unicast_host(announced):
                    raise ConfigError(f"{announced} is no address of one machine; say with announce= which one others reach", "announce")
                place = Place(host=host, port=port, publish_port=publish_port, announce=announced)
                seeds = resolve(settings.seeds)
                node = PeerNode(seeds, settings.cluster, place, config=settings.protocol, sink=self._tidings, body=self._body)
                self._keep(node)
        return self

    def _keep(self, node: PeerNode) -> None:
        if self._is_closed:  # by a signal handler, in this very thread, a moment ago
            node.close()
            self._refuse_if_closed()
        self._node = node
        last.remember(self)
        self._tidings.attach(node)
        self._outgoing = node.outgoing
        node.start()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise NodeClosed("this peer was closed; make another one")

    def begin_to_leave(self) -> threading.Event | None:
        """Says goodbye and does not wait; the event is set when that is done. None when there is nothing to wait for."""
        node = self._node
        if node is None or self._is_closed or not self._process.is_here:
            return None
        self._tidings.leave()
        try:
            node.leave()
        except NodeClosed:
            return None
        return self._tidings.left

    def close(self, timeout: float = CLOSE_TIMEOUT_S) -> int:
        """Leaves the network and ends everything: feeds end, waiting calls raise NodeClosed. A second call does nothing.

        What was published before goes out before the goodbye.

        Any thread may call it, callbacks and signal handlers too. In a forked child it does nothing.

        Args:
            timeout: seconds for the goodbye to be heard, and for a callback that runs to return; 0 goes without.

        Returns:
            How many messages this peer has published that no neighbour is known to have; `flush` before tells of everybody.
        """
        unconfirmed = 0
        if not self._process.is_here:
            return unconfirmed
        with self._closing:
            if self._is_closed:
                return unconfirmed
            self._tidings.leave()
            left = self.begin_to_leave() if timeout > 0 else None
            if left is not None:
                left.wait(timeout)
            self._is_closed = True
            with self._starting:
                node = self._node
            if node is not None:
                unconfirmed = node.close()
                last.forget(self)
            self._tidings.end()
            self._tidings.join(timeout)
        return unconfirmed

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: nothing works any more."""
        return self._is_closed

    def __enter__(self) -> Peer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Peer:
        try:
            return await asyncio.to_thread(self.start)
        except asyncio.CancelledError:  # its thread goes on, and nobody would leave what it enters
            asyncio.get_running_loop().run_in_executor(None, self.close, 0.0)
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self, timeout: float = CLOSE_TIMEOUT_S) -> int:
        """`close` for tasks."""
        return await asyncio.to_thread(self.close, timeout)

    def _running(self) -> PeerNode:
        self._process.check()
        self._refuse_if_closed()
        if self._node is None:
            raise NodeClosed("this peer was not started; use it in a `with`, or call start()")
        return self._node

    # -- ready ------------------------------------------------------------------------------------------------------------

    def ready(self, timeout: float | None = None) -> None:
        """Waits until what this peer publishes reaches everybody who is ready, and what they publish reaches it.

        That is when a link works in both directions and a neighbour has said where hearing begins. It takes another peer.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            Timeout: no such neighbour was found in time.
            ConfigError: every seed that answers belongs to another cluster.
            NodeClosed: the peer was closed, or not started.
            TypeError, InvalidTimeout: the timeout is no number, or negative, or NaN.
        """
        self._running()
        limit = limit_of(timeout)
        try:
            self._tidings.ready.result(limit)
        except TimeoutError as error:
            raise self._not_ready(timeout) from error

    async def aready(self, timeout: float | None = None) -> None:
        """`ready` for tasks."""
        self._running()
        limit = limit_of(timeout)
        try:
            await asyncio.wait_for(settled(self._tidings.ready), limit)
        except TimeoutError as error:
            raise self._not_ready(timeout) from error

    def _not_ready(self, timeout: float | None) -> Timeout:
        trouble = self._tidings.trouble
        advice = "look whether seeds and other peers run: zmqgossip peers" if trouble is None else words(trouble)
        return Timeout("no neighbour was found", timeout or 0.0, advice)

    # -- messages to all --------------------------------------------------------------------------------------------------

    def subscribe(self, pattern: str = ">") -> Feed[Message]:
        """A feed of the messages of others from now on: an iterator and an async iterator, which ends with the peer.

        It may be called before the start, and misses nothing then. After the end it is a feed that has ended.

        Args:
            pattern: which topics; dot-separated tokens, `*` for any one, `>` for one or more at the end.

        Raises:
            ConfigError: a bad pattern.
            TypeError: the pattern is no str.
            NodeClosed: this is a forked child.
        """
        self._process.check()
        return self._tidings.subscribe(text_of(pattern, "a pattern"))

    def on(self, pattern: str = ">") -> Callable[[OnMessage], OnMessage]:
        """Decorates a function that is called with each message of others whose topic fits; in one thread, one after the other.

        Args:
            pattern: as of `subscribe`.

        Raises:
            ConfigError: a bad pattern; said when it decorates.
            TypeError: the pattern is no str, or what is decorated cannot be called, or is a coroutine function.
            NodeClosed: this is a forked child.
        """
        self._process.check()
        text_of(pattern, "a pattern")  # at once: @peer.on without its parentheses would register nothing

        def decorate(function: OnMessage) -> OnMessage:
            self._tidings.on(pattern, function)
            return function

        return decorate

    # -- messages to one --------------------------------------------------------------------------------------------------

    def send(self, peer: AnyPeer, payload: bytes, timeout: float = REQUEST_TIMEOUT_S) -> None:
        """Sends one message to one peer, and returns when its handler is going to get it.

        Args:
            peer: an id, a member, a neighbour, or the origin of a message.
            payload: as of `publish`.
            timeout: seconds, above 0.

        Raises:
            PeerGone: there is no such peer, it died or left; it may have got the message if it died just now.
            PeerBusy: a line is full, there or here.
            RequestFailed: it takes no direct messages.
            Timeout: nothing was heard of it in time.
            PayloadTooLarge, NodeClosed, TypeError: as of `publish`; TypeError also for what names no peer.
            InvalidTimeout: the timeout is not above 0, or more than the knob `direct_timeout_max_s`.
        """
        self._tidings.ask(self._running(), whom(peer), bytes_of(payload), seconds_of(timeout), wants_answer=False).result()

    async def asend(self, peer: AnyPeer, payload: bytes, timeout: float = REQUEST_TIMEOUT_S) -> None:
        """`send` for tasks."""
        await settled(self._tidings.ask(self._running(), whom(peer), bytes_of(payload), seconds_of(timeout), wants_answer=False))

    def request(self, peer: AnyPeer, payload: bytes, timeout: float = REQUEST_TIMEOUT_S) -> bytes:
        """Asks one peer and returns what its handler answered. It is asked once at most.

        Args and errors: as of `send`; RequestFailed also if the handler raised, and at once where a callback asks its own peer.
        """
        return self._tidings.ask(self._running(), whom(peer), bytes_of(payload), seconds_of(timeout), wants_answer=True).result()

    async def arequest(self, peer: AnyPeer, payload: bytes, timeout: float = REQUEST_TIMEOUT_S) -> bytes:
        """`request` for tasks."""
        return await settled(self._tidings.ask(self._running(), whom(peer), bytes_of(payload), seconds_of(timeout), wants_answer=True))

    def on_request(self, function: OnRequest) -> OnRequest:
        """Decorates the function that gets direct messages and returns the answer to a request; in the callbacks' thread.

        Raises TypeError for what cannot be called, or is a coroutine function, and NodeClosed in a forked child.
        """
        self._process.check()
        self._tidings.on_request(function)
        return function

    # -- who and how ------------------------------------------------------------------------------------------------------

    @property
    def me(self) -> PeerRecord:
        """This peer's own record: id, address, ports, ready. It stays when the peer is closed, so that others can be asked about it.

        Raises NodeClosed if the peer was never started, or in a forked child.
        """
        self._process.check()
        return self._running().me if self._node is None else self._node.me

    @property
    def id(self) -> PeerId:
        """16 bytes, new for each peer that is started. Raises NodeClosed as `me` does."""
        return self.me.id

    def members(self) -> list[Member]:
        """All others that this peer knows to live, those under suspicion among them, in no order.

        That is everybody in a cluster of up to `members_full_max` peers (2,000), and in a larger one the neighbours and some others.

        Raises NodeClosed if the peer was closed, or not started, or in a forked child.
        """
        return self._running().members()

    def neighbours(self) -> list[PeerRecord]:
        """The peers with which a link works in both directions. Raises NodeClosed as `members` does."""
        return self._running().neighbours

    def events(self, *kinds: type[Event]) -> Feed[Event]:
        """A feed of what happens from now on: who joins, leaves and dies, links, seeds, refusals.

        Args:
            kinds: only these; none for all but probes and their replies.

        Raises:
            TypeError: one is no kind of event.
            NodeClosed: this is a forked child.
        """
        self._process.check()
        check_kinds(kinds)
        return self._tidings.events(kinds)

    def stats(self) -> dict[str, int]:
        """Every counter that is not zero, and how large everything is that grows: `members`, `members_count`, `kept_bytes` ...

        Raises NodeClosed as `members` does.
        """
        node = self._running()
        return self._tidings.counted(node.counters() | node.sizes())


def _settings(config: str | Path | Settings | None, given: Mapping[str, Any]) -> Settings:
    if not isinstance(config, Settings):
        return load(Path(config) if config is not None else None, given=given)
    for key in given:
        raise ConfigError(f"{key} is given beside settings that were read before; give it when they are read", key)
    return config


def parse_seeds(seeds: Any) -> list[dict[str, Any]] | None:
    """`HOST:PORT` texts as the settings' document has them; what is wrong with them is said there."""
    if seeds is None:
        return None
    texts: list[Any] = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"seeds is {seeds!r}; give a list of HOST:PORT", "seeds")
    document: list[dict[str, Any]] = []
    for place, text in enumerate(texts):
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ConfigError(f"seeds[{place}] is {text[:60]!r}; write it as HOST:PORT", f"seeds[{place}]")
        document.append(
            {"host": host.removeprefix("[").removesuffix("]"), "port": int(port) if port.isdecimal() and len(port) < 6 else port}
        )
    return document


def check_kinds(kinds: Iterable[object]) -> None:
    """Raises TypeError for what is no kind of event: said here, and not in the thread that reads them."""
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise TypeError(f"{kind!r} is no kind of event; give classes, as PeerDead")
