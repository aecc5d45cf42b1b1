"""A leave on its way: who was told, who has heard it, and when it is done."""

from __future__ import annotations

from collections.abc import Iterable

from zmqgossip.core.events import Left
from zmqgossip.core.node import Node

LEAVE_DUE = "leave due"


class Farewell:
    """Waits until everybody who was told has heard it, or the time for it is over.

    Attributes:
        finished: nothing more will come; the body may close.
    """

    __slots__ = ("_heard", "_node", "finished")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._heard: dict[int, bool] = {}
        self.finished = False

    def begin(self, keys: Iterable[int], now: float) -> None:
        """`keys` are the DEALERs on which a LEAVE was sent, or will be once they connect or the handshake is far enough."""
        self._heard = dict.fromkeys(keys, False)
        self._node.timers.set((LEAVE_DUE, 0), now + self._node.config.leave_timeout_s)

    def heard(self, key: int) -> None:
        """Somebody confirmed the leave."""
        if key in self._heard:
            self._heard[key] = True
            self._finish_if_all()

    def has_heard(self, key: int) -> bool:
        """Whether that one confirmed it."""
        return self._heard.get(key, False)

    def unreachable(self, key: int) -> None:
        """Somebody cannot be told any more; who has heard it has."""
        if self._heard.get(key) is False:
            del self._heard[key]
            self._finish_if_all()

    def _finish_if_all(self) -> None:
        if all(self._heard.values()):
            self.finish()

    def finish(self) -> None:
        """It is done, or the time is over."""
        if not self.finished:
            self.finished = True
            self._node.timers.cancel((LEAVE_DUE, 0))
            self._node.outbox.event(Left(sum(self._heard.values()), len(self._heard)))
