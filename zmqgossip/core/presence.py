"""A peer's dealings with its seeds: choosing them, being listed, staying listed, asking for others, reporting, leaving.

It picks floor(n/2)+1 of the n configured seeds at random, so that any two peers share one, and keeps to them: one that goes
away is tried again for ever, and until it is back another one is asked in addition. Dead reports and the leave go to *all*
configured seeds; those that are not among the chosen get them by an errand, a DEALER that lives as long as the question.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core.census import Census, seeds_wanted
from zmqgossip.core.codes import Body
from zmqgossip.core.contact import Contact, Standing
from zmqgossip.core.events import NoSeed, RegistrationRefused, SeedAccepted, SeedLost, WrongCluster
from zmqgossip.core.members import Members
from zmqgossip.core.messages import (
    Leave,
    LeaveHeard,
    List,
    Listed,
    NotListed,
    Presence as PresenceUpdate,
    Present,
    Register,
    Registered,
    UnknownPeer,
    Verdict,
)
from zmqgossip.core.node import Node
from zmqgossip.core.types import FIRST_ID, Endpoint, Member, PeerId, PeerRecord

SEED_DUE = "seed due"
SEED_RETRY = "seed retry"
RENEW = "presence"
ASK = "ask seeds"
QUEUE_MAX = 64
"""Bodies that wait for one seed's connection: more reports than neighbours are only made when everything fails at once."""

_ANSWERS = (Registered, Present, Listed, NotListed, UnknownPeer, Verdict, LeaveHeard)


class Presence:
    """One peer's seeds.

    Attributes:
        census: how many peers there are, as seeds say.
        ready_wanted: other peers that the user waits for; seeds are asked for their lists until so many are known to be ready.
        returned_count: how often a seed that had fallen silent has answered again.
    """

    __slots__ = (
        "_by_key",
        "_contacts",
        "_is_wanting",
        "_leaving",
        "_members",
        "_node",
        "_told_no_seed",
        "_want_pause_s",
        "_wants_at",
        "census",
        "ready_wanted",
        "returned_count",
    )

    def __init__(self, node: Node, seeds: Sequence[Endpoint], members: Members, census: Census) -> None:
        self._node = node
        self._members = members
        self.census = census
        self._contacts = [Contact(place, seed, node.nonce()) for place, seed in enumerate(seeds)]
        self._by_key: dict[int, Contact] = {}
        self._told_no_seed = False
        self._leaving = False
        self.ready_wanted = 0
        self.returned_count = 0
        self._is_wanting = False
        self._want_pause_s = node.config.refill_interval_s
        self._wants_at = float("inf")  # seeds are not asked before that for somebody to dial

    def start(self, now: float) -> None:
        for contact in self._node.rng.sample(self._contacts, seeds_wanted(len(self._contacts))):
            contact.chosen = True
            self._open(contact, now)
        self._wants_at = now + self._node.config.refill_interval_s
        self._node.timers.set((ASK, 0), self._wants_at)

    def knows(self, key: int) -> bool:
        return key in self._by_key

    def has_ticket(self, ticket: bytes) -> bool:
        """Whether this peer has registered somewhere with that ticket."""
        return any(contact.ticket == ticket for contact in self._contacts)

    @property
    def listed_count(self) -> int:
        """Seeds that list this peer."""
        return sum(contact.standing is Standing.LISTED for contact in self._contacts)

    @property
    def is_connected(self) -> bool:
        """Whether a seed could answer now."""
        return any(contact.connected for contact in self._contacts)

    @property
    def is_settled(self) -> bool:
        """Whether every chosen seed has listed this peer, or has failed to."""
        return all(contact.standing is Standing.LISTED or contact.failures for contact in self._contacts if contact.chosen)

    # -- connections ------------------------------------------------------------------------------------------------------

    def _open(self, contact: Contact, now: float) -> None:
        contact.key = self._node.new_key()
        contact.standing = Standing.OPENING
        self._by_key[contact.key] = contact
        self._node.outbox.open(contact.key, contact.seed)
        self._node.timers.set((SEED_DUE, contact.key), now + self._node.config.seed_timeout_s)

    def _close(self, contact: Contact) -> None:
        for name in (SEED_DUE, RENEW):
            self._node.timers.cancel((name, contact.key))
        self._node.outbox.close(contact.key)
        del self._by_key[contact.key]
        contact.key, contact.connected, contact.standing, contact.open_answers = 0, False, Standing.IDLE, 0
        contact.reads_until = None

    def on_connected(self, me: PeerRecord, key: int, now: float) -> None:
        contact = self._by_key[key]
        contact.connected = True
        queue, contact.queue = contact.queue, []
        for body in queue:
            self._ask(contact, body)
        if contact.chosen and not self._leaving:
            self._register(me, contact, now)
        else:
            self._node.timers.set((SEED_DUE, key), now + self._node.config.seed_timeout_s)

    def _ask(self, contact: Contact, body: Body) -> None:
        contact.open_answers += 1
        self._node.ask(contact.key, body)

    def _register(self, me: PeerRecord, contact: Contact, now: float) -> None:
        contact.standing = Standing.ASKED
        contact.told = me
        self._ask(contact, Register(me, contact.ticket))
        self._node.timers.set((SEED_DUE, contact.key), now + self._node.config.seed_timeout_s)

    def on_disconnected(self, key: int, now: float) -> None:
        contact = self._by_key[key]
        self.lost(contact, "the connection dropped" if contact.connected else "nobody listens", now)

    def due(self, key: int, now: float) -> None:
        """A seed has not connected or not answered in time, or an errand is over."""
        contact = self._by_key[key]
        if contact.chosen and not self._leaving:
            contact.silent = True
            self.lost(contact, "no answer" if contact.connected else "no connection", now)
        else:
            self._close(contact)
            self._drop_queue(contact)

    def lost(self, contact: Contact, why: str, now: float) -> None:
        """A seed is out of reach: another is asked in addition, and this one again after a while."""
        self._close(contact)
        if self._leaving or not contact.chosen:
            self._drop_queue(contact)
            return
        config = self._node.config
        delay = min(config.reconnect_min_s * 2 ** min(contact.failures, 16), config.presence_interval_s)
        contact.failures += 1
        self._node.timers.set((SEED_RETRY, contact.place), now + delay * (0.5 + self._node.rng.random() / 2))
        if not contact.told_lost:
            contact.told_lost = True
            self._node.outbox.event(SeedLost(contact.seed, why))
            self._substitute(now)
        if all(other.failures for other in self._contacts):
            self._nobody_left()

    def _nobody_left(self) -> None:
        """Every configured seed was tried, and none answers now."""
        foreign = [contact.seed for contact in self._contacts if contact.wrong_cluster]
        if foreign and not any(contact.answered for contact in self._contacts):
            self._node.outbox.event(WrongCluster(foreign[0], fatal=True))
        elif not self._told_no_seed:
            self._told_no_seed = True
            self._node.outbox.event(NoSeed(tuple(contact.seed for contact in self._contacts)))

    def _substitute(self, now: float) -> None:
        others = [contact for contact in self._contacts if not contact.chosen]
        if others:
            other = self._node.rng.choice(others)
            other.chosen = True
            self.census.chosen_count += 1
            if other.key:
                self._close(other)
            self._open(other, now)

    def retry(self, place: int, now: float) -> None:
        contact = self._contacts[place]
        if contact.chosen and not contact.key and not self._leaving:
            self._open(contact, now)

    # -- answers ----------------------------------------------------------------------------------------------------------

    def on_answer(self, me: PeerRecord, key: int, body: Body, links_count: int, now: float) -> Sequence[Member]:
        """Takes a seed's answer. The members that it lists are given back: what is believed of them is decided elsewhere."""
        contact = self._by_key[key]
        if not isinstance(body, _ANSWERS):
            self._node.refuse("unexpected", str(contact.seed))
            return ()
        self.returned_count += contact.silent
        contact.answered, contact.failures, contact.told_lost, contact.silent, self._told_no_seed = True, 0, False, False, False
        contact.open_answers -= 1
        if isinstance(body, (Registered, Present, Listed)):
            self.census.heard(contact.place, body.total, now)
        heard: Sequence[Member] = ()
        match body:
            case Registered():
                heard = self._on_registered(me, contact, body, links_count, now)
            case Present():
                self._node.timers.cancel((SEED_DUE, key))
                contact.standing = Standing.LISTED
                heard = body.sample
            case Listed():
                self._on_page(contact, body, now)
                heard = body.members
            case NotListed():
                self._node.timers.cancel((SEED_DUE, key))
                self._node.counters.add("registrations.refused")
                if contact.told_refused != body:  # said again at each attempt
                    contact.told_refused = body
                    address = Endpoint(body.host, body.port)
                    self._node.outbox.event(RegistrationRefused(contact.seed, body.why, address, body.text))
                self._renew_later(contact, now)
        if not contact.chosen and contact.open_answers <= 0:
            self._close(contact)
        return heard

    def _on_registered(self, me: PeerRecord, contact: Contact, body: Registered, links_count: int, now: float) -> Sequence[Member]:
        self._node.timers.cancel((SEED_DUE, contact.key))
        if body.listed and contact.standing is not Standing.LISTED:
            contact.standing, contact.told_refused = Standing.LISTED, None
            self._node.outbox.event(SeedAccepted(contact.seed, body.total))
        elif not body.listed:
            contact.standing = Standing.PENDING
        if body.listed and contact.told != me:  # ready, or called dead and back, while the registration was under way
            self.renew(me, contact.key, links_count, now)
        else:
            self._renew_later(contact, now)
        return body.sample

    def _on_page(self, contact: Contact, page: Listed, now: float) -> None:
        last = page.members[-1].record.id if page.more and page.members else FIRST_ID
        reads = contact.reads_until is not None and not self.census.partial
        goes_on = reads and last > contact.list_after  # or a seed whose pages never end is asked for ever
        contact.list_after, contact.reads_until = last, None
        if goes_on:
            self._read_on(contact, now)

    def _read_on(self, contact: Contact, now: float) -> None:
        contact.reads_until = now + self._node.config.seed_timeout_s
        self._ask_page(contact)

    def on_wrong_cluster(self, key: int, now: float) -> None:
        """A seed belongs to another cluster. Fatal when no configured seed has ever answered otherwise, and all were asked."""
        contact = self._by_key[key]
        self._node.counters.add("seeds.wrong_cluster")
        if not contact.wrong_cluster:
            contact.wrong_cluster = True
            self._node.outbox.event(WrongCluster(contact.seed, fatal=False))
        self.lost(contact, "another cluster", now)

    def seed_of(self, key: int) -> Endpoint:
        return self._by_key[key].seed

    # -- presence ---------------------------------------------------------------------------------------------------------

    def _renew_later(self, contact: Contact, now: float) -> None:
        config = self._node.config
        interval = config.presence_interval_s * (1 - config.presence_jitter * self._node.rng.random())
        self._node.timers.set((RENEW, contact.key), now + interval)

    def renew(self, me: PeerRecord, contact_key: int, links_count: int, now: float) -> None:
        """Renews the lease at one seed; registers again where an earlier attempt came to nothing."""
        contact = self._by_key[contact_key]
        if contact.reads_until is not None and now >= contact.reads_until:
            contact.reads_until = None  # the page was lost on its way
        if contact.standing is Standing.ASKED:  # an earlier attempt came to nothing
            self._register(me, contact, now)
        else:
            contact.told = me
            self._ask(contact, PresenceUpdate(me, contact.ticket, links_count))
            self._node.timers.set((SEED_DUE, contact.key), now + self._node.config.seed_timeout_s)
        self._renew_later(contact, now)

    def renew_all(self, me: PeerRecord, links_count: int, now: float) -> None:
        """Tells every seed at once what has changed: ready, or a newer record."""
        for contact in self._contacts:
            if contact.chosen and contact.standing is Standing.LISTED:
                self.renew(me, contact.key, links_count, now)

    def on_unknown(self, me: PeerRecord, key: int, now: float) -> None:
        """The seed does not know this peer: it was started anew, or removed it.

        A registration that is answered so is repeated at once only with a newer record, raised over a verdict.
        """
        contact = self._by_key.get(key)
        if contact is None or not contact.chosen or self._leaving:
            return
        if contact.standing is Standing.ASKED and contact.told is not None and me.order <= contact.told.order:
            self._node.timers.cancel((SEED_DUE, key))
            self._renew_later(contact, now)
        else:
            self._register(me, contact, now)

    def wanting(self, is_wanting: bool, now: float) -> None:
        """Whether this peer knows too few to dial. If so its seeds are asked at once, and again and again, with pauses that grow."""
        if self._leaving:
            return
        self._is_wanting = is_wanting
        if is_wanting and now >= self._wants_at:
            self._ask_for_others(now)

    def found(self) -> None:
        """A link has come up: where one was found there may be others, and the pauses are short again."""
        self._want_pause_s = self._node.config.refill_interval_s

    def ask_lists(self, isolated: bool, now: float) -> None:
        """Asks for a page of each list while this peer has no link, knows nobody to dial, or waits for others to be ready."""
        self._node.timers.set((ASK, 0), now + self._node.config.refill_interval_s * (0.75 + self._node.rng.random() / 2))
        if self._members.ready_count < self.ready_wanted and not self.census.partial:
            self._ask_pages()
        elif (isolated or self._is_wanting) and now >= self._wants_at:
            self._ask_for_others(now)

    def _ask_for_others(self, now: float) -> None:
        config = self._node.config
        self._wants_at = now + self._want_pause_s * (0.75 + self._node.rng.random() / 4)
        self._want_pause_s = min(2 * self._want_pause_s, max(config.redial_max_s, config.refill_interval_s))
        self._ask_pages()

    def _ask_pages(self) -> None:
        for contact in self._contacts:
            if contact.connected and contact.chosen:
                self._node.counters.add("lists.asked")
                self._ask_page(contact)

    def _ask_page(self, contact: Contact) -> None:
        config = self._node.config
        if not self.census.partial:
            self._ask(contact, List(contact.list_after, config.page_max))
            return
        after = contact.list_after if contact.list_after != FIRST_ID else self._node.rng.randbytes(len(FIRST_ID))
        self._ask(contact, List(after, min(config.candidates_max, config.page_max)))  # from anywhere on: all begin somewhere else

    def read_all(self, now: float) -> None:
        """Asks the chosen seeds for the whole of their lists: everybody is on one of them."""
        for contact in self._contacts:
            if contact.connected and contact.chosen:
                contact.list_after = FIRST_ID
                self._read_on(contact, now)

    def ask_about(self, peer: PeerId) -> None:
        """Asks the seeds whether they list that peer: its answer comes as a list of one, the first from there on."""
        before = (int.from_bytes(peer, "big") - 1).to_bytes(len(FIRST_ID), "big") if peer > FIRST_ID else FIRST_ID
        for contact in self._contacts:
            if contact.connected and contact.chosen and contact.reads_until is None:  # or it reads of it anyhow
                self._ask(contact, List(before, 1))

    def postpone(self, now: float) -> None:
        """This node was away: seeds get the whole time-out again."""
        for contact in self._contacts:
            if contact.key and self._node.timers.when((SEED_DUE, contact.key)) is not None:
                self._node.timers.set((SEED_DUE, contact.key), now + self._node.config.seed_timeout_s)

    # -- to all seeds -----------------------------------------------------------------------------------------------------

    def tell_all(self, body: Body, now: float) -> None:
        """Sends a report to every configured seed."""
        for contact in self._contacts:
            self._tell(contact, body, now)

    def _tell(self, contact: Contact, body: Body, now: float) -> None:
        if contact.connected:
            self._ask(contact, body)
            return
        contact.queue.append(body)
        if len(contact.queue) > QUEUE_MAX:
            contact.queue.pop(0)
            self._node.counters.add("dropped.report_queue_full")
        if not contact.key:
            self._open(contact, now)

    def _drop_queue(self, contact: Contact) -> None:
        if contact.queue:
            self._node.counters.add("dropped.unsent_to_seed", len(contact.queue))
            contact.queue.clear()

    def leave(self, me: PeerRecord, last: int, now: float) -> list[int]:
        """Tells every configured seed that this peer goes; the keys under which answers may come."""
        self._leaving = True
        self._node.timers.cancel((ASK, 0))
        for contact in self._contacts:
            self._drop_queue(contact)
            self._node.timers.cancel((RENEW, contact.key))
            self._tell(contact, Leave(me, contact.ticket, last), now)
        return [contact.key for contact in self._contacts]
