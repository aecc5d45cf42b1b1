"""Trees: who brings only copies is asked no more, who is lost or nearer is replaced or taken."""

from __future__ import annotations

from hypothesis import given, strategies as st

from tests.core.harness import CODEC, Far, PeerBench, config, neighbour, peer, segment, steady
from tests.core.streaming import ORIGIN, answers, asked, begun, entry, gives, publish, pulls, says, synced
from zmqgossip.core import outbox
from zmqgossip.core.trees import ACTIVE_S, cover
from zmqgossip.core.wire import bucket_of, bucket_topic, propagated

BUCKET = bucket_of(ORIGIN.id)
MATE = peer(256 + 77)
"""Another origin of the same bucket."""


def lazy(far: Far, origin_bucket: int = BUCKET) -> bool:
    return origin_bucket in far.link.lazy


def all_bring(bench: PeerBench, fars: list[Far], first: int, last: int, gap_s: float = 0.25) -> None:
    """Each segment comes from everybody that is asked, in this order."""
    for number in range(first, last + 1):
        for far in fars:
            if not lazy(far):
                far.gossip(propagated(segment(ORIGIN, number)))
        bench.wait(gap_s)


def topic_changes(bench: PeerBench) -> list[tuple[int, tuple[bytes, ...], tuple[bytes, ...]]]:
    return [(key, add, remove) for key, add, remove in bench.of(outbox.TOPICS)]


@steady
@given(st.sets(st.integers(0, 255)))
def test_topics_take_every_bucket_but_those(out: set[int]) -> None:
    topics = tuple(cover(sorted(out)))
    assert {number for number in range(256) if not bucket_topic(number).startswith(topics)} == out if topics else len(out) == 256
    assert len(topics) == len(set(topics))


@steady
@given(st.lists(st.integers(0, 40), max_size=60))
def test_what_is_subscribed_and_unsubscribed_bucket_by_bucket_always_leaves_the_cover(numbers: list[int]) -> None:
    bench, (far,) = begun(2)
    trees, held = bench.engine.gossip.trees, dict.fromkeys(cover([]))
    for number in numbers:
        change = trees.graft if number in far.link.lazy else trees.prune
        bench.call(lambda now, change=change, number=number: change(far.link, number))
    for _, add, remove in topic_changes(bench):
        assert not any(topic in held for topic in add)
        held |= dict.fromkeys(add)
        for topic in remove:
            del held[topic]
    assert sorted(held) == sorted(cover(far.link.lazy))


def test_a_neighbour_that_brings_three_copies_in_a_row_is_pruned_while_two_others_are_left() -> None:
    bench, fars = begun(2, 3, 4, 5)
    all_bring(bench, fars, 1, 2)
    assert topic_changes(bench) == []
    all_bring(bench, fars, 3, 12)
    assert [lazy(far) for far in fars].count(False) == 2 and not lazy(fars[0])
    assert bench.count("trees.pruned") == 2


def brought(bench: PeerBench, fars: list[Far], number: int, late_s: list[float]) -> None:
    """A segment from each that is asked, so much later each than the one before."""
    for far, wait_s in zip(fars, late_s, strict=True):
        bench.wait(wait_s)
        if not lazy(far):
            far.gossip(propagated(segment(ORIGIN, number)))
    bench.wait(0.25)


def test_of_those_that_bring_only_copies_the_one_that_is_latest_goes_first_and_the_second_best_stays() -> None:
    bench, fars = begun(2, 3, 4, 5, 6)
    gone: list[Far] = []
    for number in range(1, 15):
        brought(bench, fars, number, [0.0, 0.01, 0.01, 0.01, 0.01])
        gone += [far for far in fars if lazy(far) and far not in gone]
    assert gone == [fars[4], fars[3], fars[2]]


def test_a_neighbour_that_has_it_from_here_is_no_second_way_however_early_its_copies_are() -> None:
    bench, (first, child, other) = begun(2, 3, 4)
    for number in range(1, 8):
        for far, late_s, hops in ((first, 0.0, 1), (child, 0.01, 3), (other, 0.1, 2)):
            bench.wait(late_s)
            frame = segment(ORIGIN, number)
            for _ in range(hops):
                frame = propagated(frame)
            if not lazy(far):
                far.gossip(frame)
        bench.wait(0.25)
    assert [lazy(far) for far in (first, child, other)] == [False, True, False]


def test_one_copy_that_was_held_up_does_not_make_a_neighbour_the_latest() -> None:
    bench, fars = begun(2, 3, 4)
    for number, late_s in enumerate([0.5, 0.0, 0.0], start=1):
        brought(bench, fars, number, [0.0, late_s, 0.3])
    for number in range(4, 8):
        brought(bench, fars, number, [0.0, 0.01, 0.3])
    assert [lazy(far) for far in fars] == [False, False, True]


def test_at_most_one_is_pruned_in_200_ms() -> None:
    bench, fars = begun(2, 3, 4, 5, 6)
    all_bring(bench, fars, 1, 3, gap_s=0.0)
    assert bench.count("trees.pruned") == 1
    all_bring(bench, fars, 4, 9, gap_s=0.0)
    assert bench.count("trees.pruned") == 1
    bench.wait(0.2)
    all_bring(bench, fars, 10, 10, gap_s=0.0)
    assert bench.count("trees.pruned") == 2


def test_a_bucket_that_runs_hot_keeps_one_parent() -> None:
    bench = PeerBench(knobs=config(hot_segments_per_s=5))
    bench.join()
    fars = [synced(bench, number) for number in (2, 3, 4)]
    all_bring(bench, fars, 1, 60, gap_s=0.05)
    assert [lazy(far) for far in fars] == [False, True, True]


def test_ones_own_segments_are_not_wanted_back() -> None:
    bench, fars = begun(2, 3)
    mine = bucket_of(bench.engine.me.id)
    for _ in range(5):
        publish(bench, b"x")
        frame = propagated(bench.segments[-1])
        for far in fars:
            if not lazy(far, mine):
                far.gossip(frame)
        bench.wait(0.25)
    assert [lazy(far, mine) for far in fars] == [True, True]


def test_two_origins_in_one_bucket_with_different_parents_keep_both() -> None:
    bench, (one, other, third) = begun(2, 3, 4)
    for number in range(1, 20):
        for far, origin in ((one, ORIGIN), (other, MATE)):
            far.gossip(propagated(segment(origin, number)))
        for far, origin in ((other, ORIGIN), (one, MATE), (third, ORIGIN), (third, MATE)):
            if not lazy(far):
                far.gossip(propagated(segment(origin, number)))
        bench.wait(0.25)
    assert [lazy(far) for far in (one, other, third)] == [False, False, True]
    assert bench.count("duplicates.bucket_collision") > 20


def test_ones_own_bucket_is_kept_where_another_of_its_origins_comes_from() -> None:
    bench, (one, other) = begun(2, 3)
    mate = peer(257)
    assert bucket_of(mate.id) == bucket_of(bench.engine.me.id)
    for number in range(1, 12):
        one.gossip(propagated(segment(mate, number)))
        publish(bench, b"x")
        frame = propagated(bench.segments[-1])
        for far in (one, other):
            if not lazy(far, bucket_of(mate.id)):
                far.gossip(frame)
        bench.wait(0.25)
    assert not lazy(one, bucket_of(mate.id))


def test_ones_own_bucket_is_not_pruned_everywhere_while_another_of_its_origins_has_lost_its_way() -> None:
    bench, (one, other, third) = begun(2, 3, 4)
    mate = peer(257)
    for number in (1, 2):
        one.gossip(propagated(segment(mate, number)))
    one.crashes()
    for _ in range(8):
        publish(bench, b"x")
        frame = propagated(bench.segments[-1])
        for far in (other, third):
            if not lazy(far, bucket_of(mate.id)):
                far.gossip(frame)
        bench.wait(0.25)
    assert not (lazy(other, bucket_of(mate.id)) and lazy(third, bucket_of(mate.id)))


def test_a_parent_that_is_lost_is_replaced_by_a_pruned_one_that_is_asked_what_is_there() -> None:
    bench, fars = begun(2, 3, 4)
    all_bring(bench, fars, 1, 10)
    (pruned,) = [far for far in fars if lazy(far)]
    bench.forget()
    fars[0].crashes()
    assert not lazy(pruned) and bench.count("trees.grafted") == 1
    (question,) = [body for key, body in asked(bench) if key == pruned.key]
    assert (ORIGIN.id, ORIGIN.epoch) in question.streams
    answers(pruned, entry(ORIGIN, 11))
    bench.wait(0.06)
    gives(pruned, ORIGIN, [11])


def test_whoever_gives_twice_running_what_nobody_pushes_pushes_again() -> None:
    bench, fars = begun(2, 3, 4)
    all_bring(bench, fars, 1, 10)
    (pruned,) = [far for far in fars if lazy(far)]
    for number in (11, 12):
        says(pruned, entry(ORIGIN, number))
        bench.wait(0.06)
        assert lazy(pruned), "it may still come by itself"
        gives(pruned, ORIGIN, [number])
    assert not lazy(pruned)


def test_a_pull_that_was_too_soon_changes_no_way_and_costs_nobody_its_place() -> None:
    bench, fars = begun(2, 3, 4)
    all_bring(bench, fars, 1, 10)
    (pruned,) = [far for far in fars if lazy(far)]
    before = bench.count("duplicates.known")
    for number in range(11, 21):
        says(pruned, entry(ORIGIN, number))
        bench.wait(2.0)
        gives(pruned, ORIGIN, [number])
        for far in fars:
            if far is not pruned:
                far.gossip(segment(ORIGIN, number))
                break
    assert lazy(pruned) and sum(bool(lazy(far)) for far in fars) == 1 and bench.count("trees.grafted") == 0
    assert bench.count("duplicates.known") == before + 10, "it is a copy all the same"


def test_pulls_that_were_too_soon_make_the_next_ones_later() -> None:
    bench, (far, other) = begun(2, 3)
    for number in range(1, 8):
        says(far, entry(ORIGIN, number))
        bench.wait(2.0)
        other.gossip(segment(ORIGIN, number))
        gives(far, ORIGIN, [number])
    bench.forget()
    says(far, entry(ORIGIN, 8))
    bench.wait(0.5)
    assert pulls(bench) == []
    bench.wait(1.0)
    assert len(pulls(bench)) == 1


def test_a_pruned_neighbour_that_is_nearer_three_digests_running_is_taken() -> None:
    bench, fars = begun(2, 3, 4)
    far_away = propagated(propagated(propagated(segment(ORIGIN, 11))))
    all_bring(bench, fars, 1, 10)
    (pruned,) = [far for far in fars if lazy(far)]
    fars[0].gossip(far_away)
    for _ in range(2):
        says(pruned, entry(ORIGIN, 11, hops=1))
    says(pruned, entry(ORIGIN, 11, hops=3))
    for _ in range(2):
        says(pruned, entry(ORIGIN, 11, hops=1))
    assert lazy(pruned)
    says(pruned, entry(ORIGIN, 11, hops=1))
    assert not lazy(pruned)


def test_no_nearer_neighbour_is_taken_while_one_that_pushes_is_as_near_and_only_loses_races() -> None:
    bench, fars = begun(2, 3, 4)
    all_bring(bench, fars, 1, 10)
    (pruned,) = [far for far in fars if lazy(far)]
    far_away, near = [far for far in fars if far is not pruned]
    for number in range(11, 31):
        far_away.gossip(propagated(propagated(propagated(segment(ORIGIN, number)))))
        near.gossip(propagated(propagated(segment(ORIGIN, number))))
        for far in (near, pruned):
            says(far, entry(ORIGIN, number, hops=1))
        bench.wait(0.2)
    assert lazy(pruned) and bench.count("trees.grafted") == 0


def test_a_neighbour_that_was_taken_for_being_nearer_in_vain_is_taken_again_four_times_as_late() -> None:
    bench, fars = begun(2, 3, 4)
    all_bring(bench, fars, 1, 10)
    (pruned,) = [far for far in fars if lazy(far)]
    others = [far for far in fars if far is not pruned]
    number, waits = 10, []
    for _ in range(3):
        digests = 0
        while lazy(pruned):
            number += 1
            others[0].gossip(propagated(propagated(segment(ORIGIN, number))))
            says(pruned, entry(ORIGIN, number, hops=0))
            digests += 1
        waits.append(digests)
        while not lazy(pruned):  # it is nearer, and yet later than the others every time
            number += 1
            others[0].gossip(propagated(propagated(segment(ORIGIN, number))))
            bench.wait(0.1)
            pruned.gossip(segment(ORIGIN, number))
            bench.wait(0.2)
    assert waits == [3, 12, 48]


def test_a_new_link_begins_lazy_where_a_bucket_has_its_parents() -> None:
    bench, fars = begun(2, 3, 4)
    all_bring(bench, fars, 1, 10)
    bench.forget()
    synced(bench, 9)
    ((_, _, topics),) = bench.of(outbox.SUBSCRIBE)
    assert not CODEC.encode_segment(ORIGIN.id, ORIGIN.epoch, 1, 1, 0, 0, b"").startswith(topics)
    assert lazy(Far(bench, peer(9)))


def test_a_parent_that_is_lost_is_replaced_by_one_without_a_baseline_where_nobody_else_is_left() -> None:
    bench, fars = begun(2, 3)
    all_bring(bench, fars, 1, 10)
    young = neighbour(bench, 4)
    assert lazy(young) and not young.link.synced
    bench.forget()
    fars[0].crashes()
    assert not lazy(young)
    assert young.key not in [key for key, _ in asked(bench)], "it could not say"


def test_a_link_that_comes_up_when_the_parents_are_gone_for_which_it_began_lazy_is_a_parent_at_once() -> None:
    bench, fars = begun(2, 3)
    all_bring(bench, fars, 1, 10)
    far = Far(bench, peer(4))
    far.hello()
    assert lazy(far)
    for parent in fars:
        parent.crashes()
    assert lazy(far), "it cannot push yet"
    far.comes_up()
    assert not lazy(far)


def test_a_bucket_that_was_quiet_for_long_keeps_one_who_pushes_it_when_its_parents_are_lost() -> None:
    bench, fars = begun(2, 3, 4, 5)
    all_bring(bench, fars, 1, 20)
    spare = [far for far in fars if lazy(far)]
    assert spare
    bench.wait(ACTIVE_S + 1.0)
    for parent in fars:
        if parent not in spare:
            parent.crashes()
    assert sum(not lazy(far) for far in spare) == 1
