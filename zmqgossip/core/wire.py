"""Bytes to messages and back. Every limit of a frame is checked here, and nowhere else is `struct` or a msgspec codec used.

Two layouts. An *exchange* travels between a DEALER and a ROUTER (or on the topic of one link); a *segment* is gossip.

    exchange                          segment
     0  2  magic "ZG"                  0  2  topic "E" + bucket
     2  2  version major, minor        2  2  magic "ZG"
     4  8  cluster                     4  2  version major, minor
    12  4  check                       6  8  cluster
    16  2  code                       14  4  code, hops, spare        changed on the way
    18  2  flags                      18  4  check
    20  4  exchange number            22 16  origin
    24  4  body length                38  8  epoch
    28     body, then blocks          46  8  number
                                      54  4  count
                                      58  2  flags
                                      60  4  body length
                                      64     body, then blocks

`check` is the CRC-32 of all bytes before it but those changed on the way, then of all behind it: a damaged frame is refused
before anything in it is believed. It is no protection against a liar, who can compute it too. A block is type (2 bytes, the
highest bit means: refuse the frame if you do not know me), length (4) and value. Bodies are MessagePack arrays.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import NamedTuple, TypeVar
from zlib import crc32

import msgspec

from zmqgossip.core.errors import WireError
from zmqgossip.core.messages import BODIES, Body, Code, Message, Messages, Notice
from zmqgossip.core.types import FIRST_ID, ID_BYTES, U64_MAX, PeerId, PeerRecord, is_numeric_host, is_unicast_host

MAGIC = b"ZG"
MAJOR = 1
MINOR = 0

_EXCHANGE = struct.Struct(">2sBBQIHHII")
_SEGMENT = struct.Struct(">cB2sBBQHBBI16sQQIHI")
_MUTABLE = struct.Struct(">HBB")
_CHECK = struct.Struct(">I")
_BLOCK = struct.Struct(">HI")
EXCHANGE_BYTES = _EXCHANGE.size
SEGMENT_BYTES = _SEGMENT.size
BLOCKS_BYTES_MAX = 4096  # signature, record, hash, receipt, verdict and ticket together stay under 1 KiB
BODY_BYTES_MAX = 65_536
EXCHANGE_BYTES_MAX = EXCHANGE_BYTES + BODY_BYTES_MAX + BLOCKS_BYTES_MAX
SEGMENT_BYTES_MAX = SEGMENT_BYTES + BODY_BYTES_MAX + BLOCKS_BYTES_MAX
FRAME_BYTES_MAX = max(EXCHANGE_BYTES_MAX, SEGMENT_BYTES_MAX) + 64
"""What sockets accept; 64 more, so that a frame just over the limit is counted here instead of costing the connection."""
CRITICAL_BLOCK = 0x8000
HOPS_MAX = 255
REVISION_MAX = 0xFFFF_FFFF

TOPIC_GOSSIP = b"E"
TOPIC_DIGEST = b"D"
TOPIC_LINK = b"L"
NONCE_BYTES = 8
LINK_TOPIC_BYTES = 1 + ID_BYTES + NONCE_BYTES

FLAG_MARK = 0x0001
"""Reserved: asks for an acknowledgement. No node of version 1.0 sets it."""
FLAG_MEMBERSHIP = 0x0002
"""The body is a list of notices instead of messages, and count is 0."""


class SegmentHeader(NamedTuple):
    """The fixed part of a gossip frame, read in place.

    `code` and `hops` are the way's, not the origin's, and nobody vouches for them.
    """

    code: int
    hops: int
    origin: PeerId
    epoch: int
    number: int
    message_count: int
    flags: int
    body_length: int


def cluster_hash(name: str) -> int:
    """The 64 bits that stand for a cluster's name in every frame: BLAKE2b (RFC 7693) with a digest of 8 bytes."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8, person=b"zmqgossip").digest(), "big")


def bucket_of(origin: PeerId) -> int:
    """Which of the 256 gossip topics an origin's segments travel on: ids are uniform, so a byte of them is."""
    return origin[ID_BYTES - 1]


def link_topic(subscriber: PeerId, nonce: bytes) -> bytes:
    """The topic that one neighbour alone subscribes to, named by the nonce that the publisher gave to the link."""
    return TOPIC_LINK + subscriber + nonce


def parse_link_topic(topic: bytes) -> tuple[PeerId, bytes] | None:
    """Subscriber and nonce of a link topic, or None if it is none."""
    if len(topic) != LINK_TOPIC_BYTES or topic[:1] != TOPIC_LINK:
        return None
    return topic[1 : 1 + ID_BYTES], topic[1 + ID_BYTES :]


T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[int, msgspec.msgpack.Decoder[Body]] = {int(body.code): msgspec.msgpack.Decoder(body) for body in BODIES}
_messages_decoder = msgspec.msgpack.Decoder(Messages)
_notices_decoder = msgspec.msgpack.Decoder(list[Notice])


class Codec:
    """Encodes and decodes the frames of one cluster. Holds no state but the cluster's hash."""

    __slots__ = ("cluster",)

    def __init__(self, cluster: int) -> None:
        self.cluster = cluster

    # -- exchanges --------------------------------------------------------------------------------------------------------

    def encode(self, body: Body, exchange: int = 0) -> bytes:
        """One frame. `exchange` is the asker's number, echoed in the answer."""
        payload = _encoder.encode(body)
        if len(payload) > BODY_BYTES_MAX:
            raise AssertionError(f"{type(body).__name__} grew to {len(payload)} bytes")
        frame = _EXCHANGE.pack(MAGIC, MAJOR, MINOR, self.cluster, 0, body.code, 0, exchange, len(payload)) + payload
        return frame[:12] + _CHECK.pack(_exchange_check(frame)) + frame[16:]

    def decode(self, frame: bytes) -> tuple[Body, int]:
        """Body and exchange number. Raises WireError with the reason; nothing of a refused frame is believed."""
        if len(frame) < EXCHANGE_BYTES:
            raise WireError("too_short", f"{len(frame)} bytes")
        if len(frame) > EXCHANGE_BYTES_MAX:
            raise WireError("too_long", f"{len(frame)} bytes")
        magic, major, minor, cluster, check, code, _flags, exchange, length = _EXCHANGE.unpack_from(frame)
        _check_version(magic, major, minor)
        if check != _exchange_check(frame):
            raise WireError("check")
        if cluster != self.cluster and code != Code.WRONG_CLUSTER:
            raise WireError("cluster")
        decoder = _decoders.get(code)
        if decoder is None:
            raise WireError("code", str(code))
        body = _decode(decoder, _cut(frame, EXCHANGE_BYTES, length))
        _validate(body)
        return body, exchange

    # -- segments ---------------------------------------------------------------------------------------------------------

    def encode_segment(self, origin: PeerId, epoch: int, number: int, count: int, flags: int, body: bytes, blocks: bytes = b"") -> bytes:
        """A segment as its origin publishes it: code 1133, hops 0."""
        head = (
            TOPIC_GOSSIP, bucket_of(origin), MAGIC, MAJOR, MINOR, self.cluster, Code.GOSSIP, 0, 0, 0,
            origin, epoch, number, count, flags, len(body),
        )  # fmt: skip
        frame = _SEGMENT.pack(*head) + body + blocks
        return frame[:18] + _CHECK.pack(_segment_check(frame)) + frame[22:]

    def decode_segment(self, frame: bytes) -> SegmentHeader:
        """The header of a gossip frame. The body stays bytes: relays never decode it. Raises WireError."""
        if len(frame) < SEGMENT_BYTES:
            raise WireError("too_short", f"{len(frame)} bytes")
        if len(frame) > SEGMENT_BYTES_MAX:
            raise WireError("too_long", f"{len(frame)} bytes")
        (topic, bucket, magic, major, minor, cluster, code, hops, _spare, check,
         origin, epoch, number, count, flags, length) = _SEGMENT.unpack_from(frame)  # fmt: skip
        _check_version(magic, major, minor)
        if check != _segment_check(frame):
            raise WireError("check")
        if cluster != self.cluster:
            raise WireError("cluster")
        if code != (Code.GOSSIP if hops == 0 else Code.PROPAGATED):
            raise WireError("code", f"{code} after {hops} hops")
        if topic != TOPIC_GOSSIP or bucket != bucket_of(origin):
            raise WireError("topic")
        if number == 0:
            raise WireError("field", "segments are numbered from 1")
        _cut(frame, SEGMENT_BYTES, length)
        return SegmentHeader(code, hops, origin, epoch, number, count, flags, length)


def propagated(frame: bytes, hops: int) -> bytes:
    """The same segment as a neighbour passes it on: code 1155, one hop more; nothing else changes."""
    return frame[:14] + _MUTABLE.pack(Code.PROPAGATED, min(hops + 1, HOPS_MAX), 0) + frame[18:]


def encode_messages(messages: Messages) -> bytes:
    return _encoder.encode(messages)


def encode_notices(notices: list[Notice]) -> bytes:
    return _encoder.encode(notices)


def message_bytes(message: Message) -> int:
    """Bytes that a message takes in a segment's body."""
    return len(_encoder.encode(message))


def decode_messages(frame: bytes, header: SegmentHeader) -> Messages:
    """The messages of a segment whose header was accepted. Raises WireError."""
    body = _decode(_messages_decoder, _cut(frame, SEGMENT_BYTES, header.body_length))
    if len(body.messages) != header.message_count or not is_unicast_host(body.host) or body.first > U64_MAX - header.message_count:
        raise WireError("field", "messages")
    return body


def decode_notices(frame: bytes, header: SegmentHeader) -> list[Notice]:
    """The notices of a membership segment whose header was accepted. Raises WireError."""
    notices = _decode(_notices_decoder, _cut(frame, SEGMENT_BYTES, header.body_length))
    for notice in notices:
        _validate_record(notice.record)
    return notices


def _check_version(magic: bytes, major: int, minor: int) -> None:
    if magic != MAGIC:
        raise WireError("magic")
    if major != MAJOR:
        raise WireError("version", f"{major}.{minor}")


def _exchange_check(frame: bytes) -> int:
    return crc32(memoryview(frame)[16:], crc32(frame[:12]))


def _segment_check(frame: bytes) -> int:
    return crc32(memoryview(frame)[22:], crc32(frame[:14]))


def _cut(frame: bytes, start: int, length: int) -> memoryview:
    """The body, after a look at the blocks behind it."""
    end = start + length
    size = len(frame)
    if end > size:
        raise WireError("length", f"body of {length} bytes in a frame of {size}")
    offset = end
    while offset < size:
        if offset + _BLOCK.size > size:
            raise WireError("block", "cut off")
        kind, block_length = _BLOCK.unpack_from(frame, offset)
        offset += _BLOCK.size + block_length
        if offset > size:
            raise WireError("block", "longer than the frame")
        if kind & CRITICAL_BLOCK:
            raise WireError("critical_block", str(kind & ~CRITICAL_BLOCK))
    return memoryview(frame)[start:end]


def _decode(decoder: msgspec.msgpack.Decoder[T], body: memoryview) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("body", str(error)) from None


def _validate(body: Body) -> None:
    if getattr(body, "revision", 0) > REVISION_MAX or getattr(body, "epoch", 0) > U64_MAX:
        raise WireError("field", "revision or epoch")
    host = getattr(body, "host", None)
    if host is not None and not is_numeric_host(host):
        raise WireError("field", "host")
    record = getattr(body, "record", None) or getattr(body, "target", None)
    if isinstance(record, PeerRecord):
        _validate_record(record)
    for member in getattr(body, "sample", None) or getattr(body, "members", None) or ():
        _validate_record(member.record)
    for candidate in getattr(body, "candidates", None) or ():
        _validate_record(candidate)


def _validate_record(record: PeerRecord) -> None:
    too_large = record.epoch > U64_MAX or record.revision > REVISION_MAX
    if too_large or record.id == FIRST_ID or not is_unicast_host(record.host):
        raise WireError("field", "record")
