"""docs/PROTOCOL.md says what the code does: its vectors are decoded by a decoder that knows nothing of the project, its tables are
compared with the classes."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from zlib import crc32

import pytest
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import astuple, fields

from zmqgossip.core import codes as c, gossip_messages as g, messages as m, types as t, wire
from zmqgossip.core.config import DEFAULT, LAN
from zmqgossip.runtime import sockets

PAGE = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
VECTORS = re.findall(r"^```hex (.+)\n([^`]+)```\n\n```json \1\n(.+)\n```$", PAGE, re.MULTILINE)

# -- the independent decoder: struct and zlib, nothing else ---------------------------------------------------------------

LENGTHS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I"}
NUMBERS = {0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}


def unpack(data: bytes, at: int) -> tuple[Any, int]:
    """The MessagePack value at an offset, bytes as hexadecimal behind 0x; and where the next one begins."""
    tag, at = data[at], at + 1
    if tag < 0x80 or tag in (0xC2, 0xC3):
        return tag if tag < 0x80 else tag == 0xC3, at
    number = tag & 0x0F if tag < 0xA0 else tag & 0x1F
    if form := LENGTHS.get(tag) or NUMBERS.get(tag):
        (number,), at = struct.unpack_from(form, data, at), at + struct.calcsize(form)
    if tag in NUMBERS:
        return number, at
    if 0x90 <= tag <= 0x9F or tag in (0xDC, 0xDD):
        items = []
        for _ in range(number):
            item, at = unpack(data, at)
            items.append(item)
        return items, at
    value = data[at : at + number]
    return "0x" + value.hex() if tag in (0xC4, 0xC5, 0xC6) else value.decode(), at + number


def read(frame: bytes) -> dict[str, Any]:
    """What a frame says. A segment begins with E, a link's topic with L, that of digests with D, an exchange with the magic."""
    topic = {b"E": 3, b"L": 25, b"D": 1}.get(frame[:1], 0)
    said = {"topic": "0x" + frame[:topic].hex()} if topic else {}
    names, form = "check code flags exchange length", ">IHHII"
    if topic == 3:
        names, form = "code hops spare check origin epoch number first count flags length", ">HBBI16sQQQIHI"
    assert frame[topic : topic + 12] == bytes.fromhex("5a470100 61dd1490d475f6b5")
    said |= dict(zip(names.split(), struct.unpack_from(form, frame, topic + 12), strict=True))
    covered = frame[:15] + frame[23:73] if topic == 3 else frame[topic : topic + 12] + frame[topic + 16 :]
    assert said.pop("check") == crc32(covered) and not said.pop("spare", 0)
    if topic == 3:
        said["origin"] = "0x" + said["origin"].hex()
    start = topic + 12 + struct.calcsize(form)
    end = start + said.pop("length")
    said["body"], after = unpack(frame[:end], start) if end > start else (None, start)
    while after == end < len(frame):  # a block that may be skipped
        kind, size = struct.unpack_from(">HI", frame, end)
        after = end = end + 6 + size if kind < 0x8000 else 0
    assert after == end == len(frame)
    return said


# -- the vectors ----------------------------------------------------------------------------------------------------------

CODEC = wire.Codec(wire.cluster_hash("demo"))
FRAMES = {name: bytes.fromhex(re.sub(r"#.*", "", text)) for name, text, _ in VECTORS}


def test_the_page_has_a_vector_of_each_layout() -> None:
    assert {"REGISTER", "PROBE", "HELLO", "GOSSIP", "PROPAGATED", "MEMBERSHIP", "MARKED", "FLUSH", "LINK_UP", "DIGEST"} <= set(FRAMES)
    assert len(VECTORS) == PAGE.count("\n```hex ") == PAGE.count("\n```json ")


@pytest.mark.parametrize(("name", "meaning"), [(name, meaning) for name, _, meaning in VECTORS])
def test_an_independent_decoder_reads_a_vector_as_the_page_says(name: str, meaning: str) -> None:
    assert read(FRAMES[name]) == json.loads(meaning)


@pytest.mark.parametrize("name", [name for name in FRAMES if FRAMES[name][:1] != b"E"])
def test_the_codec_reads_and_writes_the_same_exchange(name: str) -> None:
    frame = FRAMES[name]
    topic = frame[: {b"L": wire.LINK_TOPIC_BYTES, b"D": 1}.get(frame[:1], 0)]
    body, exchange = CODEC.decode(frame[len(topic) :])
    assert body.code.name == name.split(maxsplit=1)[0]
    if "block" not in name:
        assert topic + CODEC.encode(body, exchange) == frame
    if topic == wire.TOPIC_DIGEST:
        assert isinstance(body, g.Digest | g.Deaths)
    elif topic:
        assert isinstance(body, m.LinkUp)
        assert wire.parse_link_topic(topic) == (bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"), body.nonce)


def test_the_codec_reads_and_writes_the_same_segments() -> None:
    for name in ("GOSSIP", "MEMBERSHIP", "MARKED", "FLUSH"):
        frame = FRAMES[name]
        header = CODEC.decode_segment(frame)
        if header.flags & wire.FLAG_MEMBERSHIP:
            body = wire.encode_notices(wire.decode_notices(frame, header))
        elif header.message_count:
            body = wire.encode_messages(wire.decode_messages(frame, header))
        else:
            body = b""
        assert CODEC.encode_segment(*astuple(header)[2:8], body) == frame
    assert CODEC.decode_segment(FRAMES["MARKED"]).flags == wire.FLAG_MARK
    assert CODEC.decode_segment(FRAMES["FLUSH"]).flags == wire.FLAG_MARK | wire.FLAG_FLUSH
    assert wire.propagated(FRAMES["GOSSIP"]) == FRAMES["PROPAGATED"]
    assert astuple(CODEC.decode_segment(FRAMES["PROPAGATED"]))[:2] == (1155, 1)


def test_the_hashes_of_the_page_are_those_of_the_code() -> None:
    origin, epoch = bytes(range(16)), 1_730_000_000_000
    for told, computed in (("contiguous 2", wire.position_hash(origin, epoch, 2)), ("epoch 1730000000000", wire.life_hash(origin, epoch))):
        assert re.search(rf"id `00 01 … 0f`[^`]*{told} it is `{computed:016x}`", " ".join(PAGE.split())), told
    settled, table = json.loads(next(meaning for name, _, meaning in VECTORS if name == "PROBE"))["body"][4:6]
    assert settled == wire.position_hash(origin, epoch, 2)
    both = [t.PeerRecord(peer, epoch, 0, "127.0.0.1", 1, 2, True) for peer in (origin, bytes(range(0xA0, 0xB0)))]
    assert re.search(rf"id `00 01 … 0f`[^`]*ready it is `{wire.record_hash(both[0]):016x}`", " ".join(PAGE.split()))
    assert table == wire.record_hash(both[0]) ^ wire.record_hash(both[1])


# -- the tables -----------------------------------------------------------------------------------------------------------

TYPES = {
    t.PeerId: "id", c.Nonce: "nonce", t.Host: "host", t.Port: "port", t.Count: "count", t.Timestamp: "timestamp", c.Text: "text",
    bool: "bool", bytes: "bytes", t.PeerRecord: "record", m.Members: "[member]", m.Records: "[record]",
    t.PeerState: "state", c.Why: "why", c.Evidence: "evidence", c.Status: "status",
    m.Signature: "signature", m.Receipt | None: "receipt",
    Annotated[int, Meta(ge=1)]: "ordinal",
    Annotated[list[g.Position], Meta(max_length=1024)]: "[position]",
    Annotated[list[t.Count], Meta(max_length=1024)]: "[count]",
    Annotated[list[c.Text], Meta(max_length=16)]: "[text]",
    Annotated[list[t.Timestamp], Meta(min_length=1)]: "[time]",
    Annotated[list[c.Text], Meta(min_length=1)]: "[topic]",
    Annotated[list[bytes], Meta(min_length=1)]: "[payload]",
    Annotated[list[g.Entry], Meta(max_length=512)]: "[entry]",
    Annotated[list[tuple[t.PeerId, t.Count]], Meta(max_length=512)]: "[stream]",
    Annotated[list[tuple[t.Count, t.PeerId]], Meta(max_length=64)]: "[mark]",
    Annotated[list[g.FlushReport], Meta(max_length=64)]: "[report]",
    Annotated[list[tuple[t.Count, t.Count]], Meta(min_length=1, max_length=64)]: "[range]",
    Annotated[list[t.PeerId], Meta(max_length=256)]: "[id]",
    Annotated[list[Annotated[int, Meta(ge=0, lt=256)]], Meta(max_length=256)]: "[bucket]",
    Annotated[list[t.Count], Meta(max_length=256)]: "[hash]",
    Annotated[list[t.Member], Meta(max_length=512)]: "[held]",
    Annotated[list[t.PeerRecord], Meta(min_length=1, max_length=100)]: "[dead]",
}  # fmt: skip


def rows(*heads: str) -> list[list[str]]:
    """The cells of the table whose head begins with these."""
    head = r"^ *\| " + r" \| ".join(map(re.escape, heads)) + r" \|.*\n *\|[-: |]+\|\n((?: *\|.*\n)+)"
    (table,) = re.findall(head, PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.strip().splitlines()]


def described(kind: type[Struct]) -> str:
    """A class as the page writes it: its fields in their order, each with its type and its default."""
    hints = get_type_hints(kind, include_extras=True)
    written = []
    for each in fields(kind):
        value = each.default if each.default_factory is NODEFAULT else each.default_factory()
        value = value.decode() if isinstance(value, bytes) else value
        default = "" if each.required else f" = {json.dumps(value)}"
        written.append(f"`{each.name}: {TYPES[hints[each.name]]}`{default}")
    return ", ".join(written)


def test_the_table_of_codes_is_that_of_the_code() -> None:
    bodies = {int(body.code): described(body) for body in m.BODIES} | {1133: "segment", 1155: "segment"}
    on_page = [(int(number), name, body) for number, name, body, *_ in rows("code", "name", "body")]
    assert on_page == [(int(code), code.name, bodies[code]) for code in sorted(c.Code)]


@pytest.mark.parametrize("kind", [t.PeerRecord, t.Member, g.Messages, g.Notice, g.Position, g.Entry, g.FlushReport, m.Receipt])
def test_a_type_inside_bodies_is_described_as_it_is(kind: type[Struct]) -> None:
    name = {t.PeerRecord: "record", g.FlushReport: "report"}.get(kind, kind.__name__.lower())
    (found,) = (limits for written, _, limits in rows("type", "on the wire", "limits") if written == name)
    assert found == described(kind)


@pytest.mark.parametrize("kind", [t.PeerState, c.Why, c.Evidence, c.Status])
def test_an_enumeration_has_the_values_of_the_page(kind: type[IntEnum]) -> None:
    name = {t.PeerState: "state"}.get(kind, kind.__name__.lower())
    (found,) = (values for written, values in rows("enumeration", "values") if written == name)
    assert found == ", ".join(f"{int(value)} {value.name}" for value in kind)


def test_no_knob_of_gossip_is_left_out() -> None:
    on_page = {name.strip("`") for name, *_ in rows("knob", "default", "lan")}
    assert {knob.name for knob in dataclasses.fields(DEFAULT)} - on_page <= {"knock_timeout_s", "advertise_networks"}


def test_the_knobs_of_the_page_have_their_values() -> None:
    for name, default, lan, _ in rows("knob", "default", "lan"):
        knob = name.strip("`")
        assert (json.loads(default), json.loads(lan)) == (getattr(DEFAULT, knob), getattr(LAN, knob)), knob


def test_the_constants_of_the_page_have_their_values() -> None:
    for name, value, _ in rows("constant", "value"):
        constant = name.strip("`")
        assert int(value) == getattr(wire, constant, None) or int(value) == getattr(sockets, constant), constant


def test_every_reason_to_refuse_is_on_the_page() -> None:
    """Of the names that are counted under `refused.` none is missing, and none is there that nobody counts."""
    root = Path(wire.__file__).parents[1]
    source = "\n".join(path.read_text(encoding="utf-8") for name in ("core", "runtime") for path in sorted((root / name).glob("*.py")))
    counted = set(re.findall(r'WireError\("(\w+)"', source)) | set(re.findall(r'refuse\("(\w+)"', source)) | {"topic", "messages"}
    on_page = {reason for cell, _ in rows("reason", "when") for reason in re.findall(r"`(\w+)`", cell)}
    assert on_page == counted


def test_the_offsets_of_the_page_are_without_gaps() -> None:
    exchange, segment = re.findall(r"^\| offset \| size \|.*\n\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    for table, size in ((exchange, wire.EXCHANGE_BYTES), (segment, wire.SEGMENT_BYTES)):
        at = 0
        for line in table.splitlines():
            offset, length = line.split("|")[1:3]
            assert int(offset) == at
            at += int(length) if length.strip() else 0
        assert at == size
