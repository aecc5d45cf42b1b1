"""Who was told of whose end, and that nobody comes back from it without a word of his own.

A peer that was told that another is dead or has left may be told that it joined only by a newer record of it: a later life, or a
refutation. Old news is under way for long, and it is for tombstones to keep it from counting. One that has room for few may forget.
"""

from __future__ import annotations

from zmqgossip.core.events import Event, PeerDead, PeerJoined, PeerLeft
from zmqgossip.core.types import PeerId
from zmqgossip.sim.body import Body
from zmqgossip.sim.world import World


class Graves:
    """Listens to what all peers of a world are told.

    Attributes:
        problems: the dead that old news revived, in words.
    """

    def __init__(self, world: World) -> None:
        self.problems: list[str] = []
        self._tombstones_max = world.config.tombstones_max
        self._buried: dict[Body, dict[PeerId, tuple[int, int]]] = {}
        world.watchers.append(self._told)

    def _told(self, body: Body, event: Event, now: float) -> None:
        if isinstance(event, (PeerDead, PeerLeft)):
            self._buried.setdefault(body, {})[event.peer.id] = event.peer.order
        elif isinstance(event, PeerJoined) and body.gossip is not None:
            graves = self._buried.get(body, {})
            order = graves.get(event.peer.id)
            if order is not None and event.peer.order <= order and len(graves) <= self._tombstones_max:
                self.problems.append(f"{now:.3f}: {body.label} was told that {event.peer.endpoint} joined, whose end it knew")
