"""Knocks: plain TCP connects to the ports of a process, by which an engine finds out whether anybody listens there.

A closed port refuses at once, a listener accepts even while its process is stopped, and a machine that is off, or behind a closed path,
says nothing. The answer for all ports comes together, with the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zmqgossip.core.outbox import Knock
from zmqgossip.core.types import Endpoint

if TYPE_CHECKING:
    from zmqgossip.sim.body import Body
    from zmqgossip.sim.network import Network

SILENT_S = 1.0
"""How long a body waits for a TCP connect that hangs."""


class Knocks:
    """The knocks of all processes of a network."""

    __slots__ = ("_network",)

    def __init__(self, network: Network) -> None:
        self._network = network

    def knock(self, body: Body, key: int, endpoints: Sequence[Endpoint]) -> None:
        """Connects to all of them at once."""
        clock = self._network.clock
        waits_s = [self._takes_s(body.name, self._network.place_of(endpoint)) for endpoint in endpoints]
        wait_s = min(max(waits_s, default=0.0), SILENT_S)
        late = tuple(each_s >= SILENT_S for each_s in waits_s)
        clock.at(clock.now + wait_s, self._knocked, body, key, tuple(endpoints), late)

    def _takes_s(self, name: str, place: str) -> float:
        paths = self._network.paths
        if not place or not paths.both_ways(name, place):
            return SILENT_S
        return paths.delay_s(name, place) + paths.delay_s(place, name) + paths.syn_repeats_s(name, place)

    def _knocked(self, body: Body, key: int, endpoints: tuple[Endpoint, ...], late: tuple[bool, ...]) -> None:
        if not body.live or body.hold(self._knocked, body, key, endpoints, late):
            return
        clock = self._network.clock
        results = [Knock.SILENT if tardy else self._met(body, where) for where, tardy in zip(endpoints, late, strict=True)]
        if Knock.SILENT in results and not any(late):  # a machine that is off: known only after the time-out
            late = tuple(result is Knock.SILENT for result in results)
            clock.at(clock.now + SILENT_S, self._knocked, body, key, endpoints, late)
            return
        self._network.trace.note(clock.now, body.label, "knock", ", ".join(result.name for result in results))
        body.turn(body.engine.on_knock, key, results)

    def _met(self, body: Body, endpoint: Endpoint) -> Knock:
        network = self._network
        place, listener = network.place_of(endpoint), network.listener_at(endpoint)
        if not place or not network.paths.both_ways(body.name, place) or (listener is not None and network.hangs(listener)):
            return Knock.SILENT
        return Knock.REFUSED if listener is None else Knock.ACCEPTED
