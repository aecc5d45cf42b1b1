"""Joining for a moment: what the commands have in common that are a peer only as long as they have something to do there."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from zmqgossip.cli.errors import NobodyReachable, TimedOut
    from zmqgossip.cli.running import Stop
    from zmqgossip.core.events import NoSeed, RegistrationRefused

SLICE_S = 0.1
"""A signal is noticed between two waits of this length."""
PATIENCE_S = 1.0
"""Joining takes less among others; what takes longer is told, or it would look like a command that hangs."""


class Guest:
    """A peer on any free port. It joins when it is entered, and leaves at the end, or at once when `stop` is asked.

    Args:
        config, profile, host, announce: the flags, None where not given.
        stop: the command's own, entered already.
        quiet: says only what went wrong.

    Attributes:
        peer: its handle.
        settings: what it was told from outside.

    Raises:
        ConfigError, Misuse: a flag or a setting is wrong; nothing was opened.
    """

    def __init__(
        self, config: Path | None, profile: str | None, host: str | None, announce: str | None, stop: Stop, *, quiet: bool
    ) -> None:
        from zmqgossip.cli.running import say_how_safe
        from zmqgossip.core.events import NoSeed, RegistrationRefused, SeedAccepted
        from zmqgossip.handle.peer import Peer
        from zmqgossip.settings import load, resolve_host

        self.settings = load(config, profile=profile, host=host)
        bound = resolve_host(self.settings.host)
        announced = announced_address(bound, announce)
        self.peer = Peer(config=self.settings, announce=announced)
        say_how_safe([bound], quiet=True)  # on the loopback there is nothing to say for a moment
        self._seeds = self.peer.events(NoSeed, SeedAccepted, RegistrationRefused)
        self._no_seed: NoSeed | None = None
        self._refused: RegistrationRefused | None = None
        self._listed = False
        self._stop = stop
        self._quiet = quiet
        self._told_waiting = False
        self._began = time.monotonic()

    def __enter__(self) -> Guest:
        self.peer.start()
        # A process that hangs in writing to a pipe says goodbye all the same. To hand over to the node's thread takes no lock.
        self._stop.wake = self._leave
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.peer.close()

    def _leave(self) -> None:
        self.peer.begin_to_leave()

    def is_ready(self, timeout_s: float) -> bool:
        """Whether it is ready within `timeout_s`; tells when that takes long. Raises ConfigError in the wrong cluster."""
        from zmqgossip.core.errors import Timeout

        try:
            self.peer.ready(timeout_s)
        except Timeout:
            self._look()
            self._tell()
            return False
        return True

    def _look(self) -> None:
        from zmqgossip.core.errors import Timeout
        from zmqgossip.core.events import NoSeed, RegistrationRefused

        while True:
            try:
                event = self._seeds.get(0)
            except Timeout:
                break
            if isinstance(event, NoSeed):
                self._no_seed = event
            elif isinstance(event, RegistrationRefused):
                self._refused = event
            else:
                self._listed = True

    def _tell(self) -> None:
        from zmqgossip.cli.running import say

        if not self._told_waiting and time.monotonic() - self._began > PATIENCE_S:
            self._told_waiting = True
            unseen = self._no_seed is not None and not self._listed
            say(f"waiting for others ...{' no seed reachable yet; start one with: zmqgossip seed' if unseen else ''}", self._quiet)

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Waits for another peer; false when the command is stopped. Raises NobodyReachable, TimedOut, ConfigError."""
        until = self._began + timeout_s
        while not self._stop.asked:
            if self.is_ready(max(0.0, min(SLICE_S, until - time.monotonic()))):
                return True
            if time.monotonic() >= until:
                raise self.nobody_came(timeout_s)
        return False

    def nobody_came(self, waited_s: float) -> NobodyReachable | TimedOut:
        """The error of a peer that is still not ready: no seed answers, or they know of nobody who does."""
        from zmqgossip.cli.errors import NobodyReachable, TimedOut
        from zmqgossip.runtime.words import words

        self._look()
        if self._refused is not None and not self._listed:
            return TimedOut(f"no neighbour was found within {waited_s:g} s; {words(self._refused)}")
        if not self._listed:
            seeds = ", ".join(map(str, self.settings.seeds))
            return NobodyReachable(f"no seed answers within {waited_s:g} s ({seeds}); start one with: zmqgossip seed")
        return TimedOut(f"no neighbour was found within {waited_s:g} s; look whether other peers run: zmqgossip peers")


def announced_address(host: str, announce: str | None) -> str:
    """The address that others are told: `announce`, resolved, or else `host`. Raises Misuse if it is not one machine's."""
    from zmqgossip.cli.errors import Misuse
    from zmqgossip.core.types import is_unicast_host
    from zmqgossip.settings import resolve_host

    announced = host if announce is None else resolve_host(announce, "--announce")
    if not is_unicast_host(announced):
        raise Misuse(f"{announced} is no address of one machine; say with --announce which one others reach this peer at")
    return announced
