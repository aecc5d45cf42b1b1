"""Hearsay: what others say of peers, and what of it this peer believes.

Of himself everybody tells the truth; of others one gives hints. So ALIVE and LEFT count only from their owner, a death of one's own
neighbour is checked by one's own probes, and who is held gone and said to live is asked himself.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.members import Members
from zmqgossip.core.membership import Membership
from zmqgossip.core.node import Node
from zmqgossip.core.overlay import Overlay
from zmqgossip.core.presence import Presence
from zmqgossip.core.types import REVISIONS_AHEAD_MAX, Member, PeerId, PeerRecord, PeerState, moves
from zmqgossip.core.view import LinkState, View

CHALLENGE_GAP_S = 0.2
"""Between two floods about peers that a seed and this peer disagree on; the next list brings the others up again."""
HEARD_S = 2.0
"""So long an end takes at most to get round. Until then a table or list that lacks it contradicts nothing. (By wall time, which may be set:
then it is contradicted too soon.)"""
ASKED_S, ASKED_MAX = 5.0, 1000
"""So long nobody else need ask an owner that somebody has just asked: everybody hears the answer. As many are remembered."""
_GONE = (PeerState.DEAD, PeerState.LEFT)


class Hearsay:
    """What seeds list, neighbours have in their tables, gossip brings, and candidates that are handed on."""

    def __init__(self, node: Node, view: View, members: Members, overlay: Overlay, presence: Presence, membership: Membership) -> None:
        self._node = node
        self._view = view
        self._members = members
        self._overlay = overlay
        self._presence = presence
        self._membership = membership
        self._challenged_at = -CHALLENGE_GAP_S
        self._returned_count = 0
        self._asked: dict[PeerId, float] = {}  # owners that others have asked whether they live, oldest first

    def on_list(self, members: Sequence[Member], now: float) -> None:
        """What a seed lists, and whom it took off lately. It has looked for itself, but knows no newer record than the owner's."""
        for member in members:
            record, state = member.record, member.state
            if (state in _GONE and self._members.has_buried(record)) or self._is_useless(record, now):
                continue
            held = self._members.get(record.id)
            if state in _GONE:
                if held is not None and held.state not in _GONE and not self._is_linked(record.id):
                    self._membership.learn(record, state, now)
            elif held is not None and held.state is PeerState.DEAD and record.order <= held.record.order:
                self._challenge(record, held, now)
            else:
                self._membership.learn(record, state, now)
                self._membership.ghosts.vouch(record.id, now)
        self._membership.count(now)
        if self._presence.returned_count != self._returned_count:
            self._returned_count = self._presence.returned_count
            self._membership.renewal.doubt(now)  # where a seed was out of reach, others may have been
        self._membership.renewal.on_sample(self._membership.me, members, now)

    def _is_linked(self, peer: PeerId) -> bool:
        """Whether there is a link with it that is up."""
        link = self._view.by_peer(peer)
        return link is not None and link.state is LinkState.UP

    def _is_useless(self, record: PeerRecord, now: float) -> bool:
        """Whether it would only take a better one's place among the candidates of a part of all: it was dialled and not met."""
        return self._members.partial and self._overlay.is_waiting(record, now) and self._members.get(record.id) is None

    def on_table(self, members: Sequence[Member], now: float) -> None:
        """What a neighbour has in its table otherwise than this peer. It is hearsay, and of a death a hint."""
        if self._members.partial:
            return
        for member in members:
            record, state = member.record, member.state
            if self._node.is_in_future(record.epoch, now):
                self._node.counters.add("dropped.epoch")
            elif record.id == self._membership.me.id:
                if state is not PeerState.ALIVE:
                    self._membership.refute(record.epoch, record.revision, now)
            elif state in _GONE:
                self._hear_of_end(record, state, now)
            else:
                self._hear_of_living(record, now)

    def _hear_of_end(self, record: PeerRecord, state: PeerState, now: float) -> None:
        """Of those who are unknown here nothing is kept: a newcomer need not know who is gone."""
        held = self._members.get(record.id)
        if held is None or (held.state is state and record.order <= held.record.order):
            return
        if self._is_linked(record.id):
            self._node.counters.add("dropped.hint_about_neighbour")
        elif self._is_plausible(record):
            self._membership.learn(record, state, now)

    def _hear_of_living(self, record: PeerRecord, now: float) -> None:
        """Somebody who is unknown here, or whose owner has said something newer. That the neighbour suspects it is its opinion."""
        held = self._members.get(record.id)
        if held is None:
            self._membership.learn(record, PeerState.ALIVE, now)
        elif self._moves_a_life(held.record, record):
            self._node.counters.add("dropped.hint_about_unknown_life")
        elif record.order > held.record.order:
            self._membership.speaks(record, now)
        elif held.state is PeerState.DEAD or (held.state is PeerState.LEFT and record.order == held.record.order):
            self._challenge(record, held, now)
        elif record.order == held.record.order and record.ready and not held.record.ready:
            self._membership.learn(record, held.state, now)

    def _moves_a_life(self, held: PeerRecord, said: PeerRecord) -> bool:
        """Whether a record would give a life another address or too new a revision, or a linked neighbour another life."""
        if held.epoch != said.epoch:
            return self._is_linked(said.id)
        return moves(held, said) or said.revision > held.revision + REVISIONS_AHEAD_MAX

    def _challenge(self, listed: PeerRecord, held: Member, now: float) -> None:
        """Somebody holds alive whom this peer holds gone. The owner is told: only its newer record revives an entry.

        Also where a neighbour says so of one who is held to have left: that may be hearsay, and who left answers nothing. A seed that
        lists one who has left has only missed its word; where the word was false, some neighbour's table says so as well.

        It may live in another half of the network, where no gossip of this one gets; so it is dialled too.
        """
        if 0 <= self._node.wall(now) - held.since < HEARD_S:
            return
        if now - self._challenged_at < CHALLENGE_GAP_S:
            self._node.counters.add("dropped.challenge")
            return
        self._challenged_at = now
        self._overlay.bridge(self._membership.me, listed, now)
        if now - self._asked.get(held.record.id, -ASKED_S) < ASKED_S:
            self._node.counters.add("challenges.spared")
            return
        self._node.counters.add("challenges.sent")
        self._membership.tell(PeerState.SUSPECT, [held.record], now)

    def on_deaths(self, records: Sequence[PeerRecord], now: float) -> None:
        """A neighbour has found out or heard that these are dead. What is news, and believed, is told on."""
        members, counters = self._members, self._node.counters
        for record in records:
            if members.has_buried(record):  # nearly all, in a mass failure
                continue
            held = members.get(record.id)
            if self._node.is_in_future(record.epoch, now):
                counters.add("dropped.epoch")
            elif record.id == self._membership.me.id:
                self._membership.refute(record.epoch, record.revision, now)
            elif held is None:
                counters.add("dropped.hint_about_unknown_life")
            elif held.state is not PeerState.LEFT:
                self._hear_of_death(record, now)

    def _hear_of_death(self, record: PeerRecord, now: float) -> None:
        """A death of a life that is known, if it is not known already.

        Nobody is told of a neighbour's that its own probes do not see; but the neighbour itself is, which can refute it.
        """
        self._hear_of_end(record, PeerState.DEAD, now)
        held, link = self._members.get(record.id), self._view.by_peer(record.id)
        if self._members.partial or held is None:
            return
        if held.state is PeerState.DEAD and held.record.order == record.order:
            self._membership.untold.add(record, now)
        elif link is not None and link.state is LinkState.UP and record.order > link.called_dead and self._is_plausible(record):
            link.called_dead = record.order
            self._membership.untold.pass_on(record, now)

    def on_notice(self, origin: PeerId, notice: Notice, now: float) -> None:
        """A membership change that came as gossip."""
        record, state = notice.record, notice.state
        if self._node.is_in_future(record.epoch, now):
            self._node.counters.add("dropped.epoch")
        elif record.id == self._membership.me.id:
            if state in (PeerState.DEAD, PeerState.SUSPECT):
                self._membership.refute(record.epoch, record.revision, now)
        elif origin != record.id:
            self._node.counters.add("dropped.not_the_owner")
            if state is PeerState.SUSPECT:
                self._note_asked(record, now)
        elif state is PeerState.LEFT:
            self._membership.on_leave(self._view.by_peer(record.id), record, notice.last, now)
        elif self._moves_a_neighbour(record):
            self._node.counters.add("dropped.neighbour_moved")
        else:
            self._membership.speaks(record, now)
            self._membership.fill(now)

    def _note_asked(self, record: PeerRecord, now: float) -> None:
        """Somebody has asked an owner whether it lives, if that is a question it answers."""
        held = self._members.get(record.id)
        if held is not None and held.record.epoch == record.epoch and held.record.order <= record.order:
            self._asked.pop(record.id, None)
            self._asked[record.id] = now
            if len(self._asked) > ASKED_MAX:
                del self._asked[next(iter(self._asked))]

    def _moves_a_neighbour(self, record: PeerRecord) -> bool:
        """Whether a record gives a linked neighbour another address: within one life it has one, and the link proves which."""
        link = self._view.by_peer(record.id)
        return link is not None and link.state is LinkState.UP and moves(link.peer, record)

    def _is_plausible(self, record: PeerRecord) -> bool:
        """Whether somebody else's word on a death is taken: of a life and an address known here, and of a record its owner can exceed."""
        held = self._members.get(record.id)
        is_known = held is not None and held.record.epoch == record.epoch and not moves(held.record, record)
        if not is_known or held is None or record.revision > held.record.revision + REVISIONS_AHEAD_MAX:
            self._node.counters.add("dropped.hint_about_unknown_life")
            return False
        return True

    def learn_candidate(self, record: PeerRecord, now: float) -> None:
        """Hearsay of somebody to dial: taken only of those who are not known here."""
        is_known = self._members.get(record.id) is not None or self._is_useless(record, now)
        if not is_known and not self._node.is_in_future(record.epoch, now):
            self._membership.learn(record, PeerState.ALIVE, now)

    def learn_candidates(self, records: Sequence[PeerRecord], now: float) -> None:
        """The same of several, some of whom may be dialled at once."""
        for record in records:
            self.learn_candidate(record, now)
        self._membership.fill(now)
