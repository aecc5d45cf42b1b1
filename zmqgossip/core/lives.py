"""Lives: the streams of one id, one for each time that its process was started, and how an earlier one ends.

When the first segment of a new life is here, the streams before it are taken for a while, for what is under way when a process is started
again. Then what neighbours seem to have of them is pulled, for as long as anybody who is slow is waited for.

The stream of somebody who is gone *fades* when it has been settled for long: only how far it was is remembered, which is enough to deliver
nothing twice. Peers do that at different moments; whoever still has such a stream finds nobody who wants anything of it. A newcomer keeps
it until it would fade where its baseline came from: where peers come and go all the time, streams would be handed on for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from zmqgossip.core.node import Node
from zmqgossip.core.repair import Repair
from zmqgossip.core.stream import Stream
from zmqgossip.core.streams import Streams
from zmqgossip.core.types import PeerId

EPOCH_DUE = "epoch due"
FADE_DUE = "fade due"
FADE_LOOKS = 8
"""In `stream_gone_s`: a look goes over all streams, and that a stream fades an eighth late hurts nobody."""
LIVES_MAX = 4
"""Streams of one id: the last lives of a process that is started again and again."""
EPOCH_ENDS_S = 2.0
"""How long the stream of an earlier life is still taken."""
END_AGAIN_S = 0.25
"""Between two looks at whether all of it has been pulled."""


class Lives:
    """Which streams begin, and when they end."""

    __slots__ = ("_is_gone", "_me", "_node", "_repair", "_streams")

    def __init__(self, me: PeerId, node: Node, streams: Streams, repair: Repair, is_gone: Callable[[PeerId], bool]) -> None:
        self._is_gone = is_gone
        self._me = me
        self._node = node
        self._streams = streams
        self._repair = repair

    def new(self, origin: PeerId, epoch: int, number: int, now: float) -> Stream | None:
        """The stream of a life that was not heard of so far; None if it is refused. What neighbours only talk of gives way to what came.

        `number`: of the segment that is here, 0 where there is none. One of a stream that was forgotten makes none: it was delivered.
        """
        counters, is_talk = self._node.counters, not number
        if origin == self._me:  # of an earlier life, or by somebody who takes this one's name
            counters.add("dropped.own_id")
            return None
        if is_talk and self._node.is_in_future(epoch, now):
            counters.add("dropped.future_epoch")
            return None
        lives = self._streams.lives(origin)
        talked_of = [stream for stream in lives if not stream.highest]
        if epoch < self._streams.newest_epoch(origin) or (len(lives) >= LIVES_MAX and (is_talk or not talked_of)):
            counters.add("dropped.old_epoch")
            return None
        if 0 < number <= self._streams.past(origin, epoch):
            counters.add("duplicates.known")
            return None
        if len(lives) >= LIVES_MAX:
            self._streams.drop(talked_of[0])
        self._look_for_fading(now)
        return self._streams.of(origin, epoch)

    def first_came(self, stream: Stream, now: float) -> None:
        """The first segment of a life is here: the streams of earlier ones end soon."""
        for older in self._streams.older(stream.origin, stream.epoch):
            if older.ending_at is None:
                older.ending_at = now + EPOCH_ENDS_S
                self._arm(older.ending_at)

    def _arm(self, at: float) -> None:
        planned = self._node.timers.when((EPOCH_DUE, 0))
        self._node.timers.set((EPOCH_DUE, 0), at if planned is None else min(at, planned))

    def postpone(self, now: float) -> None:
        """This node was away: what it did not hear meanwhile is taken for the whole time again."""
        for stream in self._streams.all():
            if stream.ending_at is not None:
                stream.ending_at = now + EPOCH_ENDS_S

    def ended(self, now: float) -> list[Stream]:
        """Streams of which nothing more is waited for."""
        ending = [(stream.ending_at, stream) for stream in self._streams.all() if stream.ending_at is not None]
        over = [
            stream for at, stream in ending if at <= now and not (self._is_pulled(stream) and now - at < self._node.config.slow_after_s)
        ]
        later = [at if at > now else now + END_AGAIN_S for at, stream in ending if stream not in over]
        if later:
            self._arm(min(later))
        return over

    def _is_pulled(self, stream: Stream) -> bool:
        return stream.begun and self._repair.is_behind(stream)

    def age_s(self, stream: Stream, now: float) -> float:
        """For how long nothing of the stream of somebody who is gone has changed, here or where the baseline came from, up to
        `stream_gone_s`; 0 of others.
        """
        if stream.origin == self._me or not self._is_gone(stream.origin):
            return 0.0
        gone_s = self._node.config.stream_gone_s
        return min(max(now - stream.changed_at, gone_s + now - stream.fades_at), gone_s)

    def told_age(self, stream: Stream, age_s: float, now: float) -> None:
        """A baseline named a stream and its age."""
        if age_s > 0:
            stream.fades_at = now + self._node.config.stream_gone_s - age_s

    def fade(self, now: float) -> None:
        """Settled streams of those who are gone are forgotten but for how far they were; and so again in a while."""
        gone_s = self._node.config.stream_gone_s
        for stream in self._streams.all():
            if stream.settled and self.age_s(stream, now) >= gone_s:
                self._streams.drop(stream)
                self._node.counters.add("streams.faded")
        if any(stream.origin != self._me for stream in self._streams.all()):
            self._look_for_fading(now)

    def _look_for_fading(self, now: float) -> None:
        """Not where there is no stream of anybody else: who is alone with the silence need not wake up."""
        if self._node.timers.when((FADE_DUE, 0)) is None:
            self._node.timers.set((FADE_DUE, 0), now + self._node.config.stream_gone_s / FADE_LOOKS)
