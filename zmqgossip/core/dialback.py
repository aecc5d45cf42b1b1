"""Before a seed lists a peer it dials back: a list must name only addresses where that very peer can be reached.

Both ports are tried: the ROUTER must answer with the registered id, the XPUB must accept a connection. At most `dials_per_s` begin
in a second; registrations beyond that wait their turn. Three failures and the peer is told why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from zmqgossip.core.messages import NotListed, Register, Why
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Knock, Route
from zmqgossip.core.types import Endpoint, PeerId, PeerRecord
from zmqgossip.core.visits import Outcome, Visits

DIAL = "dial"
DIAL_AGAIN = "dial again"


@dataclass(slots=True, eq=False)
class Dial:
    """One registration on its way to the list."""

    key: int
    record: PeerRecord
    route: Route
    exchange: int
    ticket: bytes
    attempts: int = 0
    outcome: Outcome | None = None
    publish: Knock | None = None


class DialBack:
    """All registrations that wait for their dial-back or are in it."""

    __slots__ = ("_begun_at", "_by_peer", "_dials", "_endpoints", "_node", "_queue", "_visits")

    def __init__(self, node: Node, visits: Visits) -> None:
        self._node = node
        self._visits = visits
        self._dials: dict[int, Dial] = {}
        self._by_peer: dict[PeerId, Dial] = {}
        self._endpoints: dict[Endpoint, None] = {}  # one dial an address: nobody fills the line with copies of one
        self._queue: dict[int, Dial] = {}  # those that have not begun, in the order in which they came
        self._begun_at: deque[float] = deque()  # of the last dials, as many as a second may have

    def request(self, body: Register, route: Route, exchange: int, now: float) -> Dial | None:
        """Puts a registration in line. One that is in line already is told at its newest route. None when the line is full."""
        dial = self._by_peer.get(body.record.id)
        if dial is not None and dial.ticket == body.ticket and _same_place(dial.record, body.record):
            dial.record, dial.route, dial.exchange = body.record, route, exchange
            return dial
        if dial is not None:
            self._end(dial)
        if body.record.endpoint in self._endpoints or len(self._dials) >= self._node.config.dials_queued_max:
            self._node.counters.add("dropped.dial_queue_full")
            return None
        dial = Dial(self._node.new_key(), body.record, route, exchange, body.ticket)
        self._dials[dial.key] = dial
        self._by_peer[body.record.id] = dial
        self._endpoints[body.record.endpoint] = None
        self._queue[dial.key] = dial
        self.advance(now)
        return dial

    def advance(self, now: float) -> None:
        """Begins as many dials as the rate allows: so many within any one second."""
        begun = self._begun_at
        while self._queue and (len(begun) < self._node.config.dials_per_s or begun[0] + 1 <= now):
            begun.append(now)
            if len(begun) > self._node.config.dials_per_s:
                begun.popleft()
            self._attempt(self._queue.pop(next(iter(self._queue))), now)
        if self._queue:
            self._node.timers.set((DIAL, 0), begun[0] + 1)

    def _attempt(self, dial: Dial, now: float) -> None:
        dial.attempts += 1
        dial.outcome = dial.publish = None
        self._visits.begin(dial.key, dial.record, dial.ticket, self._node.config.dial_timeout_s, now)
        self._node.outbox.knock(dial.key, (dial.record.publish_endpoint,))

    def again(self, key: int, now: float) -> None:
        dial = self._dials.get(key)
        if dial is not None:
            self._queue[key] = dial
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
        if dial.outcome is None or dial.publish is None:
            return None
        if dial.outcome is Outcome.UNTRIED:
            dial.attempts -= 1
        if not self.succeeded(dial) and dial.attempts < self._node.config.dial_attempts:
            self._node.timers.set((DIAL_AGAIN, dial.key), now + self._node.config.dial_timeout_s / 4)
            return None
        self._end(dial)
        return dial

    def _end(self, dial: Dial) -> None:
        del self._dials[dial.key]
        del self._by_peer[dial.record.id]
        del self._endpoints[dial.record.endpoint]
        self._queue.pop(dial.key, None)
        self._node.timers.cancel((DIAL_AGAIN, dial.key))
        self._visits.abandon(dial.key)

    def forget(self, peer: PeerId, ticket: bytes) -> None:
        """The peer left before it was listed."""
        dial = self._by_peer.get(peer)
        if dial is not None and dial.ticket == ticket:
            self._end(dial)

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
