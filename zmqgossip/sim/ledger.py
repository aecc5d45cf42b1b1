"""What was published and who got it: kept aside while the run goes on, so that the checkers can ask afterwards.

Every segment of messages that an origin puts on its XPUB is a line here; a receiver has one byte for each line. The ledger reads
frames by the codec that ships and trusts nothing else of the engines. What should have arrived where, and whether that is a
fault, is for `checkers` to say.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, TypeAlias

from zmqgossip.core.codes import Code
from zmqgossip.core.errors import WireError
from zmqgossip.core.outbox import Segment
from zmqgossip.core.types import PeerId
from zmqgossip.core.wire import CHECK_END, FLAG_MEMBERSHIP, TOPIC_GOSSIP, WAY_END, Codec, decode_messages
from zmqgossip.sim.trace import code_of

if TYPE_CHECKING:
    from zmqgossip.sim.body import Body

StreamKey: TypeAlias = tuple[PeerId, int]
PROBLEMS_MAX = 100
"""Enough to see what kind of fault it is; a broken protocol makes millions."""
_CHECK = slice(WAY_END, CHECK_END)


class Publication:
    """One segment of messages. `ready`: whether its origin was ready then; `check`: its check field, the same everywhere."""

    __slots__ = ("at", "check", "count", "first", "index", "ready")

    def __init__(self, index: int, at: float, ready: bool, first: int, count: int, check: bytes) -> None:
        self.index = index
        self.at = at
        self.ready = ready
        self.first = first
        self.count = count
        self.check = check


class Stream:
    """Everything one life of one peer has published, in order."""

    __slots__ = ("by_number", "message_count", "origin", "publications")

    def __init__(self, origin: Body) -> None:
        self.origin = origin
        self.publications: list[Publication] = []
        self.by_number: dict[int, Publication] = {}
        self.message_count = 0


class Track:
    """What one receiver has got of one stream: a byte for each publication, and how often an older one came after a newer."""

    __slots__ = ("disorder", "last", "seen")

    def __init__(self) -> None:
        self.seen = bytearray()
        self.last = -1
        self.disorder = 0

    def add(self, index: int) -> bool:
        """Whether it is the first time."""
        seen = self.seen
        if index >= len(seen):
            seen.extend(bytes(index + 1 - len(seen)))
        if index < self.last:
            self.disorder += 1
        else:
            self.last = index
        first = not seen[index]
        seen[index] = 1
        return first


class Ledger:
    """All streams and all tracks of a run.

    Attributes:
        problems: what no engine may ever do, in words, each with its time.
        delivered_count: segments given to users other than their origin's.
        latencies: seconds from publishing to each of those deliveries.
        published_at, hops: when each of them was published, and how many peers had passed it on.
    """

    __slots__ = ("_codec", "_tracks", "delivered_count", "hops", "latencies", "problems", "published_at", "streams")

    def __init__(self, cluster: int) -> None:
        self._codec = Codec(cluster)
        self._tracks: dict[Body, dict[StreamKey, Track]] = {}
        self.streams: dict[StreamKey, Stream] = {}
        self.problems: list[str] = []
        self.delivered_count = 0
        self.latencies = array("f")
        self.published_at = array("d")
        self.hops = array("B")

    def sent(self, body: Body, frame: bytes, now: float) -> None:
        """A frame went to an XPUB. Only what its own origin publishes counts."""
        if frame[:1] != TOPIC_GOSSIP or code_of(frame) != Code.GOSSIP:
            return
        try:
            header = self._codec.decode_segment(frame)
            if header.flags & FLAG_MEMBERSHIP or not header.message_count:
                return
            decode_messages(frame, header)
        except WireError as error:
            self._problem(now, f"{body.label} published a frame that nobody can read: {error}")
            return
        stream = self.streams.setdefault((header.origin, header.epoch), Stream(body))
        if header.number in stream.by_number:
            self._problem(now, f"{body.label} published its segment {header.number} twice")
        if header.first != stream.message_count + 1:
            self._problem(now, f"{body.label} counted {header.first} after {stream.message_count}")
        publication = Publication(
            len(stream.publications), now, body.ready_at is not None, header.first, header.message_count, frame[_CHECK]
        )
        stream.message_count += header.message_count
        stream.publications.append(publication)
        stream.by_number[header.number] = publication

    def delivered(self, body: Body, segment: Segment, now: float) -> None:
        """A segment went to a user."""
        header = segment.header
        if header is None:
            return
        stream = self.streams.get((header.origin, header.epoch))
        publication = None if stream is None else stream.by_number.get(header.number)
        if stream is None or publication is None:
            self._problem(now, f"{body.label} delivered a segment {header.number} that nobody published")
            return
        if segment.frame[_CHECK] != publication.check:
            self._problem(now, f"{body.label} delivered {stream.origin.label}'s segment {header.number} altered")
        tracks = self._tracks.setdefault(body, {})
        track = tracks.get((header.origin, header.epoch))
        if track is None:
            track = tracks[(header.origin, header.epoch)] = Track()
        if not track.add(publication.index):
            self._problem(now, f"{body.label} delivered {stream.origin.label}'s segment {header.number} a second time")
        if body is not stream.origin:
            self.delivered_count += 1
            self.latencies.append(now - publication.at)
            self.published_at.append(publication.at)
            self.hops.append(header.hops)

    def track(self, body: Body, stream: StreamKey) -> Track | None:
        """What `body` has got of a stream; None if nothing."""
        return self._tracks.get(body, {}).get(stream)

    def latency_s(self, share: float) -> float:
        """The latency that `share` of all deliveries kept to: 0.5 is the median. 0 when there was none."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    def _problem(self, now: float, words: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"{now:.6f}: {words}")
