"""The switchboard of a seed: registrations, presence, lists, dead reports and leaves go to the file that knows what to do.

A seed does not talk to other seeds and carries no gossip. Like a peer's engine it is driven by `on_*`, an outbox and one deadline,
and nothing a remote sends raises out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from zmqgossip.core import dialback, registry, verdicts, visits
from zmqgossip.core.codes import Body, Why
from zmqgossip.core.config import ProtocolConfig
from zmqgossip.core.counters import Counters
from zmqgossip.core.errors import WireError
from zmqgossip.core.events import (
    DeadReportReceived,
    LeaveReceived,
    PeerCleared,
    PeerHeld,
    PeerListed,
    PeerNotListed,
    PeerRemoved,
    PeerSuspected,
    RegistrationReceived,
)
from zmqgossip.core.gate import Gate
from zmqgossip.core.messages import (
    Checked,
    Leave,
    LeaveHeard,
    List,
    Listed,
    NotListed,
    Presence,
    Present,
    Register,
    Registered,
    Report,
    UnknownPeer,
    Verdict,
    WrongCluster,
    WrongVersion,
)
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Knock, Outbox, Route
from zmqgossip.core.rates import Limit
from zmqgossip.core.registry import Entry
from zmqgossip.core.telling import Telling
from zmqgossip.core.types import Endpoint, PeerState, is_vouched
from zmqgossip.core.verdicts import Case, Decision
from zmqgossip.core.wire import MAJOR, MINOR

GONE_MAX = 64
"""Tombstones in one presence answer: with the largest sample they still fit a frame. The next answer has the next ones."""
_WHY_REMOVED = {
    Decision.REFUSED: "connects are refused",
    Decision.SUPERSEDED: "somebody else lives at its address",
    Decision.SILENT: "no probe was answered",
}


class SeedEngine:
    """One seed's protocol, without a body. `me` is where its ROUTER is bound."""

    def __init__(self, me: Endpoint, cluster: int, config: ProtocolConfig, rng: Random, wall_offset: float) -> None:
        self.me = me
        self.node = Node(cluster, config, rng, wall_offset)
        limit = Limit(config.seed_requests_burst, config.seed_requests_per_s, config.seed_bytes_per_s, config.seed_bytes_per_s)
        self.gate = Gate(self.node, limit)  # of requests, and of answers to visits
        self.telling = Telling(self.node)
        self.registry = registry.Registry(self.node)
        self.visits = visits.Visits(self.node)
        self.dialback = dialback.DialBack(self.node, self.visits)
        self.verdicts = verdicts.Verdicts(self.node, self.visits)

    @property
    def outbox(self) -> Outbox:
        return self.node.outbox

    @property
    def counters(self) -> Counters:
        return self.node.counters

    @property
    def next_deadline(self) -> float | None:
        return self.node.timers.next()

    def start(self, now: float) -> None:
        """A seed waits to be spoken to."""

    def on_client(self, address: str, now: float) -> None:
        """A client's connection was let in."""
        self.counters.add("connections.let_in")
        self.telling.connected(address, now)

    # -- connections of its own: visits -----------------------------------------------------------------------------------

    def on_connected(self, key: int, now: float) -> None:
        self.visits.on_connected(key)

    def on_disconnected(self, key: int, now: float) -> None:
        self._visited(self.visits.on_disconnected(key), now)

    def on_not_opened(self, key: int, now: float) -> None:
        """The body had no socket left for a visit."""
        self._visited(self.visits.on_not_opened(key), now)

    def on_reply(self, key: int, frame: bytes, now: float) -> None:
        if not self.visits.knows(key):
            self.counters.add("dropped.visit_over")
            return
        if not self.gate.lets_in(key, len(frame), now):
            self.gate.turn_away(key, "a visited peer", now)
            return
        try:
            body, _ = self.node.codec.decode(frame)
        except WireError as error:
            self.node.refuse_frame(error, "a visited peer")
            return
        if isinstance(body, Checked):
            self._visited(self.visits.on_checked(key, body), now)
        else:
            self.node.refuse("unexpected", "a visited peer")

    def on_knock(self, key: int, results: Sequence[Knock], now: float) -> None:
        self._dialled(self.dialback.on_knock(key, results, now), now)
        self._look_at(self.verdicts.on_knock(key, results), now)

    def _visited(self, end: tuple[int, visits.Outcome] | None, now: float) -> None:
        if end is not None:
            self._dialled(self.dialback.on_outcome(*end, now), now)
            self._look_at(self.verdicts.on_outcome(*end), now)

    # -- messages ---------------------------------------------------------------------------------------------------------

    def on_request(self, route: Route, frame: bytes, address: str, now: float) -> None:
        """A frame at the ROUTER, from whoever connected to it from `address`."""
        if not self.gate.lets_in(route, len(frame), now):
            self.gate.turn_away(route, address, now)
            return
        try:
            body, exchange = self.node.codec.decode(frame)
        except WireError as error:
            self.node.refuse_frame(error, address)
            if error.reason == "cluster":
                self.node.answer(route, WrongCluster(), 0)
            elif error.reason == "version":
                self.node.answer(route, WrongVersion(MAJOR, MINOR), 0)
            return
        self._on_body(route, body, exchange, address, now)

    def _on_body(self, route: Route, body: Body, exchange: int, address: str, now: float) -> None:
        match body:
            case Presence():
                self._on_presence(route, body, exchange, now)
            case Register():
                self._on_register(route, body, exchange, address, now)
            case List():
                self._on_list(route, body, exchange)
            case Report():
                self._on_report(route, body, exchange, address, now)
            case Leave():
                self._on_leave(route, body, exchange, address, now)
            case _:
                self.node.refuse("unexpected", address)

    # -- being listed -----------------------------------------------------------------------------------------------------

    def _on_register(self, route: Route, body: Register, exchange: int, address: str, now: float) -> None:
        record = body.record
        self.counters.add("registrations.received")
        self.telling.tell(route, address, RegistrationReceived(record, address), now)
        refusal = self._refusal(body, address, now)
        if refusal is not None:
            self._not_listed(route, body, exchange, refusal, address, now)
            return
        grave = self.registry.tombstone(record.id)
        if grave is not None and record.order <= grave.record.order:
            self.node.answer(route, UnknownPeer(grave.record.epoch, grave.record.revision), exchange)
            return
        entry = self.registry.get(record.id)
        if entry is not None and entry.record.epoch == record.epoch and entry.ticket == body.ticket:
            self.registry.update(entry, record, now)
            self._answer_registered(route, body, exchange, listed=True)
            return
        dial = self.dialback.request(body, route, exchange, address, now)
        if dial is None:
            busy = NotListed(Why.BUSY, record.host, record.port, "too many registrations wait; try again later")
            self._not_listed(route, body, exchange, busy, address, now)
        else:
            self._answer_registered(route, body, exchange, listed=False)

    def _refusal(self, body: Register, address: str, now: float) -> NotListed | None:
        """Why a registration is refused before anything is dialled."""
        record, config = body.record, self.node.config
        if not is_vouched(record.host, address, config.advertise_networks):
            text = f"the connection came from {address}; announce that, or have its network in advertise_networks"
            return NotListed(Why.ADDRESS, record.host, record.port, text)
        if self.node.is_in_future(record.epoch, now):
            return NotListed(Why.EPOCH, record.host, record.port, "its start lies in the future; set the clock")
        entry = self.registry.get(record.id)
        if entry is not None and entry.record.epoch == record.epoch and entry.record.endpoint != record.endpoint:
            return NotListed(Why.ADDRESS, record.host, record.port, "this id is listed at another address")
        if entry is not None and entry.record.epoch > record.epoch:
            return NotListed(Why.EPOCH, record.host, record.port, "this id has started again since")
        if entry is None and len(self.registry) >= config.members_max:
            return NotListed(Why.BUSY, record.host, record.port, "the list is full")
        return None

    def _not_listed(self, route: Route, body: Register, exchange: int, refusal: NotListed, address: str, now: float) -> None:
        self.counters.add(f"registrations.{refusal.why.name.lower()}")
        self.telling.refused(route, address, PeerNotListed(body.record, refusal.why, refusal.text), now)
        self.node.answer(route, refusal, exchange)

    def _answer_registered(self, route: Route, body: Register, exchange: int, *, listed: bool) -> None:
        sample = self.registry.sample(self.node.rng, self.node.config.sample_max, body.record.id)
        self.node.answer(route, Registered(listed, len(self.registry), sample), exchange)

    def _dialled(self, dial: dialback.Dial | None, now: float) -> None:
        """A dial-back is decided: list the peer, or tell it why not."""
        if dial is None:
            return
        body = Register(dial.record, dial.ticket)
        if not self.dialback.succeeded(dial):
            self._not_listed(dial.route, body, dial.exchange, self.dialback.reason(dial), dial.address, now)
            return
        for old in (self.registry.at(dial.record.endpoint), self.registry.get(dial.record.id)):
            if old is not None and self.registry.get(old.record.id) is old:
                self._remove(old, PeerState.DEAD, "somebody else lives at its address", now)
        self.registry.enter(dial.record, dial.ticket, now)
        self.telling.listed(dial.route, dial.record)
        self.telling.tell(dial.route, dial.address, PeerListed(dial.record, len(self.registry)), now)
        self._answer_registered(dial.route, body, dial.exchange, listed=True)

    def _on_presence(self, route: Route, body: Presence, exchange: int, now: float) -> None:
        entry = self.registry.get(body.record.id)
        if entry is None or entry.ticket != body.ticket or entry.record.epoch != body.record.epoch:
            self._answer_unknown(route, body, exchange)
            return
        gone = self.registry.tell_gone(entry, GONE_MAX)
        self.registry.update(entry, body.record, now)
        case = self.verdicts.case_of(body.record.id)
        if case is not None and case.opened_at is None:  # it speaks before anybody has looked for it
            self.verdicts.close(case)
            self._tell_reporters(case, PeerState.ALIVE)
            self.counters.add("verdicts.spared")
        elif case is None and entry.state is PeerState.SUSPECT:
            self.registry.set_state(entry, PeerState.ALIVE, now)
        sample = self.registry.sample(self.node.rng, self.node.config.sample_max, body.record.id)
        self.node.answer(route, Present(len(self.registry), sample + gone), exchange)

    def _answer_unknown(self, route: Route, body: Presence, exchange: int) -> None:
        grave = self.registry.tombstone(body.record.id)
        order = grave.record.order if grave is not None else (0, 0)
        self.node.answer(route, UnknownPeer(*order), exchange)

    def _on_list(self, route: Route, body: List, exchange: int) -> None:
        limit = max(1, min(body.limit, self.node.config.page_max))
        page = self.registry.page_of_gone if body.tombstones else self.registry.page
        members, more = page(body.after, limit)
        total = self.registry.gone_count if body.tombstones else len(self.registry)
        self.node.answer(route, Listed(total, more, members), exchange)

    def _on_leave(self, route: Route, body: Leave, exchange: int, address: str, now: float) -> None:
        entry = self.registry.get(body.record.id)
        self.node.answer(route, LeaveHeard(), exchange)
        self.dialback.forget(body.record.id, body.ticket, now)
        if entry is None:
            return
        if entry.ticket != body.ticket:
            self.node.refuse("ticket", str(body.record))
            return
        self._take_off(entry, PeerState.LEFT, now)
        self.telling.tell(route, address, LeaveReceived(body.record, len(self.registry)), now)

    # -- dead reports -----------------------------------------------------------------------------------------------------

    def _on_report(self, route: Route, body: Report, exchange: int, address: str, now: float) -> None:
        receipt, target = body.receipt, body.target
        if (
            receipt is None
            or not receipt.fits(target.id, target.epoch, body.reporter)
            or self.node.is_in_future(int(receipt.at * 1000), now)
        ):
            self.node.refuse("receipt", address)
            self.node.answer(route, Verdict(target, PeerState.SUSPECT), exchange)  # no opinion
            return
        reporter = self.registry.get(body.reporter)
        name = str(reporter.record.endpoint) if reporter is not None else address
        self.telling.tell(route, address, DeadReportReceived(body.target, name, body.evidence, body.misses), now)
        self.counters.add("reports.received")
        entry = self.registry.get(body.target.id)
        if entry is None or entry.record.order > body.target.order:
            self._answer_moot(route, body, exchange)
            return
        if not self.node.config.verify:
            self._remove(entry, PeerState.DEAD, "reported dead", now)
            self.node.answer(route, Verdict(body.target, PeerState.DEAD), exchange)
            return
        self.verdicts.accuse(entry, body.evidence, route, exchange)
        looking = self.verdicts.case_of(entry.record.id) is not None
        self.node.answer(route, Verdict(entry.record, PeerState.SUSPECT, looking), exchange)
        self._begin_cases(now)
        self._look_at(self.verdicts.case_of(entry.record.id), now)  # None when that client gets no more

    def _begin_cases(self, now: float) -> None:
        """Those whose turn it is are handed out no more until they are judged; who is still in the line is as good as any other."""
        for case in self.verdicts.open_next(now):
            self.registry.set_state(case.entry, PeerState.SUSPECT, now)
            self.outbox.event(PeerSuspected(case.entry.record))

    def _answer_moot(self, route: Route, body: Report, exchange: int) -> None:
        """Nothing to verify: the peer is not listed here, or has said since that it lives."""
        grave = self.registry.tombstone(body.target.id)
        state = PeerState.SUSPECT  # no opinion
        if grave is not None and grave.record.order >= body.target.order:
            state = grave.state
        self.counters.add("reports.moot")
        self.node.answer(route, Verdict(body.target, state), exchange)

    def _look_at(self, case: Case | None, now: float) -> None:
        """Something new about an accused: the rows that need no waiting."""
        if case is not None:
            decision = self.verdicts.decide_early(case)
            if decision is not Decision.OPEN:
                self._decide(case, decision, now)

    def _decide(self, case: Case, decision: Decision, now: float) -> None:
        entry = case.entry
        self.verdicts.close(case)
        self._begin_cases(now)
        if decision is Decision.HELD:
            self.counters.add("verdicts.held")
            self.outbox.event(PeerHeld(entry.record, self.verdicts.unreachable_count(now)))
            return
        state = PeerState.ALIVE if decision is Decision.CLEARED else PeerState.DEAD
        self._tell_reporters(case, state)
        if decision is Decision.CLEARED:
            self.registry.set_state(entry, PeerState.ALIVE, now)
            self.counters.add("verdicts.cleared")
            self.outbox.event(PeerCleared(entry.record, case.answered, case.visits))
        else:
            self._remove(entry, PeerState.DEAD, _WHY_REMOVED[decision], now)

    def _tell_reporters(self, case: Case, state: PeerState) -> None:
        for route, exchange in case.reporters.items():
            self.node.answer(route, Verdict(case.entry.record, state), exchange)

    def _remove(self, entry: Entry, state: PeerState, why: str, now: float) -> None:
        self._take_off(entry, state, now)
        self.counters.add("verdicts.removed")
        self.outbox.event(PeerRemoved(entry.record, why, len(self.registry)))

    def _take_off(self, entry: Entry, state: PeerState, now: float) -> None:
        case = self.verdicts.case_of(entry.record.id)
        if case is not None:
            self.verdicts.close(case)
            self._tell_reporters(case, state)
        self.registry.remove(entry, state, now)
        self._begin_cases(now)

    # -- time -------------------------------------------------------------------------------------------------------------

    def on_timers(self, now: float) -> None:
        """Everything that is due. A seed that was away itself extends all leases by that."""
        due = self.node.timers.next()
        if due is not None and now - due > self.node.config.late_s:
            self.counters.add("loop.late")
            self.registry.extend_all(now - due, now)
            self.visits.postpone(self.node.config.dial_timeout_s, now)
            self.verdicts.postpone(now)
        while (key := self.node.timers.pop_due(now)) is not None:
            self._on_due(*key, now)

    def _on_due(self, name: str, key: int, now: float) -> None:
        match name:
            case registry.LEASE:
                entry = self.registry.by_key(key)
                if entry is not None:
                    self._remove(entry, PeerState.DEAD, "its presence was not renewed", now)
            case visits.VISIT_DUE:
                self._visited(self.visits.due(key), now)
            case dialback.DIAL:
                self.dialback.advance(now)
            case dialback.DIAL_AGAIN:
                self.dialback.again(key, now)
            case verdicts.VISIT_AGAIN:
                self.verdicts.visit_again(key, now)
            case verdicts.CASE_DUE:
                end = self.verdicts.due(key, len(self.registry), now)
                if end is not None:
                    self._decide(*end, now)
