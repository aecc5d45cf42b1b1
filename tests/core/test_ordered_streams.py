"""Streams: exactly once, in order, by name what is lost, and no table that grows without bound."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.core.harness import CODEC, EPOCH, Far, PeerBench, config, notice_segment, peer, segment, spoiled, steady
from tests.core.streaming import ORIGIN, begun, entries, entry, flush_segment, gives, marked, numbers, own, pulls, says, stream_of, synced
from zmqgossip.core.events import MessagesLost
from zmqgossip.core.gossip_messages import Ask, Digest, Entry, FlushReport, Position, Pull, Pulled, Sync, Synced, Walk, Walked
from zmqgossip.core.outbox import Segment
from zmqgossip.core.streams import Streams
from zmqgossip.core.wire import FLAG_MEMBERSHIP

DAY_MS = 86_400_000


def a_stream(**knobs: int) -> tuple[PeerBench, int]:
    bench = PeerBench(knobs=config(**knobs))
    bench.join()
    key = synced(bench, 2).key
    bench.forget()
    return bench, key


@steady
@given(st.permutations(range(1, 13)), st.lists(st.integers(1, 12), max_size=8))
def test_segments_in_any_order_and_again_are_delivered_once_and_in_order(order: list[int], again: list[int]) -> None:
    bench, key = a_stream()
    for number in [*order, *again]:
        bench.gossip(key, segment(ORIGIN, number))
    assert numbers(bench) == list(range(1, 13))
    assert bench.engine.gossip.streams.beyond_bytes == 0 and stream_of(bench).missing == 0


def test_what_is_beyond_a_gap_waits_and_goes_on_at_once_to_others() -> None:
    bench, key = a_stream()
    bench.subscription(b"E")
    bench.gossip(key, segment(ORIGIN, 2))
    assert numbers(bench) == [] and len(bench.segments) == 1 and stream_of(bench).missing == 1


def test_a_segment_far_beyond_or_without_room_is_not_kept_but_the_next_one_always_is() -> None:
    bench, key = a_stream(ahead_max=10, beyond_bytes_max=1024)
    bench.gossip(key, segment(ORIGIN, 12))
    assert bench.count("dropped.too_far_ahead") == 1
    for number in range(2, 11):
        bench.gossip(key, segment(ORIGIN, number, [bytes(200)]))
    assert bench.count("dropped.no_room_beyond_gap") > 3 and bench.engine.gossip.streams.beyond_bytes <= 1024
    bench.gossip(key, segment(ORIGIN, 1))
    assert numbers(bench) == [1, 2, 3, 4]


def test_a_refused_segment_leaves_no_trace() -> None:
    bench, key = a_stream()
    bench.gossip(key, spoiled(segment(ORIGIN, 1)))
    assert bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch) is None


def test_a_notice_that_is_not_understood_is_no_gap() -> None:
    bench, key = a_stream()
    bench.gossip(key, CODEC.encode_segment(ORIGIN.id, ORIGIN.epoch, 1, 1, 0, FLAG_MEMBERSHIP, b"junk"))
    bench.gossip(key, segment(ORIGIN, 2))
    assert numbers(bench) == [2] and bench.count("dropped.notices") == 1
    assert [CODEC.decode_segment(frame).number for frame in bench.segments] == [1, 2], "others may understand it"


# -- made-up streams ------------------------------------------------------------------------------------------------------


def test_an_entry_of_a_stream_without_segments_makes_no_stream() -> None:
    bench, (far,) = begun(2)
    says(far, entry(ORIGIN, 0))
    far.reply(Walked([], [Position(ORIGIN.id, ORIGIN.epoch, 0, 0)]))
    assert bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch) is None


def test_a_stream_of_which_its_teller_has_nothing_is_forgotten() -> None:
    bench, (far,) = begun(2)
    says(far, entry(ORIGIN, 9))
    bench.wait(0.1)
    assert len(pulls(bench)) == 1
    gives(far, ORIGIN, [], oldest=0)
    assert bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch) is None
    bench.wait(5.0)
    assert len(pulls(bench)) == 1 and entries(bench, since=bench.now - 4.5) == [] and len(bench.engine.gossip.digests) == 0


def test_made_up_streams_fill_the_table_no_further_than_its_bound_and_never_push_out_ones_own() -> None:
    bench = PeerBench(knobs=config(streams_max=20))
    bench.join()
    far = synced(bench, 2)
    for start in range(100, 1000, 300):
        says(far, *[entry(peer(number), 5) for number in range(start, start + 300)])
    bench.wait(3.0)
    gossip = bench.engine.gossip
    assert len(gossip.streams) <= 20 and len(gossip.digests) <= 20
    assert gossip.streams.get(bench.engine.me.id, bench.engine.me.epoch) is own(bench)


def test_an_epoch_in_the_future_is_refused_wherever_it_comes_from() -> None:
    bench, (far,) = begun(2)
    liar = peer(88, epoch=EPOCH + 2 * DAY_MS)
    says(far, entry(liar, 5))
    far.reply(Digest([entry(liar, 5)]))
    far.reply(Walked([], [Position(liar.id, liar.epoch, 5, 5)]))
    assert bench.count("dropped.future_epoch") == 3
    far.gossip(segment(liar, 1))
    assert bench.count("refused.epoch") == 1
    assert bench.engine.gossip.streams.get(liar.id, liar.epoch) is None


HUGE = (1 << 64) - 1


def test_the_largest_numbers_of_all_break_nothing() -> None:
    late = PeerBench(4)
    late.join(peer(2))
    far = Far(late, peer(2))
    far.hello()
    far.links_up()
    far.gives_baseline(Position(peer(50).id, EPOCH, HUGE, HUGE), Position(ORIGIN.id, EPOCH, HUGE - 1, HUGE - 1))
    far.asks(Synced(far.link.mine, HUGE))
    far.gossip(flush_segment(peer(60), 1))
    reports = [FlushReport(1, late.engine.me.id, HUGE, HUGE, [])]
    says(far, Entry(peer(60).id, EPOCH, HUGE, HUGE, HUGE, [(HUGE, bytes(16))], reports), entry(ORIGIN, HUGE), entry(peer(61), HUGE))
    far.reply(Walked([], [Position(peer(62).id, EPOCH, HUGE, HUGE), Position(peer(60).id, EPOCH, HUGE, HUGE)]))
    for _ in range(40):
        late.wait(0.1)
        for key, body, exchange in pulls(late)[-3:]:
            late.reply(key, Pulled(body.origin, body.epoch, HUGE, HUGE, HUGE), exchange)
        for one in (peer(50), ORIGIN, peer(60), peer(61), peer(62)):
            far.asks(Pull(far.link.mine, one.id, EPOCH, [(1, HUGE)]))
            far.asks(Ask(far.link.mine, [(one.id, EPOCH)]))
        far.asks(Walk(far.link.mine, [61, 62, 77]))
    assert all(stream.contiguous < 1 << 63 for stream in late.engine.gossip.streams.all())


def test_the_end_of_a_life_that_is_said_to_have_the_largest_number_of_messages_breaks_nothing() -> None:
    late = PeerBench(4)
    late.join(peer(2))
    far = Far(late, peer(2))
    far.hello()
    far.links_up()
    far.gives_baseline(Position(ORIGIN.id, EPOCH, 5, HUGE))
    says(far, entry(ORIGIN, 9))
    far.gossip(segment(peer(77, epoch=EPOCH + 1), 1))
    late.wait(8.0)
    assert late.engine.gossip.streams.get(ORIGIN.id, EPOCH) is None
    far.asks(Pull(far.link.mine, ORIGIN.id, EPOCH, [(6, 9)]))
    far.asks(Sync(far.link.mine))
    assert late.events(MessagesLost) == [], "there is no number that could be named"


def test_ways_of_made_up_origins_are_forgotten_with_their_streams() -> None:
    bench = PeerBench(knobs=config(streams_max=20))
    bench.join()
    far = synced(bench, 2)
    for number in range(1, 500):
        far.gossip(segment(peer(number * 256 + 7), 1))
    assert sum(len(bucket.ways) for bucket in bench.engine.gossip.trees._buckets.values()) <= 20


# -- lives ----------------------------------------------------------------------------------------------------------------


def test_two_epochs_of_one_origin_are_two_streams_and_the_older_one_ends_after_two_seconds_by_name() -> None:
    bench, (far,) = begun(2)
    later = peer(77, epoch=EPOCH + 1)
    for number in (1, 2, 5):
        far.gossip(segment(ORIGIN, number))
    far.gossip(segment(later, 1))
    far.gossip(segment(ORIGIN, 3))
    assert [(one.header.epoch, one.header.number) for one in bench.deliveries] == [(EPOCH, 1), (EPOCH, 2), (EPOCH + 1, 1), (EPOCH, 3)]
    bench.wait(2.5)
    assert [(event.first, event.last) for event in bench.events(MessagesLost)] == [(4, 4)]
    assert bench.engine.gossip.streams.get(ORIGIN.id, EPOCH) is None
    far.gossip(segment(ORIGIN, 4))
    assert bench.count("dropped.old_epoch") == 1 and len(bench.deliveries) == 5


def test_a_life_whose_beginning_nobody_keeps_ends_the_one_before_it() -> None:
    bench, (far,) = begun(2)
    later = peer(77, epoch=EPOCH + 1)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(later, 5))
    bench.wait(0.2)
    gives(far, later, [], oldest=6, contiguous=5)
    bench.wait(10.0)
    assert [(event.epoch, event.first, event.last) for event in bench.events(MessagesLost)] == [(EPOCH + 1, 1, 5)]
    assert bench.engine.gossip.streams.get(ORIGIN.id, EPOCH) is None


def test_a_digest_of_a_later_life_ends_no_stream() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(peer(77, epoch=EPOCH + 1), 5))
    far.gossip(segment(ORIGIN, 2))
    bench.wait(3.0)
    far.gossip(segment(ORIGIN, 3))
    assert numbers(bench) == [1, 2, 3]


# -- forgetting -----------------------------------------------------------------------------------------------------------


def test_a_stream_that_was_forgotten_goes_on_where_it_was() -> None:
    bench = PeerBench(knobs=config(streams_max=4))
    bench.join()
    far = synced(bench, 2)
    for number in (1, 2):
        far.gossip(segment(ORIGIN, number))
    says(far, entry(ORIGIN, 2))
    bench.wait(3.0)
    for number in range(100, 104):
        far.gossip(segment(peer(number), 1))
    assert bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch) is None
    far.gossip(segment(ORIGIN, 1))
    far.gossip(segment(ORIGIN, 3))
    assert numbers(bench) == [1, 2, 3] and bench.events(MessagesLost) == []


def test_of_settled_streams_the_one_that_settled_first_is_forgotten_first() -> None:
    streams = Streams(3, 1 << 20)
    streams.begun = True
    one, other, third = (streams.of(peer(number).id, EPOCH) for number in (1, 2, 3))
    streams.settle(other)
    streams.settle(one)
    streams.of(peer(4).id, EPOCH)
    assert streams.get(*other.key) is None and streams.get(*one.key) is one and streams.get(*third.key) is third


# -- what is kept ---------------------------------------------------------------------------------------------------------


def test_what_is_kept_stays_within_its_bound_and_the_largest_share_goes_first() -> None:
    streams = Streams(100, 10_000)
    streams.begun = True
    large, small = streams.of(peer(1).id, EPOCH), streams.of(peer(2).id, EPOCH)
    for number in range(1, 60):
        for origin, stream, size in ((1, large, 400), (2, small, 1)):
            frame = segment(peer(origin), number, [bytes(size)])
            streams.add(stream, Segment(frame, CODEC.decode_segment(frame), None))
            stream.done = number - 2
        assert streams.kept_bytes <= 10_000
        assert streams.kept_bytes == large.kept_bytes + small.kept_bytes == sum(map(len, [*large.kept.values(), *small.kept.values()]))
    assert large.oldest > small.oldest
    assert sorted(large.kept) == list(range(large.oldest, 60)) and sorted(small.kept) == list(range(small.oldest, 60))


def test_what_is_not_acknowledged_is_kept_as_long_as_anything_else_can_go() -> None:
    streams = Streams(100, 10_000)
    streams.begun = True
    done, fresh = streams.of(peer(1).id, EPOCH), streams.of(peer(2).id, EPOCH)
    for number in range(1, 11):
        for origin, stream, size in ((1, done, 300), (2, fresh, 500)):
            frame = segment(peer(origin), number, [bytes(size)])
            streams.add(stream, Segment(frame, CODEC.decode_segment(frame), None))
        done.done = number
    assert fresh.oldest == 1 and done.oldest > 1


def test_a_jump_never_goes_backwards() -> None:
    bench, (far,) = begun(2)
    for number in (1, 2, 3):
        far.gossip(segment(ORIGIN, number))
    streams = bench.engine.gossip.streams
    assert streams.jump(stream_of(bench), 2) == [] and stream_of(bench).contiguous == 3


# -- the baseline ---------------------------------------------------------------------------------------------------------


def test_before_the_baseline_nothing_is_delivered_or_said_and_marks_below_it_are_let_go() -> None:
    late = PeerBench(4)
    late.join(peer(2))
    far = Far(late, peer(2))
    far.hello()
    far.links_up()
    for number in (4, 5, 7):
        far.gossip(marked(ORIGIN, number))
    late.wait(0.5)
    assert numbers(late) == [] and entries(late) == []
    far.gives_baseline(Position(ORIGIN.id, ORIGIN.epoch, 5, 5))
    stream = stream_of(late)
    assert (stream.contiguous, stream.done, list(stream.marks)) == (5, 5, [7])
    far.gossip(segment(ORIGIN, 6))
    assert numbers(late) == [6, 7] and stream.done == 7 and late.events(MessagesLost) == []


@pytest.mark.parametrize("contiguous", [0, 3])
def test_a_notice_segment_takes_a_number_but_no_message(contiguous: int) -> None:
    bench, (far,) = begun(2)
    for number in range(1, contiguous + 1):
        far.gossip(segment(ORIGIN, number))
    far.gossip(notice_segment(ORIGIN, contiguous + 1))
    far.gossip(segment(ORIGIN, contiguous + 2, first=contiguous + 1))
    assert stream_of(bench).messages == contiguous + 1 and bench.events(MessagesLost) == []


# -- the end of a life ----------------------------------------------------------------------------------------------------


def begun_anew_behind() -> tuple[PeerBench, Far]:
    """An origin has begun a new life while two segments of the one before are at a neighbour only."""
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 3))
    far.gossip(segment(peer(77, epoch=EPOCH + 1), 1))
    return bench, far


def test_what_a_neighbour_has_of_an_earlier_life_is_pulled_before_that_ends() -> None:
    bench, far = begun_anew_behind()
    bench.wait(4.0)
    gives(far, ORIGIN, [2, 3])
    bench.wait(1.0)
    assert [(one.header.epoch, one.header.number) for one in bench.deliveries] == [(EPOCH, 1), (EPOCH + 1, 1), (EPOCH, 2), (EPOCH, 3)]
    assert bench.engine.gossip.streams.get(ORIGIN.id, EPOCH) is None and bench.events(MessagesLost) == []


def test_what_a_neighbour_has_of_an_earlier_life_and_does_not_give_is_lost_by_name() -> None:
    bench, _ = begun_anew_behind()
    bench.wait(8.0)
    [lost] = bench.events(MessagesLost)
    assert (lost.epoch, lost.first, lost.last) == (EPOCH, 2, 2) and "begun anew" in lost.why
    assert bench.engine.gossip.streams.get(ORIGIN.id, EPOCH) is None


def test_a_life_that_neighbours_only_talked_of_ends_without_a_loss() -> None:
    bench, (far,) = begun(2)
    says(far, entry(ORIGIN, 3))
    far.gossip(segment(peer(77, epoch=EPOCH + 1), 1))
    bench.wait(8.0)
    assert bench.events(MessagesLost) == [] and bench.engine.gossip.streams.get(ORIGIN.id, EPOCH) is None


def test_lives_that_neighbours_only_talk_of_leave_room_for_one_that_speaks() -> None:
    bench, (far,) = begun(2)
    says(far, *[entry(peer(77, epoch=EPOCH + number), 5) for number in range(1, 9)])
    assert bench.count("dropped.old_epoch") == 4
    far.gossip(segment(peer(77, epoch=EPOCH + 20), 1))
    assert [one.header.epoch for one in bench.deliveries] == [EPOCH + 20]


def test_a_number_beyond_all_numbers_is_refused_and_leaves_no_stream_that_cannot_end() -> None:
    bench, key = a_stream()
    bench.gossip(key, segment(ORIGIN, 2**63))
    assert bench.count("refused.field") == 1 and bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch) is None
    bench.gossip(key, segment(ORIGIN, 2**63 - 1))
    bench.gossip(key, segment(peer(77, epoch=EPOCH + 1), 1))
    bench.wait(10.0)
    assert bench.engine.gossip.streams.get(ORIGIN.id, EPOCH) is None
