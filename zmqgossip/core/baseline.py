"""Where this peer's hearing begins: SYNC, asked of one neighbour, once in the life of a process.

A newcomer cannot know whether number 7 of somebody's stream is the first that concerns it, or the rest of what it missed. So it
asks a neighbour whose link is up both ways how far each stream is there. What is listed starts behind that number, what is not
listed starts at 0; until the answer is whole, segments are passed on but not delivered. From then on a gap is a gap.

    newcomer                    neighbour
    SYNC            ------->
                    <-------    BASELINE part 1 of n ... n of n        it has a baseline itself
                    <-------    NOT_YET, and later SYNCED               it has none so far: ask again

Somebody must be first. Who hears only NOT_YET, while no link of its own making is still coming up, begins with nothing listed if
it is the oldest of all that it knows and no other is known to be ready, or after a second in which nothing better came along. A
neighbour that has a baseline, and is only silent, is waited for until it answers or its link ends.
Should two be first, each part owes the other its streams whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core.gossip import Gossip
from zmqgossip.core.gossip_messages import BaselinePart, NotYet, Position, Sync, Synced
from zmqgossip.core.members import Members
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Route
from zmqgossip.core.presence import Presence
from zmqgossip.core.types import PeerRecord
from zmqgossip.core.view import Link, LinkState, View

SYNC_DUE = "sync due"
ALONE_DUE = "alone due"
PART_MAX = 1024
"""Streams in one part: 46 bytes each at most with their ages, so a part stays far below a frame's limit."""
PARTS_MAX = 128
"""Parts of one answer, 131,072 streams: more than a node remembers unless it was told to. Those that were quiet longest are left out."""
GIVE_AGAIN_S = 0.5
"""Between two baselines for one link. In both profiles nobody asks again so soon; who does is asked to be patient by silence."""


class Baseline:
    """One peer's way to its baseline.

    Attributes:
        complete: segments are delivered, and this peer can give a baseline to others.
    """

    __slots__ = (
        "_alone_since",
        "_asked",
        "_exchange",
        "_given_at",
        "_gossip",
        "_members",
        "_node",
        "_parts",
        "_presence",
        "_put_off",
        "_silent",
        "_view",
        "complete",
    )

    def __init__(self, node: Node, view: View, members: Members, gossip: Gossip, presence: Presence) -> None:
        self._node = node
        self._view = view
        self._members = members
        self._gossip = gossip
        self._presence = presence
        self._asked: int | None = None  # key of the link that SYNC was said on
        self._exchange = 0
        self._parts: dict[int, BaselinePart] = {}
        self._put_off: dict[int, None] = {}  # links that said NOT_YET
        self._silent: dict[int, int] = {}  # links that said nothing in time, and how often; asked again in turn when nobody else is left
        self._given_at: dict[int, float] = {}  # when a link got a baseline from us
        self._alone_since: float | None = None
        self.complete = False

    # -- asking -----------------------------------------------------------------------------------------------------------

    def link_came_up(self, me: PeerRecord, now: float) -> None:
        if self._is_free:
            self._ask_somebody(me, now)

    @property
    def _is_free(self) -> bool:
        """Whether somebody new may be asked: nobody is, or one that was silent before."""
        return not self.complete and (self._asked is None or self._asked in self._silent)

    def _ask_somebody(self, me: PeerRecord, now: float) -> None:
        """Asks a neighbour that was not asked yet; with none left this peer may have to be the first."""
        self._asked, self._parts = None, {}
        links = [link for link in self._view.up() if not link.leaving and link.key not in self._put_off]
        fresh = [link for link in links if link.key not in self._silent]
        if not fresh:
            self._perhaps_first(me, now)
        by_key = {link.key: link for link in links}
        waiting = fresh or [by_key[key] for key in self._silent if key in by_key]
        if waiting and not self.complete:
            self._ask(waiting[0], now)

    def _ask(self, link: Link, now: float) -> None:
        self._asked = link.key
        self._exchange = self._node.ask(link.key, Sync(link.theirs))
        timeout_s = self._node.config.sync_timeout_s * (1 + self._silent.get(link.key, 0))  # a long answer may take longer
        self._node.timers.set((SYNC_DUE, link.key), now + timeout_s)

    def on_not_yet(self, me: PeerRecord, link: Link, exchange: int, now: float) -> None:
        if self._is_answer(link, exchange):
            self._silent.pop(link.key, None)
            self._put_off[link.key] = None
            self._pass_over(me, link.key, now)

    def due(self, me: PeerRecord, link: Link, now: float) -> None:
        """A neighbour that was asked says nothing."""
        if link.key == self._asked:
            self._node.counters.add("baseline.no_answer")
            self._silent[link.key] = self._silent.pop(link.key, 0) + 1  # to the end of the line of those that may be asked again
            self._pass_over(me, link.key, now)

    def _pass_over(self, me: PeerRecord, key: int, now: float) -> None:
        self._node.timers.cancel((SYNC_DUE, key))
        self._ask_somebody(me, now)

    def on_synced(self, me: PeerRecord, link: Link, now: float) -> None:
        """A neighbour that had no baseline has one now."""
        self._put_off.pop(link.key, None)
        self._silent.pop(link.key, None)
        if self._is_free:
            self._ask_somebody(me, now)

    def link_lost(self, me: PeerRecord, link: Link, now: float) -> None:
        """An asked neighbour that goes is replaced, and what it said so far is forgotten."""
        self._put_off.pop(link.key, None)
        self._silent.pop(link.key, None)
        self._given_at.pop(link.key, None)
        self._node.timers.cancel((SYNC_DUE, link.key))
        if not self.complete and self._asked in (None, link.key):
            self._ask_somebody(me, now)

    def on_part(self, me: PeerRecord, link: Link, body: BaselinePart, exchange: int, now: float) -> None:
        """A part of the answer; the last one that was missing makes it whole."""
        if not self._is_answer(link, exchange):
            return
        if body.part >= body.parts or body.parts > PARTS_MAX:
            self._node.refuse("field", str(link.peer), f"part {body.part} of {body.parts}")
            return
        self._parts[body.part] = body
        if len(self._parts) == body.parts:
            self._begin(me, [self._parts[part] for part in sorted(self._parts)], now)

    def _is_answer(self, link: Link, exchange: int) -> bool:
        fits = not self.complete and link.key == self._asked and exchange == self._exchange
        if not fits:
            self._node.counters.add("baseline.stale")
        return fits

    # -- beginning --------------------------------------------------------------------------------------------------------

    def _perhaps_first(self, me: PeerRecord, now: float) -> None:
        """All neighbours have no baseline either, or are silent."""
        if self._view.up_count == 0:
            self._alone_since = None
            self._node.timers.cancel((ALONE_DUE, 0))
        elif self._is_oldest(me) and not self._silent and not self._is_coming_in and self._presence.listed_count:
            self._begin(me, [], now)
        elif self._alone_since is None:
            self._alone_since = now
            self._node.timers.set((ALONE_DUE, 0), now + self._node.config.sync_alone_s)

    def _is_oldest(self, me: PeerRecord) -> bool:
        """Of all that this peer knows; a clock that goes wrong makes nobody first where others are ready."""
        others = [member.record for member in self._members.living()] + [link.peer for link in self._view.links()]
        return all(not other.ready and (me.epoch, me.id) <= (other.epoch, other.id) for other in others)

    @property
    def _is_coming_in(self) -> bool:
        """Whether more may be learnt soon: from a link of its own making, or from a seed that has yet to list it.

        Any two peers share a seed, so of two that are listed by all of theirs one knows the other.
        """
        dialling = any(link.dialled and link.state is not LinkState.UP for link in self._view.links())
        return dialling or not self._presence.is_settled

    @property
    def _one_has_it(self) -> bool:
        """Whether a neighbour that was asked in vain has a baseline: it is busy, or liveness will find that it is dead."""
        return any(link.key in self._silent and (link.synced or link.peer.ready) for link in self._view.up())

    def alone_due(self, me: PeerRecord, now: float) -> None:
        """Nothing better came along. Links that are still coming up may lead to those who know; but not for ever."""
        if self.complete or self._alone_since is None or (self._asked is not None and self._asked not in self._silent):
            self._alone_since = None
            return
        may_come = self._is_coming_in and now - self._alone_since < self._node.config.link_timeout_s
        if may_come or self._one_has_it:
            self._node.timers.set((ALONE_DUE, 0), now + self._node.config.sync_alone_s)
        elif self._view.up_count:
            self._begin(me, [], now)
        else:
            self._alone_since = None

    def _begin(self, me: PeerRecord, parts: Sequence[BaselinePart], now: float) -> None:
        self.complete = True
        for name, key in ((SYNC_DUE, self._asked or 0), (ALONE_DUE, 0)):
            self._node.timers.cancel((name, key))
        listed, past = (
            [one for one in positions if one.origin != me.id and not self._node.is_in_future(one.epoch, now)]
            for positions in ([one for part in parts for one in part.streams], [one for part in parts for one in part.past])
        )
        self._node.counters.add("baseline.streams", len(listed))
        ages = {(one.origin, one.epoch): age_s for part in parts for one, age_s in zip(part.streams, part.ages, strict=False)}
        self._gossip.begin(listed, past, ages, now)
        for link in self._view.up():
            self.say_synced(link)
        self._asked, self._parts, self._put_off, self._silent = None, {}, {}, {}

    def say_synced(self, link: Link) -> None:
        """A neighbour is told that this peer has its baseline: it may ask for it, and waits for this peer from now on."""
        if self.complete and link.theirs:
            self._node.ask(link.key, Synced(link.theirs, *self._gossip.walks.roots))

    # -- giving -----------------------------------------------------------------------------------------------------------

    def on_sync(self, link: Link, route: Route, exchange: int, now: float) -> None:
        """A neighbour asks for its baseline. It is a long answer to a short question, so it is not given at any rate."""
        if not self.complete:
            self._node.answer(route, NotYet(), exchange)
            return
        given_at = self._given_at.get(link.key)
        if given_at is not None and now - given_at < GIVE_AGAIN_S:
            self._node.counters.add("dropped.baseline_just_given")
            return
        self._given_at[link.key] = now
        self._node.counters.add("baseline.given")
        streams = self._gossip.streams
        parts: list[tuple[list[Position], list[Position]]] = [(some, []) for some in _in_parts(streams.positions(), PARTS_MAX)]
        parts += [([], some) for some in _in_parts(streams.past_positions(), PARTS_MAX - len(parts))]
        parts = parts or [([], [])]  # nobody has said anything yet
        for place, (some, past) in enumerate(parts):
            self._node.answer(route, BaselinePart(place, len(parts), some, past, self._gossip.ages(some, now)), exchange)


def _in_parts(positions: list[Position], parts_max: int) -> list[list[Position]]:
    """The last ones, if they are too many."""
    last = positions[max(len(positions) - parts_max * PART_MAX, 0) :]
    return [last[start : start + PART_MAX] for start in range(0, len(last), PART_MAX)]
