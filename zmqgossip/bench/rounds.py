"""Rounds: in each one every system is measured once, one after the other, so that a slow moment of the machine meets them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from zmqgossip.bench import networks
from zmqgossip.bench.crew import Crew
from zmqgossip.bench.networks import Links


class Rounds:
    """Who is measured how often.

    Args:
        peers: processes of each system.
        step: is told what comes next, once a run.

    Attributes:
        degrees: of the networks of zmqgossip, the mean number of neighbours of each.
    """

    def __init__(self, peers: int, rounds: int, systems: Sequence[str], step: Callable[[str], object]) -> None:
        self.degrees: list[float] = []
        self._peers = peers
        self._rounds = rounds
        # zmqgossip comes first, since the flood runs on its links.
        self._systems = sorted(systems, key=lambda system: system not in networks.GOSSIP)
        self._step = step

    def __iter__(self) -> Iterator[tuple[str, Crew]]:
        """(system, its processes), connected and idle; they end when the next one is asked for."""
        for number in range(1, self._rounds + 1):
            links: Links = []
            for system in self._systems:
                self._step(f"round {number} of {self._rounds}: {system}")
                if system == "flood" and not links:
                    links = self._found_links()
                with Crew(self._peers) as crew:
                    networks.assemble(system, crew, self._peers, links)
                    if system in networks.GOSSIP:
                        links = networks.links_of(crew)
                        self.degrees.append(networks.degree(links))
                    yield system, crew

    def _found_links(self) -> Links:
        """The links of a network of zmqgossip that is started for this only."""
        with Crew(self._peers) as crew:
            networks.assemble_gossip(crew, self._peers)
            links = networks.links_of(crew)
            self.degrees.append(networks.degree(links))
            return links

    @property
    def degree(self) -> float | None:
        """Of the middle round; None where nothing gossips."""
        return median(self.degrees) if self.degrees else None
