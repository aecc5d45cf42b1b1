"""Digests: what this peer says of streams that are unsettled, to all neighbours at once, again and again until they are settled.

A digest is a state and not an event: it rides a pipe that may drop, and the next one makes up for it. What has changed is said
after 50 ms, then 100, 200 ... 1 s; what somebody waits for (a mark that is done, or has come) is said at the end of the turn. A
stream that is quiet for two seconds and the same at every neighbour that spoke of it is settled, and not spoken of any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zmqgossip.core.gossip_messages import ENTRIES_MAX, Digest, Entry
from zmqgossip.core.node import Node
from zmqgossip.core.streams import Stream, StreamKey, Streams
from zmqgossip.core.view import View
from zmqgossip.core.wire import TOPIC_DIGEST

DIGEST_DUE = "digest due"
STEP_MIN_S = 0.05
STEP_MAX_S = 1.0
DIGEST_BYTES_MAX = 60_000
"""Entries in one digest, at their longest: the largest has 39,000 bytes, so one always fits."""
QUIET_S = 2.0
"""Before a stream is taken for settled: some six digests, of which one gets through."""


class Digests:
    """When this peer says what of its streams."""

    __slots__ = ("_node", "_open", "_streams", "_urgent", "_view")

    def __init__(self, node: Node, view: View, streams: Streams) -> None:
        self._node = node
        self._view = view
        self._streams = streams
        self._open: dict[StreamKey, Stream] = {}
        self._urgent: dict[StreamKey, Stream] = {}

    def touch(self, stream: Stream, now: float) -> None:
        """Something of the stream has changed here, or a neighbour is known to have it otherwise."""
        if stream.settled:
            self._streams.unsettle(stream)
        stream.changed_at = now
        if stream.step == STEP_MIN_S and stream.key in self._open:  # it is said soon anyhow
            return
        stream.step = STEP_MIN_S
        stream.due = now + STEP_MIN_S
        self._open[stream.key] = stream
        self._arm(stream.due)

    def hurry(self, stream: Stream, now: float) -> None:
        """Somebody waits for this: it is said at the end of the turn."""
        if stream.settled:
            self._streams.unsettle(stream)
        if stream.key not in self._open:
            stream.step, stream.due = STEP_MIN_S, now + STEP_MIN_S
            self._open[stream.key] = stream
        stream.changed_at = now
        self._urgent[stream.key] = stream
        self._arm(now)

    def _arm(self, at: float) -> None:
        planned = self._node.timers.when((DIGEST_DUE, 0))
        if planned is None or at < planned:
            self._node.timers.set((DIGEST_DUE, 0), at)

    def forget(self, stream: Stream) -> None:
        self._open.pop(stream.key, None)
        self._urgent.pop(stream.key, None)

    def due(self, now: float) -> None:
        """Says what is due, and settles what is quiet."""
        said, self._urgent = self._urgent, {}
        for key, stream in list(self._open.items()):
            if stream.due > now:
                continue
            if self._streams.get(*key) is not stream:  # it had no place any more
                self.forget(stream)
                said.pop(key, None)
                continue
            if self._is_settled(stream, now):
                del self._open[key]
                said.pop(key, None)
                self._streams.settle(stream)
                continue
            said[key] = stream
            stream.due = now + stream.step
            stream.step = min(2 * stream.step, STEP_MAX_S)
        if said:
            self._say(list(said.values()))
        if self._open:
            self._arm(min(stream.due for stream in self._open.values()))

    def _is_settled(self, stream: Stream, now: float) -> bool:
        if now - stream.changed_at < QUIET_S or stream.marks or stream.beyond or not stream.begun:
            return False
        return all(theirs.contiguous == stream.contiguous for theirs in stream.theirs.values())

    def _say(self, streams: list[Stream]) -> None:
        if not any(True for _ in self._view.up()):
            return
        for digest in digests_of(streams):
            self._node.outbox.publish(TOPIC_DIGEST + self._node.codec.encode(digest))
            self._node.counters.add("digests.published")

    def __len__(self) -> int:
        return len(self._open)


def digests_of(streams: Iterable[Stream]) -> Iterator[Digest]:
    """What is said of those streams, in as many digests as it takes: a stream with many marks takes the place of fifty."""
    entries: list[Entry] = []
    room = DIGEST_BYTES_MAX
    for stream in streams:
        entry = stream.entry
        size = 64 + 29 * len(entry.marks) + sum(56 + 18 * len(report.slow) for report in entry.flushes)
        if entries and (size > room or len(entries) == ENTRIES_MAX):
            yield Digest(entries)
            entries, room = [], DIGEST_BYTES_MAX
        entries.append(entry)
        room -= size
    yield Digest(entries)
