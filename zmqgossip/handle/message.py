"""What a program gets: messages of others, and questions that were put to it alone."""

from __future__ import annotations

from itertools import count, repeat

import msgspec

from zmqgossip.core.outbox import Question, Segment
from zmqgossip.core.types import ID_BYTES, Endpoint, Member, PeerId, PeerRecord, Whom
from zmqgossip.core.wire import decode_messages


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Who made a message.

    Attributes:
        id: of the peer's process, 16 bytes.
        host, port: where the peer can be reached.
    """

    id: PeerId
    host: str
    port: int

    def __str__(self) -> str:
        return str(Endpoint(self.host, self.port))


class Message(msgspec.Struct, frozen=True, gc=False):  # nothing in it can point back: the collector need not look
    """One message that a peer published.

    Attributes:
        topic: dot-separated tokens, as "prices.btc".
        payload: the bytes as they were published.
        origin: the peer that made it.
        number: its count at that peer, from 1: messages of one origin without a hole are numbered without a hole.
        sent_at: when it was made there, Unix time in seconds by that machine's clock.
        hops: how often it was passed on, on the way by which it came here first.
    """

    topic: str
    payload: bytes
    origin: Origin
    number: int
    sent_at: float
    hops: int


class Request(msgspec.Struct, frozen=True):
    """A direct message to this peer.

    Attributes:
        sender: who says that it sent it; it need not be a listed peer.
        payload: the bytes as they were sent.
        wants_answer: whether what the handler returns goes back; of a `send` it does not.
        timeout_s: seconds that the sender waits.
    """

    sender: PeerRecord
    payload: bytes
    wants_answer: bool
    timeout_s: float
    token: int


AnyPeer = PeerId | Origin | PeerRecord | Member
"""Ways to name one peer: its id, or anything that has it. What says where it is reaches those too that are not in the table yet."""


def whom(named: AnyPeer) -> Whom:
    """A peer as the engine asks it, however it is named. Raises TypeError."""
    peer: object = named.record if isinstance(named, Member) else named
    if isinstance(peer, (Origin, PeerRecord)):
        return Whom(peer.id, Endpoint(peer.host, peer.port))
    if isinstance(peer, (bytes, bytearray)) and len(peer) == ID_BYTES:
        return Whom(bytes(peer))
    raise TypeError(f"{peer!r} names no peer; give its id ({ID_BYTES} bytes), a member, a neighbour, or the origin of a message")


def messages_of(segment: Segment) -> list[Message]:
    """The messages of a segment. Raises WireError for a body that is refused."""
    header = segment.header
    body = decode_messages(segment.frame, header)
    topics, payloads, times = body.columns()
    origin = repeat(Origin(header.origin, body.host, body.port))
    return list(map(Message, topics, payloads, origin, count(header.first), times, repeat(header.hops)))


def request_of(question: Question) -> Request:
    """A question as its handler gets it."""
    return Request(question.sender, question.payload, question.wants_answer, question.timeout_s, question.token)
