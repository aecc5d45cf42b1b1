"""Bytes to messages and back. Every limit of a frame is checked here, and nowhere else is `struct` or a msgspec codec used.

Two layouts. An *exchange* travels between a DEALER and a ROUTER (or on the topic of one link); a *segment* is gossip.

    exchange                          segment
     0  2  magic "ZG"                  0  3  topic "E", bucket in two halves
     2  2  version major, minor        3  2  magic "ZG"
     4  8  cluster                     5  2  version major, minor
    12  4  check                       7  8  cluster
    16  2  code                       15  4  code, hops, spare        changed on the way
    18  2  flags                      19  4  check
    20  4  exchange number            23 16  origin
    24  4  body length                39  8  epoch
    28     body, then blocks          47  8  number
                                      55  8  first: number of the first message
                                      63  4  count
                                      67  2  flags
                                      69  4  body length
                                      73     body, then blocks

`check` is the CRC-32 of all bytes before it but those changed on the way, then of all behind it, of a segment up to its body: a
damaged head is refused before anything in it is believed. Bodies of segments are left to TCP's check sum, because a second one
at each hop was a fifth of what a large segment costs (docs/decisions/0007). It is no protection against a liar, who can compute
it too. A block is type (2 bytes, the highest bit means: refuse the frame if you do not know me), length (4) and value. Bodies
are MessagePack arrays.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import TypeVar
from zlib import crc32

import msgspec

from zmqgossip.core.codes import Body, Code
from zmqgossip.core.errors import WireError
from zmqgossip.core.gossip_messages import Messages, Notice
from zmqgossip.core.messages import BODIES
from zmqgossip.core.types import FIRST_ID, ID_BYTES, U64_MAX, PeerId, PeerRecord, is_numeric_host, is_unicast_host

MAGIC = b"ZG"
MAJOR = 1
MINOR = 0

_EXCHANGE = struct.Struct(">2sBBQIHHII")
_SEGMENT = struct.Struct(">cBB2sBBQHBBI16sQQQIHI")
_MUTABLE = struct.Struct(">HBB")
_CHECK = struct.Struct(">I")
_BLOCK = struct.Struct(">HI")
EXCHANGE_BYTES = _EXCHANGE.size
SEGMENT_BYTES = _SEGMENT.size
WAY_START, WAY_END, CHECK_END = 15, 19, 23  # of a segment: what is changed on the way, then the check
BLOCKS_BYTES_MAX = 4096  # signature, record, hash, receipt, verdict and ticket together stay under 1 KiB
BODY_BYTES_MAX = 66_560
"""64 KiB, and room for what describes one payload of that size."""
EXCHANGE_BYTES_MAX = EXCHANGE_BYTES + BODY_BYTES_MAX + BLOCKS_BYTES_MAX
SEGMENT_BYTES_MAX = SEGMENT_BYTES + BODY_BYTES_MAX + BLOCKS_BYTES_MAX
FRAME_BYTES_MAX = max(EXCHANGE_BYTES_MAX, SEGMENT_BYTES_MAX) + 64
"""What sockets accept; 64 more, so that a frame just over the limit is counted here instead of costing the connection."""
CRITICAL_BLOCK = 0x8000
HOPS_MAX = 255
NUMBER_MAX = 1 << 63
"""No stream gets so far in the life of the universe, and what is added to such a number still fits a field."""
REVISION_MAX = 0xFFFF_FFFF

TOPIC_GOSSIP = b"E"
TOPIC_DIGEST = b"D"
_BUCKET_TOPICS = [TOPIC_GOSSIP + bytes((bucket >> 4, bucket & 15)) for bucket in range(256)]
TOPIC_LINK = b"L"
NONCE_BYTES = 8
GOSSIP_TOPIC_BYTES = 3
LINK_TOPIC_BYTES = 1 + ID_BYTES + NONCE_BYTES

FLAG_MARK = 0x0001
"""Asks for an acknowledgement."""
FLAG_MEMBERSHIP = 0x0002
"""The body is a list of notices instead of messages, and count is 0."""
FLAG_FLUSH = 0x0004
"""The segment is empty, and its acknowledgement shall say who has it. Together with FLAG_MARK."""


class SegmentHeader(msgspec.Struct, frozen=True, gc=False):
    """The fixed part of a gossip frame, read in place.

    `code` and `hops` are the way's, not the origin's, and nobody vouches for them. `first` is the msg_count of the segment's first
    message, or of the next one if it has none.
    """

    code: int
    hops: int
    origin: PeerId
    epoch: int
    number: int
    first: int
    message_count: int
    flags: int
    body_length: int


def cluster_hash(name: str) -> int:
    """The 64 bits that stand for a cluster's name in every frame: BLAKE2b (RFC 7693) with a digest of 8 bytes."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8, person=b"zmqgossip").digest(), "big")


def bucket_of(origin: PeerId) -> int:
    """Which of the 256 gossip topics an origin's segments travel on: ids are uniform, so a byte of them is."""
    return origin[ID_BYTES - 1]


def bucket_topic(bucket: int) -> bytes:
    """The topic of one bucket. Half a byte each, so that all buckets but one are 30 subscriptions and not 255."""
    return _BUCKET_TOPICS[bucket]


def position_hash(origin: PeerId, epoch: int, contiguous: int) -> int:
    """64 bits that stand for how far a stream is; the XOR of many stands for all of them."""
    return int.from_bytes(
        blake2b(b"".join((origin, epoch.to_bytes(8, "big"), contiguous.to_bytes(8, "big"))), digest_size=8).digest(), "big"
    )


def life_hash(peer: PeerId, epoch: int) -> int:
    """64 bits that stand for one life of a peer; the sum of many stands for all of them."""
    return position_hash(peer, epoch, 0)


def record_hash(record: PeerRecord) -> int:
    """64 bits that stand for a living member as its record is; the XOR of many stands for all of them."""
    return position_hash(record.id, record.epoch, 2 * record.revision + record.ready)


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

    def encode_segment(
        self, origin: PeerId, epoch: int, number: int, first: int, count: int, flags: int, body: bytes, blocks: bytes = b""
    ) -> bytes:
        """A segment as its origin publishes it: code 1133, hops 0."""
        bucket = bucket_of(origin)
        head = _SEGMENT.pack(
            TOPIC_GOSSIP, bucket >> 4, bucket & 15, MAGIC, MAJOR, MINOR, self.cluster, Code.GOSSIP, 0, 0, 0,
            origin, epoch, number, first, count, flags, len(body),
        )  # fmt: skip
        check = crc32(head[CHECK_END:], crc32(head[:WAY_START]))
        return b"".join((head[:WAY_END], _CHECK.pack(check), head[CHECK_END:], body, blocks))

    def decode_segment(self, frame: bytes) -> SegmentHeader:
        """The header of a gossip frame. The body stays bytes: relays never decode it. Raises WireError."""
        if len(frame) < SEGMENT_BYTES:
            raise WireError("too_short", f"{len(frame)} bytes")
        if len(frame) > SEGMENT_BYTES_MAX:
            raise WireError("too_long", f"{len(frame)} bytes")
        (topic, high, low, magic, major, minor, cluster, code, hops, _spare, check,
         origin, epoch, number, first, count, flags, length) = _SEGMENT.unpack_from(frame)  # fmt: skip
        _check_version(magic, major, minor)
        if check != _segment_check(frame):
            raise WireError("check")
        if cluster != self.cluster:
            raise WireError("cluster")
        if code != (Code.GOSSIP if hops == 0 else Code.PROPAGATED):
            raise WireError("code", f"{code} after {hops} hops")
        if topic != TOPIC_GOSSIP or (high, low) != (origin[-1] >> 4, origin[-1] & 15):
            raise WireError("topic")
        if not 0 < number < NUMBER_MAX or first == 0:
            raise WireError("field", "segments are numbered from 1 to 2^63 - 1, messages from 1")
        if first > U64_MAX - count:
            raise WireError("field", "messages are numbered up to 2^64 - 1")
        if SEGMENT_BYTES + length != len(frame):
            _cut(frame, SEGMENT_BYTES, length)
        return SegmentHeader(code, hops, origin, epoch, number, first, count, flags, length)


def propagated(frame: bytes) -> bytes:
    """The same segment as a neighbour passes it on: code 1155, one hop more; nothing else changes. One copy, which is what it costs."""
    hops = min(frame[WAY_START + 2] + 1, HOPS_MAX)
    return b"".join((frame[:WAY_START], _MUTABLE.pack(Code.PROPAGATED, hops, 0), memoryview(frame)[WAY_END:]))


def encode_messages(messages: Messages) -> bytes:
    return _encoder.encode(messages)


def encode_notices(notices: list[Notice]) -> bytes:
    return _encoder.encode(notices)


def decode_messages(frame: bytes, header: SegmentHeader) -> Messages:
    """The messages of a segment whose header was accepted. Raises WireError."""
    body = _decode(_messages_decoder, _cut(frame, SEGMENT_BYTES, header.body_length))
    count = header.message_count
    if len(body.payloads) != count or len(body.topics) not in (1, count) or len(body.sent_at) not in (1, count):
        raise WireError("field", "messages")
    if not is_unicast_host(body.host):
        raise WireError("field", "host")
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
    return crc32(frame[CHECK_END:SEGMENT_BYTES], crc32(frame[:WAY_START]))


def _cut(frame: bytes, start: int, length: int) -> memoryview:
    """The body, after a look at the blocks behind it."""
    end = start + length
    size = len(frame)
    if end > size:
        raise WireError("length", f"body of {length} bytes in a frame of {size}")
    if size - end > BLOCKS_BYTES_MAX:
        raise WireError("block", f"{size - end} bytes of them")
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


_LOOKED_AT = frozenset(("revision", "epoch", "host", "record", "target", "sample", "members", "candidates", "records"))
_PLAIN = frozenset(kind for kind in BODIES if not _LOOKED_AT.intersection(kind.__struct_fields__))
"""Bodies of which the decoder has seen all there is to see: most of those that come often."""


def _validate(body: Body) -> None:
    if type(body) in _PLAIN:
        return
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
    for other in getattr(body, "candidates", None) or getattr(body, "records", None) or ():
        _validate_record(other)


def _validate_record(record: PeerRecord) -> None:
    too_large = record.epoch > U64_MAX or record.revision > REVISION_MAX
    if too_large or record.id == FIRST_ID or not is_unicast_host(record.host):
        raise WireError("field", "record")
