"""Frames: what the codec writes, what it takes, and every reason for which it refuses."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from msgspec import inspect
from msgspec.structs import astuple, replace

from zmqgossip.core.codes import Body, Code, Why
from zmqgossip.core.errors import WireError
from zmqgossip.core.gossip_messages import Messages, Notice
from zmqgossip.core.messages import BODIES, Hello, Listed, Presence, Probe, Refused, Register, Registered, Verdict, WrongCluster
from zmqgossip.core.types import FIRST_ID, Member, PeerRecord, PeerState, is_unicast_host
from zmqgossip.core.wire import (
    BLOCKS_BYTES_MAX,
    BODY_BYTES_MAX,
    CRITICAL_BLOCK,
    EXCHANGE_BYTES,
    EXCHANGE_BYTES_MAX,
    FLAG_MEMBERSHIP,
    FRAME_BYTES_MAX,
    HOPS_MAX,
    SEGMENT_BYTES,
    SEGMENT_BYTES_MAX,
    TOPIC_GOSSIP,
    Codec,
    bucket_of,
    bucket_topic,
    cluster_hash,
    decode_messages,
    decode_notices,
    encode_messages,
    encode_notices,
    life_hash,
    link_topic,
    parse_link_topic,
    position_hash,
    propagated,
)

CLUSTER = cluster_hash("demo")
CODEC = Codec(CLUSTER)
NONCE = bytes(range(8))
ID = bytes(range(16))
RECORD = PeerRecord(ID, 1_730_000_000_000, 0, "127.0.0.1", 5001, 5901)
PROBE = Probe(1_730_000_000.5, 5001, NONCE, NONCE)
MESSAGES = Messages("127.0.0.1", 5001, [1_730_000_000.5, 1_730_000_001.5], ["gossip", "chat"], [b"one", b"two"])
pack = msgspec.msgpack.encode


def exchange(code: int, payload: bytes, **fields: Any) -> bytes:
    """An exchange with any field wrong on purpose, and the check right (unless that is the wrong one)."""
    head = struct.pack(
        ">2sBBQ",
        fields.get("magic", b"ZG"),
        fields.get("major", 1),
        fields.get("minor", 0),
        fields.get("cluster", CLUSTER),
    )
    tail = struct.pack(">HHII", code, fields.get("flags", 0), fields.get("number", 0), fields.get("length", len(payload)))
    tail += payload + fields.get("blocks", b"")
    return head + struct.pack(">I", fields.get("check", crc32(head + tail))) + tail


def segment(payload: bytes, **fields: Any) -> bytes:
    """A gossip frame with any field wrong on purpose, and the check right (unless that is the wrong one)."""
    origin = fields.get("origin", ID)
    head = struct.pack(
        ">3s2sBBQ",
        fields.get("topic", b"E" + bytes((origin[15] >> 4, origin[15] & 15))),
        fields.get("magic", b"ZG"),
        fields.get("major", 1),
        fields.get("minor", 0),
        fields.get("cluster", CLUSTER),
    )
    way = struct.pack(">HBB", fields.get("code", 1133), fields.get("hops", 0), fields.get("spare", 0))
    tail = struct.pack(
        ">16sQQQIHI",
        origin,
        fields.get("epoch", RECORD.epoch),
        fields.get("number", 1),
        fields.get("first", 1),
        fields.get("count", 2),
        fields.get("flags", 0),
        fields.get("length", len(payload)),
    )
    check = struct.pack(">I", fields.get("check", crc32(head + tail)))
    return head + way + check + tail + payload + fields.get("blocks", b"")


def block(kind: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack(">HI", kind, len(value) if length is None else length) + value


def name_of(value: object) -> str:
    """Of a row its reason alone: frames make no names."""
    return value if isinstance(value, str) else ""


def refusal(decode: Callable[[bytes], object], frame: bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode(frame)
    return caught.value.reason


def values(kind: inspect.Type, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a field, from what its type says of itself; so a new body needs no line here."""
    match kind:
        case inspect.Metadata():
            found = values(kind.type, name)
        case inspect.StrType() if name == "host":
            found = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str).filter(is_unicast_host)
        case inspect.StrType():
            found = st.text(st.characters(exclude_categories=["Cs"]), min_size=kind.min_length or 0, max_size=kind.max_length or 50)
        case inspect.BytesType():
            found = st.binary(min_size=kind.min_length or 0, max_size=kind.max_length or 200).filter(lambda value: value != FIRST_ID)
        case inspect.IntType():
            top = 2**32 - 1 if name == "revision" else 2**64 - 1
            top = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else top
            found = st.integers(kind.ge or 0, top)
        case inspect.FloatType():
            found = st.floats(kind.ge, kind.le, allow_nan=False)
        case inspect.BoolType():
            found = st.booleans()
        case inspect.EnumType():
            found = st.sampled_from(list(kind.cls))
        case inspect.ListType():
            found = st.lists(values(kind.item_type), min_size=kind.min_length or 0, max_size=4)
        case inspect.StructType():
            found = st.builds(kind.cls, **{field.name: values(field.type, field.name) for field in kind.fields})
        case inspect.UnionType():
            found = st.one_of([values(each) for each in kind.types])
        case inspect.TupleType():
            found = st.tuples(*[values(each) for each in kind.item_types])
        case inspect.NoneType():
            found = st.none()
        case _:
            raise AssertionError(f"no values for {kind}")
    return found


# -- what is refused, and by which name -----------------------------------------------------------------------------------

PROBE_BYTES = pack(PROBE)
HOSTS_REFUSED = [
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "localhost",
    "example.org",
    "127.0.0.1:80",
    "127.0.0.256",
    "::g",
    "0x7f.1",
    "١٢٧.٠.٠.١",
    "127.0.0.1\n",
]

EXCHANGES_REFUSED = [
    ("too_short", b""),
    ("too_short", b"ZG"),
    ("too_short", exchange(1122, PROBE_BYTES)[: EXCHANGE_BYTES - 1]),
    ("too_long", exchange(1122, PROBE_BYTES).ljust(EXCHANGE_BYTES_MAX + 1, b"\0")),
    ("magic", exchange(1122, PROBE_BYTES, magic=b"GZ")),
    ("magic", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("version", exchange(1122, PROBE_BYTES, major=2)),
    ("version", exchange(1122, PROBE_BYTES, major=0)),
    ("version", exchange(1122, PROBE_BYTES, major=2, check=0, cluster=1)),  # a newer layout may have its check elsewhere
    ("check", exchange(1122, PROBE_BYTES, check=0)),
    ("check", exchange(1122, PROBE_BYTES, cluster=1, check=0)),  # a damaged cluster is not a foreign one
    ("check", exchange(1122, PROBE_BYTES)[:-1]),
    ("check", exchange(1122, PROBE_BYTES) + b"\0"),
    ("cluster", exchange(1122, PROBE_BYTES, cluster=cluster_hash("another"))),
    ("code", exchange(0, PROBE_BYTES)),
    ("code", exchange(1199, PROBE_BYTES)),  # what a later minor version may add
    ("code", exchange(1133, PROBE_BYTES)),  # gossip is no exchange
    ("length", exchange(1122, PROBE_BYTES, length=len(PROBE_BYTES) + 1)),
    ("length", exchange(1122, PROBE_BYTES, length=2**32 - 1)),
    ("block", exchange(1122, PROBE_BYTES, blocks=b"\0")),
    ("block", exchange(1122, PROBE_BYTES, blocks=block(1, b"")[:-1])),
    ("block", exchange(1122, PROBE_BYTES, blocks=block(1, b"four", length=5))),
    ("block", exchange(1122, PROBE_BYTES, blocks=block(1, b"", length=2**32 - 1))),
    ("critical_block", exchange(1122, PROBE_BYTES, blocks=block(CRITICAL_BLOCK | 1, b"four"))),
    ("critical_block", exchange(1122, PROBE_BYTES, blocks=block(1, b"known to nobody") + block(CRITICAL_BLOCK, b""))),
    ("body", exchange(1122, b"")),
    ("body", exchange(1122, PROBE_BYTES[:-1])),
    ("body", exchange(1122, PROBE_BYTES + b"\xc0")),
    ("body", exchange(1122, pack([1.0, 5001, NONCE]))),  # a field is missing
    ("body", exchange(1122, pack({"timestamp": 1.0, "port": 5001, "link": NONCE, "probe": NONCE}))),
    ("body", exchange(1122, pack([1.0, 0, NONCE, NONCE]))),
    ("body", exchange(1122, pack([1.0, 65_536, NONCE, NONCE]))),
    ("body", exchange(1122, pack([1.0, 5001.0, NONCE, NONCE]))),
    ("body", exchange(1122, pack([1.0, 5001, NONCE[1:], NONCE]))),
    ("body", exchange(1122, pack([1.0, 5001, NONCE + b"9", NONCE]))),
    ("body", exchange(1122, pack([1.0, 5001, "8 letter", NONCE]))),
    ("body", exchange(1122, b"\x91" * 60_000)),  # sixty thousand arrays in one another
    ("body", exchange(1122, b"\xdd\xff\xff\xff\xff")),  # an array of four thousand million items
    ("body", exchange(1125, pack([NONCE, b"\xff"]))),
    ("body", exchange(1125, b"\x92" + pack(NONCE) + b"\xa1\xff")),  # no UTF-8
    ("body", exchange(1125, pack([NONCE, "x" * 201]))),
    ("body", exchange(1109, pack([RECORD, 5]))),  # a state that does not exist
    ("body", exchange(1100, pack([[ID, -1, 0, "127.0.0.1", 5001, 5901, False], NONCE]))),
    ("body", exchange(1100, pack([[ID[1:], 1, 0, "127.0.0.1", 5001, 5901, False], NONCE]))),
    ("body", exchange(1100, pack([[ID, 1, 0, "1", 5001, 5901, False], NONCE]))),
    ("body", exchange(1100, pack([[ID, 1, 0, "1" * 46, 5001, 5901, False], NONCE]))),
    ("body", exchange(1103, pack([1, False, [Member(RECORD, PeerState.ALIVE, 1.0)] * 1025]))),
    ("body", exchange(1120, pack([RECORD, ID, NONCE, ["plain"] * 17]))),
    ("field", exchange(1100, pack([[ID, 1, 2**32, "127.0.0.1", 5001, 5901, False], NONCE]))),
    ("field", exchange(1106, pack([1, 2**32]))),
    ("field", exchange(1123, pack([3, 1, 2**32, []]))),
    *(("field", exchange(1100, pack([[ID, 1, 0, host, 5001, 5901, False], NONCE]))) for host in HOSTS_REFUSED),
    ("field", exchange(1100, pack([[FIRST_ID, 1, 0, "10.0.0.1", 5001, 5901, False], NONCE]))),
]


@pytest.mark.parametrize(("reason", "frame"), EXCHANGES_REFUSED, ids=name_of)
def test_an_exchange_is_refused_by_a_named_reason(reason: str, frame: bytes) -> None:
    assert refusal(CODEC.decode, frame) == reason


MESSAGES_BYTES = encode_messages(MESSAGES)

SEGMENTS_REFUSED = [
    ("too_short", b""),
    ("too_short", b"E" + ID[15:]),
    ("too_short", segment(MESSAGES_BYTES)[: SEGMENT_BYTES - 1]),
    ("too_long", segment(MESSAGES_BYTES).ljust(SEGMENT_BYTES_MAX + 1, b"\0")),
    ("magic", segment(MESSAGES_BYTES, magic=b"zg")),
    ("version", segment(MESSAGES_BYTES, major=2)),
    ("version", segment(MESSAGES_BYTES, major=0)),
    ("check", segment(MESSAGES_BYTES, check=0)),
    ("check", segment(MESSAGES_BYTES, cluster=1, check=0)),  # a damaged cluster is not a foreign one
    ("check", segment(MESSAGES_BYTES, code=1122, number=0, topic=b"F\0\x0f", check=0)),
    ("cluster", segment(MESSAGES_BYTES, cluster=cluster_hash("another"))),
    ("code", segment(MESSAGES_BYTES, code=1155, hops=0)),
    ("code", segment(MESSAGES_BYTES, code=1133, hops=1)),
    ("code", segment(MESSAGES_BYTES, code=1122, hops=0)),
    ("topic", segment(MESSAGES_BYTES, topic=b"F\0\x0f")),
    ("topic", segment(MESSAGES_BYTES, topic=b"E\0\x0e")),
    ("topic", segment(MESSAGES_BYTES, topic=b"E\1\x0f")),
    ("topic", segment(MESSAGES_BYTES, topic=b"E\x0f\0")),  # the halves in the wrong order
    ("field", segment(MESSAGES_BYTES, number=0)),
    ("field", segment(MESSAGES_BYTES, first=0)),
    ("field", segment(MESSAGES_BYTES, first=2**64 - 2)),  # with two messages the next one would have no number
    ("length", segment(MESSAGES_BYTES, length=len(MESSAGES_BYTES) + 1)),
    ("length", segment(MESSAGES_BYTES, length=2**32 - 1)),
    ("length", segment(MESSAGES_BYTES)[:-1]),
    ("block", segment(MESSAGES_BYTES) + b"\0"),
    ("block", segment(MESSAGES_BYTES, blocks=b"\0\0\0\0\0")),
    ("block", segment(MESSAGES_BYTES, blocks=block(1, b"four", length=5))),
    ("critical_block", segment(MESSAGES_BYTES, blocks=block(CRITICAL_BLOCK | 7, b""))),
]


@pytest.mark.parametrize(("reason", "frame"), SEGMENTS_REFUSED, ids=name_of)
def test_a_segment_is_refused_by_a_named_reason(reason: str, frame: bytes) -> None:
    assert refusal(CODEC.decode_segment, frame) == reason


@pytest.mark.parametrize(
    ("reason", "payload", "count"),
    [
        ("body", b"", 2),
        ("body", b"\xc1", 2),
        ("body", pack(["127.0.0.1", 5001, [1.0], ["t"], []]), 0),
        ("body", pack(["127.0.0.1", 5001, [], ["t"], [b""]]), 1),
        ("body", pack(["127.0.0.1", 5001, [1.0], [], [b""]]), 1),
        ("body", pack(["127.0.0.1", 0, [1.0], ["t"], [b""]]), 1),
        ("body", pack(["127.0.0.1", 5001, [1.0], ["t" * 201], [b""]]), 1),
        ("body", pack(["127.0.0.1", 5001, [1.0], ["t"], ["text"]]), 1),
        ("body", pack(["127.0.0.1", 5001, 1.0, ["t"], [b""]]), 1),
        ("field", MESSAGES_BYTES, 1),
        ("field", MESSAGES_BYTES, 3),
        ("field", pack(["127.0.0.1", 5001, [1.0, 2.0], ["t"], [b""] * 3]), 3),
        ("field", pack(["127.0.0.1", 5001, [1.0], ["t", "u"], [b""] * 3]), 3),
        ("field", pack(["127.0.0.1", 5001, [1.0] * 2, ["t"], [b""]]), 1),
        ("field", pack(["example.org", 5001, [1.0], ["t"], [b""]]), 1),
    ],
    ids=name_of,
)
def test_messages_that_do_not_fit_their_header_are_refused(reason: str, payload: bytes, count: int) -> None:
    frame = segment(payload, count=count)
    header = CODEC.decode_segment(frame)  # relays do not look into the body
    assert refusal(lambda frame: decode_messages(frame, header), frame) == reason


@pytest.mark.parametrize(
    ("reason", "payload"),
    [
        ("body", b""),
        ("body", pack([RECORD])),
        ("body", pack([[RECORD, 0, 0]])),
        ("body", pack([[RECORD, 1, -1]])),
        ("field", pack([[[ID, 1, 2**32, "127.0.0.1", 5001, 5901], 1]])),
        ("field", pack([[RECORD, 1], [[ID, 1, 0, "example.org", 5001, 5901], 1]])),
    ],
    ids=name_of,
)
def test_notices_with_a_record_that_cannot_be_are_refused(reason: str, payload: bytes) -> None:
    frame = segment(payload, count=0, flags=FLAG_MEMBERSHIP)
    header = CODEC.decode_segment(frame)
    assert refusal(lambda frame: decode_notices(frame, header), frame) == reason


def test_every_reason_of_the_codec_is_provoked_in_this_file() -> None:
    reasons = {reason for reason, _ in EXCHANGES_REFUSED + SEGMENTS_REFUSED}
    assert reasons == {
        "too_short", "too_long", "magic", "version", "cluster", "check", "code", "length", "body", "block", "critical_block",
        "topic", "field",
    }  # fmt: skip


BAD = PeerRecord(ID, 1, 0, "not numeric", 5001, 5901)


@pytest.mark.parametrize(
    "body",
    [
        Register(BAD, NONCE),
        Presence(BAD, NONCE, 0),
        Verdict(BAD, PeerState.DEAD),
        Hello(BAD, ID, NONCE, ["plain"]),
        Registered(True, 1, [Member(RECORD, PeerState.ALIVE, 1.0), Member(BAD, PeerState.ALIVE, 1.0)]),
        Listed(1, False, [Member(BAD, PeerState.ALIVE, 1.0)]),
        Refused(Why.FULL, 0, 0, [RECORD, BAD]),
    ],
    ids=lambda body: type(body).__name__,
)
def test_a_record_is_checked_wherever_it_stands(body: Body) -> None:
    assert refusal(CODEC.decode, CODEC.encode(body)) == "field"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2001:db8::1", "::ffff:10.0.0.1"])
def test_a_record_with_a_numeric_host_is_taken(host: str) -> None:
    body = Register(PeerRecord(ID, 2**64 - 1, 2**32 - 1, host, 65_535, 1), NONCE)
    assert CODEC.decode(CODEC.encode(body)) == (body, 0)


@pytest.mark.parametrize("host", ["::1%\x1b[2J", "fe80::1%eth0"], ids=ascii)
def test_a_host_with_a_zone_is_refused(host: str) -> None:
    assert refusal(CODEC.decode, CODEC.encode(Register(PeerRecord(ID, 1, 0, host, 5001, 5901), NONCE))) == "field"


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -float("inf"), -1.0, 253_402_300_800.0, 1e300, 2**64 - 1], ids=str)
def test_a_time_that_no_calendar_has_is_refused(at: float) -> None:
    frame = segment(pack(["127.0.0.1", 5001, [at], ["t"], [b""]]), count=1)
    assert refusal(lambda frame: decode_messages(frame, CODEC.decode_segment(frame)), frame) == "body"
    assert refusal(CODEC.decode, CODEC.encode(Listed(1, False, [Member(RECORD, PeerState.ALIVE, at)]))) == "body"
    assert refusal(CODEC.decode, CODEC.encode(Probe(at, 5001, NONCE, NONCE))) == "body"


def test_an_answer_of_another_cluster_is_read_and_nothing_else_of_it() -> None:
    foreign = Codec(cluster_hash("another"))
    assert CODEC.decode(foreign.encode(WrongCluster(), 7)) == (WrongCluster(), 7)
    assert refusal(CODEC.decode, foreign.encode(PROBE)) == "cluster"


# -- there and back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BODIES, ids=lambda body: body.__name__)
def test_every_body_comes_back_as_it_went(kind: type[Body]) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(values(inspect.type_info(kind)), st.integers(0, 2**32 - 1))
    def comes_back(body: Body, number: int) -> None:
        frame = CODEC.encode(body, number)
        assert CODEC.decode(frame) == (body, number)
        assert frame[16:18] == int(kind.code).to_bytes(2, "big")

    comes_back()


@st.composite
def columns(draw: st.DrawFn) -> Messages:
    """A body whose columns fit: a time and a topic for each payload, or one for all."""
    body = draw(values(inspect.type_info(Messages)))
    count = len(body.payloads)
    times, topics = body.sent_at[:count], body.topics[:count]
    return replace(body, sent_at=times if len(times) == count else times[:1], topics=topics if len(topics) == count else topics[:1])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    columns(),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**64 - 1),
    st.integers(1, 2**63 - 1),
    st.integers(1, 2**64 - 6),
    st.integers(0, 0xFFFF),
)
def test_a_segment_of_messages_comes_back_as_it_went(
    body: Messages, origin: bytes, epoch: int, number: int, first: int, flags: int
) -> None:
    payload = encode_messages(body)
    frame = CODEC.encode_segment(origin, epoch, number, first, len(body.payloads), flags, payload)
    header = CODEC.decode_segment(frame)
    assert astuple(header) == (Code.GOSSIP, 0, origin, epoch, number, first, len(body.payloads), flags, len(payload))
    assert decode_messages(frame, header) == body


def test_a_column_of_one_stands_for_all_messages() -> None:
    body = Messages("127.0.0.1", 5001, [5.0], ["t"], [b"a", b"b", b"c"])
    assert list(body.rows()) == [("t", b"a", 5.0), ("t", b"b", 5.0), ("t", b"c", 5.0)]
    assert list(MESSAGES.rows()) == [("gossip", b"one", 1_730_000_000.5), ("chat", b"two", 1_730_000_001.5)]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(values(inspect.type_info(Notice)), max_size=4))
def test_a_segment_of_notices_comes_back_as_it_went(notices: list[Notice]) -> None:
    frame = CODEC.encode_segment(ID, 1, 1, 1, 0, FLAG_MEMBERSHIP, encode_notices(notices))
    assert decode_notices(frame, CODEC.decode_segment(frame)) == notices


def test_the_frames_written_here_by_hand_are_those_of_the_codec() -> None:
    assert CODEC.encode(PROBE, 9) == exchange(1122, PROBE_BYTES, number=9)
    assert CODEC.encode_segment(ID, RECORD.epoch, 1, 1, 2, 0, MESSAGES_BYTES) == segment(MESSAGES_BYTES)


def test_all_codes_but_gossip_have_one_body() -> None:
    codes = [body.code for body in BODIES]
    assert sorted([*codes, Code.GOSSIP, Code.PROPAGATED]) == sorted(Code)


# -- on the way -----------------------------------------------------------------------------------------------------------


def test_passing_on_changes_the_four_mutable_bytes_and_nothing_else() -> None:
    frame = segment(MESSAGES_BYTES)
    passed = propagated(frame)
    assert passed[15:19] == struct.pack(">HBB", 1155, 1, 0)
    assert passed[:15] == frame[:15] and passed[19:] == frame[19:]
    assert (frame[17], passed[17]) == (0, 1)
    before, after = CODEC.decode_segment(frame), CODEC.decode_segment(passed)
    assert (before.code, before.hops) == (1133, 0) and (after.code, after.hops) == (1155, 1)
    assert astuple(before)[2:] == astuple(after)[2:]


def test_hops_are_counted_up_to_a_limit() -> None:
    frame = segment(MESSAGES_BYTES)
    for hops in range(300):
        frame = propagated(frame)
        assert CODEC.decode_segment(frame).hops == min(hops + 1, HOPS_MAX)


def test_the_mutable_bytes_of_a_head_are_not_under_the_check_and_all_others_are() -> None:
    frame = segment(MESSAGES_BYTES)
    for place in range(SEGMENT_BYTES):
        damaged = frame[:place] + bytes([frame[place] ^ 1]) + frame[place + 1 :]
        try:
            CODEC.decode_segment(damaged)
        except WireError as error:
            in_version = error.reason in ("magic", "version") and 3 <= place < 7
            in_code = error.reason == "code" and 15 <= place < 18
            assert error.reason == "check" or in_version or in_code
        else:
            assert place == 18, "the spare byte: nobody reads it"


def test_a_damaged_body_is_found_by_its_reader_alone() -> None:
    """TCP vouches for bodies: whoever passes a segment on does not look into them."""
    frame = segment(MESSAGES_BYTES)
    header = CODEC.decode_segment(frame)
    unread = []
    for place in range(SEGMENT_BYTES, len(frame)):
        damaged = frame[:place] + bytes([0xC1]) + frame[place + 1 :]
        assert CODEC.decode_segment(damaged) == header
        try:
            assert decode_messages(damaged, header) != MESSAGES, "what was changed without breaking the form is read as it came"
            unread.append(place)
        except WireError as error:
            assert error.reason in ("body", "field")
    assert frame.index(b"one") in unread, "any byte is a payload"


# -- what a later minor version may add -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BODIES, ids=lambda body: body.__name__)
def test_fields_appended_to_a_body_are_ignored(kind: type[Body]) -> None:
    @settings(max_examples=10, deadline=None, derandomize=True, database=None)
    @given(values(inspect.type_info(kind)))
    def are_ignored(body: Body) -> None:
        longer = [*msgspec.to_builtins(body, builtin_types=(bytes,)), "appended", {"and": ["more"]}]
        assert CODEC.decode(exchange(kind.code, pack(longer), minor=1))[0] == body

    are_ignored()


def test_fields_appended_to_what_stands_inside_a_body_are_ignored() -> None:
    record = [*msgspec.to_builtins(RECORD, builtin_types=(bytes,)), 1, 2]
    frame = exchange(1103, pack([1, False, [[record, 1, 5.0, "appended"]]]))
    assert CODEC.decode(frame)[0] == Listed(1, False, [Member(RECORD, PeerState.ALIVE, 5.0)])
    frame = segment(pack(["127.0.0.1", 5001, [1.0], ["t"], [b"p"], "appended"]), count=1)
    assert decode_messages(frame, CODEC.decode_segment(frame)) == Messages("127.0.0.1", 5001, [1.0], ["t"], [b"p"])


def test_fields_with_a_default_may_be_left_out() -> None:
    short = [ID, 1, 0, "127.0.0.1", 5001, 5901]
    assert CODEC.decode(exchange(1100, pack([short, NONCE])))[0] == Register(PeerRecord(ID, 1, 0, "127.0.0.1", 5001, 5901, False), NONCE)


def test_blocks_that_are_unknown_and_not_critical_are_ignored() -> None:
    blocks = block(1, b"a signature") + block(0x7FFF, b"") + block(3, bytes(300))
    assert CODEC.decode(exchange(1122, PROBE_BYTES, blocks=blocks))[0] == PROBE
    frame = segment(MESSAGES_BYTES, blocks=blocks)
    assert decode_messages(frame, CODEC.decode_segment(frame)) == MESSAGES
    assert propagated(frame)[19:] == frame[19:], "and are passed on"


def test_flags_and_minor_versions_that_are_unknown_are_ignored() -> None:
    assert CODEC.decode(exchange(1122, PROBE_BYTES, flags=0xFFFF, minor=255))[0] == PROBE
    assert CODEC.decode_segment(segment(MESSAGES_BYTES, flags=0xFFFD, minor=255)).flags == 0xFFFD


# -- limits ---------------------------------------------------------------------------------------------------------------


def test_a_frame_may_be_as_long_as_the_limits_say_and_not_a_byte_longer() -> None:
    body = bytes(BODY_BYTES_MAX)
    blocks = block(1, bytes(BLOCKS_BYTES_MAX - 6))
    longest = CODEC.encode_segment(ID, 1, 1, 1, 1, 0, body, blocks)
    assert len(longest) == SEGMENT_BYTES_MAX
    assert CODEC.decode_segment(longest).body_length == BODY_BYTES_MAX
    assert refusal(CODEC.decode_segment, CODEC.encode_segment(ID, 1, 1, 1, 1, 0, body, blocks + b"\0")) == "too_long"

    assert CODEC.decode(exchange(1122, PROBE_BYTES, blocks=blocks))[0] == PROBE
    assert refusal(CODEC.decode, exchange(1122, PROBE_BYTES, blocks=block(1, bytes(BLOCKS_BYTES_MAX - 5)))) == "block"
    assert refusal(CODEC.decode_segment, CODEC.encode_segment(ID, 1, 1, 1, 1, 0, b"", 700 * block(1, b""))) == "block", "however small"
    assert refusal(CODEC.decode, exchange(1122, bytes(EXCHANGE_BYTES_MAX - EXCHANGE_BYTES + 1))) == "too_long"


def test_sockets_accept_a_little_more_than_the_longest_frame_so_that_it_is_counted() -> None:
    assert max(EXCHANGE_BYTES_MAX, SEGMENT_BYTES_MAX) < FRAME_BYTES_MAX < 71_000
    assert refusal(CODEC.decode_segment, bytes(FRAME_BYTES_MAX)) == "too_long"
    assert refusal(CODEC.decode, bytes(FRAME_BYTES_MAX)) == "too_long"


def test_a_body_of_ones_own_beyond_the_limit_is_a_bug() -> None:
    long_host = "2001:0db8:0000:0000:0000:0000:255.255.255.255"
    record = PeerRecord(ID, 2**64 - 1, 2**32 - 1, long_host, 65_535, 65_535, True)
    with pytest.raises(AssertionError, match="Listed grew to"):
        CODEC.encode(Listed(1024, False, [Member(record, PeerState.ALIVE, 1.0)] * 1024))


def test_a_fixed_header_has_the_documented_size() -> None:
    assert (EXCHANGE_BYTES, SEGMENT_BYTES) == (28, 73)
    assert len(segment(b"", count=0)) == SEGMENT_BYTES
    assert len(exchange(1111, pack([]))) == EXCHANGE_BYTES + 1


# -- names and topics -----------------------------------------------------------------------------------------------------


def test_a_clusters_hash_is_that_of_its_name_and_of_no_other() -> None:
    assert cluster_hash("demo") == 0x61DD1490D475F6B5
    names = ["demo", "Demo", "demo ", "", "démo"]
    assert len({cluster_hash(name) for name in names}) == len(names)


def test_the_bucket_of_an_origin_is_the_last_byte_of_its_id() -> None:
    assert bucket_of(bytes(15) + b"\xfe") == 254


def test_a_topic_of_gossip_is_a_bucket_in_two_halves_so_that_prefixes_take_all_or_sixteen() -> None:
    assert bucket_topic(0x2F) == b"E\x02\x0f"
    assert len({bucket_topic(bucket) for bucket in range(256)}) == 256
    assert all(bucket_topic(bucket).startswith(TOPIC_GOSSIP + bytes([bucket >> 4])) for bucket in range(256))
    frame = CODEC.encode_segment(bytes(15) + b"\xfe", 1, 1, 1, 0, 0, b"")
    assert frame[:3] == bucket_topic(254)


def test_a_position_and_a_life_have_hashes_that_others_can_compute() -> None:
    told = hashlib.blake2b(ID + struct.pack(">QQ", RECORD.epoch, 7), digest_size=8).digest()
    assert position_hash(ID, RECORD.epoch, 7) == int.from_bytes(told, "big")
    assert life_hash(ID, RECORD.epoch) == position_hash(ID, RECORD.epoch, 0)
    assert len({position_hash(ID, epoch, contiguous) for epoch in (1, 2) for contiguous in (0, 1, 2)}) == 6


def test_a_link_topic_names_subscriber_and_nonce() -> None:
    topic = link_topic(ID, NONCE)
    assert topic == b"L" + ID + NONCE
    assert parse_link_topic(topic) == (ID, NONCE)


@pytest.mark.parametrize(
    "topic", [b"", b"L", b"E\0\x0f", b"D", b"L" + ID + NONCE[1:], b"L" + ID + NONCE + b"\0", b"M" + ID + NONCE], ids=repr
)
def test_what_is_not_a_link_topic_names_nobody(topic: bytes) -> None:
    assert parse_link_topic(topic) is None
