"""What neighbours say to one another, and what follows: the handshake, probes, and every way in which a link ends.

Who speaks on a link is known by the link's nonce; what is believed of it is decided in `membership` and `hearsay`, how a link comes up in
`overlay`, and when it has failed in `liveness`. This file only brings them together.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core import baseline, liveness, overlay
from zmqgossip.core.codes import Body, Evidence, Why
from zmqgossip.core.errors import WireError
from zmqgossip.core.events import ProbeReceived
from zmqgossip.core.farewell import Farewell
from zmqgossip.core.gossip import Gossip
from zmqgossip.core.gossip_messages import Ask, BaselinePart, Deaths, Digest, NotYet, Pull, Pulled, Sync, Synced, Walk, Walked
from zmqgossip.core.hearsay import Hearsay
from zmqgossip.core.liveness import Liveness
from zmqgossip.core.membership import Membership
from zmqgossip.core.messages import (
    Bye,
    Hello,
    Leave,
    LeaveHeard,
    LinkUp,
    Probe,
    Refused,
    Reply,
    Shuffle,
    Shuffled,
    UnknownLink,
    Welcome,
    WrongCluster,
    WrongVersion,
)
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Knock, Route
from zmqgossip.core.overlay import Overlay
from zmqgossip.core.telling import Telling
from zmqgossip.core.types import is_vouched, moves
from zmqgossip.core.view import Link, LinkState, View
from zmqgossip.core.wire import parse_link_topic


class Neighbours:
    """One peer's talk with those it is linked with, or is about to be."""

    __slots__ = ("_farewell", "_gossip", "_hearsay", "_liveness", "_membership", "_node", "_overlay", "_telling", "_view")

    def __init__(
        self,
        node: Node,
        view: View,
        gossip: Gossip,
        probes: Liveness,
        links: Overlay,
        membership: Membership,
        hearsay: Hearsay,
        farewell: Farewell,
    ) -> None:
        self._node = node
        self._gossip = gossip
        self._view = view
        self._telling = Telling(node)
        self._liveness = probes
        self._overlay = links
        self._membership = membership
        self._hearsay = hearsay
        self._farewell = farewell

    # -- connections ------------------------------------------------------------------------------------------------------

    def on_connected(self, link: Link, now: float) -> None:
        self._overlay.on_connected(self._membership.me, link, now)
        if link.state is LinkState.UP:  # the word may have been lost with the connection before, or come up sooner than this one
            self._membership.baseline.say_synced(link)
        self._say_leave(link)

    def on_disconnected(self, link: Link, now: float) -> None:
        dropped = link.connected and link.state is LinkState.UP and not link.leaving
        if not self._overlay.on_disconnected(link, now):
            self._membership.not_there(link)
            self._membership.fill(now)
            self._membership.link_ended(link, now)
        elif dropped:
            self._liveness.on_disconnected(link, now)

    def on_not_opened(self, link: Link, now: float) -> None:
        link.connected = False
        self._overlay.on_not_opened(link, now)

    # -- going ------------------------------------------------------------------------------------------------------------

    def leave(self) -> list[int]:
        """Says LEAVE to whoever may hold a link with this peer; the keys under which that is heard.

        The other end may have its link up before this one, so those that are only coming up are told too: at once, or as soon as their
        DEALER connects or their nonce is known. Whoever was not told would meet closed ports, and call this peer dead.
        """
        links = [link for link in self._view.links() if link.theirs or link.said_hello]
        for link in links:
            self._say_leave(link)
        return [link.key for link in links]

    def _say_leave(self, link: Link) -> None:
        if self._overlay.stopped and link.theirs and link.connected:
            self._node.ask(link.key, Leave(self._membership.me, link.theirs, self._gossip.number))

    # -- requests at our ROUTER -------------------------------------------------------------------------------------------

    def on_hello(self, body: Hello, route: Route, exchange: int, address: str, now: float) -> None:
        if not is_vouched(body.record.host, address, self._node.config.advertise_networks):
            self._node.answer(route, Refused(Why.ADDRESS, 0, 0, []), exchange)
            self._node.counters.add("hello.address")
            return
        if self._node.is_in_future(body.record.epoch, now):
            self._node.answer(route, Refused(Why.EPOCH, 0, 0, []), exchange)
            self._node.counters.add("hello.epoch")
            return
        before = self._view.by_peer(body.record.id)
        if before is not None and before.state is LinkState.UP and moves(before.peer, body.record):
            self._node.answer(route, Refused(Why.ADDRESS, 0, 0, []), exchange)  # somebody else in the id of a neighbour
            self._node.counters.add("hello.address")
            return
        link = self._overlay.on_hello(self._membership.me, body, route, exchange, now)
        if before is not None and link is not None and link is not before:  # refused, the link that stands goes on
            self._membership.link_ended(before, now)
        if link is not None:
            self._liveness.heard(link, now)
            self._membership.said_hello(body.record, now)
            self._membership.fill(now)
            self._say_leave(link)

    def on_probe(self, body: Probe, route: Route, exchange: int, now: float) -> None:
        link = self._asker(body.link, route, exchange)
        if link is None:
            return
        self._liveness.heard(link, now)
        self._gossip.walks.compare(link, body.settled, body.table, now)
        roots = self._gossip.walks.roots
        port, links_count = self._membership.me.port, self._view.up_count
        self._node.answer(route, Reply(body.timestamp, body.port, port, body.probe, *roots, links_count), exchange)
        seen = ProbeReceived(link.peer.endpoint, body.timestamp, body.port)
        self._telling.tell(link.key, str(link.peer), seen, now)  # a neighbour that probes at wire speed must not fill the disk
        self._membership.said(link, body.links, now)

    def _asker(self, nonce: bytes, route: Route, exchange: int) -> Link | None:
        """The link that a question came on. Who names one that is not here is told so."""
        link = self._view.by_nonce(nonce)
        if link is None:
            self._node.answer(route, UnknownLink(nonce, self._membership.me.id), exchange)
            self._node.counters.add("questions.unknown_link")
        return link

    def on_bye(self, body: Bye, now: float) -> None:
        link = self._view.by_nonce(body.link)
        if link is None:
            self._node.counters.add("dropped.unknown_link")
            return
        link.theirs = b""  # no BYE in return
        for candidate in body.candidates[: overlay.CANDIDATES_MAX]:
            self._hearsay.learn_candidate(candidate, now)
        self._membership.lose(link, f"given up by the neighbour: {body.text}", now)

    def on_leave(self, body: Leave, route: Route, exchange: int, now: float) -> None:
        link = self._view.by_nonce(body.ticket)
        if link is None or link.peer.id != body.record.id:
            self._node.answer(route, LeaveHeard(), exchange)  # the news came by gossip first, and the link is gone
            return
        link.owed = (route, exchange)
        self._farewell.heard(link.key)  # who leaves at the same time need not hear of ours
        self._membership.on_leave(link, body.record, body.last, now)

    def on_shuffle(self, body: Shuffle, route: Route, exchange: int, now: float) -> None:
        link = self._asker(body.link, route, exchange)
        if link is None:
            return
        self._liveness.heard(link, now)
        me = self._membership.me
        self._hearsay.learn_candidates(self._membership.shuffles.on_shuffle(me, link, body, route, exchange, now), now)

    def on_sync(self, body: Sync, route: Route, exchange: int, now: float) -> None:
        link = self._asker(body.link, route, exchange)
        if link is None:
            return
        self._liveness.heard(link, now)
        self._membership.baseline.on_sync(link, route, exchange, now)

    def on_synced(self, body: Synced, now: float) -> None:
        link = self._view.by_nonce(body.link)
        if link is None:
            self._node.counters.add("dropped.unknown_link")
            return
        link.synced = True
        self._membership.synced(link, now)
        self._membership.baseline.on_synced(self._membership.me, link, now)
        self._gossip.walks.compare(link, body.settled, body.table, now)

    def on_question(self, body: Pull | Ask | Walk, route: Route, exchange: int, now: float) -> None:
        """A neighbour wants to know how streams are here, or what it lacks of them."""
        link = self._asker(body.link, route, exchange)
        if link is None:
            return
        self._liveness.heard(link, now)
        link.synced = True  # or it would not ask
        match body:
            case Pull():
                self._gossip.repair.on_pull(body, route, exchange)
            case Ask():
                for answer in self._gossip.digests.told(body.streams):
                    self._node.answer(route, answer, exchange)
            case Walk():
                self._gossip.walks.on_walk(body, route, exchange)

    # -- answers at the DEALER of a link -----------------------------------------------------------------------------------

    def on_reply(self, link: Link, body: Body, exchange: int, now: float) -> None:
        if isinstance(body, (WrongCluster, WrongVersion)):
            self._node.refuse("unexpected", str(link.peer))  # somebody else has come to live at its port
            return
        self._liveness.heard(link, now)
        match body:
            case Reply():
                self._liveness.on_reply(link, body)
                self._gossip.walks.compare(link, body.settled, body.table, now)
                self._membership.said(link, body.links, now)
            case Welcome():
                if self._overlay.on_welcome(self._membership.me, link, body, now):
                    self._membership.speaks(body.record, now)
                    self._say_leave(link)
            case Refused():
                self._on_refused(link, body, now)
            case UnknownLink() if body.link == link.theirs:
                self._on_unknown_link(link, body, now)
            case Shuffled():
                self._hearsay.learn_candidates(self._membership.shuffles.on_shuffled(link, body, exchange), now)
            case LeaveHeard():
                self._farewell.heard(link.key)
            case Digest():
                self._gossip.patience.answered(link)
                self._gossip.on_digest(self._membership.me, link, body.entries, now)
            case Pulled():
                self._gossip.pulled(link, body, exchange, now)
            case Walked():
                positions = self._gossip.walks.on_walked(link, body)
                self._gossip.on_positions(link, positions, now)
                self._hearsay.on_table(body.members, now)
            case BaselinePart():
                self._membership.baseline.on_part(self._membership.me, link, body, exchange, now)
                self._membership.check_ready(now)
            case NotYet():
                self._membership.baseline.on_not_yet(self._membership.me, link, exchange, now)
                self._membership.check_ready(now)
            case _:
                self._node.refuse("unexpected", str(link.peer))

    def _on_unknown_link(self, link: Link, body: UnknownLink, now: float) -> None:
        if body.id == link.peer.id:
            self._membership.lose(link, "unknown to the neighbour", now)
        else:
            self._membership.judge(link, Evidence.REPLACED, now)

    def _on_refused(self, link: Link, body: Refused, now: float) -> None:
        if body.why is Why.NOT_ME:
            self._membership.judge(link, Evidence.REPLACED, now)
            return
        self._membership.lose(link, f"refused: {body.why.name.lower()}", now)
        if body.why is Why.TOMBSTONE:
            self._membership.refute(body.epoch, body.revision, now)
        self._hearsay.learn_candidates(body.candidates[: overlay.CANDIDATES_MAX], now)

    # -- what comes over the SUB of a link, and to the XPUB ----------------------------------------------------------------

    def on_digest_topic(self, link: Link, frame: bytes, now: float) -> None:
        """A neighbour says how its unsettled streams are, or who is dead. Raises WireError."""
        body, _ = self._node.codec.decode(frame)
        match body:
            case Digest():
                self._gossip.on_digest(self._membership.me, link, body.entries, now)
            case Deaths():
                self._hearsay.on_deaths(body.records, now)
            case _:
                raise WireError("unexpected")

    def on_link_up(self, link: Link, frame: bytes, now: float) -> None:
        body, _ = self._node.codec.decode(frame)
        if not isinstance(body, LinkUp):
            raise WireError("unexpected")
        came_up = self._overlay.on_link_up(link, body, now)
        if came_up is not None:
            self._membership.link_came_up(came_up, now)

    def on_subscription(self, topic: bytes, now: float) -> None:
        """A topic appeared at the XPUB. Only link topics mean something."""
        parsed = parse_link_topic(topic)
        link = self._overlay.on_subscription(*parsed, now) if parsed is not None else None
        if link is not None:
            self._membership.link_came_up(link, now)

    # -- time -------------------------------------------------------------------------------------------------------------

    def on_knock(self, link: Link, results: Sequence[Knock], now: float) -> None:
        self._membership.judge(link, self._liveness.on_knock(link, results, now), now)

    def on_due(self, name: str, link: Link, due: float, now: float) -> None:
        """A deadline of one link has passed."""
        me = self._membership.me
        match name:
            case liveness.PROBE if not link.connected and self._membership.lives_anew(link.peer):
                self._membership.lose(link, "its next life has begun", now)  # what comes of its SUB meanwhile is that one's
            case liveness.PROBE:
                self._membership.judge(link, self._liveness.probe(me, link, self._gossip.walks.roots, due, now), now)
            case liveness.REPLY_DUE:
                self._membership.judge(link, self._liveness.reply_due(link), now)
            case liveness.KNOCK_DUE:
                self._liveness.knock(link, now)
            case overlay.HELLO_DUE:
                self._overlay.hello(me, link, now)
            case overlay.REOPEN:
                self._overlay.reopen(link)
            case overlay.LINK_DUE:
                self._membership.not_there(link)
                self._membership.lose(link, "did not come up in time", now)
            case baseline.SYNC_DUE:
                self._membership.baseline.due(me, link, now)
                self._membership.check_ready(now)
            case overlay.LEAVING_DUE:
                self._membership.lose(link, "left", now)
