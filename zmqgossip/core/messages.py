"""What nodes say to one another: one class a message code, and the table of all bodies.

The codes themselves stand in `codes`, what is said of gossip in `gossip_messages`.

A class is the body of its frame, in the order of its fields. `wire` turns it into bytes. Later minor versions append fields
with defaults and codes; what a decoder does not know it ignores.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from zmqgossip.core.codes import (
    Body,
    Code,
    Evidence,
    Nonce,
    Status,
    Text,
    Why,
)
from zmqgossip.core.gossip_messages import (
    Ask,
    BaselinePart,
    Deaths,
    Digest,
    NotYet,
    Pull,
    Pulled,
    Sync,
    Synced,
    Walk,
    Walked,
)
from zmqgossip.core.types import Count, Host, Member, PeerId, PeerRecord, PeerState, Port, Timestamp

Members = Annotated[list[Member], Meta(max_length=1024)]
Records = Annotated[list[PeerRecord], Meta(max_length=1024)]


SIGNATURE_BYTES_MAX = 64
Signature = Annotated[bytes, Meta(max_length=SIGNATURE_BYTES_MAX)]


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """What each end of a link gives to the other: `issuer` had a link with `holder`. With it the holder may report the issuer dead.

    Attributes:
        at: Unix time of its making, by the issuer's clock.
        signature: the issuer's; empty in mode plain, where anybody can write a receipt.
    """

    issuer: PeerId
    issuer_epoch: Count
    holder: PeerId
    holder_epoch: Count
    at: Timestamp
    signature: Signature

    def fits(self, issuer: PeerId, issuer_epoch: int, holder: PeerId) -> bool:
        """Whether it is that life's, for that holder. Nobody gives one to itself."""
        return issuer != holder and (self.issuer, self.issuer_epoch, self.holder) == (issuer, issuer_epoch, holder)


# -- peers and seeds ------------------------------------------------------------------------------------------------------


class Register(Body, frozen=True, array_like=True):
    """A peer asks a seed to list it. `ticket` is its secret with this seed: the dial-back asks for it, updates and the leave bring it."""

    code = Code.REGISTER
    record: PeerRecord
    ticket: Nonce


class Registered(Body, frozen=True, array_like=True):
    """The seed's answer, at once with listed false, and again when the dial-back went well. `total` counts all listed."""

    code = Code.REGISTERED
    listed: bool
    total: Count
    sample: Members


class NotListed(Body, frozen=True, array_like=True):
    """The seed will not list the peer: its address, its epoch, or its ports cannot be reached."""

    code = Code.NOT_LISTED
    why: Why
    host: Host
    port: Port
    text: Text


class List(Body, frozen=True, array_like=True):
    """Anybody asks for a page of a seed's list: ids above `after`, in their order. `tombstones`: the dead and the left instead."""

    code = Code.LIST
    after: PeerId
    limit: Count
    tombstones: bool = False


class Listed(Body, frozen=True, array_like=True):
    """A page. `total` counts the whole list, `more` says whether ids above the last one here are left."""

    code = Code.LISTED
    total: Count
    more: bool
    members: Members


class Presence(Body, frozen=True, array_like=True):
    """A peer renews its lease and says how it is."""

    code = Code.PRESENCE
    record: PeerRecord
    ticket: Nonce
    links: Count


class Present(Body, frozen=True, array_like=True):
    code = Code.PRESENT
    total: Count
    sample: Members


class UnknownPeer(Body, frozen=True, array_like=True):
    """The seed does not list this id. `revision` is that of a tombstone which a newer record must exceed, 0 without one."""

    code = Code.UNKNOWN_PEER
    epoch: Count
    revision: Count


class Report(Body, frozen=True, array_like=True):
    """A neighbour is dead, says a peer. `age_s` is how long ago it last gave a sign of life, `receipt` is what it gave to the reporter."""

    code = Code.REPORT
    reporter: PeerId
    target: PeerRecord
    evidence: Evidence
    misses: Count
    age_s: Timestamp
    receipt: Receipt | None = None


class Verdict(Body, frozen=True, array_like=True):
    """What the seed holds of a reported peer: DEAD or LEFT, ALIVE (the reporter's link is at fault), or SUSPECT: no verdict.

    `looking`: a verdict may follow.
    """

    code = Code.VERDICT
    target: PeerRecord
    state: PeerState
    looking: bool = False


class Leave(Body, frozen=True, array_like=True):
    """A peer goes on purpose. `last` is the number of its last segment. To a seed with its ticket, to a neighbour with the link."""

    code = Code.LEAVE
    record: PeerRecord
    ticket: Nonce
    last: Count


class LeaveHeard(Body, frozen=True, array_like=True):
    code = Code.LEAVE_HEARD


# -- neighbours -----------------------------------------------------------------------------------------------------------


class Hello(Body, frozen=True, array_like=True):
    """A peer wants a link with `target`. `nonce` names the link at the sender; `modes` are the security modes it offers.

    `urgent`: it has one link up or none.
    """

    code = Code.HELLO
    record: PeerRecord
    target: PeerId
    nonce: Nonce
    modes: Annotated[list[Text], Meta(max_length=16)]
    receipt: Receipt | None = None
    urgent: bool = False


class Welcome(Body, frozen=True, array_like=True):
    """The link stands. `nonce` names it at the sender, `yours` is the one that HELLO brought."""

    code = Code.WELCOME
    record: PeerRecord
    nonce: Nonce
    yours: Nonce
    mode: Text
    receipt: Receipt | None = None


class Refused(Body, frozen=True, array_like=True):
    """No link, and why; `candidates` are others to try."""

    code = Code.REFUSED
    why: Why
    epoch: Count
    revision: Count
    candidates: Records


class Bye(Body, frozen=True, array_like=True):
    """The link is given up; the peer lives. `link` is the receiver's nonce; `candidates` are others to dial instead."""

    code = Code.BYE
    link: Nonce
    text: Text
    candidates: Records = msgspec.field(default_factory=list)


class Shuffle(Body, frozen=True, array_like=True):
    """A peer that knows a part of all names itself and some others, to be told of others in return. `link` is the receiver's nonce."""

    code = Code.SHUFFLE
    link: Nonce
    candidates: Records


class Shuffled(Body, frozen=True, array_like=True):
    code = Code.SHUFFLED
    candidates: Records


class UnknownLink(Body, frozen=True, array_like=True):
    """No such link here: the answer to a probe on a link that was given up, and who says so."""

    code = Code.UNKNOWN_LINK
    link: Nonce
    id: PeerId


class LinkUp(Body, frozen=True, array_like=True):
    """Published on the topic of one link: the path of gossip works up to here."""

    code = Code.LINK_UP
    nonce: Nonce


class Probe(Body, frozen=True, array_like=True):
    """`<1122> <timestamp> <port>`; `link` is the receiver's nonce, `probe` comes back with the reply.

    `settled` stands for all streams that are settled at the sender, `table` for all members that it knows; 0 says nothing. `links` is
    how many links it has up.
    """

    code = Code.PROBE
    timestamp: Timestamp
    port: Port
    link: Nonce
    probe: Nonce
    settled: Count = 0
    table: Count = 0
    links: Count = 0


class Reply(Body, frozen=True, array_like=True):
    """`<1144> <timestamp> <sender port> <own port>`: the probe's timestamp and port, and the port of who answers."""

    code = Code.REPLY
    timestamp: Timestamp
    sender_port: Port
    own_port: Port
    probe: Nonce
    settled: Count = 0
    table: Count = 0
    links: Count = 0


class Direct(Body, frozen=True, array_like=True):
    """One peer, or anybody with an address, has something for `target` alone. `timeout_s` is how long the sender waits, in seconds."""

    code = Code.DIRECT
    record: PeerRecord
    target: PeerId
    wants_answer: bool
    timeout_s: Timestamp
    payload: bytes


class Answer(Body, frozen=True, array_like=True):
    """What became of a direct message: the payload if ANSWERED, a short text if FAILED."""

    code = Code.ANSWER
    status: Status
    payload: bytes = b""
    text: Text = ""


class Check(Body, frozen=True, array_like=True):
    """A seed asks whoever listens at a registered address who it is, and whether the ticket is its own."""

    code = Code.CHECK
    nonce: Nonce
    ticket: Nonce


class Checked(Body, frozen=True, array_like=True):
    """Who lives here. `mine`: it has registered with that ticket; false when somebody else did in its name."""

    code = Code.CHECKED
    record: PeerRecord
    nonce: Nonce
    mine: bool


class WrongCluster(Body, frozen=True, array_like=True):
    """A seed's only answer to a foreign cluster's hash. It says nothing of its own."""

    code = Code.WRONG_CLUSTER


class WrongVersion(Body, frozen=True, array_like=True):
    """The answer to a newer major version, in the layout of the answerer's own."""

    code = Code.WRONG_VERSION
    major: Count
    minor: Count


BODIES: tuple[type[Body], ...] = (
    Register, Registered, NotListed, List, Listed, Presence, Present, UnknownPeer, Report, Verdict, Leave, LeaveHeard,
    Hello, Welcome, Refused, Bye, Shuffle, Shuffled, UnknownLink, LinkUp, Probe, Reply, Direct, Answer, Check, Checked,
    Sync, BaselinePart, NotYet, Synced, Digest, Deaths, Ask, Pull, Pulled, Walk, Walked, WrongCluster, WrongVersion,
)  # fmt: skip
"""All bodies of exchanges; GOSSIP and PROPAGATED are segments."""
