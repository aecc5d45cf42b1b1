"""Rounds: in each one every system is measured once, one after the other, so that a slow moment of the machine meets them all.

Each round begins with another system, so that none always has the same place after the same other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from zmqgossip.bench import networks
from zmqgossip.bench.crew import Crew
from zmqgossip.bench.networks import Links
from zmqgossip.bench.task import Task


class Rounds:
    """Who is measured how often.

    Attributes:
        degrees: of the networks of zmqgossip, the mean number of neighbours of each.
    """

    def __init__(self, task: Task) -> None:
        self.degrees: list[float] = []
        self._task = task

    def __iter__(self) -> Iterator[tuple[str, Crew]]:
        """(system, its processes), connected and idle; they end when the next one is asked for."""
        runs, begun = self._task.rounds * len(self._task.systems), 0
        for number in range(1, self._task.rounds + 1):
            links: Links = []
            for system in in_turn(self._task.systems, number - 1):
                self._task.step(f"round {number} of {self._task.rounds}: {system}", begun / runs)
                begun += 1
                if system == "flood" and not links:
                    links = networks.found_links(self._task.peers)
                    self.degrees.append(networks.degree(links))
                with Crew(self._task.peers) as crew:
                    networks.assemble(system, crew, self._task.peers, links)
                    if system in networks.GOSSIP:
                        links = networks.links_of(crew)
                        self.degrees.append(networks.degree(links))
                    yield system, crew

    @property
    def degree(self) -> float | None:
        """Of the middle round; None where nothing gossips."""
        return median(self.degrees) if self.degrees else None


def in_turn(systems: Sequence[str], number: int) -> list[str]:
    """The order of a round, counted from 0. The flood comes behind a network of zmqgossip if there is one, since it runs on its links."""
    turn = number % len(systems)
    order = [*systems[turn:], *systems[:turn]]
    first = next((system for system in order if system in networks.GOSSIP), None)
    if first is not None and "flood" in order and order.index("flood") < order.index(first):
        order.remove("flood")
        order.insert(order.index(first) + 1, "flood")
    return order
