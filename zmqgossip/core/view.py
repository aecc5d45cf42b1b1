"""The neighbours of a peer: its links, each under three names, and how far each has come.

A link has a key (this node's DEALER and SUB), a peer, and two nonces: `mine`, by which the neighbour names the link when it speaks
to us, and `theirs`, by which we name it to the neighbour.

    DIALLING --WELCOME, or a HELLO came--> LINKING --subscribed both ways--> UP --> gone

It is up both ways when our subscription is in force there (LINK_UP came through it) and theirs is in force here (their link
topic was seen at our XPUB).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from zmqgossip.core.messages import Receipt
from zmqgossip.core.rates import Bucket
from zmqgossip.core.types import PeerId, PeerRecord


class LinkState(Enum):
    DIALLING = 1
    LINKING = 2
    UP = 3


@dataclass(slots=True, eq=False)
class Link:
    """One neighbour. Times are monotonic seconds."""

    key: int
    peer: PeerRecord
    mine: bytes
    dialled: bool
    since: float
    theirs: bytes = b""
    receipt: Receipt | None = None  # what the neighbour gave: a report of its death needs it
    state: LinkState = LinkState.DIALLING
    said_hello: bool = False
    connected: bool = False
    heard: bool = False  # LINK_UP came: what the neighbour publishes reaches us
    seen: bool = False  # the neighbour's subscription is in force here
    up_at: float = 0.0
    links: int = 0  # how many the neighbour had up when it last said so
    guest: bool = False  # it stands in a spare place: it dialled us with one link or none
    bridge: bool = False  # it was dialled beyond the number wanted
    renews: bool = False  # it was dialled to see whether somebody random can be reached
    last_heard: float = 0.0
    disconnected_at: float | None = None
    leaving: bool = False  # the neighbour has said LEAVE, and what it published before is still on its way
    last: int = 0  # the number up to which that is
    owed: tuple[bytes, int] | None = None  # route and exchange of that LEAVE: it is answered when all of it is here
    misses: int = 0
    probe: bytes = b""
    probe_at: float = 0.0
    series: int = 0  # of knocks, since the connection dropped
    knocks: int = 0
    refusals: int = 0
    synced: bool = False  # the neighbour has its baseline: what it lacks from now on, it is owed
    slow: bool = False  # it is not waited for
    slow_until: float = 0.0  # not waited for again before that
    lazy: dict[int, None] = field(default_factory=dict)  # buckets that it does not push to us
    tries: dict[int, int] = field(default_factory=dict)  # how often it was grafted for being nearer, by bucket
    copies: dict[int, int] = field(default_factory=dict)  # known segments in a row that it pushed, by bucket
    late: dict[int, float] = field(default_factory=dict)  # seconds by which its copies come after the first, a moving mean, by bucket
    waited: list[tuple[float, float]] = field(default_factory=list)  # when, and how long, others waited for it
    asked_at: float | None = None  # how its streams are; None when it has answered
    asked_again_at: float = 0.0
    called_dead: tuple[int, int] = (-1, -1)  # the order of the last record that was said to be dead, and told on
    tap: Bucket | None = None  # how much may come from its SUB


class View:
    """All links, found by key, by peer and by our nonce.

    Attributes:
        removed_count: links that are gone; who holds on to links looks again when it has changed.
    """

    __slots__ = ("_by_key", "_by_nonce", "_by_peer", "removed_count")

    def __init__(self) -> None:
        self.removed_count = 0
        self._by_key: dict[int, Link] = {}
        self._by_peer: dict[PeerId, Link] = {}
        self._by_nonce: dict[bytes, Link] = {}

    def add(self, link: Link) -> None:
        assert link.peer.id not in self._by_peer, "two ids have at most one link"
        self._by_key[link.key] = link
        self._by_peer[link.peer.id] = link
        self._by_nonce[link.mine] = link

    def remove(self, link: Link) -> None:
        self.removed_count += 1
        del self._by_key[link.key]
        del self._by_peer[link.peer.id]
        del self._by_nonce[link.mine]

    def by_key(self, key: int) -> Link | None:
        return self._by_key.get(key)

    def by_peer(self, peer: PeerId) -> Link | None:
        return self._by_peer.get(peer)

    def by_nonce(self, nonce: bytes) -> Link | None:
        return self._by_nonce.get(nonce)

    def links(self) -> list[Link]:
        """All links in the order in which they were made; a copy, so that links may go while it is read."""
        return list(self._by_key.values())

    def up(self) -> Iterator[Link]:
        return (link for link in self._by_key.values() if link.state is LinkState.UP)

    def synced(self) -> Iterator[Link]:
        """Those that are up and have their baseline."""
        return (link for link in self._by_key.values() if link.synced and link.state is LinkState.UP)

    @property
    def up_count(self) -> int:
        return len([link for link in self._by_key.values() if link.state is LinkState.UP])

    @property
    def dialled_count(self) -> int:
        return sum(link.dialled for link in self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)
