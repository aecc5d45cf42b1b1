"""What this peer holds of others, what they hold of it, and what follows from a change of either.

What it believes of what others say is decided in `hearsay`. A peer that hears of its own death answers with a newer record.

Where the cluster is too large for everybody to know everybody (`census`), nothing of this is told to all: neighbours know each other
by their links, seeds by presence, reports and leaves, and what is heard of anybody else is hearsay about somebody to dial.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from zmqgossip.core.accusations import Accusations
from zmqgossip.core.baseline import Baseline
from zmqgossip.core.codes import Evidence
from zmqgossip.core.deaths import UntoldDeaths
from zmqgossip.core.events import Isolated, MembersFull, MembersPartial, Ready, Refuted, VerdictHeard
from zmqgossip.core.ghosts import Ghosts
from zmqgossip.core.gossip import Gossip
from zmqgossip.core.liveness import Liveness
from zmqgossip.core.members import Change, Members
from zmqgossip.core.messages import LeaveHeard, Verdict
from zmqgossip.core.node import Node
from zmqgossip.core.overlay import LEAVING_DUE, Overlay
from zmqgossip.core.presence import Presence
from zmqgossip.core.renewal import Renewal
from zmqgossip.core.shuffles import Shuffles
from zmqgossip.core.types import Endpoint, PeerRecord, PeerState
from zmqgossip.core.view import Link, LinkState, View
from zmqgossip.core.wire import REVISION_MAX, TOPIC_DIGEST

REFUTE_GAP_S = 1.0
"""A liar who says again and again that this peer is dead must not make it shout at wire speed."""
REFUTED_AHEAD_MAX = 1_000_000
"""No honest verdict is about a record so far ahead of one's own. One lie near the largest revision would leave none to answer with."""
_GONE = (PeerState.DEAD, PeerState.LEFT)
_WHY_LOST = {Evidence.REFUSED: "connects are refused", Evidence.REPLACED: "somebody else lives at its address"}


class Membership:
    """One peer's place among the others.

    Attributes:
        me: this peer's own record, as others should hold it.
        baseline: where its hearing begins.
        renewal: whether it doubts that it hears everybody.
        shuffles: its exchanges of candidates.
        ghosts: its search for those who are gone, and whom nobody has told of.
        untold: deaths that it found out or heard of, and is about to tell its neighbours.
    """

    def __init__(
        self,
        me: PeerRecord,
        node: Node,
        view: View,
        members: Members,
        gossip: Gossip,
        liveness: Liveness,
        overlay: Overlay,
        presence: Presence,
    ) -> None:
        self.me = me
        members.become(me)
        self.announced = False
        self._refuted_at: float | None = None
        self._node = node
        self._view = view
        self._members = members
        self._census = presence.census
        self._gossip = gossip
        self._liveness = liveness
        self._overlay = overlay
        self._presence = presence
        self.baseline = Baseline(node, view, members, gossip, presence)
        self._accusations = Accusations(node, members)
        self.renewal = Renewal(node, view, overlay)
        self.shuffles = Shuffles(node, view, members)
        self.ghosts = Ghosts(node, view, members, presence)
        self.untold = UntoldDeaths(node, members)

    # -- what others should know of this peer -----------------------------------------------------------------------------

    def fill(self, now: float) -> None:
        """Dials as many as are wanted; who knows too few asks its seeds for others."""
        self._presence.wanting(self._overlay.fill(self.me, now), now)
        self.shuffles.arm(now)

    def link_came_up(self, link: Link, now: float) -> None:
        self._liveness.watch(link, now)
        self.untold.arm(now)
        self._gossip.trees.link_came_up(link, now)
        self.renewal.came_up(link)
        self._presence.found()
        self._follow(link, now)
        self.baseline.say_synced(link)
        self.baseline.link_came_up(self.me, now)
        self.check_ready(now)
        if self.me.ready and not self.announced:
            self._announce(now)

    def check_ready(self, now: float) -> None:
        """Ready: a link is up both ways, and it is known where hearing begins. What anybody publishes from now on is heard."""
        if self.me.ready or not self.baseline.complete or self._overlay.stopped:
            return
        if any(not link.leaving for link in self._view.up()):
            self._become(replace(self.me, ready=True))
            self._node.outbox.event(Ready(self._view.up_count))
            self._announce(now)

    def _become(self, me: PeerRecord) -> None:
        self.me = me
        self._members.become(me)

    def _announce(self, now: float) -> None:
        """Tells everybody who this peer is and how it stands."""
        if self._overlay.stopped:
            return
        self.announced = self._view.up_count > 0  # said to nobody, it must be said again when a link comes up
        self.tell(PeerState.ALIVE, [self.me], now)
        self._presence.renew_all(self.me, self._view.up_count, now)

    def say_left(self, now: float) -> None:
        """Tells everybody that this peer goes, if they have heard of it. What it was about to tell of others comes first."""
        self.deaths_due(now)
        self._accusations.drop_all()
        if self.announced:
            self.tell(PeerState.LEFT, [self.me], now)

    def tell(self, state: PeerState, records: Sequence[PeerRecord], now: float) -> None:
        """Tells everybody what is held of peers, unless they are too many."""
        if self._members.partial:
            self._node.counters.add("notices.spared", len(records))
        else:
            self._gossip.announce(self.me, state, records, now)

    def refute(self, epoch: int, revision: int, now: float) -> None:
        """Somebody holds this peer dead: it answers with a newer record, unless the verdict was about an older one."""
        if self._overlay.stopped or epoch != self.me.epoch or revision < self.me.revision:
            return
        if revision >= min(self.me.revision + REFUTED_AHEAD_MAX, REVISION_MAX):
            self._node.counters.add("dropped.verdict_too_far_ahead")
            return
        if self._refuted_at is not None and now - self._refuted_at < REFUTE_GAP_S:
            self._node.counters.add("dropped.refuted_just_now")
            return
        self._refuted_at = now
        self._become(replace(self.me, revision=revision + 1))
        self._node.outbox.event(Refuted(revision + 1))
        self._node.counters.add("refuted")
        self._announce(now)

    # -- what this peer knows of others -----------------------------------------------------------------------------------

    def learn(self, record: PeerRecord, state: PeerState, now: float) -> None:
        change = self._members.learn(record, state, self._node.wall(now))
        if state in _GONE and not self._members.is_living(record.id):
            self._accusations.heard_of(record.id)
        if change is Change.JOINED:
            self.ghosts.vouch(record.id, now)  # also by hearsay, once: it gets a lease to be heard of otherwise
            self.count(now)

    def count(self, now: float) -> None:
        """The cluster may have become too large for this peer to know everybody, or small enough."""
        count = self._census.look(now)
        if count is None:
            return
        if self._members.partial:
            self._gossip.give_up_flushes()
            self._node.outbox.event(MembersPartial(count))
        else:
            self._node.outbox.event(MembersFull(count))
            self._presence.read_all(now)

    def _follow(self, link: Link, now: float) -> None:
        """A link has come up: whatever was said before of that life, it lives."""
        held = self._members.get(link.peer.id)
        if self._members.partial and held is not None and held.state in _GONE and held.record.epoch == link.peer.epoch:
            self._members.forget(link.peer.id)  # nobody tells it, as in a full table, and only this peer holds it gone
        self._members.follow(link.peer.id)  # before it is learnt, or it might be a candidate too many
        self.learn(link.peer, PeerState.ALIVE, now)
        self.ghosts.vouch(link.peer.id, now)

    def synced(self, link: Link, now: float) -> None:
        """A neighbour has said that it knows where its hearing begins: with a link that is up, that is ready."""
        held = self._members.get(link.peer.id)
        if link.state is LinkState.UP and not link.leaving:
            same_life = held is not None and held.record.epoch == link.peer.epoch
            record = held.record if held is not None and same_life else link.peer
            self.speaks(replace(record, ready=True), now)

    def not_there(self, link: Link) -> None:
        """Nobody met the one that was dialled at its address: it is no candidate any more, of whom there are others."""
        if self._members.partial and not link.theirs:
            self._members.forget(link.peer.id)

    def said_hello(self, record: PeerRecord, now: float) -> None:
        """Somebody dials. Who is unknown is learnt when the link is up: it may be one that dials out and that nobody reaches."""
        if self._members.get(record.id) is not None:
            self.speaks(record, now)

    def speaks(self, record: PeerRecord, now: float) -> None:
        """A peer has shown by a handshake that it lives."""
        self._accusations.heard_of(record.id)
        self.learn(record, PeerState.ALIVE, now)
        self.ghosts.vouch(record.id, now)

    def on_leave(self, link: Link | None, record: PeerRecord, last: int, now: float) -> None:
        """A peer says that it goes, `last` being its last segment: by gossip, or as a neighbour on its link.

        What is still on its way from a neighbour is waited for, and pulled if it must be, or nobody would pass it on.
        """
        if link is None or self._gossip.has_all(record, last):
            self.has_left(record, now)
            return
        self._accusations.heard_of(record.id)
        self.learn(record, PeerState.LEFT, now)
        if not link.leaving:
            self._node.timers.set((LEAVING_DUE, link.key), now + self._node.config.leave_timeout_s)
        link.leaving, link.last = True, max(link.last, last)

    def came(self, link: Link, now: float) -> None:
        """Something came of a neighbour that leaves: perhaps it was the last."""
        if self._gossip.has_all(link.peer, link.last):
            self.has_left(link.peer, now)

    def has_left(self, record: PeerRecord, now: float) -> None:
        """A peer says that it goes, and all that it published is here."""
        self._accusations.heard_of(record.id)
        self.learn(record, PeerState.LEFT, now)
        link = self._view.by_peer(record.id)
        if link is not None:
            if link.owed is not None:
                self._node.answer(link.owed[0], LeaveHeard(), link.owed[1])
            link.theirs = b""  # no BYE to somebody who goes
            self.lose(link, "left", now)

    def said(self, link: Link, links_count: int, now: float) -> None:
        """A neighbour says how many links it has: perhaps it can do without one that is too many here."""
        goes = self.renewal.said(link, links_count, now)
        if goes is not None:
            self.lose(goes, "links enough", now, candidates=self._overlay.some_members(self.me, goes.peer.id))

    def lose(self, link: Link, why: str, now: float, *, candidates: Sequence[PeerRecord] = ()) -> None:
        """A link ends, and another takes its place."""
        self._overlay.drop(link, why, now, failed=True, candidates=candidates)
        self.announced = self.announced and self._view.up_count > 0
        self.fill(now)
        self.link_ended(link, now)

    def link_ended(self, link: Link, now: float) -> None:
        """What others kept of a link that was given up."""
        if link.state is LinkState.UP and self._view.up_count == 0 and not self._overlay.stopped:
            self._node.counters.add("links.isolated")
            self._node.outbox.event(Isolated(self._members.living_count))
        self._liveness.forget(link)
        self.shuffles.link_lost(link)
        self._members.unfollow(link.peer.id)
        self._gossip.link_lost(self.me, link, now)
        self.baseline.link_lost(self.me, link, now)
        self.check_ready(now)

    # -- the dead ---------------------------------------------------------------------------------------------------------

    def judge(self, link: Link, evidence: Evidence | None, now: float) -> None:
        """A neighbour has failed, if there is evidence: report it and replace it."""
        if evidence is None:
            return
        if link.leaving or self._has_left(link.peer):
            self.lose(link, "left", now)
            return
        report = self._accusations.accuse(self.me, link, evidence, now, can_ask=self._presence.is_connected)
        if report is not None:
            self._presence.tell_all(report, now)
        if evidence is Evidence.MISSES:
            self.renewal.doubt(now)
        elif not self._members.is_living(link.peer.id):
            self.untold.add(link.peer, now)
        self.lose(link, _WHY_LOST.get(evidence, f"{link.misses} misses"), now)

    def _has_left(self, record: PeerRecord) -> bool:
        """Whether that life has said that it goes, though its link did not hear it."""
        held = self._members.get(record.id)
        return held is not None and held.state is PeerState.LEFT and held.record.epoch == record.epoch

    def lives_anew(self, record: PeerRecord) -> bool:
        """Whether a later life of that peer is known, so that this one is over."""
        held = self._members.get(record.id)
        return held is not None and held.record.epoch > record.epoch

    def on_verdict(self, seed: Endpoint, body: Verdict, now: float) -> None:
        """A seed has decided on a report."""
        dead = self._accusations.on_verdict(body, now)
        if dead is not None:
            self.untold.add(dead, now)
        if body.state is not PeerState.SUSPECT:
            self._node.outbox.event(VerdictHeard(seed, body.target, body.state))

    def deaths_due(self, now: float) -> None:
        """Tells the neighbours of those who were found or heard to be dead a moment ago."""
        if not self._view.up_count:  # as soon as there is one
            return
        node = self._node
        for deaths in self.untold.due(now):
            if self._members.partial:
                node.counters.add("deaths.spared", len(deaths.records))
            else:
                node.outbox.publish(TOPIC_DIGEST + node.codec.encode(deaths))
                node.counters.add("deaths.told", len(deaths.records))

    def look_for_ghosts(self, now: float) -> None:
        """A seed has answered that it lists this peer."""
        if not self._overlay.stopped:
            self.ghosts.look(now)

    def visited(self, dead: PeerRecord | None, now: float) -> None:
        """The end of a visit, and who is dead by that."""
        if dead is not None and not self._overlay.stopped:
            self.learn(dead, PeerState.DEAD, now)
            self.untold.add(dead, now)

    def postpone(self, now: float) -> None:
        """This node was away: nobody is judged for what it did not hear meanwhile."""
        self._accusations.postpone_all(now)
        self.ghosts.postpone(now)

    def verdict_due(self, key: int, now: float) -> None:
        """No seed has decided in time: this peer's own word stands."""
        if self._view.up_count == 0 and not self._accusations.is_gone(key):  # who hears nobody is the one cut off
            self._accusations.postpone(key, now)
            return
        dead = self._accusations.due(key, now)
        if dead is not None:
            self.untold.add(dead, now)
