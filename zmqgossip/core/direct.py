"""Direct messages: one peer asks another, or tells it something, and learns in any case what became of that.

The intuition is a telephone, not a letter box. A question goes out once, over the link with the peer if there is one that is up,
else over an *errand*: a DEALER to its address that is kept for a short while. It has one end, told under the asker's token:

    asked --> ANSWERED, HEARD, FAILED, BUSY    what the peer said
          --> GONE                             nobody there, or the connection ended: whether it was read is not known
          --> TIMEOUT                          nothing was said in time; what is said later is dropped
          --> BUSY                             here, before anything went out

Nothing is sent twice: a peer may have acted on a question whose answer was lost, and only the asker knows whether twice does harm.
At the other end the user answers under a token of this file's; what those who asked wait for no longer is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from zmqgossip.core.codes import TEXT_MAX, Body, Status
from zmqgossip.core.errors import InvalidTimeout, PayloadTooLarge
from zmqgossip.core.members import Members
from zmqgossip.core.messages import Answer, Direct as DirectMessage, WrongCluster, WrongVersion
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Answered, Outcome, Question, Route
from zmqgossip.core.types import Endpoint, PeerId, PeerRecord, PeerState, Whom, is_vouched
from zmqgossip.core.view import LinkState, View

QUESTION_DUE = "question due"
REQUEST_DUE = "request due"
ERRAND_DUE = "errand due"
SEND_AGAIN = "send again"
TIMERS = (QUESTION_DUE, REQUEST_DUE, ERRAND_DUE, SEND_AGAIN)
SEND_AGAIN_S = 0.01
"""After a DEALER was full: its 64 frames leave a connection that is read in less."""
SEND_AGAIN_MAX = 32
"""Frames that are tried then: half of what a DEALER holds, so that a probe still finds room."""
OWN_KEY = 0  # no DEALER has it
OWN_ROUTE = b""  # no ROUTER names a connection so
NO_TAKER = Answer(Status.FAILED, b"", "nobody takes direct messages here")
LEAVING = Answer(Status.FAILED, b"", "it is leaving")

_GRAVES = {PeerState.DEAD: "it was found dead", PeerState.LEFT: "it has left"}
_OUTCOMES = {Status.HEARD: Outcome.HEARD, Status.ANSWERED: Outcome.ANSWERED, Status.BUSY: Outcome.BUSY, Status.FAILED: Outcome.FAILED}
_WORDS = {Status.BUSY: "it has no room for more questions", Status.FAILED: "it does not say why"}


@dataclass(slots=True, eq=False)
class Line:
    """A DEALER that questions travel on: a link's, for as long as one is open; or an errand's own, which has an endpoint."""

    key: int
    peer: PeerId
    errand: Endpoint | None
    connected: bool
    open: dict[int, None] = field(default_factory=dict)  # exchange numbers
    waiting: dict[int, bytes] = field(default_factory=dict)  # those of them that are not sent, with their frames
    idle_since: float = 0.0


@dataclass(slots=True, eq=False)
class Asked:
    """A question of one's own that has no end yet."""

    token: int
    wants_answer: bool
    line: Line


class Direct:
    """One peer's questions to others, and theirs to it.

    Attributes:
        refusal: what everybody who asks is answered; None while the user takes questions. To be set in the engine's own thread:
            NO_TAKER at first, None once there is somebody who takes them, BUSY while there is no room for more.
    """

    __slots__ = (
        "_asked",
        "_errands",
        "_leaving",
        "_lines",
        "_members",
        "_node",
        "_requests",
        "_seen",
        "_view",
        "_waiting_bytes",
        "refusal",
    )

    def __init__(self, node: Node, view: View, members: Members) -> None:
        self._node = node
        self._view = view
        self._members = members
        self._asked: dict[int, Asked] = {}  # by exchange number
        self._lines: dict[int, Line] = {}  # by key
        self._errands: dict[PeerId, Line] = {}  # the one used longest ago first
        self._requests: dict[int, tuple[Route, int]] = {}  # token -> where the answer goes, and its exchange number
        self._waiting_bytes = 0
        self._seen = 0
        self._leaving = False
        self.refusal: Answer | None = NO_TAKER

    def sizes(self) -> dict[str, int]:
        """Questions of one's own and of others that wait for their end, and connections made for them."""
        return {"questions_open": len(self._asked), "requests_open": len(self._requests), "errands": len(self._errands)}

    # -- asking -----------------------------------------------------------------------------------------------------------

    def ask(self, me: PeerRecord, token: int, whom: Whom, payload: bytes, wants_answer: bool, timeout_s: float, now: float) -> None:
        """Asks a peer, which may be this one. Its end is told under `token`, once; at the latest after `timeout_s` seconds.

        `whom` is its id, and where it was seen: that is used of a peer that is not in the table, and who answers there must have the id.

        Raises PayloadTooLarge and InvalidTimeout, and then nothing follows.
        """
        config = self._node.config
        if len(payload) > config.message_bytes_max:
            raise PayloadTooLarge(len(payload), config.message_bytes_max)
        if not 0 < timeout_s <= config.direct_timeout_max_s:
            raise InvalidTimeout(timeout_s, config.direct_timeout_max_s)
        self._node.counters.add("direct.asked")
        peer = whom.id
        endpoint, why = self._whereabouts(me, whom)
        if endpoint is None:
            self._tell(token, Outcome.GONE, b"", why)
            return
        line, why = self._line_to(me, peer, endpoint)
        if line is None:
            self._tell(token, Outcome.BUSY, b"", why)
            return
        exchange = self._node.new_exchange()
        while exchange in self._asked:
            exchange = self._node.new_exchange()
        self._asked[exchange] = Asked(token, wants_answer, line)
        line.open[exchange] = None
        self._node.timers.set((QUESTION_DUE, exchange), now + timeout_s)
        body = DirectMessage(me, peer, wants_answer, timeout_s, payload)
        if line.key == OWN_KEY:
            self.on_direct(me, body, OWN_ROUTE, exchange, me.host, now)
        else:
            self._send(line, exchange, self._node.codec.encode(body, exchange))

    def _whereabouts(self, me: PeerRecord, whom: Whom) -> tuple[Endpoint | None, str]:
        """Where a peer can be asked, or why it cannot."""
        if self._leaving:
            return None, "this peer is leaving"
        if whom.id == me.id:
            return me.endpoint, ""
        member, link = self._members.get(whom.id), self._view.by_peer(whom.id)
        if member is not None and member.state in _GRAVES:
            return None, _GRAVES[member.state]
        if link is not None:
            return link.peer.endpoint, ""
        return whom.seen_at if member is None else member.record.endpoint, "nobody of that id is known here"

    def _line_to(self, me: PeerRecord, peer: PeerId, endpoint: Endpoint) -> tuple[Line | None, str]:
        """Where a question to that peer goes, or why no further one can go there."""
        config = self._node.config
        if len(self._asked) >= config.questions_max or self._waiting_bytes >= config.questions_bytes_max:
            return None, "too many questions of our own are open"
        link = self._view.by_peer(peer)
        if peer == me.id:
            line = self._lines.get(OWN_KEY) or Line(OWN_KEY, me.id, None, True)
        elif link is not None and link.state is LinkState.UP and link.connected:
            line = self._lines.get(link.key) or Line(link.key, peer, None, True)
        else:
            return self._errand_to(peer, endpoint), "too many errands of our own"
        self._lines[line.key] = line
        return line, ""

    def _errand_to(self, peer: PeerId, endpoint: Endpoint) -> Line | None:
        line = self._errands.pop(peer, None)
        if line is None:
            if len(self._errands) >= self._node.config.errands_max:
                idle = next((other for other in self._errands.values() if not other.open), None)
                if idle is None:
                    return None
                self._close(idle)
            line = Line(self._node.new_key(), peer, endpoint, False)
            self._lines[line.key] = line
            self._node.outbox.open(line.key, endpoint)
            self._node.counters.add("direct.errands")
        self._errands[peer] = line
        return line

    def _send(self, line: Line, exchange: int, frame: bytes) -> None:
        """Sends behind what waits there already."""
        if line.connected and not line.waiting:
            self._node.outbox.request(line.key, frame)
        else:
            line.waiting[exchange] = frame
            self._waiting_bytes += len(frame)

    def _send_waiting(self, line: Line, count: int) -> None:
        for exchange in list(islice(line.waiting, count)):
            frame = line.waiting.pop(exchange)
            self._waiting_bytes -= len(frame)
            self._node.outbox.request(line.key, frame)

    # -- the ends ---------------------------------------------------------------------------------------------------------

    def _tell(self, token: int, outcome: Outcome, payload: bytes, why: str) -> None:
        self._node.counters.add(f"direct.{outcome.name.lower()}")
        self._node.outbox.answered(Answered(token, outcome, payload, why))

    def _end(self, exchange: int, outcome: Outcome, payload: bytes, why: str, now: float) -> None:
        """The one way in which a question that went as far as a line ends."""
        asked = self._asked.pop(exchange)
        line = asked.line
        del line.open[exchange]
        self._waiting_bytes -= len(line.waiting.pop(exchange, b""))
        self._node.timers.cancel((QUESTION_DUE, exchange))
        self._tell(asked.token, outcome, payload, why)
        if line.open:
            return
        if line.errand is None:
            self._forget(line)
            return
        line.idle_since = now
        if self._node.timers.when((ERRAND_DUE, line.key)) is None:  # else it looks when it is due
            self._node.timers.set((ERRAND_DUE, line.key), now + self._node.config.errand_idle_s)

    def _lose(self, line: Line, outcome: Outcome, why: str, now: float) -> None:
        """A line is no more, and nothing that was asked on it can be answered."""
        for exchange in list(line.open):
            self._end(exchange, outcome, b"", why, now)
        if line.errand is not None:
            self._close(line)

    def _close(self, errand: Line) -> None:
        self._forget(errand)
        del self._errands[errand.peer]
        self._node.outbox.close(errand.key)

    def _forget(self, line: Line) -> None:
        del self._lines[line.key]
        self._node.timers.cancel((ERRAND_DUE, line.key))
        self._node.timers.cancel((SEND_AGAIN, line.key))

    def look(self, now: float) -> None:
        """Ends what was asked of those who have died or left since the last look, or on links that were given up."""
        changes = self._view.removed_count + self._members.buried_count
        if changes == self._seen:
            return
        self._seen = changes
        for line in list(self._lines.values()):
            member = self._members.get(line.peer)
            if member is not None and member.state in _GRAVES:
                self._lose(line, Outcome.GONE, _GRAVES[member.state], now)
            elif line.errand is None and line.key != OWN_KEY and self._view.by_key(line.key) is None:
                self._lose(line, Outcome.GONE, "the link with it ended", now)

    def leave(self, now: float) -> None:
        """This peer goes: nobody's answer will be waited for. What it was asked it may answer until the end."""
        self._leaving = True
        for line in list(self._lines.values()):
            self._lose(line, Outcome.GONE, "this peer is leaving", now)

    # -- connections and time ---------------------------------------------------------------------------------------------

    def errand_at(self, key: int) -> Endpoint | None:
        """Where the errand of that key goes to; None if it is none."""
        line = self._lines.get(key)
        return None if line is None else line.errand

    def on_connected(self, key: int, now: float) -> None:
        line = self._lines.get(key)
        if line is not None:
            line.connected = True
            self._send_waiting(line, len(line.waiting))

    def on_disconnected(self, key: int, now: float) -> None:
        line = self._lines.get(key)
        if line is not None:
            self._lose(line, Outcome.GONE, "the connection dropped" if line.connected else "nobody listens at its address", now)

    def on_not_opened(self, key: int, now: float) -> None:
        line = self._lines.get(key)
        if line is not None:
            self._lose(line, Outcome.BUSY, "no socket is left here", now)

    def on_not_sent(self, key: int, frame: bytes, now: float) -> bool:
        """A DEALER was full. A question waits until an answer comes there, or a moment has passed; whether it is one."""
        line = self._lines.get(key)
        if line is None:
            return False
        _, exchange = self._node.codec.decode(frame)
        if exchange not in line.open:
            return False
        self._node.counters.add("direct.delayed")
        line.waiting[exchange] = frame
        self._waiting_bytes += len(frame)
        if self._node.timers.when((SEND_AGAIN, key)) is None:
            self._node.timers.set((SEND_AGAIN, key), now + SEND_AGAIN_S)
        return True

    def on_due(self, name: str, key: int, now: float) -> None:
        """A deadline of `TIMERS` has passed."""
        if name == QUESTION_DUE:
            self._end(key, Outcome.TIMEOUT, b"", "no answer in time", now)
        elif name == REQUEST_DUE:
            del self._requests[key]
            self._node.counters.add("requests.unanswered")
        elif name == SEND_AGAIN:
            self._send_waiting(self._lines[key], SEND_AGAIN_MAX)
            if self._lines[key].waiting:
                self._node.timers.set((SEND_AGAIN, key), now + SEND_AGAIN_S)
        elif not self._lines[key].open:
            line = self._lines[key]
            idle_until = line.idle_since + self._node.config.errand_idle_s
            if idle_until > now:
                self._node.timers.set((ERRAND_DUE, key), idle_until)
            else:
                self._close(line)

    # -- answers ----------------------------------------------------------------------------------------------------------

    def on_reply(self, key: int, exchange: int, body: Body, now: float) -> None:
        """Something came at the DEALER of an errand, or an answer at that of a link."""
        line = self._lines.get(key)
        if isinstance(body, Answer):
            self._on_answer(key, exchange, body, now)
        elif line is not None and isinstance(body, (WrongCluster, WrongVersion)):
            self._lose(line, Outcome.GONE, "somebody else lives at its address", now)
        else:
            self._node.refuse("unexpected", str(line.errand if line is not None else ""))

    def _on_answer(self, key: int, exchange: int, body: Answer, now: float) -> None:
        asked = self._asked.get(exchange)
        if asked is None or asked.line.key != key or exchange in asked.line.waiting:
            self._node.counters.add("direct.late_answer")
            return
        line = asked.line
        if body.status is Status.NOT_ME:
            self._end(exchange, Outcome.GONE, b"", "somebody else lives at its address", now)
        elif body.status is (Status.HEARD if asked.wants_answer else Status.ANSWERED):
            self._end(exchange, Outcome.FAILED, b"", "it answered something else than was asked", now)
        else:
            why = body.text or _WORDS.get(body.status, "")
            self._end(exchange, _OUTCOMES[body.status], body.payload if body.status is Status.ANSWERED else b"", why, now)
        self._send_waiting(line, 1)

    # -- being asked ------------------------------------------------------------------------------------------------------

    def on_direct(self, me: PeerRecord, body: DirectMessage, route: Route, exchange: int, address: str, now: float) -> None:
        """Somebody asks. It need not be known here, nor listed anywhere; but it must speak from where it says it is."""
        config = self._node.config
        refusal = self._refusal(me, body, address)
        if refusal is not None:
            self._node.counters.add(f"requests.{refusal.status.name.lower()}")
            self._reply(route, exchange, refusal, now)
            return
        self._node.counters.add("requests.taken")
        timeout_s = min(body.timeout_s, config.direct_timeout_max_s)
        token = 0
        if body.wants_answer:
            token = self._node.new_key()
            self._requests[token] = (route, exchange)
            self._node.timers.set((REQUEST_DUE, token), now + timeout_s)
        self._node.outbox.asked(Question(token, body.record, body.payload, body.wants_answer, timeout_s))
        if not body.wants_answer:
            self._reply(route, exchange, Answer(Status.HEARD), now)

    def _refusal(self, me: PeerRecord, body: DirectMessage, address: str) -> Answer | None:
        """Why a question is not handed to the user, if it is not."""
        config = self._node.config
        if body.target != me.id:
            return Answer(Status.NOT_ME)
        if body.record.host != address and not is_vouched(body.record.host, address, config.advertise_networks):
            return Answer(Status.FAILED, b"", f"your record says {body.record.host}, your connection comes from {address}")
        if self._leaving:
            return LEAVING
        if self.refusal is not None:
            return self.refusal
        if body.wants_answer and len(self._requests) >= config.requests_open_max:
            return Answer(Status.BUSY)
        return None

    def answer(self, token: int, status: Status, payload: bytes, text: str, now: float) -> None:
        """The user's answer. A second one, or one to somebody who waits no longer, is counted and dropped.

        Raises PayloadTooLarge: the question stays open then, for an answer that fits.
        """
        assert status in (Status.ANSWERED, Status.BUSY, Status.FAILED), "the other two are said by the engine itself"
        size_max = self._node.config.message_bytes_max
        if len(payload) > size_max:
            raise PayloadTooLarge(len(payload), size_max)
        asker = self._requests.pop(token, None)
        if asker is None:
            self._node.counters.add("requests.answered_late")
            return
        self._node.timers.cancel((REQUEST_DUE, token))
        self._node.counters.add("requests.answered")
        self._reply(*asker, Answer(status, payload, _cut(text)), now)

    def _reply(self, route: Route, exchange: int, body: Answer, now: float) -> None:
        if route == OWN_ROUTE:
            self._on_answer(OWN_KEY, exchange, body, now)
        else:
            self._node.answer(route, body, exchange)


def _cut(text: str) -> str:
    """What fits into a frame of a text that may be an exception's: those hold anything."""
    return text.encode(errors="replace").decode()[:TEXT_MAX]
