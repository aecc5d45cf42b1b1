"""The switchboard of a peer: every call of the body and every message goes to the file that knows what to do.

The body calls `on_*` with what happened and the time, drains `outbox`, and sleeps until `next_deadline`. Nothing a remote sends
raises out of here: a refused frame is a counter, `refused.<reason>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from zmqgossip.core import (
    accusations,
    backlog,
    baseline,
    deaths,
    digests,
    direct,
    farewell,
    liveness,
    lives,
    marks,
    overlay,
    patience,
    presence,
    publisher,
    repair,
    shuffles,
    visits,
)
from zmqgossip.core.census import Census
from zmqgossip.core.codes import Body, Status
from zmqgossip.core.config import ProtocolConfig
from zmqgossip.core.counters import Counters
from zmqgossip.core.errors import WireError
from zmqgossip.core.gate import Gate
from zmqgossip.core.gossip import Gossip
from zmqgossip.core.gossip_messages import Ask, Pull, Sync, Synced, Walk
from zmqgossip.core.hearsay import Hearsay
from zmqgossip.core.members import Members
from zmqgossip.core.membership import Membership
from zmqgossip.core.messages import (
    Answer,
    Bye,
    Check,
    Checked,
    Direct,
    Hello,
    Leave,
    LeaveHeard,
    Present,
    Probe,
    Shuffle,
    UnknownPeer,
    Verdict,
    WrongCluster,
    WrongVersion,
)
from zmqgossip.core.neighbours import Neighbours
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Knock, Outbox, Route
from zmqgossip.core.rates import Limit
from zmqgossip.core.types import Endpoint, PeerRecord, Whom
from zmqgossip.core.view import Link, View
from zmqgossip.core.wire import LINK_TOPIC_BYTES, MAJOR, MINOR, TOPIC_DIGEST, TOPIC_GOSSIP, link_topic


class PeerEngine:
    """One peer's protocol, without a body."""

    def __init__(
        self,
        me: PeerRecord,
        seeds: Sequence[Endpoint],
        cluster: int,
        config: ProtocolConfig,
        rng: Random,
        wall_offset: float,
    ) -> None:
        self.node = Node(cluster, config, rng, wall_offset)
        self.gossip_gate = Gate(self.node, _a_second_of(config.link_frames_per_s, config.link_bytes_per_s))
        self.request_gate = Gate(self.node, _a_second_of(config.peer_requests_per_s, config.peer_bytes_per_s))  # and of answers
        self.view = View()
        self.members = Members(me.id, config.members_max, config.tombstones_max, config.tombstone_s, self.node.outbox)
        self.census = Census(self.node, self.members, len(seeds))
        self.gossip = Gossip(me, self.node, self.view, self.members)
        self.liveness = liveness.Liveness(self.node, self.view)
        self.farewell = farewell.Farewell(self.node)
        self.overlay = overlay.Overlay(self.node, self.view, self.members, self.gossip.trees, self.farewell)
        self.presence = presence.Presence(self.node, seeds, self.members, self.census)
        self.membership = Membership(me, self.node, self.view, self.members, self.gossip, self.liveness, self.overlay, self.presence)
        self.hearsay = Hearsay(self.node, self.view, self.members, self.overlay, self.presence, self.membership)
        self._leaving_keys: tuple[int, ...] = ()  # neighbours that were told
        self.direct = direct.Direct(self.node, self.view, self.members)
        self.neighbours = Neighbours(
            self.node, self.view, self.gossip, self.liveness, self.overlay, self.membership, self.hearsay, self.farewell
        )

    @property
    def me(self) -> PeerRecord:
        """This peer's own record, as others should hold it."""
        return self.membership.me

    @property
    def finished(self) -> bool:
        """A leave was asked for, and is done."""
        return self.farewell.finished

    @property
    def outbox(self) -> Outbox:
        return self.node.outbox

    @property
    def counters(self) -> Counters:
        return self.node.counters

    @property
    def next_deadline(self) -> float | None:
        return self.node.timers.next()

    @property
    def ready_wanted(self) -> int:
        """Other peers that the user waits for; the seeds are asked until so many are known to be ready."""
        return self.presence.ready_wanted

    @ready_wanted.setter
    def ready_wanted(self, count: int) -> None:
        self.presence.ready_wanted = count

    def sizes(self, now: float) -> dict[str, int]:
        """How large everything is that grows; `members_count` is that of the whole cluster, as far as is known."""
        return {
            "members": self.members.living_count,
            "members_count": self.census.count(now),
            "candidates": self.members.candidates_count,
            "tombstones": self.members.tombstones_count,
            "neighbours": self.view.up_count,
            "links": len(self.view),
            "backing_off": self.overlay.backing_off_count,
            **self.gossip.sizes(),
            **self.direct.sizes(),
            "timers": len(self.node.timers),
        }

    # -- what the user wants ----------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        self.presence.start(now)

    def publish(self, batch: Sequence[backlog.Publication], now: float) -> None:
        """Publishes (topic, payload, Unix time) triples that were checked before, as soon as the window has room for them."""
        self.gossip.publish(self.me, batch, now)

    @property
    def message_bytes_max(self) -> int:
        """Bytes that the payload of one message may have."""
        return self.node.config.message_bytes_max

    @property
    def wants_more(self) -> bool:
        """Whether nothing that was published waits for the window."""
        return self.gossip.publisher.wants_more

    @property
    def backlog_bytes(self) -> int:
        """Bytes that were published and wait for the window."""
        return self.gossip.publisher.waiting_bytes

    @property
    def unconfirmed(self) -> int:
        """Messages that were published and that no neighbour is known to have."""
        return 0 if self._is_heard else self.gossip.publisher.unconfirmed_count

    @property
    def _is_heard(self) -> bool:
        """A neighbour has heard the leave, and so has all that was published before."""
        return any(self.farewell.has_heard(key) for key in self._leaving_keys)

    def flush(self, token: int, timeout_s: float, now: float) -> None:
        """Asks whether everybody has what was published until now. One FLUSHED effect with `token` follows.

        A peer that does not know everybody (`census.partial`) cannot tell, so there the answer is no, at once.
        """
        self.gossip.flush(self.me, token, timeout_s, now)

    def on_room(self, has_room: bool, now: float) -> None:
        """The application's queues are full, or have room again."""
        if has_room:
            self.gossip.marks.release(now)
        else:
            self.gossip.marks.hold(now)

    def ask(self, token: int, whom: Whom, payload: bytes, wants_answer: bool, timeout_s: float, now: float) -> None:
        """Asks one peer, or tells it something. One ANSWERED effect with `token` follows. Raises PayloadTooLarge, InvalidTimeout."""
        self.direct.ask(self.me, token, whom, payload, wants_answer, timeout_s, now)

    def answer(self, token: int, status: Status, payload: bytes, text: str, now: float) -> None:
        """Answers a Question: ANSWERED with a payload, or FAILED or BUSY with a text. Raises PayloadTooLarge."""
        self.direct.answer(token, status, payload, text, now)

    def leave(self, now: float) -> None:
        """Says goodbye to neighbours and seeds; `finished` becomes true when all have heard it, or the time for it is over."""
        if self.overlay.stopped:
            return
        self.overlay.stopped = True
        self.direct.leave(now)
        self.gossip.leave(self.me, now)
        self.membership.say_left(now)
        keys = self.neighbours.leave()
        self._leaving_keys = tuple(keys)
        self.farewell.begin(keys + self.presence.leave(self.me, self.gossip.number, now), now)

    # -- connections ------------------------------------------------------------------------------------------------------

    def on_connected(self, key: int, now: float) -> None:
        link = self.view.by_key(key)
        if link is not None:
            self.neighbours.on_connected(link, now)
        elif self.presence.knows(key):
            self.presence.on_connected(self.me, key, now)
        elif self.membership.ghosts.knows(key):
            self.membership.ghosts.on_connected(key)
        else:
            self.direct.on_connected(key, now)

    def on_disconnected(self, key: int, now: float) -> None:
        self.direct.on_disconnected(key, now)
        link = self.view.by_key(key)
        if link is not None:
            self.neighbours.on_disconnected(link, now)
        elif self.presence.knows(key):
            self.presence.on_disconnected(key, now)
        else:
            self.membership.visited(self.membership.ghosts.on_disconnected(key), now)
        self.farewell.unreachable(key)

    def on_not_sent(self, key: int, frame: bytes, now: float) -> bool:
        """The DEALER under `key` was full and did not take `frame`. Whether it is tried again: all but questions is old news then.

        The body may call this in the middle of an outbox: it adds no effect.
        """
        return self.direct.on_not_sent(key, frame, now)

    def on_not_opened(self, key: int, now: float) -> None:
        """The body had no socket left, or no way to that address: nobody else is to blame."""
        self.direct.on_not_opened(key, now)
        link = self.view.by_key(key)
        if link is not None:
            self.neighbours.on_not_opened(link, now)
        elif self.membership.ghosts.knows(key):
            self.membership.visited(self.membership.ghosts.on_not_opened(key), now)
        else:
            self.on_disconnected(key, now)

    def on_subscription(self, topic: bytes, now: float) -> None:
        """A topic appeared at the XPUB."""
        self.gossip.audience.change(topic, wanted=True)
        self.neighbours.on_subscription(topic, now)

    def on_unsubscription(self, topic: bytes, now: float) -> None:
        """A topic has no subscriber at the XPUB any more."""
        self.gossip.audience.change(topic, wanted=False)

    def on_knock(self, key: int, results: Sequence[Knock], now: float) -> None:
        link = self.view.by_key(key)
        if link is not None:
            self.neighbours.on_knock(link, results, now)
            self.direct.look(now)

    # -- messages ---------------------------------------------------------------------------------------------------------

    def on_gossip(self, key: int, frame: bytes, now: float) -> None:
        """A frame from the SUB of a link."""
        link = self.view.by_key(key)
        if link is None:
            self.counters.add("dropped.link_gone")
            return
        if link.tap is None:
            link.tap = self.gossip_gate.tap(now)
        if not link.tap.take(len(frame), now):
            self.gossip_gate.turn_away(key, str(link.peer), now, link.tap)
            return
        try:
            topic = frame[:1]
            if topic == TOPIC_GOSSIP:
                self._on_segment(link, frame, now)
            elif topic == TOPIC_DIGEST:
                self.neighbours.on_digest_topic(link, frame[1:], now)
                self.direct.look(now)
            elif frame[:LINK_TOPIC_BYTES] == link_topic(self.me.id, link.theirs):
                self.neighbours.on_link_up(link, frame[LINK_TOPIC_BYTES:], now)
            else:
                raise WireError("topic")
        except WireError as error:
            self.node.refuse_frame(error, str(link.peer.endpoint))
            return
        self.liveness.heard(link, now)

    def _on_segment(self, link: Link, frame: bytes, now: float, *, pulled: bool = False) -> None:
        origin, notices = self.gossip.receive(link, frame, now, pulled=pulled)
        for notice in notices:
            self.hearsay.on_notice(origin, notice, now)
        if notices:
            self.direct.look(now)
        goes = self.view.by_peer(origin)
        if goes is not None and goes.leaving:
            self.membership.came(goes, now)

    def on_request(self, route: Route, frame: bytes, address: str, now: float) -> None:
        """A frame at the ROUTER, from whoever connected to it from `address`."""
        if not self.request_gate.lets_in(route, len(frame), now):
            self.request_gate.turn_away(route, address, now)
            return
        try:
            body, exchange = self.node.codec.decode(frame)
        except WireError as error:
            self.node.refuse_frame(error, address)
            if error.reason == "version":
                self.node.answer(route, WrongVersion(MAJOR, MINOR), 0)
            return
        match body:
            case Probe():
                self.neighbours.on_probe(body, route, exchange, now)
            case Pull() | Ask() | Walk():
                self.neighbours.on_question(body, route, exchange, now)
            case Hello():
                self.neighbours.on_hello(body, route, exchange, address, now)
            case Shuffle():
                self.neighbours.on_shuffle(body, route, exchange, now)
            case Sync():
                self.neighbours.on_sync(body, route, exchange, now)
            case Synced():
                self.neighbours.on_synced(body, now)
            case Bye():
                self.neighbours.on_bye(body, now)
            case Leave():
                self.neighbours.on_leave(body, route, exchange, now)
            case Direct():
                self.direct.on_direct(self.me, body, route, exchange, address, now)
            case Check():
                self.node.answer(route, Checked(self.me, body.nonce, self.presence.has_ticket(body.ticket)), exchange)
                self.counters.add("checks.answered")
            case _:
                self.node.refuse("unexpected", address)
        self.direct.look(now)

    def on_reply(self, key: int, frame: bytes, now: float) -> None:
        """A frame at the DEALER of a link, of a seed or of an errand."""
        link = self.view.by_key(key)
        errand = self.direct.errand_at(key)
        if link is None and errand is None and not self.presence.knows(key) and not self.membership.ghosts.knows(key):
            self.counters.add("dropped.link_gone")
            return
        if not self.request_gate.lets_in(key, len(frame), now):
            self.request_gate.turn_away(key, self._name_of(key), now)
            return
        try:
            if link is not None and frame[:1] == TOPIC_GOSSIP:  # the answer to a pull
                self._on_segment(link, frame, now, pulled=True)
                return
            body, exchange = self.node.codec.decode(frame)
        except WireError as error:
            self.node.refuse_frame(error, self._name_of(key))
            return
        if errand is not None:
            self.direct.on_reply(key, exchange, body, now)
        elif self.membership.ghosts.knows(key):
            self._on_visited(key, body, now)
        elif link is None:
            self._on_seeds_reply(key, body, now)
        elif isinstance(body, Answer):
            self.liveness.heard(link, now)
            self.direct.on_reply(key, exchange, body, now)
        else:
            self.neighbours.on_reply(link, body, exchange, now)
        self.direct.look(now)

    def _name_of(self, key: int) -> str:
        """Who is at the other end of a DEALER, for the log."""
        link = self.view.by_key(key)
        if link is not None:
            return str(link.peer)
        return "a visited peer" if self.membership.ghosts.knows(key) else str(self.direct.errand_at(key) or self.presence.seed_of(key))

    def _on_visited(self, key: int, body: Body, now: float) -> None:
        if isinstance(body, Checked):
            self.membership.visited(self.membership.ghosts.on_checked(key, body, now), now)
        else:
            self.node.refuse("unexpected", self._name_of(key))

    def _on_seeds_reply(self, key: int, body: Body, now: float) -> None:
        match body:
            case WrongCluster():
                self.presence.on_wrong_cluster(key, now)
            case Verdict():
                self.membership.on_verdict(self.presence.seed_of(key), body, now)
            case LeaveHeard():
                self.farewell.heard(key)
        if self.presence.knows(key):
            self.hearsay.on_list(self.presence.on_answer(self.me, key, body, self.view.up_count, now), now)
        if isinstance(body, Present):
            self.membership.look_for_ghosts(now)
        if isinstance(body, UnknownPeer):
            self.membership.refute(body.epoch, body.revision, now)
            self.presence.on_unknown(self.me, key, now)
        self.membership.fill(now)

    # -- time -------------------------------------------------------------------------------------------------------------

    def on_timers(self, now: float) -> None:
        """Everything that is due. A turn that comes late judges nobody: this node itself was away."""
        due = self.node.timers.next()
        if due is not None and now - due > self.node.config.late_s:
            self.counters.add("loop.late")
            self.liveness.postpone(now)
            self.presence.postpone(now)
            self.overlay.postpone(now)
            self.membership.postpone(now)
            self.gossip.postpone(now)
        while (due := self.node.timers.next()) is not None and due <= now:
            key = self.node.timers.pop_due(now)
            assert key is not None, "a deadline that has passed has a key"
            self._on_due(*key, due, now)
        self.direct.look(now)

    def _on_due(self, name: str, key: int, due: float, now: float) -> None:
        if name in direct.TIMERS:  # before links are looked for: an exchange number may be the key of one
            self.direct.on_due(name, key, now)
            return
        link = self.view.by_key(key) if name != presence.SEED_RETRY else None  # nor may a seed's place be taken for one
        if link is not None:
            self.neighbours.on_due(name, link, due, now)
            return
        match name:
            case digests.DIGEST_DUE:
                self.gossip.digests.due(now)
            case repair.PULL_DUE:
                self.gossip.pull_due(now)
            case patience.PATIENCE_DUE:
                self.gossip.patience_due(self.me, now)
            case marks.HOLD_DUE:
                self.gossip.marks.hold_no_longer(now)
            case publisher.FLUSH_DUE:
                self.gossip.flush_due(self.me, now)
            case lives.FADE_DUE:
                self.gossip.lives.fade(now)
            case lives.EPOCH_DUE:
                self.gossip.end_lives(now)
            case overlay.REDIAL:
                self.membership.fill(now)
            case deaths.DEATHS_DUE:
                self.membership.deaths_due(now)
            case shuffles.SHUFFLE_DUE:
                self.membership.shuffles.due(self.me, now)
            case baseline.ALONE_DUE:
                self.membership.baseline.alone_due(self.me, now)
                self.membership.check_ready(now)
            case presence.SEED_DUE:
                self.presence.due(key, now)
                self.farewell.unreachable(key)
            case presence.SEED_RETRY:
                self.presence.retry(key, now)
            case presence.RENEW:
                self.presence.renew(self.me, key, self.view.up_count, now)
            case presence.ASK:
                self.presence.ask_lists(self.view.up_count == 0, now)
            case accusations.VERDICT_DUE:
                self.membership.verdict_due(key, now)
            case visits.VISIT_DUE:
                self.membership.visited(self.membership.ghosts.due(key), now)
            case farewell.LEAVE_DUE:
                self.farewell.finish()


def _a_second_of(messages_per_s: float, bytes_per_s: float) -> Limit:
    """A bucket that holds what may come in a second."""
    return Limit(messages_per_s, messages_per_s, bytes_per_s, bytes_per_s)
