"""Marks: who has what comes back the way that it went, and nobody is waited for that is gone, slow, or has it of somebody else."""

from __future__ import annotations

from tests.core.harness import Far, PeerBench, neighbour, peer, segment
from tests.core.streaming import (
    ORIGIN,
    begun,
    entries,
    entry,
    flush_segment,
    gives,
    marked,
    own,
    report,
    says,
    stream_of,
    synced,
)
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.gossip_messages import Entry, FlushReport
from zmqgossip.core.types import FIRST_ID
from zmqgossip.core.wire import bucket_of, bucket_topic, life_hash


def last_entry(bench: PeerBench) -> Entry:
    bench.wait(0.0)
    return entries(bench)[-1]


def last_report(bench: PeerBench) -> FlushReport:
    return last_entry(bench).flushes[-1]


def test_a_mark_is_done_when_each_other_neighbour_is_done_or_has_it_of_somebody_else() -> None:
    bench, (parent, child, other) = begun(2, 3, 4)
    parent.gossip(marked(ORIGIN, 1))
    assert (last_entry(bench).done, last_entry(bench).marks) == (0, [(1, parent.record.id)])
    says(other, entry(ORIGIN, 1, marks=[(1, parent.record.id)]))
    assert last_entry(bench).done == 0
    says(child, entry(ORIGIN, 1, marks=[(1, bench.engine.me.id)]))
    assert last_entry(bench).done == 0
    says(child, entry(ORIGIN, 1, done=1))
    assert (last_entry(bench).done, last_entry(bench).marks) == (1, [])


def test_a_leaf_is_done_at_once_and_says_so_at_the_end_of_the_turn() -> None:
    bench, (parent,) = begun(2)
    parent.gossip(marked(ORIGIN, 1))
    assert last_entry(bench).done == 1


def test_a_mark_beyond_a_gap_is_not_done_before_the_gap_is_closed() -> None:
    bench, (parent,) = begun(2)
    parent.gossip(marked(ORIGIN, 2))
    assert last_entry(bench).done == 0
    parent.gossip(segment(ORIGIN, 1))
    assert last_entry(bench).done == 2


def test_a_parent_that_is_gone_is_never_exchanged_not_even_for_itself_on_a_new_link() -> None:
    bench, (parent, child) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    bench.call(lambda now: bench.engine.membership.lose(parent.link, "a test", now))
    assert last_entry(bench).marks == [(1, FIRST_ID)]
    again = synced(bench, 2)
    says(child, entry(ORIGIN, 1, marks=[(1, bench.engine.me.id)]))
    again.gossip(marked(ORIGIN, 1))
    assert last_entry(bench).marks == [(1, FIRST_ID)]
    says(child, entry(ORIGIN, 1, done=1))
    assert last_entry(bench).done == 1


def test_a_link_that_goes_is_not_waited_for_and_a_new_one_to_the_same_peer_neither() -> None:
    bench, (parent, child) = begun(2, 3)
    parent.gossip(marked(ORIGIN, 1))
    child.crashes()
    assert last_entry(bench).done == 1
    assert all(not mark.waiting for mark in stream_of(bench).marks.values())


def test_a_neighbour_without_its_baseline_is_not_waited_for() -> None:
    bench, (parent,) = begun(2)
    neighbour(bench, 3)
    parent.gossip(marked(ORIGIN, 1))
    assert last_entry(bench).done == 1


def test_a_neighbour_that_jumped_over_a_mark_takes_no_part() -> None:
    bench, (parent, other) = begun(2, 3)
    says(other, entry(ORIGIN, 5, done=0))
    parent.gossip(marked(ORIGIN, 1))
    assert last_entry(bench).done == 1


# -- reports --------------------------------------------------------------------------------------------------------------


def test_a_flush_goes_up_with_the_count_and_the_sum_of_those_below_and_of_the_node() -> None:
    bench, (parent, child) = begun(2, 3)
    me = bench.engine.me
    parent.gossip(flush_segment(ORIGIN, 1))
    says(child, Entry(ORIGIN.id, ORIGIN.epoch, 1, 1, 1, [], [report(1, me, child.record, peer(9), slow=[peer(8)])]))
    assert last_report(bench) == report(1, parent.record, child.record, peer(9), me, slow=[peer(8)])


def test_a_report_that_is_said_again_on_a_new_link_counts_once() -> None:
    bench, (parent, child, third) = begun(2, 3, 4)
    me = bench.engine.me
    parent.gossip(flush_segment(ORIGIN, 1))
    done = Entry(ORIGIN.id, ORIGIN.epoch, 1, 1, 1, [], [report(1, me, child.record)])
    says(child, done)
    bench.call(lambda now: bench.engine.membership.lose(child.link, "a test", now))
    again = synced(bench, 3)
    says(again, done)
    says(third, entry(ORIGIN, 1, marks=[(1, parent.record.id)]))
    assert last_report(bench) == report(1, parent.record, child.record, me)


def test_the_report_of_somebody_elses_child_does_not_count() -> None:
    bench, (parent, other) = begun(2, 3)
    parent.gossip(flush_segment(ORIGIN, 1))
    says(other, Entry(ORIGIN.id, ORIGIN.epoch, 1, 1, 1, [], [report(1, peer(9), other.record)]))
    assert last_report(bench) == report(1, parent.record, bench.engine.me)


def test_a_node_that_has_lost_messages_names_itself_in_flushes_and_is_not_counted() -> None:
    bench, (parent,) = begun(2)
    parent.gossip(segment(ORIGIN, 1))
    parent.gossip(flush_segment(ORIGIN, 9))
    says(parent, entry(ORIGIN, 9))
    bench.wait(0.06)
    gives(parent, ORIGIN, [], oldest=8, contiguous=9)
    bench.wait(1.2)
    gives(parent, ORIGIN, [8], contiguous=9)
    assert stream_of(bench).contiguous == 9
    assert last_report(bench) == report(9, parent.record, slow=[bench.engine.me])
    bench.wait(25.0)
    parent.gossip(flush_segment(ORIGIN, 10))
    assert last_report(bench) == report(10, parent.record, bench.engine.me)


def test_while_the_application_is_full_nothing_of_others_is_acknowledged() -> None:
    bench, (parent,) = begun(2)
    bench.call(lambda now: bench.engine.on_room(False, now))
    parent.gossip(marked(ORIGIN, 1))
    bench.wait(1.0)
    assert last_entry(bench).done == 0
    bench.call(lambda now: bench.engine.on_room(True, now))
    assert last_entry(bench).done == 1


def test_more_marks_than_a_digest_holds_stop_nothing() -> None:
    bench, (parent, child) = begun(2, 3)
    for number in range(1, 101):
        parent.gossip(marked(ORIGIN, number))
    assert bench.count("dropped.marks_full") == 36
    says(child, entry(ORIGIN, 100, done=100))
    assert last_entry(bench).done == 64 and last_entry(bench).contiguous == 100
    parent.gossip(marked(ORIGIN, 101))
    says(child, entry(ORIGIN, 101, done=101))
    assert last_entry(bench).done == 101


def test_ids_that_stand_in_a_sum_are_lives_and_not_peers() -> None:
    assert life_hash(peer(1).id, 1) != life_hash(peer(1).id, 2)


# -- leaves, and an application that does not read ------------------------------------------------------------------------


def leaf(*contiguous: int) -> tuple[PeerBench, Far, list[Far]]:
    """A peer that nobody takes gossip from; its parent, and others that have said how far they are of the 400 segments that it has."""
    bench, (parent, *others) = begun(*range(2, 3 + len(contiguous)))
    bench.call(bench.engine.on_unsubscription, b"E")
    for number in range(1, 400):
        parent.gossip(segment(ORIGIN, number))
    for other, number in zip(others, contiguous, strict=True):
        says(other, entry(ORIGIN, number))
    return bench, parent, others


HALF_A_PIPE = DEFAULT.pipe_segments // 2


def test_a_leaf_waits_for_nobody_who_is_within_a_window() -> None:
    bench, parent, _ = leaf(400 - HALF_A_PIPE, 399)
    parent.gossip(marked(ORIGIN, 400))
    assert last_entry(bench).done == 400


def test_a_leaf_waits_for_who_is_further_behind() -> None:
    bench, parent, (other,) = leaf(399 - HALF_A_PIPE)
    parent.gossip(marked(ORIGIN, 400))
    assert last_entry(bench).done == 0
    says(other, entry(ORIGIN, 400, done=400))
    assert last_entry(bench).done == 400


def test_a_leaf_does_not_wait_for_a_neighbour_that_says_nothing() -> None:
    bench, parent, _ = leaf(0)
    bench.wait(1.1)
    parent.gossip(marked(ORIGIN, 400))
    assert last_entry(bench).done == 400


def test_a_leaf_waits_for_everybody_with_a_flush() -> None:
    bench, parent, (other,) = leaf(399)
    parent.gossip(flush_segment(ORIGIN, 400))
    assert last_entry(bench).done == 0
    says(other, entry(ORIGIN, 400, done=400))
    assert last_entry(bench).done == 400


def test_who_has_a_subscriber_for_the_bucket_is_no_leaf() -> None:
    bench, parent, (other,) = leaf(399)
    bench.call(bench.engine.on_subscription, bucket_topic(bucket_of(ORIGIN.id)))
    parent.gossip(marked(ORIGIN, 400))
    assert last_entry(bench).done == 0
    says(other, entry(ORIGIN, 400, done=400))
    assert last_entry(bench).done == 400


def test_nothing_of_others_is_acknowledged_while_the_application_does_not_read_for_as_long_as_a_slow_neighbour_is_waited_for() -> None:
    bench, (parent,) = begun(2)
    bench.call(bench.engine.on_room, False)
    parent.gossip(marked(ORIGIN, 1))
    bench.wait(DEFAULT.slow_after_s - 0.1)
    assert last_entry(bench).done == 0
    bench.wait(0.2)
    assert last_entry(bench).done == 1
    parent.gossip(marked(ORIGIN, 2))
    assert last_entry(bench).done == 2, "it was waited for long enough"


def test_what_waited_for_the_application_is_acknowledged_when_it_reads_and_it_is_waited_for_anew_when_it_stops() -> None:
    bench, (parent,) = begun(2)
    for number in (1, 2):
        bench.call(bench.engine.on_room, False)
        parent.gossip(marked(ORIGIN, number))
        bench.wait(1.0)
        assert last_entry(bench).done == number - 1
        bench.call(bench.engine.on_room, True)
        assert last_entry(bench).done == number


def test_ones_own_marks_do_not_wait_for_ones_own_application() -> None:
    bench, (far,) = begun(2)
    bench.call(bench.engine.on_room, False)
    bench.call(bench.engine.flush, 1, 5.0)
    number = own(bench).highest
    says(far, entry(bench.engine.me, number, done=number))
    assert own(bench).done == number


def test_nobody_waits_anew_for_a_neighbour_that_is_far_behind_and_silent_for_long() -> None:
    bench, (parent, child) = begun(2, 3)
    far_on = DEFAULT.pipe_segments // 2 + 2
    bench.subscription(bucket_topic(bucket_of(ORIGIN.id)))  # no leaf
    says(child, entry(ORIGIN, 1))
    for number in range(1, far_on):
        parent.gossip(segment(ORIGIN, number))
    bench.now += DEFAULT.slow_after_s / 2
    parent.gossip(marked(ORIGIN, far_on))
    assert last_entry(bench).done == 0, "it has spoken lately"
    says(child, entry(ORIGIN, 1, done=far_on))
    bench.now += DEFAULT.slow_after_s + 0.1
    parent.gossip(marked(ORIGIN, far_on + 1))
    stream = stream_of(bench)
    assert not stream.marks and stream.done == far_on + 1
