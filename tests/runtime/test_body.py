"""What the body does with effects that change a SUB, here and behind a partition, and with the end of a connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from zmqgossip.core.counters import Counters
from zmqgossip.runtime import sockets
from zmqgossip.runtime.body import Body
from zmqgossip.testing.partition import PartedBody


class Loop:
    def __init__(self) -> None:
        self.used: list[object] = []

    def use(self, socket: object) -> None:
        self.used.append(socket)


class Sub:
    def __init__(self) -> None:
        self.done: list[tuple[int, bytes]] = []

    def setsockopt(self, option: int, topic: bytes) -> None:
        self.done.append((option, topic))


def body(kind: type[Body]) -> Any:
    """One without an engine and a loop."""
    made: Any = object.__new__(kind)
    made._subs, made._hanging, made._loop = {}, {}, Loop()
    return made


def test_topics_are_added_before_others_are_given_up() -> None:
    for kind in (Body, PartedBody):
        one = body(kind)
        one._subs[7] = Sub()
        one._topics(0.0, 7, (b"a", b"b"), (b"c",))
        one._topics(0.0, 8, (b"a",), ())  # which is closed already
        assert one._subs[7].done == [(zmq.SUBSCRIBE, b"a"), (zmq.SUBSCRIBE, b"b"), (zmq.UNSUBSCRIBE, b"c")]
        assert one._loop.used == [one._subs[7]], "what came meanwhile is looked for"


def test_a_connect_that_hangs_behind_a_partition_is_made_with_the_topics_of_the_latest() -> None:
    one = body(PartedBody)
    one._hanging["subscribe", 7] = (1.0, "endpoint", (b"a", b"c"))
    one._topics(2.0, 7, (b"b",), (b"c",))
    assert one._hanging["subscribe", 7] == (1.0, "endpoint", (b"a", b"b"))


def test_a_connection_that_ends_with_its_last_frame_unread_is_one_that_has_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    one, counters = body(Body), Counters()
    told = [(zmq.Event.ACCEPTED, 9), (zmq.Event.DISCONNECTED, 9), (zmq.Event.ACCEPTED, 9), (zmq.Event.DISCONNECTED, 9), None]
    one.engine, one._router, one._monitors, one._spoke = SimpleNamespace(counters=counters), "router", ["monitor"], {}
    monkeypatch.setattr(one, "_drain_router", lambda now: one._spoke.update({9: None}))
    monkeypatch.setattr(sockets, "read_monitor", lambda monitor: told.pop(0))
    one._drain_router_monitor(0.0)
    assert (counters.get("connections.closed"), counters.get("connections.without_a_valid_frame")) == (1, 1)
    assert one._loop.used == ["router"], "there may be more to read than it took"
