"""Feeds that hold others back when they are full, and then drop the oldest by name."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from zmqgossip.core.events import MessagesLost
from zmqgossip.core.gossip_messages import Messages
from zmqgossip.core.outbox import Segment
from zmqgossip.core.wire import Codec, cluster_hash, encode_messages
from zmqgossip.handle import feed as feed_module, patient as patient_module
from zmqgossip.handle.patient import PatientFeed
from zmqgossip.runtime.losses import WHY, Losses, merged

CODEC = Codec(cluster_hash("test"))


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patient_module, "time", clock)
    monkeypatch.setattr(feed_module, "ITEMS_MAX", 8)
    monkeypatch.setattr(feed_module, "BYTES_MAX", 800)
    return clock


class Filled:
    """A feed, and what is told of it."""

    def __init__(self, **arguments: Any) -> None:
        self.lost: list[int] = []
        self.rooms = 0
        self.feed: PatientFeed[int] = PatientFeed(
            lambda thing: (thing,), patience_s=5.0, lost=self.lost.extend, room=self._room, **arguments
        )

    def _room(self) -> None:
        self.rooms += 1


def segment(origin: bytes, number: int, first: int, count: int, epoch: int = 1) -> Segment:
    body = encode_messages(Messages("127.0.0.1", 5001, [1.0], ["topic"], [b"x"] * count))
    frame = CODEC.encode_segment(origin, epoch, number, first, count, 0, body)
    return Segment(frame, CODEC.decode_segment(frame), None)


def test_a_full_feed_takes_what_comes_while_others_have_time_to_hold_on(clock: Clock) -> None:
    filled = Filled()
    for number in range(16):
        clock.now += 0.3
        assert filled.feed.is_full is (number > 8)
        assert filled.feed.put(number)
    assert filled.lost == [] and [filled.feed.get(0) for _ in range(16)] == list(range(16))


def test_after_that_time_the_oldest_go_a_good_part_of_them_at_once(clock: Clock) -> None:
    filled = Filled()
    for number in range(12):
        filled.feed.put(number)
    clock.now = 5.0
    assert filled.feed.put(12) and filled.lost == []
    clock.now = 5.1
    assert not filled.feed.put(13)
    assert filled.lost == list(range(7)) and filled.feed.dropped_count == 7
    assert filled.feed.put(14) and not filled.feed.put(15)
    assert filled.feed.is_full and list(filled.lost) == list(range(9))


@pytest.mark.parametrize("size", [0, 100])
def test_twice_of_what_it_holds_is_the_end_of_patience_in_items_and_in_bytes(clock: Clock, size: int) -> None:
    filled = Filled()
    assert all(filled.feed.put(number, size) for number in range(16))
    assert not filled.feed.put(16, size)
    assert filled.lost == list(range(10)) and filled.feed.get(0) == 10


def test_a_reader_who_creeps_gets_no_new_patience_before_half_of_it_is_free(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "BATCH_MAX", 1)
    filled = Filled()
    for number in range(9):
        filled.feed.put(number)
    for _ in range(4):
        filled.feed.get(0)
    assert filled.feed.is_full and filled.rooms == 0
    filled.feed.get(0)
    assert not filled.feed.is_full and filled.rooms == 1


def test_closing_a_full_one_makes_room(clock: Clock) -> None:
    filled = Filled()
    for number in range(9):
        filled.feed.put(number)
    filled.feed.close()
    assert not filled.feed.is_full and filled.rooms == 1
    assert filled.feed.put(1) and filled.feed.dropped_count == 0


def test_what_may_not_be_dropped_stays_in_its_place(clock: Clock) -> None:
    filled = Filled(may_drop=lambda thing: thing % 2 == 0)
    for number in range(17):
        filled.feed.put(number)
    assert filled.lost == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    filled.feed.end()
    assert list(filled.feed) == [1, 3, 5, 7, 9, 11, 13, 15]


@pytest.mark.parametrize(
    ("ranges", "rows"),
    [
        ([], []),
        ([(1, 1)], [(1, 1)]),
        ([(1, 2), (3, 3), (4, 9)], [(1, 9)]),
        ([(5, 6), (1, 3)], [(1, 3), (5, 6)]),
        ([(1, 9), (2, 3), (9, 10)], [(1, 10)]),
    ],
)
def test_ranges_that_adjoin_or_overlap_are_one(ranges: list[tuple[int, int]], rows: list[tuple[int, int]]) -> None:
    assert merged(ranges) == rows


def test_losses_are_told_once_by_origin_and_life() -> None:
    losses, one, two = Losses(), bytes(16), bytes(range(16))
    losses.add([segment(one, 1, 1, 3), segment(two, 1, 1, 1), segment(one, 2, 4, 2)])
    losses.add([segment(one, 4, 9, 1), segment(one, 1, 1, 1, epoch=2)])
    broken = segment(two, 2, 2, 1)  # its head tells which messages nobody can read
    losses.add([replace(broken, frame=broken.frame[:-4] + b"\xff\xff\xff\xff")])
    assert losses.drain() == [
        MessagesLost(one, 1, 1, 5, WHY),
        MessagesLost(one, 1, 9, 9, WHY),
        MessagesLost(two, 1, 1, 2, WHY),
        MessagesLost(one, 2, 1, 1, WHY),
    ]
    assert losses.drain() == []
