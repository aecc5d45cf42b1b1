"""What nobody takes from a node is bounded, and what was lost by that is said."""

from __future__ import annotations

import pytest

from zmqgossip.core.events import MessagesLost
from zmqgossip.core.gossip_messages import Messages
from zmqgossip.core.outbox import Segment
from zmqgossip.core.types import PeerRecord
from zmqgossip.core.wire import Codec, cluster_hash, encode_messages
from zmqgossip.runtime import outlet as outlet_module
from zmqgossip.runtime.outlet import Delivery, Item, Outlet

CODEC = Codec(cluster_hash("test"))
ORIGIN = bytes(15) + b"\1"
NEIGHBOUR = PeerRecord(bytes(15) + b"\2", 1, 1, "127.0.0.1", 5001, 5002)


def segment(number: int, *, brought: bool = True) -> Segment:
    """Of ten messages."""
    body = encode_messages(Messages("127.0.0.1", 1, [1.0], ["t"], [b"x"] * 10))
    frame = CODEC.encode_segment(ORIGIN, 7, number, 10 * number - 9, 10, 0, body)
    return Segment(frame, CODEC.decode_segment(frame), NEIGHBOUR if brought else None)


def taken(outlet: Outlet) -> list[Item]:
    items = []
    while (item := outlet.take(0.01)) is not None:
        items.append(item)
    return items


def test_messages_that_were_dropped_are_named_in_their_turn_and_not_for_each_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "QUEUE_MAX", 3)
    outlet = Outlet()
    for number in range(1, 9):
        outlet.put(1.0, segment(number), None)
        outlet.turn_over()
    outlet.put(1.0, segment(9, brought=False), None)
    items = taken(outlet)
    assert [item.what.first for item in items if isinstance(item.what, Delivery)] == [1, 11, 21]
    assert [(item.what.first, item.what.last) for item in items if isinstance(item.what, MessagesLost)] == [(31, 40)]
    assert outlet.dropped_count == 6
    outlet.put(1.0, segment(10), None)
    outlet.turn_over()
    assert [type(item.what) for item in taken(outlet)] == [Delivery], "not more than once a second"
    monkeypatch.setattr(outlet_module, "TOLD_EVERY_S", 0.0)
    outlet.turn_over()
    assert [(item.what.first, item.what.last) for item in taken(outlet) if isinstance(item.what, MessagesLost)] == [(41, 80)]


def test_telling_of_losses_fills_no_memory_where_nobody_takes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "QUEUE_MAX", 2)
    monkeypatch.setattr(outlet_module, "TOLD_EVERY_S", 0.0)
    outlet = Outlet()
    for number in range(1, 101):
        outlet.put(1.0, segment(number), None)
        outlet.turn_over()
    items = taken(outlet)
    assert len(items) == 20
    outlet.turn_over()
    items += taken(outlet)
    lost = [item.what for item in items if isinstance(item.what, MessagesLost)]
    assert sum(one.last - one.first + 1 for one in lost) == 98 * 10 and lost[-1].last == 1000, "and none is left out"
