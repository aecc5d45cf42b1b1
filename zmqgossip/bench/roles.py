"""What a process of a run does once its station stands: count, publish, take times. Alike for all systems."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from zmqgossip.bench.board import DONE, Board, Row
from zmqgossip.bench.counting import END, HEADER, Ended
from zmqgossip.bench.publishing import Schedule, Window
from zmqgossip.bench.systems.station import Station

Facts = dict[str, Any]


def _receivers(board: Board, facts: Facts) -> Sequence[Row]:
    return [board.row(place) for place in facts["receivers"]]


def count(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Counts what comes until the end of the run."""
    with suppress(Ended):
        station.count(board.row(row))
    return {}


def publish(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Publishes as fast as it goes until the board says stop, and then says the end."""
    receivers = _receivers(board, facts)
    published = station.publish(facts["size"], board.row(0), Window(facts["window"], receivers))
    station.end(published, facts["size"], receivers)
    return {"published": published}


def stamp(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Publishes `count` messages, one each `1 / rate` seconds, with the moment of each in it."""
    station.publish_each(Schedule(facts["rate"], facts["count"], facts["size"]))
    station.end(facts["count"], facts["size"], _receivers(board, facts))
    return {"published": facts["count"]}


def take_times(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Notes how long each message was on its way, from the moment written in it. In nanoseconds, by number."""
    times = array("q", bytes(8 * facts["count"]))
    copies = 0
    own = board.row(row)

    def take(payload: bytes) -> None:
        nonlocal copies
        now = time.monotonic_ns()
        number, sent = HEADER.unpack_from(payload)
        if number == END:
            own[DONE] = 1
            raise Ended
        copies += times[number] != 0
        times[number] = times[number] or now - sent

    with suppress(Ended):
        station.listen(take)
    return {"times_ns": times.tolist(), "duplicates": copies}


ROLES: dict[str, Callable[[Station, Board, int, Facts], Facts]] = {
    "count": count,
    "publish": publish,
    "stamp": stamp,
    "take_times": take_times,
}
