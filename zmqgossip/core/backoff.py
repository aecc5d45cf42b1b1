"""Whom this peer does not dial for now, because the last attempt or the last link failed.

Each failure in a row doubles the pause, so that a flap costs no more than a probe. Records stay here with the pauses: of a peer
that knows only a part of all, this memory is the last place to look for somebody to dial.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from zmqgossip.core.node import Node
from zmqgossip.core.types import PeerId, PeerRecord


class Failure(NamedTuple):
    """One that failed `times` times in a row, and is not dialled before `not_before` (monotonic seconds)."""

    record: PeerRecord
    times: int
    not_before: float


class Backoff:
    """The failures of one peer's dials and links; those that failed longest ago are forgotten first."""

    __slots__ = ("_failures", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._failures: dict[PeerId, Failure] = {}

    def failed(self, record: PeerRecord, now: float, *, held_long: bool) -> None:
        """A dial or a link failed. `held_long`: it was up for so long that this is no flap."""
        config, peer = self._node.config, record.id
        before = self._failures.pop(peer, None)
        times = 1 if held_long or before is None else before.times + 1
        pause_s = min(config.redial_min_s * 2 ** min(times - 1, 16), config.redial_max_s)
        self._failures[peer] = Failure(record, times, now + pause_s * (0.5 + self._node.rng.random() / 2))
        oldest = next(iter(self._failures.values()))
        if oldest.not_before + config.redial_max_s < now or len(self._failures) > config.members_max:
            del self._failures[oldest.record.id]  # what failed so long ago is tried as if it never had

    def not_before(self, peer: PeerId) -> float:
        """When that peer may be dialled again; a time that has long passed if nothing is held against it."""
        failure = self._failures.get(peer)
        return float("-inf") if failure is None else failure.not_before

    def is_waiting(self, peer: PeerId, now: float) -> bool:
        """Whether it is not dialled now."""
        return self.not_before(peer) > now

    def records(self) -> Iterator[PeerRecord]:
        """Of all that failed."""
        return (failure.record for failure in self._failures.values())

    def __len__(self) -> int:
        return len(self._failures)
