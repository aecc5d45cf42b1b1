"""Before a seed lists a peer it dials back: a list must name only addresses where that very peer can be reached.

Both ports are tried: the ROUTER must answer with the registered id, the XPUB must accept a connection. At most `dials_per_s` begin
in a second and `dials_open_max` are under way; registrations beyond that wait in a line where connections take turns. Three failures
and the peer is told why.

An id and an address are dialled for one registration at a time. Another one for them waits behind the first and is dialled right
after it: the first may be that of a process that has just died, or of a liar.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from zmqgossip.core.codes import Why
from zmqgossip.core.line import Line
from zmqgossip.core.messages import NotListed, Register
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Knock, Route
from zmqgossip.core.types import Endpoint, PeerId, PeerRecord, is_loopback
from zmqgossip.core.visits import Outcome, Visits

H = TypeVar("H", bound=Hashable)
DIAL = "dial"
DIAL_AGAIN = "dial again"
BEHIND_MAX = 3
"""Registrations that wait behind one of the same id or address: a new process there, and two liars."""


@dataclass(slots=True, eq=False)
class Dial:
    """One registration on its way to the list. `client` and `address` are where it came from first, `route` where it is answered."""

    key: int
    record: PeerRecord
    route: Route
    exchange: int
    ticket: bytes
    client: Route
    address: str
    attempts: int = 0
    is_open: bool = False  # an attempt is under way
    outcome: Outcome | None = None
    publish: Knock | None = None
    ahead: Dial | None = None  # it waits for this one to be decided
    behind: list[Dial] = field(default_factory=list)


class DialBack:
    """All registrations that wait for their dial-back or are in it."""

    __slots__ = (
        "_begun_at",
        "_by_endpoint",
        "_by_name",
        "_by_peer",
        "_dials",
        "_line",
        "_node",
        "_of_address",
        "_of_client",
        "_open",
        "_visits",
    )

    def __init__(self, node: Node, visits: Visits) -> None:
        self._node = node
        self._visits = visits
        self._dials: dict[int, Dial] = {}
        self._by_name: dict[tuple[PeerId, bytes], Dial] = {}  # id and ticket: what only its owner can say
        self._by_peer: dict[PeerId, Dial] = {}  # of those that wait behind nobody: one an id
        self._by_endpoint: dict[Endpoint, Dial] = {}  # and one an address
        self._of_client: Counter[Route] = Counter()
        self._of_address: Counter[str] = Counter()
        self._line = Line()
        self._open = 0
        self._begun_at: deque[float] = deque()  # of the last dials, as many as a second may have

    def request(self, body: Register, route: Route, exchange: int, address: str, now: float) -> Dial | None:
        """Puts a registration in line. One that is in line already is told at its newest route. None when there is no room for it."""
        dial = self._by_name.get((body.record.id, body.ticket))
        if dial is not None and _same_place(dial.record, body.record):
            dial.record, dial.route, dial.exchange = body.record, route, exchange
            return dial
        if dial is not None:
            self._end(dial)
        full = self._what_is_full(body.record, route, address)
        if full:
            self._node.counters.add(f"dropped.{full}")
            self.advance(now)
            return None
        dial = Dial(self._node.new_key(), body.record, route, exchange, body.ticket, route, address)
        self._dials[dial.key] = dial
        self._by_name[body.record.id, body.ticket] = dial
        self._of_client[dial.client] += 1
        self._of_address[dial.address] += 1
        self._place(dial)
        self.advance(now)
        return dial

    def _what_is_full(self, record: PeerRecord, route: Route, address: str) -> str:
        """The limit that leaves no room for one more, as its counter is called; empty when there is room."""
        config = self._node.config
        if len(self._dials) >= config.dials_queued_max:
            return "dial_queue_full"
        if self._of_client[route] >= config.dials_client_max:
            return "dials_of_client"
        if self._of_address[address] >= config.dials_address_max and not is_loopback(address):
            return "dials_of_address"
        ahead = self._ahead_of(record)
        if ahead is not None and (len(ahead.behind) >= BEHIND_MAX or route in [ahead.client, *(dial.client for dial in ahead.behind)]):
            return "dials_behind_full"
        return ""

    def _ahead_of(self, record: PeerRecord) -> Dial | None:
        return self._by_endpoint.get(record.endpoint) or self._by_peer.get(record.id)

    def _place(self, dial: Dial) -> None:
        """In line; behind another one of the same id or address, if there is one."""
        dial.ahead = self._ahead_of(dial.record)
        if dial.ahead is not None:
            dial.ahead.behind.append(dial)
            return
        self._by_peer[dial.record.id] = self._by_endpoint[dial.record.endpoint] = dial
        self._line.put(dial.client, dial.key)

    def advance(self, now: float) -> None:
        """Begins as many dials as the rate and those under way allow: so many within any one second."""
        begun, config = self._begun_at, self._node.config
        while self._line and self._open < config.dials_open_max and (len(begun) < config.dials_per_s or begun[0] + 1 <= now):
            begun.append(now)
            if len(begun) > config.dials_per_s:
                begun.popleft()
            self._attempt(self._dials[self._line.take()], now)
        if self._line and self._open < config.dials_open_max:  # otherwise the end of one that is under way comes back here
            self._node.timers.set((DIAL, 0), begun[0] + 1)

    def _attempt(self, dial: Dial, now: float) -> None:
        dial.attempts += 1
        dial.outcome = dial.publish = None
        dial.is_open = True
        self._open += 1
        self._visits.begin(dial.key, dial.record, dial.ticket, self._node.config.dial_timeout_s, now)
        self._node.outbox.knock(dial.key, (dial.record.publish_endpoint,))

    def again(self, key: int, now: float) -> None:
        dial = self._dials.get(key)
        if dial is not None:
            self._line.put(dial.client, key, again=True)
            self.advance(now)

    def on_outcome(self, key: int, outcome: Outcome, now: float) -> Dial | None:
        """How a visit ended. The dial, when it is decided: it succeeded, or that was the last attempt."""
        dial = self._dials.get(key)
        if dial is None:
            return None
        dial.outcome = outcome
        return self._settle(dial, now)

    def on_knock(self, key: int, results: Sequence[Knock], now: float) -> Dial | None:
        dial = self._dials.get(key)
        if dial is None:
            return None
        dial.publish = results[0]
        return self._settle(dial, now)

    def _settle(self, dial: Dial, now: float) -> Dial | None:
        if not dial.is_open or dial.outcome is None or dial.publish is None:
            return None
        self._attempt_is_over(dial)
        if dial.outcome is Outcome.UNTRIED:
            dial.attempts -= 1
        superseded = dial.outcome is Outcome.OTHER and bool(dial.behind)  # perhaps by the very one that waits
        is_decided = self.succeeded(dial) or superseded or dial.attempts >= self._node.config.dial_attempts
        if is_decided:
            self._end(dial)
        else:
            self._node.timers.set((DIAL_AGAIN, dial.key), now + self._node.config.dial_timeout_s / 4)
        self.advance(now)
        return dial if is_decided else None

    def _attempt_is_over(self, dial: Dial) -> None:
        self._open -= dial.is_open
        dial.is_open = False

    def _end(self, dial: Dial) -> None:
        """Out of the line, or out of the dial-back; whoever waited behind takes its place."""
        del self._dials[dial.key]
        del self._by_name[dial.record.id, dial.ticket]
        _one_less(self._of_client, dial.client)
        _one_less(self._of_address, dial.address)
        if dial.ahead is not None:
            dial.ahead.behind.remove(dial)
            return
        del self._by_peer[dial.record.id], self._by_endpoint[dial.record.endpoint]
        self._attempt_is_over(dial)
        self._line.remove(dial.client, dial.key)
        self._node.timers.cancel((DIAL_AGAIN, dial.key))
        self._visits.abandon(dial.key)
        for waiting in dial.behind:
            self._place(waiting)

    def forget(self, peer: PeerId, ticket: bytes, now: float) -> None:
        """The peer left before it was listed."""
        dial = self._by_name.get((peer, ticket))
        if dial is not None:
            self._end(dial)
            self.advance(now)

    @property
    def open_count(self) -> int:
        """Dials under way."""
        return self._open

    def __len__(self) -> int:
        """Registrations that are not decided."""
        return len(self._dials)

    @staticmethod
    def succeeded(dial: Dial) -> bool:
        return dial.outcome is Outcome.ANSWERED and dial.publish is Knock.ACCEPTED

    @staticmethod
    def reason(dial: Dial) -> NotListed:
        """What the peer is told when nobody, or somebody else, answered at its address."""
        record = dial.record
        match dial.outcome:
            case Outcome.OTHER:
                return NotListed(Why.ADDRESS, record.host, record.port, "another peer answers at this address")
            case Outcome.REFUSED:
                return NotListed(Why.UNREACHABLE, record.host, record.port, "the connection is refused")
            case Outcome.SILENT:
                return NotListed(Why.UNREACHABLE, record.host, record.port, "no answer in time")
            case _:
                refused = dial.publish is Knock.REFUSED
                text = "the connection is refused" if refused else "no connection in time"
                return NotListed(Why.UNREACHABLE, record.host, record.publish, text)


def _same_place(one: PeerRecord, other: PeerRecord) -> bool:
    """Whether a dial-back of the one says everything about the other."""
    return (one.order, one.endpoint, one.publish) == (other.order, other.endpoint, other.publish)


def _one_less(counter: Counter[H], name: H) -> None:
    """A name that counts nothing is forgotten."""
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
