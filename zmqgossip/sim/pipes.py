"""Frames under way: one pipe in each direction of a connection, bounded as ZeroMQ's are, patient as TCP is.

A pipe gives its sender credit back in batches of half its mark, as libzmq does, so under a slow reader it drops anywhere between half of
the mark and the mark. Where the path is closed frames wait, and go on at one of TCP's repeats once it is open again. Two things more
are TCP's: acknowledgements go the other way, so what is sent against a one-way cut stops after a window; and when nothing was
acknowledged for a quarter of an hour the sender's kernel ends the connection. What an end means is `network`'s business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from zmqgossip.core.counters import Counters
from zmqgossip.sim.clock import Clock
from zmqgossip.sim.connection import Arrival, Connection, Pipe
from zmqgossip.sim.paths import RETRY_FIRST_S, Paths, next_repeat_s

if TYPE_CHECKING:
    from zmqgossip.sim.body import Body

FRAMES_MAX = 600
"""In one direction of a connection: the sender's and the receiver's high-water marks, 300 each."""
UNACKNOWLEDGED_MAX = 65_536
"""Bytes that TCP sends without hearing of any: the window of a connection without window scaling. Linux grows it further on a path that
was busy; what matters here is that a one-way cut soon stops both ways, and that it lets the first frames through."""
GIVES_UP_S = 924.6
"""After this without an acknowledgement: Linux's tcp_retries2 of 15. No socket here sets TCP_USER_TIMEOUT."""


class Stall:
    """A pipe of which nothing is acknowledged, since when, what waits in it, and the bytes that went through unacknowledged.

    `dark`: the receiver, where its machine is off.
    """

    __slots__ = ("connection", "dark", "frames", "sent_bytes", "since")

    def __init__(self, connection: Connection, since: float) -> None:
        self.connection = connection
        self.since = since
        self.frames: deque[tuple[Arrival, bytes]] = deque()
        self.sent_bytes = 0
        self.dark: Body | None = None


class Pipes:
    """All pipes of a network.

    Attributes:
        frames_max: what a pipe holds before its sender drops.
        gives_up_s: seconds without an acknowledgement after which a kernel ends a connection.
        gave_up: called as `gave_up(connection, pipe)` when the sender's kernel at that pipe has.
    """

    __slots__ = ("_clock", "_counters", "_paths", "_stalls", "frames_max", "gave_up", "gives_up_s")

    def __init__(self, clock: Clock, paths: Paths, counters: Counters, gave_up: Callable[[Connection, Pipe], None]) -> None:
        self._clock = clock
        self._paths = paths
        self._counters = counters
        self._stalls: dict[Pipe, Stall] = {}
        self.frames_max = FRAMES_MAX
        self.gives_up_s = GIVES_UP_S
        self.gave_up = gave_up

    # -- room -------------------------------------------------------------------------------------------------------------

    def fits(self, pipe: Pipe) -> bool:
        """Whether the sender has credit for one more frame; if not, it is dropped and counted."""
        if pipe.load < self.frames_max:
            return True
        self._counters.add("dropped.pipe_full")
        return False

    def took(self, pipe: Pipe) -> None:
        """The other end has taken a frame in; the sender hears of that when half a pipe of them has been."""
        pipe.taken += 1
        if 2 * pipe.taken >= self.frames_max:
            pipe.load -= pipe.taken
            pipe.taken = 0

    # -- sending ----------------------------------------------------------------------------------------------------------

    def send(self, pipe: Pipe, arrival: Arrival, connection: Connection, frame: bytes) -> None:
        """`arrival(connection, frame)` when it has come to the other end."""
        pipe.load += 1
        if self._paths.calm and not self._stalls:  # nothing is wrong anywhere: nearly always
            self._launch(pipe, arrival, connection, frame)
        else:
            self._pass_on(pipe, arrival, connection, frame)

    def _pass_on(self, pipe: Pipe, arrival: Arrival, connection: Connection, frame: bytes) -> None:
        paths = self._paths
        stall = self._stalls.get(pipe)
        if stall is None:
            if paths.both_ways(pipe.sender, pipe.receiver):
                self._launch(pipe, arrival, connection, frame)
                return
            stall = self._stall(pipe, connection)
        if stall.frames or stall.sent_bytes >= UNACKNOWLEDGED_MAX or not paths.open(pipe.sender, pipe.receiver):
            stall.frames.append((arrival, frame))
        else:
            stall.sent_bytes += max(len(frame), 1)
            self._launch(pipe, arrival, connection, frame)

    def _launch(self, pipe: Pipe, arrival: Arrival, connection: Connection, frame: bytes) -> None:
        clock, paths = self._clock, self._paths
        if pipe.luck is None:
            pipe.luck = paths.pair_luck(pipe.sender, pipe.receiver)
        at = clock.now + paths.delay_s(pipe.sender, pipe.receiver, pipe.luck)
        if at < pipe.last_at:  # none overtakes the one before it
            at = pipe.last_at
        pipe.last_at = at
        clock.at(at, arrival, connection, frame)

    def met_nobody(self, pipe: Pipe, arrival: Arrival, connection: Connection, frame: bytes, receiver: Body) -> None:
        """A frame came to a machine that is off: nobody acknowledges it."""
        stall = self._stalls.get(pipe) or self._stall(pipe, connection)
        stall.dark = receiver
        stall.frames.append((arrival, frame))

    # -- silence ----------------------------------------------------------------------------------------------------------

    def _stall(self, pipe: Pipe, connection: Connection) -> Stall:
        stall = self._stalls[pipe] = Stall(connection, self._clock.now)
        self._clock.at(stall.since + self.gives_up_s, self._give_up, pipe, stall)
        return stall

    def _give_up(self, pipe: Pipe, stall: Stall) -> None:
        if self._stalls.get(pipe) is stall:
            del self._stalls[pipe]
            self._counters.add("connection.timed_out")
            self.gave_up(stall.connection, pipe)

    def paths_changed(self) -> None:
        """A way may be open again: TCP finds out at its next repeat."""
        now = self._clock.now
        for pipe, stall in self._stalls.items():
            self._clock.at(stall.since + next_repeat_s(now - stall.since, RETRY_FIRST_S), self._release, pipe, stall)

    def _release(self, pipe: Pipe, stall: Stall) -> None:
        if self._stalls.get(pipe) is not stall or (stall.dark is not None and stall.dark.dark):
            return
        paths = self._paths
        is_heard = paths.both_ways(pipe.sender, pipe.receiver)
        if is_heard or (stall.frames and not stall.sent_bytes and paths.open(pipe.sender, pipe.receiver)):
            del self._stalls[pipe]
            for arrival, frame in stall.frames:
                self._pass_on(pipe, arrival, stall.connection, frame)
