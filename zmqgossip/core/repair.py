"""Repair: what is missing is asked of a neighbour that has it.

A gap, or a neighbour whose digest is ahead, is no loss yet: what is missing may still be on its way. Only when a stream has not
moved for a while, the neighbour that is ahead is asked for exactly what is missing. One question a stream is under way, three at one
neighbour; who does not answer in time is passed over for the next. Whoever gives what was missing, twice running, and nobody has pushed it
since, is asked to push again (a graft): the way that should have brought it is broken. What comes by itself besides was asked for too
soon: on a machine that is overloaded, and there pulls would make it more so. So the wait before a pull grows by half with each of those,
and shrinks with each that was new.

What nobody keeps any more is given up by name: the stream jumps to the oldest number that two neighbours have, or the only one that
there is after a second, and the numbers of the next segment's messages tell which are lost. While there is a neighbour that has not
said so, it is waited for as long as for anybody who is slow: one that has just joined keeps nothing from before that, and the others may.
Of several gaps the others are waited for a second each then: they are as old. While one is silent altogether nothing is given up: it has
what is missing perhaps, and liveness tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from zmqgossip.core.gossip_messages import RANGES_MAX, Ask, Pull, Pulled
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Route, Segment
from zmqgossip.core.stream import Gone, Stream, StreamKey, Theirs
from zmqgossip.core.streams import Streams
from zmqgossip.core.trees import Trees
from zmqgossip.core.types import PeerId
from zmqgossip.core.view import Link, View
from zmqgossip.core.wire import NUMBER_MAX, propagated

PULL_DUE = "pull due"
WAIT_MAX_S = 1.0
"""Before a pull, however often it was hasty: a digest is repeated once a second."""
WAIT_HALVES_S = 2.0
"""In which the wait before a pull halves when none was hasty: ten times as long as it must be, it is right again after 8 s."""
PULLED_MAX = 256
"""Segments in one answer, however small they are: they share a pipe of 1,000 with its end, and what does not fit there is lost."""
PIPE_SHARE = 4
"""No answer has more than this part of `pipe_segments` either: three at once fit into a pipe with their ends."""
IN_FLIGHT_MAX = 3
"""Pulls that one neighbour is asked at once: its answers share that pipe."""
HOPELESS_S = 3.0
"""How long a gap that nobody can fill is kept after its origin is gone: all digests have come by then."""
UNKNOWN_S = 30.0
"""The same where the origin lives, which has it if anybody has, or is not known: what tells of it may be in what is missing."""
ALONE_S = 1.0
"""How long a second neighbour that has it is waited for, before the only one is believed that the rest is gone; UNKNOWN_S if the origin
lives and is no neighbour yet, for it has it."""


@dataclass(slots=True, eq=False)
class _Want:
    """A stream that lacks something: when to look again, how far it was, and who is asked."""

    stream: Stream
    due: float
    contiguous: int
    asked: int = 0
    exchange: int = 0
    silent: dict[int, None] = field(default_factory=dict)


class Repair:
    """One peer's pulls, and its answers to those of others."""

    __slots__ = ("_asked", "_line", "_may_live", "_node", "_streams", "_trees", "_view", "_wait_at", "_wait_s", "_wants")

    def __init__(self, node: Node, view: View, streams: Streams, trees: Trees, may_live: Callable[[PeerId], bool | None]) -> None:
        self._may_live = may_live
        self._node = node
        self._view = view
        self._streams = streams
        self._trees = trees
        self._wants: dict[StreamKey, _Want] = {}
        self._asked: dict[int, int] = {}  # by key of the link: pulls that are under way
        self._wait_s = node.config.pull_after_s
        self._wait_at = 0.0  # when it last grew, or was halved
        self._line: dict[StreamKey, None] = {}  # streams that found everybody busy

    def __len__(self) -> int:
        """Streams of which something is missing here."""
        return len(self._wants)

    def was_new(self, stream: Stream, number: int) -> None:
        """A segment that was pulled was not here yet."""
        self._wait_s = max(self._wait_s * 0.9, self._node.config.pull_after_s)
        stream.pulled[1][number] = None
        if len(stream.pulled[1]) >= PULLED_MAX:  # of answers that have no end, or one that comes too late
            stream.pulled = (stream.pulled[1], {})

    def was_hasty(self, now: float) -> None:
        """A segment that was pulled has come by itself, before or after."""
        self._wait_s = min(self._wait(now) * 1.5, max(WAIT_MAX_S, self._node.config.pull_after_s))
        self._wait_at = now

    def _wait(self, now: float) -> float:
        """How long a stream must not move before what it lacks is asked for, by what has been learned until now."""
        least = self._node.config.pull_after_s
        while self._wait_s > least and now - self._wait_at >= WAIT_HALVES_S:
            self._wait_s = max(self._wait_s / 2, least)
            self._wait_at += WAIT_HALVES_S
        return self._wait_s

    def was_pulled(self, stream: Stream, number: int, now: float) -> bool:
        """Whether a segment that somebody pushes is here because it was pulled: too soon, then, and nobody brings it twice."""
        for numbers in stream.pulled:
            if number in numbers:
                del numbers[number]
                self.was_hasty(now)
                return True
        return False

    def _look_for_ways(self, link: Link, stream: Stream) -> None:
        """The end of an answer. What came only by pulls twice running has no way here: whoever gave it is asked to push."""
        earlier, last = stream.pulled
        if last:
            stream.pulled = (last, {})
            if earlier:
                self._trees.graft(link, stream.bucket)

    # -- when to ask ------------------------------------------------------------------------------------------------------

    def look(self, stream: Stream, now: float) -> None:
        """The stream has a gap, or somebody is ahead."""
        if stream.key not in self._wants and self.lacks(stream):
            want = _Want(stream, now + self._wait(now), stream.contiguous)
            self._wants[stream.key] = want
            self._arm(want.due)

    @staticmethod
    def is_behind(stream: Stream) -> bool:
        """Whether a neighbour says that it is further."""
        return any(theirs.contiguous > stream.contiguous for theirs in stream.theirs.values())

    def lacks(self, stream: Stream) -> bool:
        """Whether there is something that is not here."""
        return bool(stream.beyond) or self.is_behind(stream)

    def _arm(self, at: float) -> None:
        planned = self._node.timers.when((PULL_DUE, 0))
        if planned is None or at < planned:
            self._node.timers.set((PULL_DUE, 0), at)

    def forget(self, stream: Stream) -> None:
        want = self._wants.pop(stream.key, None)
        self._line.pop(stream.key, None)
        if want is not None:
            self._asks(want, 0)

    def _asks(self, want: _Want, key: int) -> None:
        """From now on that link is asked, or none is (0)."""
        if want.asked:
            self._asked[want.asked] -= 1
            if not self._asked[want.asked]:
                del self._asked[want.asked]
        want.asked = key
        if key:
            self._asked[key] = self._asked.get(key, 0) + 1

    def link_lost(self, link: Link, now: float) -> None:
        """Who was asked is gone: somebody else is."""
        for want in self._wants.values():
            want.stream.gone.pop(link.key, None)
            want.silent.pop(link.key, None)
            if want.asked == link.key:
                self._asks(want, 0)
                want.due = now
                self._arm(now)

    def postpone(self, now: float) -> None:
        """This node was away: what it waited for has the whole time again."""
        for want in self._wants.values():
            want.due = max(want.due, now + self._wait(now))
            want.stream.changed_at = want.stream.gone_since = now

    def due(self, now: float) -> list[tuple[Stream, int]]:
        """Asks for what has not come. Streams that must jump, and whereto, because nobody keeps what is next."""
        jumps = []
        for want in list(self._wants.values()):
            if not self.lacks(want.stream):
                self.forget(want.stream)
            elif want.due <= now and (target := self._look_again(want, now)):
                jumps.append((want.stream, target))
        if self._wants:
            self._arm(min(want.due for want in self._wants.values()))
        return jumps

    def _look_again(self, want: _Want, now: float) -> int:
        """Asks somebody, or waits; the number to jump to if it is given up, else 0."""
        stream, config = want.stream, self._node.config
        if want.asked:
            self._node.counters.add("pulls.no_answer")
            want.silent[want.asked] = None
            self._asks(want, 0)
        elif stream.contiguous > want.contiguous:  # it moves: what is missing is on its way
            want.contiguous, want.due = stream.contiguous, now + self._wait(now)
            want.silent.clear()
            stream.gone.clear()
            return 0
        self._forget_gone(stream)
        want.due = now + self._wait(now)
        holders = self._holders(stream, want)
        free = [link for link in holders if self._asked.get(link.key, 0) < IN_FLIGHT_MAX]
        if free:
            self._ask(want, min(free, key=lambda link: (link.slow, self._asked.get(link.key, 0))), now)
        elif holders:  # all are busy: whoever is free next takes the first in the line
            self._line[stream.key] = None
            want.due = now + config.pull_timeout_s
        if holders:
            return 0
        if want.silent:  # everybody was passed over once, and is asked again after a while
            want.silent.clear()
            want.due = now + config.pull_timeout_s
            if not stream.gone or now - stream.gone_since < config.slow_after_s:
                return 0
        return self._target(stream, now) or self._hopeless(stream, now)

    # -- whom, and for what -----------------------------------------------------------------------------------------------

    def _holders(self, stream: Stream, want: _Want) -> list[Link]:
        """The neighbours that should have the next number: those that said so, and the origin, else those that may."""
        links = [link for link in self._view.synced() if link.connected and link.key not in want.silent and link.key not in stream.gone]
        ahead = [link for link in links if _is_origin(stream, link) or _is_ahead(stream, link)]
        if not ahead:
            ahead = [link for link in links if link.key not in stream.theirs] if stream.beyond else []
        return ahead

    def _ask(self, want: _Want, link: Link, now: float) -> None:
        stream = want.stream
        is_origin = _is_origin(stream, link)
        said = [theirs.contiguous for key, theirs in stream.theirs.items() if is_origin or key == link.key]
        upto = max(stream.highest, *said) if said else stream.highest
        ranges = stream.ranges(min(upto, stream.contiguous + self._node.config.ahead_max), RANGES_MAX)
        if not ranges:
            want.due = now + self._wait(now)
            return
        self._asks(want, link.key)
        want.contiguous, want.due = stream.contiguous, now + self._node.config.pull_timeout_s
        want.exchange = self._node.ask(link.key, Pull(link.theirs, stream.origin, stream.epoch, ranges))
        self._node.counters.add("pulls.sent")

    def came(self, link: Link, body: Pulled, exchange: int, now: float) -> list[tuple[Stream, int]]:
        """The end of an answer: the rest is asked for at once. Streams that must jump."""
        want = self._wants.get((body.origin, body.epoch))
        if want is None or want.asked != link.key or want.exchange != exchange:
            self._node.counters.add("pulls.stale")
            return []
        stream = want.stream
        if stream.contiguous == want.contiguous:
            if body.oldest > stream.contiguous + 1:
                stream.gone_since = stream.gone_since if stream.gone else now
                stream.gone[link.key] = Gone(body.oldest, body.contiguous, body.messages)
                self._node.counters.add("pulls.gone")
            else:
                want.silent[link.key] = None
                self._node.counters.add("pulls.unserved")
                self._believe(stream, link, body.contiguous)
        else:
            stream.gone.clear()
            self._look_for_ways(link, stream)
        self._asks(want, 0)
        want.due, want.contiguous = now, stream.contiguous
        return self._serve_line(now) + self._look_at(want, now)

    def _serve_line(self, now: float) -> list[tuple[Stream, int]]:
        """A place is free: whoever has waited longest has it, and not the stream that has just had its turn."""
        jumps: list[tuple[Stream, int]] = []
        for key in list(self._line):
            del self._line[key]
            if self._wants[key].asked:
                continue
            jumps += self._look_at(self._wants[key], now)
            if key in self._line or (key in self._wants and self._wants[key].asked):  # all places are taken; or it has this one
                break
        return jumps

    def _look_at(self, want: _Want, now: float) -> list[tuple[Stream, int]]:
        """One stream at once, and not when it is due."""
        if not self.lacks(want.stream):
            self.forget(want.stream)
            return []
        target = self._look_again(want, now)
        self._arm(want.due)
        return [(want.stream, target)] if target else []

    @staticmethod
    def _believe(stream: Stream, link: Link, contiguous: int) -> None:
        """A neighbour that was asked for what it seemed to have says that it is no further than so."""
        theirs = stream.theirs.get(link.key)
        if theirs is None:
            stream.theirs[link.key] = Theirs(contiguous, 0, 0, {})
        elif contiguous < theirs.contiguous:
            theirs.contiguous = contiguous

    def _target(self, stream: Stream, now: float) -> int:
        """The oldest number that two neighbours have, or the one that is left after a while; 0: not yet."""
        oldest = sorted(gone.oldest for gone in stream.gone.values())
        if not oldest or now - stream.gone_since < self._grace_s(stream, len(oldest), now):
            return 0
        target = oldest[1] if len(oldest) > 1 else oldest[0]
        if stream.beyond:
            target = min(target, *stream.beyond)
        return target if target < NUMBER_MAX else 0

    def _grace_s(self, stream: Stream, gone_count: int, now: float) -> float:
        """How long what some no longer keep is waited for: whoever has said nothing, or is no further than this node, may get it yet.

        One of whom nothing at all has been heard for so long may be cut off: it comes back, or liveness ends the link.
        """
        slow_after_s = self._node.config.slow_after_s
        others = [link for link in self._view.synced() if link.key not in stream.gone]
        if any(now - link.last_heard > slow_after_s for link in others):
            return inf
        if others:
            return ALONE_S if stream.gone_since == stream.jumped_at else slow_after_s
        if gone_count > 1:
            return 0.0
        may_come = self._may_live(stream.origin) and not any(_is_origin(stream, link) for link in self._view.synced())
        return UNKNOWN_S if may_come and stream.gone_since != stream.jumped_at else ALONE_S

    def jumped(self, stream: Stream, now: float) -> None:
        """The stream goes on behind what was lost. The next gap was waited for with this one: only who jumps too gets more of it."""
        self._forget_gone(stream)
        stream.gone_since = stream.jumped_at = now
        want = self._wants.get(stream.key)
        if want is not None:
            want.contiguous = stream.contiguous
        self.look(stream, now)

    @staticmethod
    def _forget_gone(stream: Stream) -> None:
        """Who said gone of an earlier number may have the next one."""
        stream.gone = {key: gone for key, gone in stream.gone.items() if gone.oldest > stream.contiguous + 1}

    def _hopeless(self, stream: Stream, now: float) -> int:
        """What is next where nobody has what is missing, and has not had it for long; 0: not so."""
        wait_s = HOPELESS_S if self._may_live(stream.origin) is False else UNKNOWN_S
        wait_s = 0.0 if stream.jumped_at == stream.changed_at else wait_s  # the next gap of many: it is as old as the first
        if not stream.beyond or now - stream.changed_at < wait_s:
            return 0
        return 0 if self.is_behind(stream) else min(stream.beyond)

    # -- answering --------------------------------------------------------------------------------------------------------

    def on_pull(self, body: Pull, route: Route, exchange: int) -> None:
        """Gives what is here of what a neighbour lacks, so much at a time."""
        stream = self._streams.get(body.origin, body.epoch)
        if stream is None:
            past = self._streams.past_position(body.origin, body.epoch)  # of what has faded nothing is kept
            oldest = past.contiguous + 1 if past.contiguous else 0
            self._node.answer(route, Pulled(body.origin, body.epoch, oldest, past.contiguous, past.messages), exchange)
            return
        config = self._node.config
        count_max = min(PULLED_MAX, max(config.pipe_segments // PIPE_SHARE, 1))
        frames = self._streams.held(stream, body.ranges, config.pull_bytes_max)[:count_max]
        is_own = stream is self._streams.own  # which comes from its origin by this way too
        for frame in frames:
            self._node.outbox.reply(route, frame if is_own else propagated(frame))
        self._node.counters.add("pulls.answered")
        self._node.counters.add("pulls.segments", len(frames))
        end = Pulled(stream.origin, stream.epoch, stream.oldest, stream.contiguous, stream.messages)
        self._node.answer(route, end, exchange)

    def ask_how(self, link: Link, streams: Sequence[Stream]) -> None:
        """Asks a neighbour how streams are there: digests ride a pipe that drops when gossip has filled it, answers one of their own."""
        if link.connected and link.theirs:
            self._node.ask(link.key, Ask(link.theirs, [stream.key for stream in streams]))
            self._node.counters.add("digests.asked")


def _is_origin(stream: Stream, link: Link) -> bool:
    """Whether that neighbour has whatever anybody has: a later life of it knows nothing of an earlier one."""
    return link.peer.id == stream.origin and link.peer.epoch == stream.epoch


def _is_ahead(stream: Stream, link: Link) -> bool:
    theirs = stream.theirs.get(link.key)
    return theirs is not None and theirs.contiguous > stream.contiguous


def is_needed(stream: Stream, segment: Segment, links: Sequence[Link]) -> bool:
    """Whether some neighbour may lack a segment that was pulled."""
    number = segment.header.number
    return any(link.key not in stream.theirs or stream.theirs[link.key].contiguous < number for link in links)
