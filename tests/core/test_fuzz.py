"""Frames that were damaged on the way, or made by a liar: engines refuse them by name, and nothing else happens.

Two kinds. A *damaged* frame is a recorded one with its bytes changed at random; its check is then wrong, so it must change
nothing at all. (The check of a segment covers its head: a segment damaged in its body alone is believed, and its reader finds
it.) A *liar's* frame is changed in the same ways and given a right check: it may be believed where no rule forbids it, but
nothing may raise.
"""

from __future__ import annotations

import dataclasses
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import cache
from random import Random
from typing import Any
from zlib import crc32

import pytest
from msgspec import Struct, msgpack
from msgspec.structs import replace

from zmqgossip.core import gossip_messages as g, messages as m, outbox
from zmqgossip.core.codes import Body, Code, Evidence, Status, Why
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.counters import Counters
from zmqgossip.core.errors import WireError
from zmqgossip.core.events import FrameRefused, VersionRefused
from zmqgossip.core.gate import Gate
from zmqgossip.core.outbox import Effect, Knock, Outbox
from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.rates import Bucket
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.types import Endpoint, Member, PeerRecord, PeerState, Whom
from zmqgossip.core.view import LinkState
from zmqgossip.core.wire import (
    CHECK_END,
    EXCHANGE_BYTES,
    FLAG_FLUSH,
    FLAG_MARK,
    FLAG_MEMBERSHIP,
    LINK_TOPIC_BYTES,
    SEGMENT_BYTES,
    TOPIC_DIGEST,
    WAY_END,
    WAY_START,
    Codec,
    cluster_hash,
    decode_messages,
    encode_messages,
    encode_notices,
    link_topic,
    propagated,
)

COPIES = 600
PATIENT = dataclasses.replace(
    DEFAULT, peer_requests_per_s=10**6, link_frames_per_s=10**6, seed_requests_burst=10**6, seed_bytes_per_s=10**12
)
"""No rate bites: each damaged copy is looked at."""
WALL = 1_730_000_000.0
NOW = 100.0
CLUSTER = cluster_hash("demo")
CODEC = Codec(CLUSTER)
SEED = Endpoint("127.0.0.1", 6001)
ROUTE = b"\0route"
NONCE = b"eight by"


def receipt(issuer: PeerRecord, holder: PeerRecord) -> m.Receipt:
    return m.Receipt(issuer.id, issuer.epoch, holder.id, holder.epoch, WALL, b"")


def record(number: int) -> PeerRecord:
    return PeerRecord(bytes([number]) * 16, int(WALL * 1000) - number, 0, "127.0.0.1", 5000 + number, 5900 + number, True)


ALICE, BOB, CAROL, DAVE = (record(number) for number in range(1, 5))


def segment(origin: PeerRecord, number: int, *texts: bytes) -> bytes:
    body = g.Messages(origin.host, origin.port, [WALL], ["gossip"], list(texts))
    return CODEC.encode_segment(origin.id, origin.epoch, number, number, len(texts), 0, encode_messages(body))


def marked(origin: PeerRecord, number: int) -> bytes:
    """A segment that asks for an acknowledgement; its messages have a topic and a time each."""
    body = g.Messages(origin.host, origin.port, [WALL, WALL + 1], ["gossip", "chat"], [b"five", b"six"])
    return CODEC.encode_segment(origin.id, origin.epoch, number, number, 2, FLAG_MARK, encode_messages(body))


def flush(origin: PeerRecord, number: int) -> bytes:
    return CODEC.encode_segment(origin.id, origin.epoch, number, number, 0, FLAG_MARK | FLAG_FLUSH, b"")


def notice(origin: PeerRecord, number: int, about: PeerRecord, state: PeerState) -> bytes:
    body = encode_notices([g.Notice(about, state, number)])
    return CODEC.encode_segment(origin.id, origin.epoch, number, number, 0, FLAG_MEMBERSHIP, body)


SEGMENTS = [
    segment(CAROL, 2, b"one", b"two" * 50),
    segment(BOB, 900, b"three"),
    propagated(segment(DAVE, 2, b"four")),
    notice(DAVE, 3, DAVE, PeerState.ALIVE),
    propagated(propagated(notice(CAROL, 3, CAROL, PeerState.LEFT))),
    notice(CAROL, 4, DAVE, PeerState.SUSPECT),
    marked(DAVE, 4),
    propagated(flush(DAVE, 5)),
    marked(BOB, 2),
    flush(BOB, 3),
]
REPORT = g.FlushReport(3, CAROL.id, 2, 2**63, [DAVE.id])
ENTRIES_OF_A_DIGEST = [
    g.Entry(BOB.id, BOB.epoch, 3, 0, 2, [(3, ALICE.id)], [REPORT]),
    g.Entry(CAROL.id, CAROL.epoch, 60, 1, 0),
    g.Entry(ALICE.id, ALICE.epoch, 1, 2, 1, [], [g.FlushReport(2, ALICE.id, 1, 7, [])]),
    g.Entry(DAVE.id, DAVE.epoch, 2**40, 3, 1, [(5, bytes(16)), (4, ALICE.id)]),
]
POSITIONS = [g.Position(BOB.id, BOB.epoch, 1, 1), g.Position(DAVE.id, DAVE.epoch, 70, 90)]
BODIES: list[Body] = [
    m.Register(CAROL, NONCE),
    m.Registered(True, 3, [Member(DAVE, PeerState.ALIVE, WALL), Member(CAROL, PeerState.ALIVE, WALL)]),
    m.NotListed(Why.UNREACHABLE, "127.0.0.1", 5001, "no answer in time"),
    m.List(bytes(16), 256, True),
    m.Listed(9, True, [Member(DAVE, PeerState.SUSPECT, WALL)]),
    m.Presence(ALICE, NONCE, 4),
    m.Present(3, [Member(CAROL, PeerState.ALIVE, WALL)]),
    m.UnknownPeer(ALICE.epoch, 7),
    m.Report(CAROL.id, ALICE, Evidence.REFUSED, 3, 26.0, receipt(ALICE, CAROL)),
    m.Verdict(BOB, PeerState.DEAD),
    m.Leave(ALICE, NONCE, 11),
    m.LeaveHeard(),
    m.Hello(CAROL, ALICE.id, NONCE, ["plain"], receipt(CAROL, ALICE)),
    m.Welcome(BOB, NONCE, NONCE, "plain", receipt(BOB, ALICE)),
    m.Refused(Why.FULL, 0, 0, [CAROL, DAVE]),
    m.Bye(NONCE, "did not come up in time", [CAROL]),
    m.Shuffle(NONCE, [CAROL, DAVE]),
    m.Shuffled([CAROL, DAVE]),
    m.UnknownLink(NONCE, CAROL.id),
    m.LinkUp(NONCE),
    m.Probe(WALL, 5002, NONCE, NONCE),
    m.Reply(WALL, 5001, 5002, NONCE),
    m.Direct(CAROL, ALICE.id, True, 5.0, b"to Alice alone"),
    m.Answer(Status.ANSWERED, b"an answer", ""),
    m.Answer(Status.FAILED, b"", "no"),
    m.Check(NONCE, NONCE),
    m.Checked(CAROL, NONCE, True),
    m.WrongCluster(),
    m.WrongVersion(2, 0),
    g.Sync(NONCE),
    g.BaselinePart(0, 1, POSITIONS),
    g.NotYet(),
    g.Synced(NONCE, 2**64 - 1),
    g.Digest(ENTRIES_OF_A_DIGEST),
    g.Deaths([BOB, DAVE]),
    g.Ask(NONCE, [(BOB.id, BOB.epoch)]),
    g.Pull(NONCE, BOB.id, BOB.epoch, [(1, 3), (7, 2**64 - 1)]),
    g.Pulled(BOB.id, BOB.epoch, 2, 900, 1000),
    g.Walk(NONCE, [1, 255]),
    g.Walked([2**64 - 1] * 256, []),
    g.Walked([], POSITIONS),
]


# -- engines in the middle of their lives ---------------------------------------------------------------------------------


class Peer:
    """Alice, listed by a seed, with a link to Bob that is up. Everything that was said on the way there is in `recorded`."""

    def __init__(self) -> None:
        self.engine = PeerEngine(ALICE, [SEED], CLUSTER, PATIENT, Random(1), WALL - NOW)
        self.recorded: list[bytes] = []
        self.engine.start(NOW)
        ((_, self.seed_key, _),) = self.effects(outbox.OPEN)
        self.engine.on_connected(self.seed_key, NOW)
        self.reply(self.seed_key, m.Registered(True, 2, [Member(BOB, PeerState.ALIVE, WALL)]))
        ((_, self.key, _),) = self.effects(outbox.OPEN)
        self.engine.on_connected(self.key, NOW)
        self.effects(outbox.REQUEST)
        link = self.engine.view.by_key(self.key)
        assert link is not None
        self.reply(self.key, m.Welcome(BOB, b"of Bob's", link.mine, "plain", receipt(BOB, ALICE)))
        self.engine.on_subscription(link_topic(BOB.id, link.mine), NOW)
        self.gossip(link_topic(ALICE.id, b"of Bob's") + CODEC.encode(m.LinkUp(b"of Bob's")))
        asked = [CODEC.decode(frame) for _, _, frame in self.effects(outbox.REQUEST)]
        (exchange,) = (number for body, number in asked if isinstance(body, g.Sync))
        self.recorded.append(CODEC.encode(g.BaselinePart(0, 1, [g.Position(DAVE.id, DAVE.epoch, 1, 1)]), exchange))
        self.engine.on_reply(self.key, self.recorded[-1], NOW)
        self.gossip(segment(BOB, 1, b"hello"))
        self.gossip(notice(CAROL, 1, CAROL, PeerState.ALIVE))
        self.engine.publish([("gossip", b"mine", WALL), ("gossip", b"mine too", WALL)], NOW)
        self.engine.direct.refusal = None
        requests = (
            m.Probe(WALL, BOB.port, link.mine, NONCE),
            m.Hello(DAVE, ALICE.id, NONCE, ["plain"], receipt(DAVE, ALICE)),
            m.Check(NONCE, NONCE),
            m.Direct(DAVE, ALICE.id, True, 60.0, b"a question"),
            m.Shuffle(link.mine, [BOB, CAROL]),
            g.Sync(link.mine),
            g.Synced(link.mine, 5),
            g.Ask(link.mine, [(BOB.id, BOB.epoch), (ALICE.id, ALICE.epoch)]),
            g.Pull(link.mine, ALICE.id, ALICE.epoch, [(1, 9)]),
            g.Walk(link.mine, []),
            g.Walk(link.mine, [ALICE.id[-1], BOB.id[-1]]),
        )
        for body in requests:
            self.recorded.append(CODEC.encode(body, 1))
            self.engine.on_request(ROUTE, self.recorded[-1], "127.0.0.1", NOW)
        self.gossip(TOPIC_DIGEST + CODEC.encode(g.Digest(ENTRIES_OF_A_DIGEST[:1])))
        self.reply(self.key, g.Digest(ENTRIES_OF_A_DIGEST[2:3]))
        self.engine.ask(1, Whom(BOB.id), b"another", True, 60.0, NOW)
        self.recorded.append(CODEC.encode(m.Answer(Status.ANSWERED, b"its answer"), self.engine.node.exchange))
        self.effects(-1)
        assert link.state is LinkState.UP and self.engine.membership.baseline.complete
        assert self.engine.members.living_count == 2 and len(self.engine.view) == 3
        assert not self.engine.counters.refused_count

    def effects(self, wanted: int) -> list[Effect]:
        effects = self.engine.outbox.drain()
        self.recorded += [effect[-1] for effect in effects if effect[0] in (outbox.REQUEST, outbox.REPLY, outbox.PUBLISH)]
        return [effect for effect in effects if effect[0] == wanted]

    def reply(self, key: int, body: Body) -> None:
        self.recorded.append(CODEC.encode(body, 1))
        self.engine.on_reply(key, self.recorded[-1], NOW)

    def gossip(self, frame: bytes) -> None:
        self.recorded.append(frame)
        self.engine.on_gossip(self.key, frame, NOW)


class Seed:
    """A seed that lists Alice and Bob, dials Carol back, and looks whether Bob is dead."""

    def __init__(self) -> None:
        self.engine = SeedEngine(SEED, CLUSTER, PATIENT, Random(2), WALL - NOW)
        self.recorded: list[bytes] = []
        for peer in (ALICE, BOB):
            self.request(m.Register(peer, NONCE))
            (_, visit, _), (_, knock, _) = self.effects(outbox.OPEN, outbox.KNOCK)
            self.engine.on_connected(visit, NOW)
            ((_, _, frame),) = self.effects(outbox.REQUEST)
            check, _ = CODEC.decode(frame)
            assert isinstance(check, m.Check)
            self.recorded.append(CODEC.encode(m.Checked(peer, check.nonce, True), 1))
            self.engine.on_reply(visit, self.recorded[-1], NOW)
            self.engine.on_knock(knock, [Knock.ACCEPTED], NOW)
        self.request(m.Register(CAROL, NONCE))
        ((_, self.key, _),) = self.effects(outbox.OPEN)
        self.engine.on_connected(self.key, NOW)
        ((_, _, frame),) = self.effects(outbox.REQUEST)
        check, _ = CODEC.decode(frame)
        assert isinstance(check, m.Check)
        self.recorded.append(CODEC.encode(m.Checked(CAROL, check.nonce, True), 1))  # it is still under way
        self.request(m.Report(ALICE.id, BOB, Evidence.MISSES, 3, 30.0, receipt(BOB, ALICE)))
        self.request(m.List(bytes(16), 10))
        self.effects(-1)
        assert len(self.engine.registry) == 2 and self.engine.verdicts.case_of(BOB.id) is not None
        assert not self.engine.counters.refused_count

    def effects(self, *wanted: int) -> list[Effect]:
        effects = self.engine.outbox.drain()
        self.recorded += [effect[-1] for effect in effects if effect[0] in (outbox.REQUEST, outbox.REPLY)]
        return [effect for effect in effects if effect[0] in wanted]

    def request(self, body: Body) -> None:
        self.recorded.append(CODEC.encode(body, 1))
        self.engine.on_request(ROUTE, self.recorded[-1], "127.0.0.1", NOW)


def picture(thing: Any, path: tuple[int, ...] = ()) -> Any:
    """Everything that an engine holds, luck and deadlines included, but not what it counted or weighed: two pictures can be compared."""
    if isinstance(thing, (Counters, Outbox, Gate, Bucket)):
        return None
    if isinstance(thing, Random):
        return thing.getstate()
    if id(thing) in path:
        return "itself"
    path = (*path, id(thing))
    if isinstance(thing, dict):
        return [(picture(key, path), picture(value, path)) for key, value in thing.items()]
    if isinstance(thing, (list, tuple, deque)):
        return [picture(item, path) for item in thing]
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())] + list(getattr(thing, "__dict__", ()))
    if not names or isinstance(thing, (Enum, Struct)):
        return repr(thing)
    return [(name, picture(getattr(thing, name, None), path)) for name in names]


def topic_length(frame: bytes) -> int:
    """Bytes of the topic before an exchange."""
    return {b"L": LINK_TOPIC_BYTES, b"D": 1}.get(frame[:1], 0)


def recorded_frames() -> list[bytes]:
    """What went over the wire while both engines came to life, and one frame of every kind."""
    frames = Peer().recorded + Seed().recorded + SEGMENTS + [CODEC.encode(body, 77) for body in BODIES]
    frames.append(link_topic(ALICE.id, NONCE) + CODEC.encode(m.LinkUp(NONCE)))
    frames.append(TOPIC_DIGEST + CODEC.encode(g.Digest(ENTRIES_OF_A_DIGEST)))
    frames.append(TOPIC_DIGEST + CODEC.encode(g.Deaths([BOB, DAVE])))
    return list(dict.fromkeys(frames))


RECORDED = recorded_frames()
KNOWN = frozenset(RECORDED) | {frame[topic_length(frame) :] for frame in RECORDED if frame[:1] != b"E"}
HEADS = frozenset(frame[:WAY_START] + frame[WAY_END:SEGMENT_BYTES] for frame in RECORDED if frame[:1] == b"E")
"""Of segments, what their check covers, and the check."""


def test_one_frame_of_every_kind_is_damaged_here() -> None:
    kinds = {type(body).code for body in BODIES} | {Code(CODEC.decode_segment(frame).code) for frame in SEGMENTS}
    assert kinds == set(Code)


def spoilt_hosts(thing: Any) -> Any:
    """The same with a name for each host, which is no address in figures."""
    if isinstance(thing, Struct):
        found = {name: spoilt_hosts(getattr(thing, name)) for name in thing.__struct_fields__}
        return replace(thing, **{name: "name.example" if name == "host" else value for name, value in found.items()})
    return [spoilt_hosts(item) for item in thing] if isinstance(thing, list) else thing


SPOILT = [(body, spoilt_hosts(body)) for body in BODIES]


@pytest.mark.parametrize("spoilt", [spoilt for body, spoilt in SPOILT if spoilt != body], ids=lambda spoilt: type(spoilt).__name__)
def test_a_host_that_is_no_address_is_refused_wherever_it_stands(spoilt: Body) -> None:
    with pytest.raises(WireError) as refused:
        CODEC.decode(CODEC.encode(spoilt))
    assert refused.value.reason == "field"


# -- damage ---------------------------------------------------------------------------------------------------------------


def flip_bits(frame: bytes, rng: Random) -> bytes:
    damaged = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def truncate(frame: bytes, rng: Random) -> bytes:
    return frame[: rng.randrange(len(frame))]


def extend(frame: bytes, rng: Random) -> bytes:
    return frame + rng.randbytes(rng.choice((1, 5, 6, 7, 100, 5_000)))


def splice(frame: bytes, rng: Random) -> bytes:
    other = rng.choice(RECORDED)
    return frame[: rng.randrange(len(frame) + 1)] + other[rng.randrange(len(other) + 1) :]


def lie_about_length(frame: bytes, rng: Random) -> bytes:
    """Another number in one of the places where a body's length stands."""
    place = rng.choice([place for place in (24, SEGMENT_BYTES - 4, 1 + 24, LINK_TOPIC_BYTES + 24) if place + 4 <= len(frame)] or [0])
    length = rng.choice((0, 1, 7, len(frame), 65_536, 65_537, 2**31, 2**32 - 1, rng.getrandbits(32)))
    return frame[:place] + struct.pack(">I", length) + frame[place + 4 :]


def overwrite(frame: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(frame))
    return frame[:start] + rng.randbytes(rng.randrange(1, 40)) + frame[start + rng.randrange(1, 40) :]


def swap_parts(frame: bytes, rng: Random) -> bytes:
    first, second = sorted(rng.randrange(len(frame) + 1) for _ in range(2))
    return frame[first:second] + frame[:first] + frame[second:]


def nothing_but_chance(frame: bytes, rng: Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 27, 28, 72, 73, 200, len(frame))))


WAYS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip_bits, truncate, extend, splice, lie_about_length, overwrite, swap_parts, nothing_but_chance,
)  # fmt: skip


def is_intact(frame: bytes) -> bool:
    """Whether it is a recorded frame, or a segment whose head is one's but for the four mutable bytes: what no check can find."""
    return frame in KNOWN or (frame[:1] == b"E" and frame[:WAY_START] + frame[WAY_END:SEGMENT_BYTES] in HEADS)


@cache
def damaged_frames(count: int, seed: int) -> list[bytes]:
    """`count` frames, the same on every run, of none of which the check is right. Made once for all entries."""
    rng = Random(seed)
    frames: list[bytes] = []
    while len(frames) < count:
        frame = rng.choice(WAYS)(rng.choice(RECORDED), rng)
        if not is_intact(frame):
            frames.append(frame)
    return frames


def with_right_check(frame: bytes) -> bytes:
    """The same frame by a liar: what the check covers is whatever stands there."""
    if frame[:1] == b"E" and len(frame) >= SEGMENT_BYTES:
        return frame[:WAY_END] + struct.pack(">I", crc32(frame[:WAY_START] + frame[CHECK_END:])) + frame[CHECK_END:]
    start = topic_length(frame)
    head, tail = frame[start : start + 12], frame[start + 16 :]
    return frame[:start] + head + struct.pack(">I", crc32(head + tail)) + tail


EXTREMES: dict[type, list[Any]] = {
    bool: [True, False, None],
    int: [0, 1, 4, 5_001, 65_535, 2**32 - 1, 2**32, 2**63, 2**64 - 1, -1, ALICE.epoch, BOB.epoch],
    float: [0.0, -1.0, 1e300, float("inf"), float("nan"), 2**64 - 1, WALL],
    str: ["", "x" * 200, "x" * 201, "127.0.0.1", "0.0.0.0", "::1", "255.255.255.255", "plain"],
    bytes: [b"", NONCE, bytes(16), b"\xff" * 16, ALICE.id, BOB.id, CAROL.id, DAVE.id, b"of Bob's"],
    list: [[], [[]], [1], None],
}


def another_value(tree: Any, rng: Random) -> Any:
    """The same tree with an extreme value in one of its places."""
    if not isinstance(tree, list) or not tree or rng.random() < 0.02:
        return rng.choice(EXTREMES[type(tree)])
    place = rng.randrange(len(tree))
    return [*tree[:place], another_value(tree[place], rng), *tree[place + 1 :]]


@cache
def lies(count: int, seed: int) -> list[bytes]:
    """Frames with a right check: damaged ones, and whole ones with other values inside."""
    rng = Random(seed)
    frames: list[bytes] = []
    for damaged in damaged_frames(count // 2, seed):
        frames.append(with_right_check(damaged))
        frame = rng.choice(RECORDED)
        start = SEGMENT_BYTES if frame[:1] == b"E" else EXCHANGE_BYTES + topic_length(frame)
        body = msgpack.encode(another_value(msgpack.decode(frame[start:]), rng)) if frame[start:] else rng.randbytes(3)
        frames.append(with_right_check(frame[: start - 4] + struct.pack(">I", len(body)) + body))
    return frames


# -- the entries of the engines -------------------------------------------------------------------------------------------

Feed = Callable[[bytes, float], None]
Life = Peer | Seed


def entry(life: Life, name: str) -> Feed:
    engine = life.engine
    if name == "on_request":
        return lambda frame, now: engine.on_request(ROUTE, frame, "127.0.0.1", now)
    if name == "on_gossip":
        assert isinstance(life, Peer)
        return lambda frame, now: life.engine.on_gossip(life.key, frame, now)
    key = life.seed_key if isinstance(life, Peer) and name == "on_seeds_reply" else life.key
    return lambda frame, now: engine.on_reply(key, frame, now)


ENTRIES = [
    pytest.param(Peer, "on_request", id="peer's ROUTER"),
    pytest.param(Peer, "on_reply", id="peer's DEALER to a neighbour"),
    pytest.param(Peer, "on_seeds_reply", id="peer's DEALER to a seed"),
    pytest.param(Peer, "on_gossip", id="peer's SUB"),
    pytest.param(Seed, "on_request", id="seed's ROUTER"),
    pytest.param(Seed, "on_reply", id="seed's DEALER to a peer"),
]


@pytest.mark.parametrize(("make", "name"), ENTRIES)
def test_damaged_frames_change_nothing_and_each_is_counted_by_its_reason(make: type[Life], name: str) -> None:
    life = make()
    feed = entry(life, name)
    counters = life.engine.counters
    before, counted_before = picture(life.engine), counters.as_dict()
    fed = told = 0
    for fed, frame in enumerate(damaged_frames(COPIES, seed=24), 1):
        feed(frame, NOW + 1)
        for kind, *rest in life.engine.outbox.drain():
            told += kind == outbox.EVENT
            if kind == outbox.REPLY:
                assert name == "on_request"
                assert CODEC.decode(rest[-1])[0] == m.WrongVersion(1, 0)
            else:
                assert kind == outbox.EVENT and isinstance(rest[0], (FrameRefused, VersionRefused))
        if fed % 500 == 0:
            assert picture(life.engine) == before
    assert fed == COPIES
    refused = counters.group("refused")
    assert told == len(refused), "the user hears of each reason once"
    assert sum(refused.values()) == counters.refused_count == COPIES
    assert {"refused." + reason for reason in refused} | set(counted_before) == set(counters.as_dict())
    assert {"too_short", "magic", "version", "check"} <= set(refused)
    for frame in RECORDED:
        feed(frame, NOW + 1)
    assert picture(life.engine) != before, "whole frames do change something"


@pytest.mark.parametrize(("make", "name"), [ENTRIES[1].values, ENTRIES[3].values, ENTRIES[5].values], ids=["DEALER", "SUB", "seed"])
def test_frames_of_a_link_that_is_gone_are_dropped_and_counted(make: type[Life], name: str) -> None:
    life = make()
    before, key = picture(life.engine), 1_000_000
    for frame in RECORDED:
        if name == "on_gossip":
            assert isinstance(life, Peer)
            life.engine.on_gossip(key, frame, NOW + 1)
        else:
            life.engine.on_reply(key, frame, NOW + 1)
    dropped = life.engine.counters.group("dropped")
    assert sum(dropped.values()) == len(RECORDED) and set(dropped) <= {"link_gone", "visit_over"}
    assert picture(life.engine) == before and not life.engine.outbox.drain()


def test_a_segment_whose_mutable_bytes_alone_differ_is_a_true_copy_or_refused_by_its_code() -> None:
    life = Peer()
    for frame in SEGMENTS:
        life.engine.on_gossip(life.key, frame, NOW + 1)
    life.engine.outbox.drain()
    streams = picture(life.engine.gossip.streams)
    copies = 0
    for original in SEGMENTS:
        for place in range(WAY_START, WAY_END):
            for bit in range(8):
                changed = bytearray(original)
                changed[place] ^= 1 << bit
                life.engine.on_gossip(life.key, bytes(changed), NOW + 1)
                copies += 1
    told = [effect[1] for effect in life.engine.outbox.drain()]
    assert [event.reason for event in told] == ["code"], "nothing is delivered and nothing passed on"
    counters = life.engine.counters
    assert counters.get("refused.code") + counters.get("duplicates.known") == copies == len(SEGMENTS) * 32
    assert counters.get("refused.code") > 0 and counters.get("duplicates.known") > 0
    assert sorted(picture(life.engine.gossip.streams)) == sorted(streams)


def test_a_segment_that_is_damaged_in_its_body_alone_is_refused_by_name_or_read_as_it_came() -> None:
    rng = Random(22)
    passed = unread = 0
    for _ in range(80):
        life = Peer()
        life.engine.on_subscription(b"E", NOW)
        counters = life.engine.counters
        for original in SEGMENTS * 5:
            damaged = original[:SEGMENT_BYTES] + rng.choice(WAYS[:3])(original[SEGMENT_BYTES:] or b"\0", rng)
            before = counters.refused_count
            life.engine.on_gossip(life.key, damaged, NOW + 1)
            for kind, *rest in life.engine.outbox.drain():
                assert kind != outbox.EVENT or not isinstance(rest[0], FrameRefused) or counters.refused_count == before + 1
                if kind == outbox.PUBLISH and rest[0][:1] == b"E":
                    passed += 1
                    assert rest[0][WAY_END:] == damaged[WAY_END:], "who passes it on changes nothing of it"
                elif kind == outbox.DELIVER:
                    try:
                        decode_messages(rest[0].frame, rest[0].header)
                    except WireError as error:
                        unread += 1
                        assert error.reason in ("body", "field")
        assert set(counters.group("refused")) <= {"length", "block", "critical_block", "body", "field"}
    assert passed > 100 and unread > 100


@pytest.mark.parametrize(("make", "name"), ENTRIES)
def test_a_liars_frames_raise_nothing_and_what_the_engine_says_can_be_read(make: type[Life], name: str) -> None:
    refused = 0
    frames = lies(COPIES, seed=21)
    for start in range(0, COPIES, 100):
        life = make()
        feed = entry(life, name)
        for place, frame in enumerate(frames[start : start + 100]):
            now = NOW + place / 10
            feed(frame, now)
            if place % 20 == 0:
                life.engine.on_timers(now)
            for kind, *rest in life.engine.outbox.drain():
                if kind in (outbox.REQUEST, outbox.REPLY, outbox.PUBLISH):
                    said = rest[-1]
                    if said[:1] == b"E":
                        CODEC.decode_segment(said)
                    else:
                        CODEC.decode(said[topic_length(said) :])
                elif kind == outbox.DELIVER:  # the user's side looks into the body, and refuses in the same way
                    with suppress(WireError):
                        decode_messages(rest[0].frame, rest[0].header)
        refused += life.engine.counters.refused_count
    assert refused > COPIES / 10


# -- lies that are well-formed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [2**32 - 2, 2**32 - 1])
def test_a_verdict_at_the_end_of_all_revisions_leaves_a_record_that_others_can_read(revision: int) -> None:
    life = Peer()
    life.reply(life.seed_key, m.UnknownPeer(ALICE.epoch, revision))
    frame = CODEC.encode(m.Check(NONCE, NONCE))
    life.engine.on_request(ROUTE, frame, "127.0.0.1", NOW)
    answers = [CODEC.decode(effect[-1])[0] for effect in life.effects(outbox.REPLY)]
    assert answers == [m.Checked(life.engine.me, NONCE, False)]


def test_a_peer_that_was_called_dead_in_a_life_to_come_is_held_alive_once_it_speaks() -> None:
    life = Peer()
    life.gossip(TOPIC_DIGEST + CODEC.encode(g.Deaths([replace(DAVE, epoch=DAVE.epoch + 3_600_000)])))
    life.gossip(notice(DAVE, 50, replace(DAVE, revision=9), PeerState.ALIVE))
    assert life.engine.members.is_living(DAVE.id)


def test_a_leave_without_the_ticket_does_not_take_a_newcomer_out_of_the_line() -> None:
    life = Seed()
    life.request(m.Leave(CAROL, b"guessed!", 0))
    ((_, _, frame),) = life.effects(outbox.REPLY)
    assert CODEC.decode(frame)[0] == m.LeaveHeard()
    life.engine.on_reply(life.key, next(frame for frame in life.recorded if frame[16:18] == b"\x04\x68" and CAROL.id in frame), NOW)
    assert not life.engine.counters.get("dropped.visit_over")


def test_a_digest_or_a_walk_of_a_life_to_come_begins_no_stream() -> None:
    life = Peer()
    late = DAVE.epoch + 90_000_000
    for body in (g.Digest([g.Entry(CAROL.id, late, 5, 0, 0)]), g.Walked([], [g.Position(CAROL.id, late, 5, 5)])):
        life.reply(life.key, body)
        assert life.engine.gossip.streams.get(CAROL.id, late) is None
    assert life.engine.counters.get("dropped.future_epoch") == 2


def test_a_neighbour_that_is_ahead_of_a_peers_own_stream_is_not_believed() -> None:
    life = Peer()
    life.reply(life.key, g.Digest([g.Entry(ALICE.id, ALICE.epoch, 10**6, 0, 10**6)]))
    life.engine.on_timers(NOW + 5)  # late, and so nobody is asked or judged yet
    life.engine.on_timers(NOW + 5.2)
    asked = [CODEC.decode(frame)[0] for _, _, frame in life.effects(outbox.REQUEST)]
    assert [body.origin for body in asked if isinstance(body, g.Pull)] == [BOB.id]
    assert life.engine.counters.get("dropped.own_id") == 1


def test_what_a_neighbour_says_before_there_is_a_baseline_is_dropped() -> None:
    engine = PeerEngine(ALICE, [SEED], CLUSTER, PATIENT, Random(1), WALL - NOW)
    engine.start(NOW)
    hello = m.Hello(BOB, ALICE.id, NONCE, ["plain"], receipt(BOB, ALICE))
    engine.on_request(ROUTE, CODEC.encode(hello, 1), "127.0.0.1", NOW)
    key = next(effect[1] for effect in engine.outbox.drain() if effect[0] == outbox.OPEN and effect[2] == BOB.endpoint)
    engine.on_gossip(key, segment(BOB, 1, b"it waits"), NOW)
    for body in (g.Walked([], [g.Position(BOB.id, BOB.epoch, 1, 1)]), g.Digest([g.Entry(BOB.id, BOB.epoch, 1, 0, 0)])):
        engine.on_reply(key, CODEC.encode(body, 1), NOW)
    engine.on_timers(NOW + 1)
    assert engine.counters.get("dropped.digest_before_baseline") == 2 and engine.counters.get("pulls.sent") == 0


def test_who_says_that_it_is_ahead_and_gives_nothing_is_not_asked_at_wire_speed() -> None:
    life = Peer()
    life.effects(-1)
    pulls = 0
    for turn in range(500):
        now = NOW + 1 + turn / 100
        life.engine.on_timers(now)
        while asked := [CODEC.decode(frame) for _, _, frame in life.effects(outbox.REQUEST)]:
            for body, exchange in asked:
                if isinstance(body, g.Pull):
                    pulls += 1
                    assert pulls < 100, "each answer is the next question"
                    answer = CODEC.encode(g.Pulled(body.origin, body.epoch, 1, 3, 3), exchange)
                    life.engine.on_reply(life.key, answer, now)
    assert 2 <= pulls <= 5 / DEFAULT.pull_timeout_s + 1
