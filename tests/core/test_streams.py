"""What is here of streams: which one is forgotten, what is kept, and what stands for those that are settled."""

from __future__ import annotations

from tests.core.harness import CODEC, EPOCH, Far, PeerBench, config, neighbour, peer, segment
from zmqgossip.core.digests import QUIET_S, STEP_MAX_S
from zmqgossip.core.gossip_messages import Position, Pull, Pulled
from zmqgossip.core.outbox import REPLY, Segment
from zmqgossip.core.stream import Stream
from zmqgossip.core.streams import Streams
from zmqgossip.core.types import U64_MAX
from zmqgossip.core.wire import NUMBER_MAX, position_hash

QUIET_FOR_LONG_S = QUIET_S + 2 * STEP_MAX_S


def hears(bench: PeerBench, far: Far, *origins: int) -> None:
    for origin in origins:
        far.gossip(segment(peer(origin), 1))


def origins(bench: PeerBench) -> list[int]:
    return [int.from_bytes(stream.origin, "big") for stream in bench.engine.gossip.streams.all()]


# -- which are remembered -------------------------------------------------------------------------------------------------


def test_of_too_many_streams_the_one_that_was_settled_first_is_forgotten_and_never_ones_own() -> None:
    bench = PeerBench(knobs=config(streams_max=4))
    far = neighbour(bench, 2)
    hears(bench, far, 5, 6)
    bench.wait(QUIET_FOR_LONG_S)
    far.gossip(segment(peer(5), 2))
    bench.wait(QUIET_FOR_LONG_S)
    hears(bench, far, 7)
    assert len(origins(bench)) == 4 and bench.engine.gossip.streams.forgotten == 0
    hears(bench, far, 8)
    assert sorted(origins(bench)) == [1, 5, 7, 8], "6 was quiet longest"
    hears(bench, far, 9, 10, 11)
    assert sorted(origins(bench)) == [1, 9, 10, 11] and bench.engine.gossip.streams.forgotten == 4


def test_what_has_faded_is_no_stream_of_a_newcomer_however_much_of_it_there_is() -> None:
    def at(origin: int) -> Position:
        return Position(peer(origin).id, EPOCH, 3, 3)

    streams = Streams(3, 1 << 20)
    streams.begin([at(1)], [at(origin) for origin in range(2, 8)])
    assert [stream.position for stream in streams.all()] == [at(1)]
    assert streams.past_positions() == [at(origin) for origin in (5, 6, 7)]


def test_a_stream_that_was_forgotten_while_it_was_spoken_of_leaves_nothing_behind() -> None:
    bench = PeerBench(knobs=config(streams_max=3))
    far = neighbour(bench, 2)
    hears(bench, far, 5, 6, 7, 8)
    far.gossip(segment(peer(9), 4))  # beyond a gap, so that it is asked for
    hears(bench, far, 10, 11)
    bench.wait(QUIET_FOR_LONG_S)
    streams = bench.engine.gossip.streams
    expected = 0
    for stream in streams.all():
        assert stream.settled
        expected ^= position_hash(stream.origin, stream.epoch, stream.contiguous)
    assert streams.root == expected and streams.beyond_bytes == 0 and len(bench.engine.gossip.digests) == 0


def test_positions_are_given_with_the_active_streams_last() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    hears(bench, far, 5, 6)
    bench.wait(QUIET_FOR_LONG_S)
    far.gossip(segment(peer(5), 2))
    listed = [int.from_bytes(one.origin, "big") for one in bench.engine.gossip.streams.positions()]
    assert listed[-1] == 5 and sorted(listed) == [1, 5, 6]


# -- what is kept ---------------------------------------------------------------------------------------------------------


def add(streams: Streams, stream: Stream, number: int, size: int = 1000) -> None:
    frame = segment(peer(int.from_bytes(stream.origin, "big")), number, [bytes(size)])
    streams.add(stream, Segment(frame, CODEC.decode_segment(frame), None))


def test_the_oldest_of_the_largest_stream_gives_way_when_too_much_is_kept() -> None:
    streams = Streams(10, 20_000)
    streams.begin([], [])
    large, small = streams.of(peer(5).id, EPOCH), streams.of(peer(6).id, EPOCH)
    for stream in (large, small):
        stream.done = 100  # all is acknowledged
    for number in range(1, 4):
        add(streams, small, number)
    for number in range(1, 60):
        add(streams, large, number)
        assert streams.kept_bytes == sum(len(frame) for stream in streams.all() for frame in stream.kept.values()) <= 20_000
    assert list(small.kept) == [1, 2, 3] and large.oldest > 40
    assert list(large.kept) == list(range(large.oldest, 60))


def test_what_is_not_acknowledged_gives_way_only_where_nothing_else_is_left() -> None:
    streams = Streams(10, 20_000)
    streams.begin([], [])
    held, spare = streams.of(peer(5).id, EPOCH), streams.of(peer(6).id, EPOCH)
    spare.done = 3
    for number in range(1, 4):
        add(streams, spare, number)
    for number in range(1, 16):
        add(streams, held, number)
    assert held.oldest == 1 and len(held.kept) == 15, "the smaller one, which everybody has, makes room"
    for number in range(16, 60):
        add(streams, held, number)
    assert streams.kept_bytes <= 20_000 and held.oldest > 40


# -- at the end of all numbers --------------------------------------------------------------------------------------------


def test_a_stream_at_the_end_of_all_numbers_can_be_asked_for() -> None:
    bench = PeerBench()
    bench.join(peer(2, epoch=EPOCH - 1))
    far = Far(bench, peer(2, epoch=EPOCH - 1)).links_up()
    last = NUMBER_MAX - 1
    far.gives_baseline(Position(peer(9).id, EPOCH, last, U64_MAX), Position(peer(10).id, EPOCH, NUMBER_MAX, U64_MAX))
    far.asks(Pull(far.link.mine, peer(9).id, EPOCH, [(1, U64_MAX)]))
    assert bench.replies(Pulled) == [Pulled(peer(9).id, EPOCH, NUMBER_MAX, last, U64_MAX)] and len(bench.of(REPLY)) >= 1
    far.asks(Pull(far.link.mine, peer(10).id, EPOCH, [(1, U64_MAX)]))
    assert bench.replies(Pulled)[1:] == [Pulled(peer(10).id, EPOCH, 0, 0, 0)], "nobody has come so far"
