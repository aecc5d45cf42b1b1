"""Churn: all peers publish for a minute, while some are killed and others join. Who owes whom what is known, and each message looked for.

A survivor, who was there all the time, has every message of every survivor, in order, once. A joiner hears from a point on that it does not
choose, and from there on lacks nothing; that point lies before what is made after it was ready. Joiners among themselves, and what the
killed ones made, are in no account.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from zmqgossip.bench import networks
from zmqgossip.bench.account import listeners
from zmqgossip.bench.board import STOP
from zmqgossip.bench.crew import Child, Crew, tell_all
from zmqgossip.bench.figures import rounded
from zmqgossip.bench.networks import Links
from zmqgossip.bench.redundancy import RATE
from zmqgossip.bench.task import Facts, Task

PUBLISHED_S = 60.0
SHARE = 6
"""One in so many is killed, and as many join: 5 of 30."""
START = 0.1
"""Of all, done when the peers have started."""
FIRST, LAST = 0.1, 0.9
"""Of the time: the first one is killed then, and the last one joins."""


@dataclass(slots=True)
class Turnover:
    """Who comes and goes, by place.

    Attributes:
        ready_ns: when each joiner was ready.
        starting: joiners that are not ready yet, with the number of what they were told.
    """

    seeds: list[str]
    killed: set[int] = field(default_factory=set)
    ready_ns: dict[int, int] = field(default_factory=dict)
    starting: list[tuple[int, Child, int]] = field(default_factory=list)


def measure(task: Task) -> Facts:
    """One run; the document that --json prints."""
    count = max(1, task.peers // SHARE)
    with Crew(task.peers + count) as crew:
        task.step(f"{task.peers} peers start", 0.0)
        networks.assemble_gossip(crew, task.peers, all_listen=True)
        links = networks.links_of(crew)
        turnover = Turnover(crew.helpers[0].opened["endpoints"])
        run(crew, task, turnover, count)
        crew.board.row(0)[STOP] = 1
        task.step("what is still on its way", 0.95)
        return document(crew, task, turnover, links)


def run(crew: Crew, task: Task, turnover: Turnover, count: int) -> None:
    """Everybody publishes; in equal steps one is killed, one joins, one is killed ..."""
    for place, child in enumerate(crew.stations):
        _chat(child, place, task.size)
    seconds = task.seconds or PUBLISHED_S
    began = time.monotonic()
    for number in range(2 * count):
        share = FIRST + (LAST - FIRST) * number / max(1, 2 * count - 1)
        task.step(f"everybody publishes; {len(turnover.killed)} killed, {len(turnover.ready_ns)} joined", START + (0.95 - START) * share)
        _wait(turnover, task.size, began + share * seconds)
        if number % 2:
            _join(crew, turnover)
        else:
            victim = (number // 2) * SHARE % task.peers  # spread over those who have dialled and those who were
            crew.stations[victim].kill()
            turnover.killed.add(victim)
    _wait(turnover, task.size, began + seconds)
    while turnover.starting:
        place, child, waiting = turnover.starting.pop()
        _begin(turnover, place, child, child.answer(waiting), task.size)


def _chat(child: Child, place: int, size: int) -> None:
    child.begin("chat", {"place": place, "rate": RATE, "size": size})


def _join(crew: Crew, turnover: Turnover) -> None:
    place = len(crew.stations)
    child = crew.add(networks.GOSSIP["zmqgossip"], {"seeds": turnover.seeds, "listens": True})
    child.begin("open")
    turnover.starting.append((place, child, child.begin("wait")))


def _wait(turnover: Turnover, size: int, until: float) -> None:
    """Waits, and has joiners publish as soon as they are ready."""
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(0.05, left))
        for one in [one for one in turnover.starting if one[1].has_answered(one[2])]:
            turnover.starting.remove(one)
            place, child, waiting = one
            _begin(turnover, place, child, child.answer(waiting), size)


def _begin(turnover: Turnover, place: int, child: Child, answer: Facts, size: int) -> None:
    turnover.ready_ns[place] = answer["ready_ns"]
    _chat(child, place, size)


def document(crew: Crew, task: Task, turnover: Turnover, links: Links) -> Facts:
    """Three accounts: of survivors among themselves, of what joiners made at survivors, and the other way about."""
    survivors = [(place, child) for place, child in enumerate(crew.stations[: task.peers]) if place not in turnover.killed]
    joiners = list(enumerate(crew.stations))[task.peers :]
    return {
        "peers": task.peers,
        "size": task.size,
        "degree": rounded(networks.degree(links)),
        "seconds": task.seconds or PUBLISHED_S,
        "rate": RATE,
        "killed": len(turnover.killed),
        "joined": len(turnover.ready_ns),
        "survivors": listeners(survivors, survivors).document(),
        "joiners_at_survivors": listeners(survivors, joiners).document(),
        "survivors_at_joiners": listeners(joiners, survivors, turnover.ready_ns).document(),
        "named_lost": named_lost([child for _, child in (*survivors, *joiners)]),
    }


def named_lost(children: Sequence[Child]) -> int:
    """How many messages those who live have named as lost, with those of the killed."""
    return sum(last - first + 1 for one in tell_all(children, "named") for first, last in one["lost"])
