"""Digests: what this peer says of streams that are unsettled, to all neighbours at once, again and again until they are settled.

A digest is a state and not an event: it rides a pipe that may drop, and the next one makes up for it. What has changed is said
when it has rested for 50 ms, 250 ms after the first of it while it flows, then again after 250 ms, 500 ms and each second, all that is
due together and with 400 ms between two digests; what somebody waits for (a mark that is done, or has come) is said when timers are next
looked at: at the end of the turn, or, of what is published after them in a turn, in the next, which follows at once. A stream that is
quiet for two seconds and the same at every neighbour that spoke of it is settled, and not spoken of any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from zmqgossip.core.gossip_messages import ENTRIES_MAX, Ask, Digest, Entry
from zmqgossip.core.node import Node
from zmqgossip.core.stream import UNCHANGED, UNPLANNED, Stream, StreamKey
from zmqgossip.core.streams import Streams
from zmqgossip.core.types import PeerId
from zmqgossip.core.view import View
from zmqgossip.core.wire import TOPIC_DIGEST

DIGEST_DUE = "digest due"
REST_S = 0.05
STEP_MIN_S = 0.25
"""Before it is said again: sooner, most neighbours have not had their turn to say the same."""
STEP_MAX_S = 1.0
FLOWING_S = 0.25
"""After the first change: while a stream flows nobody needs to be told so often, a gap shows by itself."""
GAP_S = 0.4
"""Between two digests that nobody waits for: of many streams each would be due at another moment, and a digest costs its readers a turn."""
DIGEST_BYTES_MAX = 60_000
ENTRY_BYTES, MARK_BYTES = 80, 28
"""At most, on the wire: an entry or a report of a flush, and each mark or slow one that it names."""
QUIET_S = 2.0
"""Before a stream is taken for settled: some four digests, of which one gets through."""


class Digests:
    """When this peer says what of its streams."""

    __slots__ = ("_count", "_free_at", "_node", "_open", "_plan", "_streams", "_urgent", "_view")

    def __init__(self, node: Node, view: View, streams: Streams) -> None:
        self._node = node
        self._view = view
        self._streams = streams
        self._open: dict[StreamKey, Stream] = {}
        # When streams are looked at, soonest first. Each that is open stands in it once at its `planned`; all else in it is out of date.
        self._plan: list[tuple[float, int, Stream]] = []
        self._count = 0
        self._free_at = 0.0  # from when what is due may be said
        self._urgent: dict[StreamKey, Stream] = {}

    def touch(self, stream: Stream, now: float) -> None:
        """Something of the stream has changed here, or a neighbour is known to have it otherwise."""
        if stream.settled:
            self._streams.unsettle(stream)
        stream.changed_at = now
        stream.step = STEP_MIN_S
        if stream.unsaid_at == UNCHANGED:
            stream.unsaid_at = now
        stream.due = min(now + REST_S, stream.unsaid_at + FLOWING_S)
        self._open[stream.key] = stream
        if stream.due < stream.planned:
            self._look_at(stream)

    def hurry(self, stream: Stream, now: float) -> None:
        """Somebody waits for this: it is said when timers are next looked at, and that is due at once."""
        if stream.settled:
            self._streams.unsettle(stream)
        if stream.key not in self._open:
            stream.step, stream.due = STEP_MIN_S, now + REST_S
            self._open[stream.key] = stream
            self._look_at(stream)
        stream.changed_at = now
        self._urgent[stream.key] = stream
        self._arm(now)

    def _arm(self, at: float) -> None:
        planned = self._node.timers.when((DIGEST_DUE, 0))
        if planned is None or at < planned:
            self._node.timers.set((DIGEST_DUE, 0), at)

    def _look_at(self, stream: Stream) -> None:
        """It is looked at when it is due."""
        self._count += 1
        stream.planned = stream.due
        heappush(self._plan, (stream.due, self._count, stream))
        self._arm(max(stream.due, self._free_at))

    def _due(self, now: float) -> Iterator[Stream]:
        """Those that are due. Each is open still, and is planned anew, when the next is asked for; or it is closed."""
        while self._plan and self._plan[0][0] <= now:
            at, _, stream = heappop(self._plan)
            if at != stream.planned:
                continue
            stream.planned = UNPLANNED
            if stream.due <= now:
                yield stream
            if self._open.get(stream.key) is stream and stream.planned == UNPLANNED:
                self._look_at(stream)

    def forget(self, stream: Stream) -> None:
        stream.planned = UNPLANNED
        self._open.pop(stream.key, None)
        self._urgent.pop(stream.key, None)

    def due(self, now: float) -> None:
        """Says what is due, and settles what is quiet."""
        said, self._urgent = self._urgent, {}
        doubtful: dict[int, list[StreamKey]] = {}
        for stream in self._due(now) if now >= self._free_at else ():
            key = stream.key
            if self._is_settled(stream, now):
                self.forget(stream)
                said.pop(key, None)
                self._streams.settle(stream)
                continue
            if self._is_known(stream):
                stream.due = max(stream.changed_at + QUIET_S, now + REST_S)
                continue
            said[key] = stream
            self._free_at = now + GAP_S
            if stream.step == STEP_MAX_S and now - stream.changed_at >= QUIET_S:
                for link_key in [link_key for link_key, theirs in stream.theirs.items() if theirs.contiguous < stream.contiguous]:
                    doubtful.setdefault(link_key, []).append(key)
            stream.due = now + stream.step
            stream.step = min(2 * stream.step, STEP_MAX_S)
        if said:
            self._say(list(said.values()))
        self._ask(doubtful)
        if self._plan:
            self._arm(max(self._plan[0][0], self._free_at))

    def _ask(self, doubtful: dict[int, list[StreamKey]]) -> None:
        """Asks neighbours that seem to lack what has been quiet for long: it may be only their last digest that was lost."""
        for key, streams in doubtful.items():
            link = self._view.by_key(key)
            if link is not None and link.connected and link.theirs:
                self._node.ask(key, Ask(link.theirs, streams[:ENTRIES_MAX]))
                self._node.counters.add("digests.asked")

    def _is_known(self, stream: Stream) -> bool:
        """Whether it was said, and every neighbour has said the same: nobody learns anything if it is said again."""
        if stream.unsaid_at != UNCHANGED or stream.marks or stream.beyond or not stream.begun:
            return False
        for link in self._view.up():
            theirs = stream.theirs.get(link.key)
            if theirs is None or theirs.contiguous != stream.contiguous:
                return False
        return True

    def _is_settled(self, stream: Stream, now: float) -> bool:
        if now - stream.changed_at < QUIET_S or stream.marks or stream.beyond or not stream.begun:
            return False
        return all(theirs.contiguous == stream.contiguous for theirs in stream.theirs.values())

    def _say(self, streams: list[Stream]) -> None:
        for stream in streams:
            stream.unsaid_at = UNCHANGED
        if not self._streams.begun or not any(True for _ in self._view.up()):
            return
        for digest in packed([stream.entry for stream in streams]):
            self._node.outbox.publish(TOPIC_DIGEST + self._node.codec.encode(digest))
            self._node.counters.add("digests.published")

    def told(self, wanted: Sequence[StreamKey]) -> Iterator[Digest]:
        """The answer to a neighbour that asks how these streams are: one digest at least, be it empty."""
        return packed([entry for key in dict.fromkeys(wanted) if (entry := self._entry(*key)) is not None])

    def _entry(self, origin: PeerId, epoch: int) -> Entry | None:
        """What is said of a stream that is asked for. One that has faded is where it was, and done."""
        stream = self._streams.get(origin, epoch)
        if stream is not None:
            return stream.entry
        past = self._streams.past(origin, epoch)
        return Entry(origin, epoch, past, 0, past) if past else None

    def __len__(self) -> int:
        """Streams that are open: something of them is still to be said."""
        return len(self._open)


def packed(said: Sequence[Entry]) -> Iterator[Digest]:
    """What is to be said of streams, in as many digests as fit into frames; one at least."""
    entries: list[Entry] = []
    size = 0
    for entry in said:
        weight = ENTRY_BYTES + MARK_BYTES * len(entry.marks)
        weight += sum(ENTRY_BYTES + MARK_BYTES * len(report.slow) for report in entry.flushes)
        if entries and (size + weight > DIGEST_BYTES_MAX or len(entries) == ENTRIES_MAX):
            yield Digest(entries)
            entries, size = [], 0
        entries.append(entry)
        size += weight
    yield Digest(entries)
