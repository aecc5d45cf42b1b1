"""What nodes say of gossip: the bodies of segments, where a newcomer's hearing begins, and who has heard what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Annotated

import msgspec
from msgspec import Meta

from zmqgossip.core.codes import Body, Code, Nonce, Text
from zmqgossip.core.types import Count, Host, Member, PeerId, PeerRecord, PeerState, Port, Timestamp

ENTRIES_MAX = 512
"""Entries of one digest: with a mark each, 60 bytes, half of what a frame holds."""
MARKS_MAX = 64
"""Marks of one stream under way: eight are usual, and a flush adds one."""
RANGES_MAX = 64
BUCKETS = 256
DEATHS_MAX = 100
"""In one frame, of some 100 bytes each."""
WALKED_MEMBERS_MAX = 512
"""Members in one answer: with the longest addresses, 98 bytes each, three quarters of what a frame holds."""

# -- in segments ----------------------------------------------------------------------------------------------------------


class Messages(msgspec.Struct, frozen=True, array_like=True):
    """The body of a segment of messages, in columns: a decoder written in C makes each in one go.

    Attributes:
        host, port: where the origin can be reached.
        sent_at: Unix time of each message, or one for all.
        topics: of each message, or one for all.
        payloads: one a message.
    """

    host: Host
    port: Port
    sent_at: Annotated[list[Timestamp], Meta(min_length=1)]
    topics: Annotated[list[Text], Meta(min_length=1)]
    payloads: Annotated[list[bytes], Meta(min_length=1)]

    def columns(self) -> tuple[Iterable[str], list[bytes], Iterable[float]]:
        """Topics, payloads and times, each as long as the payloads or without end."""
        count = len(self.payloads)
        topics = self.topics if len(self.topics) == count else repeat(self.topics[0])
        return topics, self.payloads, self.sent_at if len(self.sent_at) == count else repeat(self.sent_at[0])

    def rows(self) -> Iterator[tuple[str, bytes, float]]:
        """Topic, payload and Unix time of each message."""
        return zip(*self.columns(), strict=False)


class Notice(msgspec.Struct, frozen=True, array_like=True):
    """One membership change as gossip: what the origin holds of `record`. It counts only from the record's owner, and tells the owner."""

    record: PeerRecord
    state: PeerState
    last: Count = 0


# -- where hearing begins -------------------------------------------------------------------------------------------------


class Position(msgspec.Struct, frozen=True, array_like=True):
    """How far one stream is at a node: every number up to `contiguous` is behind it, and with them `messages` messages."""

    origin: PeerId
    epoch: Count
    contiguous: Count
    messages: Count


class Sync(Body, frozen=True, array_like=True):
    """A newcomer asks a neighbour where its hearing shall begin. `link` is the receiver's nonce."""

    code = Code.SYNC
    link: Nonce


class BaselinePart(Body, frozen=True, array_like=True):
    """Part `part`, from 0, of `parts`: how far the streams are at the neighbour. One that is in no part starts at 0.

    `past`: streams that are only remembered there, of origins that are gone. `ages`: of each of `streams`, in their order, for how many
    whole seconds nothing of it has changed, if its origin is gone, else 0; 0 for those that are not in it. It may say anything.
    """

    code = Code.BASELINE
    part: Count
    parts: Annotated[int, Meta(ge=1)]
    streams: Annotated[list[Position], Meta(max_length=1024)]
    past: Annotated[list[Position], Meta(max_length=1024)] = msgspec.field(default_factory=list)
    ages: Annotated[list[Count], Meta(max_length=1024)] = msgspec.field(default_factory=list)


class NotYet(Body, frozen=True, array_like=True):
    """The neighbour has no baseline itself. It says SYNCED when it has."""

    code = Code.NOT_YET


class Synced(Body, frozen=True, array_like=True):
    """The sender has its baseline: it may be asked for one, is waited for from now on, and gives the hashes that a probe has.

    `link` is the receiver's nonce.
    """

    code = Code.SYNCED
    link: Nonce
    settled: Count
    table: Count = 0


# -- who has heard what ---------------------------------------------------------------------------------------------------


class FlushReport(msgspec.Struct, frozen=True, array_like=True):
    """Who is done with a flush below one node, and the node itself.

    Attributes:
        mark: number of the flush's segment.
        parent: who brought it to the node.
        count: nodes, without those that lost something of the stream.
        total: sum of the hashes of their ids and epochs, modulo 2^64.
        slow: nodes that were not waited for, or that lost something.
    """

    mark: Count
    parent: PeerId
    count: Count
    total: Count
    slow: Annotated[list[PeerId], Meta(max_length=256)]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """How one stream is at a node.

    Attributes:
        contiguous: every number up to it is behind the node.
        hops: of the last segment that came first by a push; 0 came from the origin itself.
        done: the mark up to which all marks are done there.
        marks: each mark above that which it has, and who brought it; an id of zeros is nobody any more.
        flushes: of the last flushes that are done there.
    """

    origin: PeerId
    epoch: Count
    contiguous: Count
    hops: Count
    done: Count
    marks: Annotated[list[tuple[Count, PeerId]], Meta(max_length=MARKS_MAX)] = []
    flushes: Annotated[list[FlushReport], Meta(max_length=MARKS_MAX)] = []


class Digest(Body, frozen=True, array_like=True):
    """How unsettled streams are at a node. Published on the digest topic, and the answer to ASK."""

    code = Code.DIGEST
    entries: Annotated[list[Entry], Meta(max_length=ENTRIES_MAX)]


class Deaths(Body, frozen=True, array_like=True):
    """Peers that are dead: found so by the node, or heard by it from another. Published on the digest topic."""

    code = Code.DEATHS
    records: Annotated[list[PeerRecord], Meta(min_length=1, max_length=DEATHS_MAX)]


class Ask(Body, frozen=True, array_like=True):
    """How are these streams at you? Origin and epoch of each. `link` is the receiver's nonce."""

    code = Code.ASK
    link: Nonce
    streams: Annotated[list[tuple[PeerId, Count]], Meta(max_length=ENTRIES_MAX)]


class Pull(Body, frozen=True, array_like=True):
    """Wants segments of one stream: closed ranges of numbers. They come as gossip frames, then PULLED. `link` is the receiver's nonce."""

    code = Code.PULL
    link: Nonce
    origin: PeerId
    epoch: Count
    ranges: Annotated[list[tuple[Count, Count]], Meta(min_length=1, max_length=RANGES_MAX)]


class Pulled(Body, frozen=True, array_like=True):
    """The end of the answer: the node has every number from `oldest` to `contiguous`, the end of which is `messages` messages.

    What is older is gone there.
    """

    code = Code.PULLED
    origin: PeerId
    epoch: Count
    oldest: Count
    contiguous: Count
    messages: Count


class Walk(Body, frozen=True, array_like=True):
    """Two nodes' settled streams differ, or their `table` of members: asks for the hashes of all buckets, or for what is in some.

    `link` is the receiver's nonce.
    """

    code = Code.WALK
    link: Nonce
    buckets: Annotated[list[Annotated[int, Meta(ge=0, lt=BUCKETS)]], Meta(max_length=BUCKETS)]
    table: bool = False


class Walked(Body, frozen=True, array_like=True):
    """The answer: a hash a bucket, or how far the streams of the buckets asked for are.

    Of the `table` of members it has those hashes, or the living and the tombstones of the buckets asked for.
    """

    code = Code.WALKED
    hashes: Annotated[list[Count], Meta(max_length=BUCKETS)]
    streams: Annotated[list[Position], Meta(max_length=1024)]
    table: bool = False
    members: Annotated[list[Member], Meta(max_length=WALKED_MEMBERS_MAX)] = msgspec.field(default_factory=list)
