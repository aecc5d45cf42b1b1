"""Whom a peer is linked with: dialling, the handshake, link up, replacement, leaving.

A peer dials until it has four links of its own making, and takes more from others up to a limit, which always leaves room for
its own. Beyond that limit stand a few spare places: for who says that it has one link or none, and for what a peer dials where it
must. So nobody's link is taken away for a newcomer. Each end of a link has a DEALER to the other's ROUTER and a SUB to the other's
XPUB:

    dialler                         acceptor
    HELLO(nonce a)      ------->    makes the link, dials back, subscribes to L + own id + a
                        <-------    WELCOME(nonce b, a)
    subscribes to L + own id + b
    both: my link topic was seen -> publish LINK_UP on it;  LINK_UP came -> what the other publishes reaches me

When two HELLOs cross, both ends hold both nonces already, so each answers with the link that it has; the smaller id counts as
the dialler. Nobody is called dead here: that is `liveness` and the seeds. Which links are given up for better ones is `renewal`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from zmqgossip.core.backoff import Backoff
from zmqgossip.core.codes import Why
from zmqgossip.core.events import NeighbourDown, NeighbourUp
from zmqgossip.core.farewell import Farewell
from zmqgossip.core.members import Members
from zmqgossip.core.messages import Bye, Hello, LinkUp, Receipt, Refused, Welcome
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Route
from zmqgossip.core.rates import Bucket, Limit
from zmqgossip.core.trees import Trees
from zmqgossip.core.types import PeerId, PeerRecord, PeerState
from zmqgossip.core.view import Link, LinkState, View
from zmqgossip.core.wire import TOPIC_DIGEST, link_topic

LINK_DUE = "link due"
LEAVING_DUE = "leaving due"
HELLO_DUE = "hello"
REDIAL = "redial"
REOPEN = "reopen"
MODE_PLAIN = "plain"
CANDIDATES_MAX = 16
"""Candidates handed out with a refusal or a BYE: enough to find four that are not full, in a small frame."""
ISOLATED_LINKS = 1
"""Who has no more links than this says so in its HELLO: one more failure and it hears nobody."""
SETTLED_LINKS = 3
"""Who says that it has so many can lose one and still hears from two neighbours."""

ANEW_GAP_S = 1.0
"""A link is not begun anew sooner: who has a place here must not use up what newcomers need."""
BRIDGES_MAX = 2
"""Under way and not up yet: hearsay about many who do not answer must not take the places of those who do."""


class Overlay:
    """The links of one peer."""

    __slots__ = ("_accepts", "_backoff", "_farewell", "_members", "_node", "_trees", "_view", "stopped")

    def __init__(self, node: Node, view: View, members: Members, trees: Trees, farewell: Farewell) -> None:
        self._node = node
        self._view = view
        self._members = members
        self._trees = trees
        self._farewell = farewell
        self._backoff = Backoff(node)
        # Each link that others begin is three sockets, made before the other end has shown anything but a frame.
        accepted_per_s = node.config.neighbours_max + node.config.neighbours_spare
        self._accepts = Bucket(Limit(2 * accepted_per_s, accepted_per_s, math.inf, math.inf), 0.0)
        self.stopped = False

    # -- dialling ---------------------------------------------------------------------------------------------------------

    def fill(self, me: PeerRecord, now: float) -> bool:
        """Dials random members until as many links as wanted are of this peer's making. Whether it knows too few to dial."""
        if self.stopped:
            return False
        wanted = self._node.config.neighbours_dialled - self._view.dialled_count
        wanted = min(wanted, self.links_max - len(self._view))
        if wanted <= 0:
            return False
        candidates, waits_until = self._candidates(me, now)
        for record in self._node.rng.sample(candidates, min(wanted, len(candidates))):
            self._dial(record, now)
        if len(candidates) >= wanted:
            return False
        if waits_until is not None:
            self._node.timers.set((REDIAL, 0), waits_until)
        return self._members.partial or len(self._view) < self._node.config.neighbours_dialled  # or it has all there are

    def bridge(self, me: PeerRecord, record: PeerRecord, now: float) -> Link | None:
        """Dials somebody beyond the number wanted: two halves of a healed partition may each have all the links they want."""
        if self.stopped or self.is_waiting(record, now) or self._view.by_peer(record.id) or len(self._view) >= self.links_max:
            return None
        if sum(link.bridge and link.state is not LinkState.UP for link in self._view.links()) >= BRIDGES_MAX:
            return None
        self._node.counters.add("links.bridges")
        link = self._dial(record, now)
        link.bridge = True
        return link

    @property
    def links_max(self) -> int:
        """The most links that there ever are, spare places included."""
        return self._node.config.neighbours_max + self._node.config.neighbours_spare

    def is_waiting(self, record: PeerRecord, now: float) -> bool:
        """Whether that one failed lately, and is not dialled now."""
        return self._backoff.is_waiting(record.id, now)

    def _candidates(self, me: PeerRecord, now: float) -> tuple[list[PeerRecord], float | None]:
        """Living members without a link, suspects only where nobody else is left, and when the first that failed may be tried again."""
        candidates: list[PeerRecord] = []
        suspects: list[PeerRecord] = []
        waits_until: float | None = None
        nearby = {link.peer.id: None for link in self._view.links()}
        nearby[me.id] = None
        for member in self._members.living():
            record = member.record
            if record.id in nearby:
                continue
            not_before = self._backoff.not_before(record.id)
            if not_before <= now:
                (candidates if member.state is PeerState.ALIVE else suspects).append(record)
            elif waits_until is None or not_before < waits_until:
                waits_until = not_before
        if not candidates and not suspects and self._members.partial:
            return self._forgotten(now)
        return candidates or suspects, waits_until

    def _forgotten(self, now: float) -> tuple[list[PeerRecord], float | None]:
        """The same of those that failed and are no candidates any more: a table of a part of all may have lost the last that lives."""
        records = [record for record in self._backoff.records() if self._view.by_peer(record.id) is None and self._may_live(record)]
        waits = [not_before for record in records if (not_before := self._backoff.not_before(record.id)) > now]
        return [record for record in records if not self._backoff.is_waiting(record.id, now)], min(waits, default=None)

    def _may_live(self, record: PeerRecord) -> bool:
        held = self._members.get(record.id)
        return held is None or held.state in (PeerState.ALIVE, PeerState.SUSPECT)

    def _dial(self, record: PeerRecord, now: float) -> Link:
        link = Link(self._node.new_key(), record, self._node.nonce(), dialled=True, since=now)
        self._view.add(link)
        self._node.outbox.open(link.key, record.endpoint)
        self._node.timers.set((LINK_DUE, link.key), now + self._node.config.link_timeout_s)
        return link

    def on_connected(self, me: PeerRecord, link: Link, now: float) -> None:
        link.connected = True
        link.disconnected_at = None
        if link.state is LinkState.DIALLING:
            self.hello(me, link, now)

    def hello(self, me: PeerRecord, link: Link, now: float) -> None:
        """Says HELLO, and again after a while: the ROUTER at the other end may have dropped it. Who leaves begins nothing new."""
        if link.state is LinkState.DIALLING and link.connected and (link.said_hello or not self.stopped):
            link.said_hello = True
            urgent = self._view.up_count <= ISOLATED_LINKS
            self._node.ask(link.key, Hello(me, link.peer.id, link.mine, [MODE_PLAIN], self._receipt(me, link.peer, now), urgent))
            self._node.timers.set((HELLO_DUE, link.key), now + self._node.config.hello_interval_s)

    def on_disconnected(self, link: Link, now: float) -> bool:
        """A link's DEALER lost its connection, or found nobody. Whether the link is kept: then the DEALER is made anew soon."""
        if link.state is LinkState.DIALLING:
            self.drop(link, "nobody listens", now, failed=True)
            return False
        if link.connected:
            link.disconnected_at = now
        link.connected = False
        delay = self._node.config.reconnect_min_s * (0.5 + self._node.rng.random())
        self._node.timers.set((REOPEN, link.key), now + delay)
        return True

    def on_not_opened(self, link: Link, now: float) -> None:
        """No DEALER could be made for a link: it is tried again, and no probe counts as missed meanwhile."""
        link.disconnected_at = now
        self._node.timers.set((REOPEN, link.key), now + self._node.config.redial_min_s)

    def postpone(self, now: float) -> None:
        """This node was away: links that are coming up get their whole time again."""
        for link in self._view.links():
            if self._node.timers.when((LINK_DUE, link.key)) is not None:
                self._node.timers.set((LINK_DUE, link.key), now + self._node.config.link_timeout_s)

    def reopen(self, link: Link) -> None:
        if not link.connected:
            self._node.outbox.open(link.key, link.peer.endpoint)

    # -- the handshake ----------------------------------------------------------------------------------------------------

    def on_hello(self, me: PeerRecord, hello: Hello, route: Route, exchange: int, now: float) -> Link | None:
        """Answers a HELLO: with WELCOME and a link, or with the reason why not."""
        refusal = self._refusal(me, hello)
        if refusal is not None:
            self._node.answer(route, refusal, exchange)
            self._node.counters.add(f"hello.{refusal.why.name.lower()}")
            return None
        link = self._view.by_peer(hello.record.id)
        anew = link is not None and link.state is not LinkState.DIALLING and link.theirs != hello.nonce
        too_soon = link is not None and anew and now - link.since < ANEW_GAP_S
        if too_soon or ((link is None or anew) and not self._accepts.take(0, now)):
            self._node.counters.add("hello.too_many")  # it is said again
            return None
        if link is not None and anew:
            self.drop(link, "begun anew by the neighbour", now)
            link = None
        if link is None:
            link = self._accept(hello, now)
        link.dialled = link.said_hello and me.id < hello.record.id  # two HELLOs crossed: the smaller id has dialled
        if link.state is LinkState.DIALLING:
            link.theirs = hello.nonce
            link.peer = hello.record
            self._subscribe(me, link, now)
        self._keep_receipt(me, link, hello.receipt, now)
        self._node.answer(route, Welcome(me, link.mine, hello.nonce, MODE_PLAIN, self._receipt(me, hello.record, now)), exchange)
        return link

    def _receipt(self, me: PeerRecord, holder: PeerRecord, now: float) -> Receipt:
        return Receipt(me.id, me.epoch, holder.id, holder.epoch, self._node.wall(now), b"")

    def _keep_receipt(self, me: PeerRecord, link: Link, receipt: Receipt | None, now: float) -> None:
        """Keeps what the neighbour gave, if a seed would take it; the first one does for the whole link."""
        if link.receipt is not None or receipt is None:
            return
        if receipt.fits(link.peer.id, link.peer.epoch, me.id) and not self._node.is_in_future(int(receipt.at * 1000), now):
            link.receipt = receipt
        else:
            self._node.counters.add("handshake.receipt_misfit")

    def _refusal(self, me: PeerRecord, hello: Hello) -> Refused | None:
        """Why not, if not."""
        held = self._members.get(hello.record.id)
        if hello.target != me.id or hello.record.id == me.id:
            return Refused(Why.NOT_ME, 0, 0, [])
        if held is not None and held.state in (PeerState.DEAD, PeerState.LEFT) and hello.record.order <= held.record.order:
            return Refused(Why.TOMBSTONE, held.record.epoch, held.record.revision, [])
        if self._view.by_peer(hello.record.id) is None and (self.stopped or not self._has_room(hello.urgent)):
            return Refused(Why.FULL, 0, 0, self.some_members(me, hello.record.id))
        return None

    def _has_room(self, urgent: bool) -> bool:
        """Whether one more that has dialled us is taken in: half of the places are kept for links of one's own making."""
        config = self._node.config
        own = min(config.neighbours_dialled, config.neighbours_max // 2)
        if len(self._view) + max(0, own - self._view.dialled_count) < config.neighbours_max:
            return True
        return urgent and self._guests_count < config.neighbours_spare and len(self._view) < self.links_max

    @property
    def _guests_count(self) -> int:
        """Who was taken in for having no links, and has not said since that it has some: a liar's own are soon all there is room for."""
        return sum(link.guest and link.links < SETTLED_LINKS for link in self._view.links())

    def some_members(self, me: PeerRecord, asker: PeerId) -> list[PeerRecord]:
        records = [member.record for member in self._members.living() if member.record.id not in (me.id, asker)]
        return self._node.rng.sample(records, min(CANDIDATES_MAX, len(records)))

    def _accept(self, hello: Hello, now: float) -> Link:
        link = Link(self._node.new_key(), hello.record, self._node.nonce(), dialled=False, since=now)
        if not self._has_room(urgent=False):
            link.guest = True
            self._node.counters.add("links.guests")
        self._view.add(link)
        self._node.outbox.open(link.key, hello.record.endpoint)
        self._node.timers.set((LINK_DUE, link.key), now + self._node.config.link_timeout_s)
        return link

    def _subscribe(self, me: PeerRecord, link: Link, now: float) -> None:
        """Subscribes to what the neighbour publishes; the link topic last, so that it vouches for the others."""
        link.state = LinkState.LINKING
        self._node.timers.cancel((HELLO_DUE, link.key))
        if self.stopped:  # the other end shall not see a link come up that is about to end
            return
        topics = (TOPIC_DIGEST, *self._trees.topics(link, now), link_topic(me.id, link.theirs))
        self._node.outbox.subscribe(link.key, link.peer.publish_endpoint, topics)

    def on_welcome(self, me: PeerRecord, link: Link, welcome: Welcome, now: float) -> bool:
        """Whether the other end took the link by this. A second WELCOME of the same link changes nothing."""
        if welcome.yours != link.mine or welcome.record.id != link.peer.id or link.state is not LinkState.DIALLING:
            self._node.counters.add("handshake.stale_welcome")
            return False
        link.theirs = welcome.nonce
        link.peer = welcome.record
        self._keep_receipt(me, link, welcome.receipt, now)
        self._subscribe(me, link, now)
        return True

    # -- up both ways -----------------------------------------------------------------------------------------------------

    def on_subscription(self, subscriber: PeerId, nonce: bytes, now: float) -> Link | None:
        """A link topic was seen at our XPUB: what we publish reaches that neighbour. The link, if it came up by that."""
        link = self._view.by_nonce(nonce)
        if link is None or link.peer.id != subscriber:
            self._node.counters.add("handshake.unknown_topic")
            return None
        if link.seen:
            self._node.counters.add("links.subscribed_again")  # its SUB had lost the connection, by itself or over a frame too large
        link.seen = True
        self._node.outbox.publish(link_topic(subscriber, nonce) + self._node.codec.encode(LinkUp(nonce)))
        return self._came_up(link, now)

    def on_link_up(self, link: Link, body: LinkUp, now: float) -> Link | None:
        """LINK_UP came over a link's SUB: what the neighbour publishes reaches us."""
        if body.nonce != link.theirs:
            self._node.counters.add("handshake.stale_link_up")
            return None
        link.heard = True
        return self._came_up(link, now)

    def _came_up(self, link: Link, now: float) -> Link | None:
        if link.state is not LinkState.LINKING or not (link.heard and link.seen):
            return None
        link.state = LinkState.UP
        self._node.timers.cancel((LINK_DUE, link.key))
        link.up_at = now
        self._node.outbox.event(NeighbourUp(link.peer, link.dialled))
        return link

    # -- going ------------------------------------------------------------------------------------------------------------

    def drop(self, link: Link, why: str, now: float, *, failed: bool = False, candidates: Sequence[PeerRecord] = ()) -> None:
        """Gives up a link, and says BYE where it can, so that the neighbour need not find out.

        `failed`: not tried again before a back-off that grows with each failure in a row. `candidates`: whom it may dial instead.
        """
        self._view.remove(link)
        for name in (LINK_DUE, LEAVING_DUE, HELLO_DUE, REOPEN):
            self._node.timers.cancel((name, link.key))
        if link.theirs and link.connected:
            self._node.ask(link.key, Bye(link.theirs, why, list(candidates)))
        self._node.outbox.close(link.key)
        self._farewell.unreachable(link.key)
        if failed:
            held_long = link.state is LinkState.UP and now - link.up_at > self._node.config.redial_max_s  # or it would be called a flap
            self._backoff.failed(link.peer, now, held_long=held_long)
        if link.state is LinkState.UP:
            self._node.outbox.event(NeighbourDown(link.peer, why))

    @property
    def backing_off_count(self) -> int:
        """Peers whose last link failed, and that are remembered for it."""
        return len(self._backoff)
