"""Tidings: where everything that a peer's node tells is handed on, to feeds, futures and callbacks.

`put` runs in the node's thread and only hands on; decoding, matching and the user's own code run in the threads of those who read.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from zmqgossip.core.codes import TEXT_MAX, Status
from zmqgossip.core.direct import NO_TAKER
from zmqgossip.core.errors import ConfigError, NodeClosed, PayloadTooLarge, PeerBusy, PeerGone, RequestFailed, Timeout, WireError
from zmqgossip.core.events import Event, Left, NoSeed, Ready, RegistrationRefused, SeedAccepted, WrongCluster
from zmqgossip.core.messages import Answer
from zmqgossip.core.outbox import Answered, Flushed, Outcome, Question, Segment
from zmqgossip.core.topics import matches, parse_pattern
from zmqgossip.core.types import Endpoint, PeerId, Whom
from zmqgossip.handle.callbacks import Callbacks, OnMessage, OnRequest
from zmqgossip.handle.event_feed import EventFeed
from zmqgossip.handle.feed import Feed
from zmqgossip.handle.message import Message, Request, messages_of, request_of
from zmqgossip.handle.patient import PatientFeed
from zmqgossip.runtime.body import Told
from zmqgossip.runtime.losses import Losses
from zmqgossip.runtime.node import PeerNode

T = TypeVar("T")
F = TypeVar("F", bound=Feed[Any])
JOIN_S = 0.2
"""For the callback that runs at the end of the peer: that end shall take no longer than a second."""
CLOSED = "the peer was closed"
_BUSY = Answer(Status.BUSY, b"", "too many messages wait for the handlers")
MESSAGE_BYTES_MAX = 65_536
"""The largest thing that may come next."""


class Tidings:
    """What one peer hears. It is a sink, and may be made before there is a node.

    Args:
        patience_s: seconds that a feed of messages may be full before it drops some.

    Attributes:
        ready: is done when the peer is ready, and fails when it never will be.
        left: is set when the goodbye is heard.
        leaving: whether this peer is on its way out: what it asked ends with it then, and not with those whom it asked.
    """

    def __init__(self, patience_s: float) -> None:
        self.ready: Future[None] = Future()
        self.left = threading.Event()
        self.leaving = False
        self.refused_count = 0  # segments whose body is no messages
        self.trouble: Event | None = None  # why this peer may not become ready: the last that was said
        self._lost_count = 0  # what some reader, or the callbacks, had no room for
        # Replaced as a whole, so that the node's thread needs no lock to read them. Weak, so that a reader who leaves its loop by
        # `break` and forgets the feed costs nothing.
        self._feeds: tuple[weakref.ref[Feed[Message]], ...] = ()
        self._event_feeds: tuple[weakref.ref[EventFeed], ...] = ()
        self._change = threading.Lock()
        self._node: PeerNode | None = None
        self._patience_s = patience_s
        self._losses = Losses()  # not told yet
        self._filled: dict[Feed[Any], None] = {}  # in this turn
        self._has_room = True  # in all feeds that others can be slowed for
        self._inbox: PatientFeed[Message | Request] = PatientFeed(
            self._unpack_for_callbacks,
            patience_s=patience_s,
            lost=self._on_lost,
            room=self._look,
            may_drop=lambda thing: isinstance(thing, Segment),  # who asks was promised an answer
        )
        self._callbacks = Callbacks(self._inbox, self._answer)
        self._takes_questions = False
        self._is_full = False  # the inbox: who asks hears BUSY
        self._tokens = itertools.count(1)
        self._asked: dict[int, tuple[Future[bytes], PeerId, float]] = {}
        self._flushing: dict[int, Future[bool]] = {}
        self._ended = False

    def attach(self, node: PeerNode) -> None:
        """The node is there: what was registered before its start holds for it."""
        self._node = node
        node.outgoing.forbids = self._why_not_wait
        if self._takes_questions:
            node.refuse_questions(None)

    def leave(self) -> None:
        """The peer is on its way out."""
        self.leaving = self._callbacks.ending = True

    # -- the node's thread ------------------------------------------------------------------------------------------------

    def put(self, at: float, item: Told, where: Endpoint | None) -> None:
        """Hands on what happened. See Sink."""
        if isinstance(item, Segment):
            self._hand_on(item)
        elif isinstance(item, Answered):
            self._end_question(item)
        elif isinstance(item, Question):
            self._put(self._inbox, item, len(item.payload))
            self._watch_room()
        elif isinstance(item, Flushed):
            flushing = self._flushing.pop(item.token, None)
            if flushing is not None:
                _settle(flushing, item.complete)
        else:
            self._on_event(item)

    def turn_over(self) -> None:
        """All of a turn is told: readers are woken once for it, and the node hears whether they keep up. See Sink."""
        if not self._filled and self._has_room:
            return
        for lost in self._losses.drain():
            self._on_event(lost)
        filled, self._filled = self._filled, {}
        for feed in filled:
            feed.wake()
        has_room = not self._is_any_full()
        if has_room is not self._has_room and self._node is not None:
            self._has_room = has_room
            self._node.tell_room(has_room)
            self._node.outgoing.nudge()  # whoever waits there must not wait any more

    def _is_any_full(self) -> bool:
        for weak in self._feeds:
            feed = weak()
            if feed is not None and feed.is_full:
                return True
        return self._inbox.is_full

    def _look(self, _: object = None) -> None:
        """A feed has room again, or is gone: the node's thread looks what follows. From any thread."""
        if not self._has_room and self._node is not None:
            self._node.look()

    def _on_lost(self, things: list[Segment]) -> None:
        self._lost_count += len(things)
        self._losses.add(things)

    def _why_not_wait(self) -> str | None:
        """Why the calling thread must not wait for room to publish, if it must not."""
        if self._callbacks.is_caller:
            return "a callback must not wait, for it keeps others from being called"
        if self._is_any_full():
            return "a feed of this peer's is full, so the room might depend on the reading of it"
        if self._node is not None and self._node.is_caller:
            return "the node's own thread must not wait for itself"
        return None

    def _watch_room(self) -> None:
        """Who asks while the handlers have no room for one more is told so, and never that it was taken. In the node's thread."""
        node, was_full = self._node, self._is_full
        if node is None:
            return
        is_full = not self._inbox.has_room(MESSAGE_BYTES_MAX)
        if is_full and not was_full:
            self._is_full = True  # before the look that counts: who makes room after it has it looked at again
            is_full = not self._inbox.has_room(MESSAGE_BYTES_MAX)
        self._is_full = is_full
        if is_full or was_full:  # also if it was said before: a handler that is new has let questions in meanwhile
            node.refuse_questions(_BUSY if is_full else None if self._takes_questions else NO_TAKER)

    def fail(self, error: BaseException) -> None:
        """The node has ended by a bug of ours. See Sink."""
        self.end(error)

    def _put(self, feed: Feed[Any] | None, thing: object, size: int = 0) -> None:
        if feed is None:
            return
        before = feed.dropped_count
        feed.add(thing, size)
        if not isinstance(feed, PatientFeed):  # which tells by itself what it dropped
            self._lost_count += feed.dropped_count - before
        self._filled[feed] = None

    def _hand_on(self, segment: Segment) -> None:
        if segment.brought is None:  # its own
            return
        size = len(segment.frame)
        for feed in self._feeds:
            self._put(feed(), segment, size)
        if self._callbacks.wants_messages:
            self._put(self._inbox, segment, size)
            self._watch_room()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Ready):
            _settle(self.ready, None)
        elif isinstance(event, Left):
            self.left.set()
        elif isinstance(event, (NoSeed, RegistrationRefused)):
            self.trouble = event
        elif isinstance(event, SeedAccepted):
            self.trouble = None
        elif isinstance(event, WrongCluster) and event.fatal:
            problem = f"every seed that answers ({event.seed}) belongs to another cluster; check cluster and seeds"
            _settle(self.ready, None, ConfigError(problem, "cluster"))
        for weak in self._event_feeds:
            feed = weak()
            if feed is not None and feed.wants(event):
                self._put(feed, event)

    def _end_question(self, answered: Answered) -> None:
        asked = self._asked.pop(answered.token, None)
        if asked is None:
            return
        future, peer, timeout_s = asked
        match answered.outcome:
            case Outcome.ANSWERED | Outcome.HEARD:
                _settle(future, answered.payload)
            case Outcome.BUSY:
                _settle(future, None, PeerBusy(peer, answered.why))
            case Outcome.FAILED:
                _settle(future, None, RequestFailed(peer, answered.why))
            case Outcome.GONE if self.leaving:
                _settle(future, None, NodeClosed(CLOSED))
            case Outcome.GONE:
                _settle(future, None, PeerGone(peer, answered.why))
            case Outcome.TIMEOUT:
                advice = "wait longer, or send again if twice does no harm"
                _settle(future, None, Timeout(f"peer {peer.hex()} gave no answer", timeout_s, advice))

    # -- feeds ------------------------------------------------------------------------------------------------------------

    def subscribe(self, pattern: str) -> Feed[Message]:
        tokens = parse_pattern(pattern)

        def unpack(segment: Segment) -> Iterable[Message]:
            messages = self._decode(segment)
            return messages if tokens == (">",) else [message for message in messages if matches(tokens, message.topic)]

        feed = PatientFeed(unpack, self._forget, patience_s=self._patience_s, lost=self._on_lost, room=self._look)
        with self._change:
            self._feeds = (*_living(self._feeds), weakref.ref(feed, self._look))
        if self._ended:
            feed.end()
        return feed

    def events(self, kinds: Sequence[type[Event]]) -> Feed[Event]:
        feed = EventFeed(kinds, self._forget)
        with self._change:
            self._event_feeds = (*_living(self._event_feeds), weakref.ref(feed))
        if self._ended:
            feed.end()
        return feed

    def _forget(self, gone: Feed[Any]) -> None:
        with self._change:
            self._feeds = tuple(feed for feed in _living(self._feeds) if feed() is not gone)
            self._event_feeds = tuple(feed for feed in _living(self._event_feeds) if feed() is not gone)

    def _decode(self, segment: Segment) -> Sequence[Message]:
        try:
            return list(messages_of(segment))
        except WireError:
            self.refused_count += 1
            return ()

    def _unpack_for_callbacks(self, thing: Segment | Question) -> Iterable[Message | Request]:
        if self._is_full and self._node is not None:
            with suppress(NodeClosed):
                self._node.submit(lambda engine, now: self._watch_room())
        return self._decode(thing) if isinstance(thing, Segment) else (request_of(thing),)

    # -- callbacks --------------------------------------------------------------------------------------------------------

    def on(self, pattern: str, function: OnMessage) -> None:
        self._callbacks.on(pattern, function)

    def on_request(self, function: OnRequest) -> None:
        self._callbacks.on_request(function)
        self._takes_questions = True
        if self._node is not None:
            self._node.refuse_questions(None)

    def _answer(self, request: Request, answer: bytes | BaseException | None) -> None:
        assert self._node is not None
        with suppress(NodeClosed):  # the handler took longer than its peer lived; who asked has heard that
            if isinstance(answer, BaseException):
                self._fail_request(request, f"its handler raised {type(answer).__name__}")
                return
            try:
                self._node.answer(request.token, Status.ANSWERED, answer or b"", "")
            except PayloadTooLarge as error:
                self._fail_request(request, str(error))

    def _fail_request(self, request: Request, why: str) -> None:
        assert self._node is not None
        self._node.answer(request.token, Status.FAILED, b"", why[:TEXT_MAX])

    # -- questions --------------------------------------------------------------------------------------------------------

    def ask(self, node: PeerNode, whom: Whom, payload: bytes, timeout_s: float, *, wants_answer: bool) -> Future[bytes]:
        """Puts a question; the future has the answer, or raises what became of it."""
        token, answer = next(self._tokens), Future[bytes]()
        if wants_answer and whom.id == node.me.id and self._callbacks.is_caller:
            answer.set_exception(RequestFailed(whom.id, "a callback asks its own peer, whose handler would have to run in the same thread"))
            return answer
        self._asked[token] = (answer, whom.id, timeout_s)
        asking = node.submit(lambda engine, now: engine.ask(token, whom, payload, wants_answer, timeout_s, now))

        def asked(done: Future[None]) -> None:
            error = done.exception()
            if error is not None and self._asked.pop(token, None) is not None:
                _settle(answer, None, error)

        asking.add_done_callback(asked)
        return answer

    def flush(self, node: PeerNode, timeout_s: float) -> Future[bool]:
        """Asks for a flush; the future has its end."""
        token, flushing = next(self._tokens), Future[bool]()
        self._flushing[token] = flushing
        if self._ended:  # in this very moment: nobody else ends it any more
            self._flushing.pop(token, None)
            raise NodeClosed(CLOSED)
        node.flush(token, timeout_s).add_done_callback(lambda done: self._flush_failed(token, done))
        return flushing

    def _flush_failed(self, token: int, done: Future[None]) -> None:
        error = done.exception()
        flushing = None if error is None else self._flushing.pop(token, None)
        if flushing is not None:
            _settle(flushing, None, error)

    # -- the end ----------------------------------------------------------------------------------------------------------

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will be heard: readers come to an end, and whoever waits is told. Of callbacks no further one is called."""
        self._ended = True
        closed = error or NodeClosed(CLOSED)
        _settle(self.ready, None, closed)
        self.left.set()
        feeds: tuple[Feed[Any] | None, ...] = (*(weak() for weak in self._feeds), *(weak() for weak in self._event_feeds))
        for feed in feeds:
            if feed is not None:
                feed.end(error)
        if error is None:
            self._inbox.close()
        else:
            self._inbox.end(error)
        for token in list(self._flushing):
            flushing = self._flushing.pop(token, None)
            if flushing is not None:
                _settle(flushing, None, closed)
        for token in list(self._asked):
            asked = self._asked.pop(token, None)
            if asked is not None:
                _settle(asked[0], None, closed)

    def join(self, timeout_s: float) -> None:
        """Waits for the callback that is running at the end; a thread that goes on is left to itself."""
        self._callbacks.join(min(JOIN_S, timeout_s))

    def counted(self, counters: dict[str, int]) -> dict[str, int]:
        """The node's counters, and those of this side."""
        own = {
            "callbacks.failed": self._callbacks.failed_count,
            "dropped.user_queue_full": self._lost_count,
            "refused.messages": self.refused_count,
        }
        return dict(sorted({**counters, **{name: count for name, count in own.items() if count}}.items()))


def _living(feeds: Iterable[weakref.ref[F]]) -> Iterable[weakref.ref[F]]:
    return (feed for feed in feeds if feed() is not None)


def _settle(future: Future[T], result: T | None, error: BaseException | None = None) -> None:
    """Ends a future that may have ended already: by its reader's cancelling, or by the end of the peer."""
    if future.done():
        return
    if error is None:
        future.set_result(result)  # type: ignore[arg-type]
    else:
        future.set_exception(error)
