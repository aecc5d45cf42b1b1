"""The process that a handle belongs to.

Threads do not survive a fork, and a lock that one of them held stays locked in the child for ever. So the child may not even look:
whatever it calls is refused before a lock is touched, and ending does nothing, because what there is to end is its parent's.
"""

from __future__ import annotations

import os

from zmqgossip.core.errors import NodeClosed


class Process:
    """The process that made this object."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """False in a forked child."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Raises NodeClosed in a forked child."""
        if not self.is_here:
            raise NodeClosed("a forked child cannot use what its parent has opened; make a node of its own there")
