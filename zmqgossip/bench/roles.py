"""What a process of a run does once its station stands: count, publish, take times. Alike for all systems."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from zmqgossip.bench import counting
from zmqgossip.bench.board import DONE, SLOW, Board, Row
from zmqgossip.bench.counting import END, HEADER, Ended, Oddities
from zmqgossip.bench.publishing import END_MAX_S, Schedule, Talk, Window
from zmqgossip.bench.systems.station import Station
from zmqgossip.bench.task import Facts

DAWDLE_S = 1.0
LOOK_S = 0.02


def _receivers(board: Board, facts: Facts) -> Sequence[Row]:
    return [board.row(place) for place in facts["receivers"]]


def count(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Counts what comes until the end of the run."""
    station.oddities = Oddities(board.row(row))
    with suppress(Ended):
        station.count(station.oddities)
    return {}


def count_slowly(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Counts what comes until the end of the run, one message a second while the board says so."""
    station.oddities = Oddities(board.row(row))
    head = board.row(0)

    def dawdling() -> Iterator[bytes]:
        for payload in station.payloads():
            if head[SLOW]:
                until = time.monotonic() + DAWDLE_S
                while head[SLOW] and time.monotonic() < until:
                    time.sleep(LOOK_S)
            yield payload

    with suppress(Ended):
        counting.count(dawdling(), station.oddities)
    return {}


def publish(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Publishes as fast as it goes until the board says stop, and then says the end."""
    receivers = _receivers(board, facts)
    published = station.publish(facts["size"], board.row(0), Window(facts.get("window", 0), receivers, facts.get("look_s", 0.0)))
    station.end(published, facts["size"], receivers, facts.get("end_s", END_MAX_S))
    return {"published": published}


def stamp(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Publishes `count` messages, one each `1 / rate` seconds, with the moment in it when each was due."""
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


def chat(station: Station, board: Board, row: int, facts: Facts) -> Facts:
    """Publishes steadily and listens, until the end of the process: this is never answered."""
    station.chat(Talk(facts["place"], facts["rate"], facts["size"], board.row(0)))
    return {}


ROLES: dict[str, Callable[[Station, Board, int, Facts], Facts]] = {
    "count": count,
    "count_slowly": count_slowly,
    "publish": publish,
    "stamp": stamp,
    "take_times": take_times,
    "chat": chat,
}
