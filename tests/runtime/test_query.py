"""What is made of seeds that answer slowly, in part, or without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zmq

from tests.support import free_ports
from zmqgossip.cli.errors import NobodyReachable
from zmqgossip.cli.peers import complain
from zmqgossip.core.messages import List, Listed
from zmqgossip.core.types import Endpoint, Member, PeerId, PeerRecord, PeerState
from zmqgossip.core.wire import Codec, cluster_hash
from zmqgossip.runtime import query, sockets
from zmqgossip.runtime.query import Answer, ask_seeds, union

pytestmark = pytest.mark.sockets
Page = Callable[[PeerId], Listed | None]
"""From where on -> a page, or no answer."""


def member(number: int) -> Member:
    return Member(PeerRecord(number.to_bytes(16, "big"), 1, 0, "127.0.0.1", 5_000 + number, 6_000 + number), PeerState.ALIVE, 1.0)


def next_of(after: PeerId) -> int:
    return int.from_bytes(after, "big") + 1


@contextmanager
def seed(page: Page) -> Iterator[Endpoint]:
    """A seed that gives such pages."""
    context: sockets.Context = zmq.Context()
    router, port = sockets.router(context, "127.0.0.1", 0, b"test", 8)
    end = threading.Event()
    codec = Codec(cluster_hash("test"))

    def answer() -> None:
        while not end.is_set():
            if router.poll(20):
                route, frame = router.recv_multipart()
                body, exchange = codec.decode(frame)
                assert isinstance(body, List)
                listed = page(body.after)
                if listed is not None:
                    router.send_multipart([route, codec.encode(listed, exchange)])

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield Endpoint("127.0.0.1", port)
    finally:
        end.set()
        thread.join()
        sockets.close(router)
        context.term()


def asked(endpoint: Endpoint, timeout_s: float = 5.0) -> Answer:
    (answer,) = ask_seeds([endpoint], "test", tombstones=False, timeout_s=timeout_s)
    return answer


def test_a_list_of_many_pages_is_read_to_its_end_however_long_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    late_s = 0.0

    class Clock:
        """The clock of whoever asks; each page takes three quarters of the time-out."""

        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + late_s

    def page(after: PeerId) -> Listed:
        nonlocal late_s
        late_s += 75.0
        number = next_of(after)
        return Listed(4, number < 4, [member(number)])

    monkeypatch.setattr(query, "time", Clock)
    with seed(page) as endpoint:
        answer = asked(endpoint, 100.0)
    assert (answer.complete, answer.failed, len(answer.members)) == (True, "", 4)


def test_what_a_seed_had_listed_before_it_fell_silent_counts() -> None:
    with seed(lambda after: Listed(9, True, [member(1)]) if next_of(after) == 1 else None) as endpoint:
        answer = asked(endpoint, 2.0)
    assert (answer.complete, answer.failed) == (False, "no more answer within 2 s")
    complain([answer])  # and raises nothing
    assert [listing.member for listing in union([answer])] == [member(1)]


@pytest.mark.parametrize("first", [1, 2], ids=["stays", "goes back"])
def test_a_list_that_does_not_go_on_does_not_go_on_for_ever(first: int) -> None:
    with seed(lambda after: Listed(9, True, [member(first if next_of(after) == 1 else 1)])) as endpoint:
        answer = asked(endpoint)
    assert (answer.complete, answer.failed) == (False, "its list does not end")


def test_nor_does_a_list_of_more_than_a_seed_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "LISTED_MAX", 50)
    with seed(lambda after: Listed(9, True, [member(next_of(after))])) as endpoint:
        answer = asked(endpoint)
    assert (answer.failed, len(answer.members)) == ("its list does not end", 51)


def test_a_page_now_and_then_holds_nobody_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    late_s = 0.0

    class Clock:
        """The clock of whoever asks; each page takes nine tenths of the time-out."""

        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + late_s

    def page(after: PeerId) -> Listed | None:
        nonlocal late_s
        late_s += 90.0
        return Listed(9, True, [member(next_of(after))]) if late_s < 3_000.0 else None  # nobody is there any more then

    monkeypatch.setattr(query, "time", Clock)
    with seed(page) as endpoint:
        answer = asked(endpoint, 100.0)
    assert (answer.complete, answer.failed, len(answer.members)) == (False, "no more answer within 100 s", 33)


def test_a_seed_that_says_nothing_has_not_answered() -> None:
    with seed(lambda after: None) as endpoint:
        answer = asked(endpoint, 0.2)
    assert (answer.members, answer.failed) == ([], "no answer within 0.2 s")
    with pytest.raises(NobodyReachable, match="no seed answers"):
        complain([answer])


def test_a_seed_where_nobody_listens_has_failed_at_once() -> None:
    began = time.monotonic()
    answer = asked(Endpoint("127.0.0.1", free_ports(1)[0]), 60.0)
    assert answer.failed == "nobody listens" and time.monotonic() - began < 30
