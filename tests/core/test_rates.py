"""Token buckets: what passes, what does not, and what is remembered of many clients."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, strategies as st

from tests.core.harness import START, PeerBench, SeedBench, config, neighbour, peer, segment, steady
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.events import FrameRefused, ProbeReceived, RemoteLimited
from zmqgossip.core.messages import List, Listed, Presence, Probe, UnknownPeer
from zmqgossip.core.rates import IDLE_KEPT, Bucket, Buckets, Limit, Once
from zmqgossip.core.types import FIRST_ID

LIMIT = Limit(3, 2, 1000, 500)

# -- one bucket -----------------------------------------------------------------------------------------------------------

Frame = tuple[float, int, bool]
CASES: dict[str, tuple[list[Frame], str]] = {
    "as many at once as it holds": ([(0, 1, True), (0, 1, True), (0, 1, True), (0, 1, False)], "messages"),
    "one more after half a second": ([(0, 1, True)] * 3 + [(0.49, 1, False), (0.5, 1, True), (0.5, 1, False)], "messages"),
    "never more than it holds": ([(0, 1, True), (99, 1, True), (99, 1, True), (99, 1, True), (99, 1, False)], "messages"),
    "as many bytes as it holds": ([(0, 1000, True), (0, 1, False)], "bytes"),
    "bytes come back too": ([(0, 1000, True), (1, 501, False), (1, 500, True)], "bytes"),
    "a frame larger than it holds never": ([(0, 1001, False), (99, 1001, False)], "bytes"),
    "what did not pass took nothing": ([(0, 1001, False)] * 9 + [(0, 333, True)] * 3, "bytes"),
    "a clock that stands still gives nothing": ([(5, 1, True)] * 3 + [(5, 1, False)] * 3, "messages"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bucket_lets_pass(name: str) -> None:
    frames, short_of = CASES[name]
    bucket = Bucket(LIMIT, 0.0)
    assert [bucket.take(size, at) for at, size, _ in frames] == [passes for *_, passes in frames]
    assert bucket.short_of == short_of


pauses = st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 400)), min_size=1, max_size=80)


@steady
@given(pauses=pauses)
def test_in_no_span_of_time_more_passes_than_capacity_and_rate_allow(pauses: list[tuple[float, int]]) -> None:
    bucket = Bucket(LIMIT, START)
    times = list(accumulate((pause for pause, _ in pauses), initial=START))[1:]
    passed = [(at, size) for at, (_, size) in zip(times, pauses, strict=True) if bucket.take(size, at)]
    for first, (begin, _) in enumerate(passed):
        for last in range(first, len(passed)):
            span = passed[last][0] - begin
            assert last - first + 1 <= LIMIT.messages + LIMIT.messages_per_s * span + 1e-6
            assert sum(size for _, size in passed[first : last + 1]) <= LIMIT.bytes + LIMIT.bytes_per_s * span + 1e-3


@steady
@given(pauses=st.lists(st.floats(0.5, 3), max_size=50))
def test_who_stays_below_the_rate_never_notices(pauses: list[float]) -> None:
    bucket = Bucket(LIMIT, START)
    assert all(bucket.take(250, at) for at in accumulate(pauses, initial=START))


# -- many ----------------------------------------------------------------------------------------------------------------


def test_each_client_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(LIMIT, 10)
    assert [buckets.take(client, 1, 0.0) for client in "aaaabbbbab"] == [True] * 3 + [False] + [True] * 3 + [False] * 3


def test_clients_that_come_and_go_leave_no_buckets_behind() -> None:
    buckets = Buckets(LIMIT, 1000)
    fill_s = max(LIMIT.messages / LIMIT.messages_per_s, LIMIT.bytes / LIMIT.bytes_per_s)
    for number in range(500):
        assert buckets.take(number, 1, number * fill_s)
    assert len(buckets) <= IDLE_KEPT
    for number in range(500, 600):
        assert buckets.take(number, 1, 500 * fill_s)
    assert len(buckets) >= 100, "none of those that are in use is forgotten"


def test_of_too_many_clients_the_one_quiet_longest_is_forgotten() -> None:
    buckets = Buckets(LIMIT, 3)
    for client in "aaaabc":
        buckets.take(client, 1, 0.0)
    assert not buckets.take("a", 1, 0.0), "it has spoken since"
    buckets.take("d", 1, 0.0)
    assert len(buckets) == 3 and not buckets.take("a", 1, 0.0)
    assert [buckets.take("b", 1, 0.0) for _ in range(4)] == [True] * 3 + [False], "b is new again"


def test_what_was_said_is_remembered_within_bounds() -> None:
    once = Once(2)
    assert [once.is_first(what) for what in "aabab"] == [True, False, True, False, False]
    assert once.is_first("c") and len(once) == 2
    assert once.is_first("a") and not once.is_first("c"), "a was said longest ago"
    once.forget("c")
    assert once.is_first("c")


# -- at a node ------------------------------------------------------------------------------------------------------------


def test_gossip_beyond_the_rate_of_a_link_is_dropped_counted_and_told_once() -> None:
    bench = PeerBench(knobs=config(link_frames_per_s=10))
    far, other = neighbour(bench, 2), neighbour(bench, 3)
    bench.wait(1.0)
    for number in range(1, 31):
        far.gossip(segment(peer(9), number))
    assert len(bench.deliveries) == 10 and bench.count("limited.messages") == 20
    other.gossip(segment(peer(9), 11))
    assert len(bench.deliveries) == 11, "nobody else pays for it"
    bench.wait(1.0)
    far.gossip(segment(peer(9), 12))
    assert len(bench.deliveries) == 12
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.0.2:5000", "messages")]


def test_bytes_of_gossip_are_limited_too() -> None:
    bench = PeerBench(knobs=config(link_bytes_per_s=70_793))
    far = neighbour(bench, 2)
    bench.wait(1.0)
    for number in range(1, 5):
        far.gossip(segment(peer(9), number, [bytes(30_000)]))
    assert len(bench.deliveries) == 2 and bench.count("limited.bytes") == 2
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.0.2:5000", "bytes")]


def test_requests_beyond_the_rate_of_a_connection_are_not_even_decoded() -> None:
    bench = PeerBench(knobs=config(peer_requests_per_s=5))
    far = neighbour(bench, 2)
    for _ in range(20):
        bench.call(bench.engine.on_request, b"stranger", b"nonsense", "10.0.0.66")
    assert bench.count("refused.too_short") == 5 and bench.count("limited.messages") == 15
    far.asks(Probe(1.0, 5000, far.link.mine, bytes(8)))
    assert len(bench.events(ProbeReceived)) == 1, "on its own connection a neighbour is heard"
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.0.66", "messages")]


def test_answers_beyond_the_rate_of_a_connection_are_dropped() -> None:
    bench = PeerBench(knobs=config(peer_requests_per_s=5))
    far = neighbour(bench, 2)
    bench.wait(1.0)
    for _ in range(20):
        bench.call(bench.engine.on_reply, far.key, b"nonsense")
    assert bench.count("limited.messages") == 15 and bench.events(FrameRefused) == []
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.0.2:5000", "messages")]


def test_a_client_of_a_seed_that_says_too_much_is_told_once_and_disturbs_nobody() -> None:
    bench = SeedBench()
    burst = DEFAULT.seed_requests_burst
    for _ in range(burst + 100):
        bench.hears(peer(2), Presence(peer(2), b"12345678", 1))
    assert len(bench.told(peer(2), UnknownPeer)) == burst and bench.count("limited.messages") == 100
    bench.hears(peer(3), Presence(peer(3), b"12345678", 1))
    assert len(bench.told(peer(3), UnknownPeer)) == 1
    bench.wait(1.0)
    for _ in range(2 * DEFAULT.seed_requests_per_s):
        bench.hears(peer(2), Presence(peer(2), b"12345678", 1))
    assert len(bench.told(peer(2), UnknownPeer)) == burst + DEFAULT.seed_requests_per_s
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.0.2", "messages")]


def test_the_pages_of_100_000_members_and_of_the_tombstones_may_be_asked_for_back_to_back() -> None:
    bench = SeedBench()
    pages = -(-DEFAULT.members_max // DEFAULT.page_max) + -(-DEFAULT.tombstones_max // DEFAULT.page_max)
    for _ in range(pages):
        bench.hears(peer(2), List(FIRST_ID, DEFAULT.page_max))
    assert len(bench.told(peer(2), Listed)) == pages and bench.count("limited.messages") == 0


def test_what_is_kept_of_clients_is_bounded() -> None:
    bench = SeedBench(knobs=config(clients_max=50, seed_requests_burst=1))
    for number in range(200):
        for _ in range(2):
            bench.request(List(FIRST_ID, 1), route=b"%d" % number)
    assert len(bench.events(RemoteLimited)) == 200 and len(bench.engine.gate) == 50
