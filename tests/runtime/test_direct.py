"""Direct messages over real sockets: a link, an errand, a full connection, a peer that goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from threading import Event

import pytest
import zmq

from tests.support import wait_for
from zmqgossip.core.codes import Status
from zmqgossip.core.config import LAN
from zmqgossip.core.outbox import Answered, Outcome, Question
from zmqgossip.core.types import PeerId, Whom
from zmqgossip.runtime.node import PeerNode, SeedsNode

pytestmark = pytest.mark.sockets
KNOBS = replace(LAN, neighbours_dialled=1, neighbours_max=1, neighbours_spare=0)


class Talker:
    """A peer whose direct messages are told here, in its loop's thread, and all questions answered with `reply`."""

    def __init__(self, seeds: SeedsNode) -> None:
        self.peer = PeerNode(seeds.endpoints, "test", config=KNOBS)
        self.engine, self._body = self.peer._engine, self.peer._body
        self.ends: list[Answered] = []
        self.heard: list[bytes] = []
        self.reply: Callable[[bytes], bytes] | None = lambda payload: b"re " + payload
        self._others = self._body._tell
        self._body._tell = self._told
        self.engine.direct.refusal = None

    def _told(self, at: float, item: object) -> None:
        if isinstance(item, Answered):
            self.ends.append(item)
        elif isinstance(item, Question):
            self.heard.append(item.payload)
            if item.wants_answer and self.reply is not None:
                self.engine.answer(item.token, Status.ANSWERED, self.reply(item.payload), "", time.monotonic())
        else:
            self._others(at, item)

    @property
    def id(self) -> PeerId:
        return self.peer.me.id

    def do(self, what: Callable[[float], object]) -> None:
        """Something of the engine's, in its thread."""

        def call() -> None:
            now = time.monotonic()
            what(now)
            self._body.flush(now)

        self.peer._loop.call(call, 10.0)

    def ask(self, other: Talker, *payloads: bytes, wants: bool = True, timeout_s: float = 10.0) -> None:
        first = len(self.ends)
        for place, payload in enumerate(payloads):
            self.do(
                lambda now, token=first + place, payload=payload: self.engine.ask(token, Whom(other.id), payload, wants, timeout_s, now)
            )  # type: ignore[misc]

    def outcomes(self, count: int) -> list[Outcome]:
        """How the first `count` messages ended, once they have."""
        wait_for(lambda: len(self.ends) >= count, what=f"{count} ends")
        return [end.outcome for end in self.ends]


@pytest.fixture
def seeds() -> Iterator[SeedsNode]:
    made = SeedsNode([("127.0.0.1", 0)], "test", KNOBS)
    yield made
    made.close()


@pytest.fixture
def start(seeds: SeedsNode) -> Iterator[Callable[[int], list[Talker]]]:
    """Peers with at most one link each: the first two have one with each other, a third has none."""
    with ExitStack() as stack:

        def make(count: int) -> list[Talker]:
            talkers: list[Talker] = []
            for known in range(count):
                talker = Talker(seeds)
                stack.callback(talker.peer.close)
                talker.peer.start()
                wait_for(lambda talker=talker, known=known: talker.engine.members.living_count >= known, what="it knows the others")  # type: ignore[misc]
                talkers.append(talker)
                if known == 1:
                    wait_for(lambda: len(talkers[0].peer.neighbours) == len(talkers[1].peer.neighbours) == 1, what="a link")
            return talkers

        yield make


def test_a_question_is_answered_over_a_link_and_over_an_errand(start: Callable[[int], list[Talker]]) -> None:
    first, second, third = start(3)
    for asker, opened in ((second, 0), (third, 1)):
        for number in range(20):
            asker.ask(first, b"%d" % number)
            asker.outcomes(number + 1)
        asker.ask(first, b"heard", wants=False)
        assert asker.outcomes(21) == [Outcome.ANSWERED] * 20 + [Outcome.HEARD]
        assert [end.payload for end in asker.ends[:20]] == [b"re %d" % number for number in range(20)]
        assert asker.peer.counters().get("direct.errands", 0) == opened
    assert first.heard == 2 * [*[b"%d" % number for number in range(20)], b"heard"]
    wait_for(lambda: not third.engine.direct._errands, what="the errand is closed")


def test_more_messages_than_a_connection_holds_all_arrive(start: Callable[[int], list[Talker]]) -> None:
    first, second = start(2)
    count, payload = 900, bytes(25_000)  # the system's buffers hold some 400; the answers to 1,000 might not fit into a connection
    begun, go_on = Event(), Event()

    def read_nothing() -> bool:
        second._body._router.setsockopt(zmq.RCVHWM, 100)  # with fewer than it has read by then it would read no more
        second.peer._loop.use(second._body._router)
        begun.set()
        return go_on.wait(10.0)

    waited = second.peer._loop.submit(read_nothing)
    assert begun.wait(10.0)
    first.do(lambda now: [first.engine.ask(token, Whom(second.id), payload, True, 20.0, now) for token in range(count)])
    wait_for(lambda: first.peer.counters().get("direct.delayed"), what="its DEALER is full")
    go_on.set()
    assert waited.result(10.0)
    assert first.outcomes(count) == [Outcome.ANSWERED] * count
    assert sorted(end.token for end in first.ends) == list(range(count)) and len(second.heard) == count


def test_a_peer_that_goes_ends_what_is_open_with_it(start: Callable[[int], list[Talker]]) -> None:
    first, second, third = start(3)
    first.reply = None
    for asker in (second, third):
        asker.ask(first, b"a question")
    wait_for(lambda: len(first.heard) == 2, what="both have arrived")
    gone = first.id
    first.peer.close()
    assert second.outcomes(1) == third.outcomes(1) == [Outcome.GONE]
    third.do(lambda now: third.engine.ask(1, Whom(gone), b"again", True, 10.0, now))
    assert third.outcomes(2)[1] is Outcome.GONE


def test_a_peer_that_says_nothing_is_a_timeout(start: Callable[[int], list[Talker]]) -> None:
    first, second = start(2)
    second.reply = None
    began = time.monotonic()
    first.ask(second, b"a question", timeout_s=0.2)
    assert first.outcomes(1) == [Outcome.TIMEOUT] and time.monotonic() - began >= 0.2
    wait_for(lambda: second.peer.counters().get("requests.unanswered") == 1, what="it has forgotten the question")
