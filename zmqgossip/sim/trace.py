"""What happened, as one number and as a readable tail.

The number is a BLAKE2b over every event's time, node, kind and bytes: two runs are the same run if and only if their digests are
equal, under any PYTHONHASHSEED and on any machine. The tail is the last lines of the same story, for whoever looks at a run that
failed. Nothing here knows what an event means; it only knows where a frame keeps its code.
"""

from __future__ import annotations

import struct
from collections import deque
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from zmqgossip.core.codes import Code
from zmqgossip.core.events import Event
from zmqgossip.core.wire import LINK_TOPIC_BYTES, TOPIC_DIGEST, TOPIC_GOSSIP, TOPIC_LINK, WAY_START

TAIL_MAX = 2000
"""Lines kept: in a network of 100 peers about the last second. More would pin too many frames in memory."""

PENDING_MAX = 1 << 16
"""Bytes that are gathered before they are hashed: a hash costs more to call than to feed."""

Detail: TypeAlias = bytes | Event | str
_HEAD = struct.Struct(">dI")
_CODE = struct.Struct(">H")
_EXCHANGE_CODE_AT = 16
_SEGMENT_CODE_AT = WAY_START
_NAMES = {int(code): code.name for code in Code}


class Trace:
    """The digest of a run and its last lines."""

    __slots__ = ("_hash", "_pending", "count", "tail")

    def __init__(self, tail_max: int = TAIL_MAX) -> None:
        self.count = 0
        self.tail: deque[tuple[float, str, str, Detail, str]] = deque(maxlen=tail_max)
        self._pending = bytearray()
        self._hash = blake2b(digest_size=16, person=b"zmqgossip-sim")

    def note(self, now: float, node: str, kind: str, detail: Detail = b"", other: str = "") -> None:
        """Takes in one event of `node`, from `other` if somebody sent it. An Event counts by its class and its fields."""
        if type(detail) is bytes:
            data = detail
        elif isinstance(detail, str):
            data = detail.encode()
        else:
            data = type(detail).__name__.encode() + msgspec.msgpack.encode(detail)
        self.count += 1
        pending = self._pending
        pending += _HEAD.pack(now, len(data))
        pending += f"{node}\n{kind}\n{other}\n".encode()
        pending += data
        if len(pending) > PENDING_MAX:
            self._hash.update(pending)
            pending.clear()
        self.tail.append((now, node, kind, detail, other))

    @property
    def digest(self) -> str:
        """Everything up to now, in 32 hexadecimal digits."""
        whole = self._hash.copy()
        whole.update(self._pending)
        return whole.hexdigest()

    def lines(self, last: int = 60, node: str = "") -> list[str]:
        """The last lines, oldest first; those of one node if it is named."""
        kept = [line for line in self.tail if node in ("", line[1])]
        return [
            f"{now:12.6f}  {who:<8} {kind:<13} {'<- ' + other if other else '':<11} {describe(detail)}".rstrip()
            for now, who, kind, detail, other in kept[-last:]
        ]


def describe(detail: Detail) -> str:
    """One line for a person: a frame's code and size, an event, or the words themselves."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, bytes):
        return repr(detail)
    if not detail:
        return ""
    return f"{_NAMES.get(code_of(detail), 'bytes')} {len(detail)} B"


def code_of(frame: bytes) -> int:
    """The message code that a frame carries in its head, 0 when there is none. Nothing else of the frame is looked at."""
    offset = _EXCHANGE_CODE_AT
    if frame[:1] == TOPIC_GOSSIP:
        offset = _SEGMENT_CODE_AT
    elif frame[:1] == TOPIC_DIGEST:
        offset += 1
    elif frame[:1] == TOPIC_LINK:
        offset += LINK_TOPIC_BYTES
    return int(_CODE.unpack_from(frame, offset)[0]) if len(frame) >= offset + _CODE.size else 0
