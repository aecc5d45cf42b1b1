"""The baseline: where hearing begins, who is asked for it, and who begins without."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tests.core.harness import (
    CODEC,
    EPOCH,
    WALL,
    Far,
    PeerBench,
    config,
    messages_of,
    neighbour,
    payloads_of,
    peer,
    segment,
    steady,
)
from tests.core.mesh import Mesh
from zmqgossip.core import outbox
from zmqgossip.core.baseline import GIVE_AGAIN_S, PART_MAX, PARTS_MAX
from zmqgossip.core.config import DEFAULT, LAN
from zmqgossip.core.events import Ready
from zmqgossip.core.gossip_messages import BaselinePart, NotYet, Position, Sync, Synced
from zmqgossip.core.lives import EPOCH_ENDS_S
from zmqgossip.core.messages import Bye, Leave, UnknownLink
from zmqgossip.core.types import PeerRecord
from zmqgossip.core.view import LinkState

A_DAY_AND_MORE_MS = 90_000_000


def newcomer(*numbers: int, **knobs: float) -> tuple[PeerBench, list[Far]]:
    """Peer 1, listed, and its links with peers that are older than it and up both ways."""
    bench = PeerBench(knobs=config(**knobs))
    records = [elder(number) for number in numbers]
    bench.join(*records)
    fars = [Far(bench, record, record.id[-1:] * 8) for record in records]
    for far in fars:
        far.links_up()
    return bench, fars


def elder(number: int) -> PeerRecord:
    """Started before peer 1 of the bench."""
    return peer(number, epoch=EPOCH - 1000)


def at(record: PeerRecord, contiguous: int) -> Position:
    return Position(record.id, record.epoch, contiguous, contiguous)  # of one message a segment


def received(bench: PeerBench) -> list[tuple[int, bytes]]:
    """(segment number, payload) of what was delivered."""
    return [(one.header.number, payload) for one in bench.deliveries for payload in messages_of(one.frame).payloads]


def complete(bench: PeerBench) -> bool:
    return bench.engine.membership.baseline.complete


# -- what begins where ----------------------------------------------------------------------------------------------------


def test_segments_wait_for_the_baseline_and_are_passed_on_meanwhile() -> None:
    bench, (far,) = newcomer(2)
    for number in (4, 5, 6):
        far.gossip(segment(peer(9), number, [b"%d" % number]))
    assert received(bench) == [] and len(bench.segments) == 3
    far.gives_baseline(at(peer(9), 4))
    assert received(bench) == [(5, b"5"), (6, b"6")]
    assert bench.engine.gossip.streams.missing == 0 and bench.engine.gossip.streams.beyond_bytes == 0
    assert bench.count("received.messages") == 2


def test_a_number_up_to_the_baseline_is_not_delivered_later_either() -> None:
    bench, (far,) = newcomer(2)
    far.gives_baseline(at(peer(9), 4))
    far.gossip(segment(peer(9), 3))
    far.gossip(segment(peer(9), 5))
    assert [number for number, _ in received(bench)] == [5] and bench.count("duplicates.known") == 1


def test_a_stream_that_is_not_listed_starts_at_0_and_is_owed_whole() -> None:
    bench, (far,) = newcomer(2)
    far.gossip(segment(peer(9), 3))
    far.gives_baseline()
    far.gossip(segment(peer(8), 2))
    assert received(bench) == [] and bench.engine.gossip.streams.missing == 2 + 1
    for number in (1, 2):
        far.gossip(segment(peer(9), number))
    assert [number for number, _ in received(bench)] == [1, 2, 3]


def test_a_listed_stream_that_goes_on_behind_a_gap_has_that_gap() -> None:
    bench, (far,) = newcomer(2)
    far.gives_baseline(at(peer(9), 4))
    far.gossip(segment(peer(9), 8))
    assert bench.engine.gossip.streams.missing == 3


def test_what_waits_is_bounded_and_what_does_not_fit_is_neither_passed_on_nor_remembered() -> None:
    frames = [segment(peer(9), number, [b"x" * 500]) for number in (1, 2, 3)]
    bench, (far,) = newcomer(2, beyond_bytes_max=2 * len(frames[0]))
    for frame in frames:
        far.gossip(frame)
    assert len(bench.segments) == 2 and bench.count("dropped.before_baseline") == 1
    far.gives_baseline()
    assert [number for number, _ in received(bench)] == [1, 2]
    far.gossip(frames[2])
    assert [number for number, _ in received(bench)] == [1, 2, 3], "it is new when it comes again"


def test_of_two_lives_of_one_id_in_a_baseline_the_earlier_one_ends() -> None:
    bench, (far,) = newcomer(2)
    later = peer(9, epoch=EPOCH + 1)
    far.gives_baseline(at(peer(9), 4), at(later, 2))
    far.gossip(segment(peer(9), 5, [b"what was under way"]))
    bench.wait(EPOCH_ENDS_S + 0.5)
    assert [number for number, _ in received(bench)] == [5]
    assert bench.engine.gossip.streams.get(peer(9).id, EPOCH) is None
    assert bench.engine.gossip.streams.get(peer(9).id, EPOCH + 1) is not None


def test_ones_own_stream_and_one_from_the_future_are_not_taken_from_a_baseline() -> None:
    bench, (far,) = newcomer(2)
    late = peer(9, epoch=EPOCH + A_DAY_AND_MORE_MS)
    far.gives_baseline(at(bench.engine.me, 77), at(late, 5), at(peer(8), 1))
    assert bench.count("baseline.streams") == 1
    own = bench.engine.gossip.number
    positions = [(one.origin, one.contiguous) for one in bench.engine.gossip.streams.positions()]
    assert positions == [(bench.engine.me.id, own), (peer(8).id, 1)] and own < 77


def test_a_baseline_in_parts_counts_when_it_is_whole_in_whatever_order_the_parts_come() -> None:
    bench, (far,) = newcomer(2)
    exchange = far.asked_at
    assert exchange is not None
    bench.reply(far.key, BaselinePart(1, 2, [at(peer(9), 4)]), exchange)
    bench.reply(far.key, BaselinePart(1, 2, [at(peer(9), 4)]), exchange)
    assert not complete(bench)
    bench.reply(far.key, BaselinePart(0, 2, [at(peer(8), 7)]), exchange)
    assert complete(bench) and bench.count("baseline.streams") == 2


@pytest.mark.parametrize("part", [BaselinePart(2, 2, []), BaselinePart(0, PARTS_MAX + 1, [])])
def test_a_part_that_cannot_be_is_refused(part: BaselinePart) -> None:
    bench, (far,) = newcomer(2)
    assert far.asked_at is not None
    bench.reply(far.key, part, far.asked_at)
    assert bench.count("refused.field") == 1 and not complete(bench)


@pytest.mark.parametrize("body", [BaselinePart(0, 1, []), NotYet()])
def test_an_answer_to_another_question_or_of_another_neighbour_means_nothing(body: BaselinePart | NotYet) -> None:
    bench, (asked, other) = newcomer(2, 3)
    exchange = asked.asked_at
    assert exchange is not None and other.asked_at is None
    bench.reply(other.key, body, exchange)
    bench.reply(asked.key, body, exchange + 1)
    assert not complete(bench) and bench.count("baseline.stale") == 2
    asked.gives_baseline()
    bench.reply(asked.key, body, exchange)
    assert complete(bench) and bench.count("baseline.stale") == 3


# -- who is asked ---------------------------------------------------------------------------------------------------------


def test_one_neighbour_is_asked_and_only_when_its_link_is_up() -> None:
    bench = PeerBench()
    bench.join(elder(2), elder(3))
    far = Far(bench, elder(2))
    far.connects()
    far.welcome()
    assert bench.sent(Sync) == []
    far.links_up()
    Far(bench, elder(3)).links_up()
    assert [(key, body.link) for key, body in bench.sent(Sync)] == [(far.key, far.nonce)]


def test_one_that_goes_is_replaced_and_the_sync_begun_again_whole() -> None:
    bench, (first, second) = newcomer(2, 3)
    assert first.asked_at is not None
    bench.reply(first.key, BaselinePart(0, 2, [at(peer(9), 4)]), first.asked_at)
    first.asks(Bye(first.link.mine, "full"))
    second.gives_baseline()
    far = second
    far.gossip(segment(peer(9), 1))
    assert [number for number, _ in received(bench)] == [1], "what the first one said is forgotten"


def test_one_that_says_nothing_is_passed_over() -> None:
    bench, (first, second) = newcomer(2, 3)
    bench.wait(DEFAULT.sync_timeout_s)
    assert bench.count("baseline.no_answer") == 1 and second.asked_at is not None
    second.gives_baseline()
    assert complete(bench) and first.link.state is LinkState.UP


def test_those_that_were_silent_once_are_asked_again_before_anybody_begins_without() -> None:
    bench, (first, second) = newcomer(2, 3)
    bench.wait(2 * DEFAULT.sync_timeout_s)
    assert bench.count("baseline.no_answer") == 2 and not complete(bench)
    assert first.asked_at is not None
    first.gives_baseline(at(peer(9), 500))
    second.gossip(segment(peer(9), 501))
    assert bench.engine.gossip.streams.missing == 0, "a lost SYNC is no history that is owed"


def test_a_new_neighbour_is_asked_at_once_while_a_silent_one_is_asked_again() -> None:
    bench, _ = newcomer(2)
    bench.wait(DEFAULT.sync_timeout_s)
    fresh = Far(bench, elder(4), b"the 4th!")
    fresh.hello()
    fresh.links_up()
    assert bench.sent(Sync)[-1][0] == fresh.key
    fresh.gives_baseline()
    assert complete(bench)


def test_neighbours_that_never_say_a_word_do_not_keep_it_waiting_for_ever() -> None:
    bench, _ = newcomer(2, 3, sync_timeout_s=0.5)
    bench.wait(2 * 0.5 + DEFAULT.sync_alone_s + 0.1)
    assert complete(bench)


def test_a_neighbour_that_is_leaving_is_not_asked() -> None:
    bench = PeerBench()
    bench.join(elder(2))
    far = Far(bench, elder(2))
    far.connects()
    far.welcome()
    far.subscribes()
    far.asks(Leave(elder(2), far.link.mine, 7))
    far.link_up()
    assert bench.sent(Sync) == [] and not bench.engine.me.ready


def test_one_that_has_none_yet_is_asked_again_when_it_says_so() -> None:
    bench, (first, second) = newcomer(2, 3)
    first.says_not_yet()
    second.says_not_yet()
    assert not complete(bench)
    first.asks(Synced(first.link.mine, 0))
    assert bench.sent(Sync)[-1][0] == first.key and len(bench.sent(Sync)) == 3
    first.gives_baseline()
    assert complete(bench)


def test_nobody_is_asked_again_in_the_same_life() -> None:
    bench, (far,) = newcomer(2)
    far.gives_baseline()
    far.asks(Bye(far.link.mine, ""))
    again = neighbour(bench, 3)
    again.asks(Synced(again.link.mine, 0))
    bench.wait(20.0)
    assert len(bench.sent(Sync)) == 1 and len(bench.events(Ready)) == 1


# -- who is first ---------------------------------------------------------------------------------------------------------


def test_the_oldest_of_all_begins_at_once_when_nobody_has_a_baseline() -> None:
    bench = PeerBench()
    bench.join(peer(2), peer(3))
    fars = [Far(bench, peer(number)).links_up() for number in (2, 3)]
    for far in fars:
        assert not complete(bench)
        far.says_not_yet()
    assert complete(bench) and bench.engine.me.ready


def test_the_oldest_waits_for_links_that_are_coming_up() -> None:
    bench = PeerBench()
    bench.join(peer(2), peer(3))
    Far(bench, peer(2)).links_up().says_not_yet()
    assert not complete(bench), "the other one may lead to somebody who knows"
    bench.disconnect(Far(bench, peer(3)).key)
    assert complete(bench)


def test_the_oldest_is_not_first_where_somebody_is_known_to_be_ready() -> None:
    bench = PeerBench()
    ready = peer(3, ready=True)
    bench.join(peer(2), ready)
    Far(bench, peer(2)).links_up().says_not_yet()
    bench.disconnect(Far(bench, ready).key)
    assert not complete(bench), "it may be a clock that goes wrong"
    bench.wait(DEFAULT.link_timeout_s + DEFAULT.sync_alone_s)
    assert complete(bench)


def test_a_younger_one_begins_after_a_second_in_which_nothing_better_came() -> None:
    bench, (far,) = newcomer(2)
    far.says_not_yet()
    bench.wait(DEFAULT.sync_alone_s - 0.001)
    assert not complete(bench)
    bench.wait(0.001)
    assert complete(bench) and bench.engine.me.ready


def test_the_oldest_waits_for_a_seed_that_has_yet_to_list_it() -> None:
    bench = PeerBench(seeds=3)
    bench.join(peer(2))
    Far(bench, peer(2)).links_up().says_not_yet()
    assert not complete(bench), "the other seed may know somebody who is older"
    bench.listed_by(bench.asked_seeds[1], peer(2))
    bench.wait(DEFAULT.sync_alone_s)
    assert complete(bench)


def test_links_that_never_come_up_do_not_keep_it_waiting_for_ever() -> None:
    bench = PeerBench()
    bench.join(elder(2), elder(3))
    Far(bench, elder(2)).links_up().says_not_yet()
    bench.wait(DEFAULT.link_timeout_s - 0.1)
    assert not complete(bench)
    bench.wait(DEFAULT.sync_alone_s + 0.1)
    assert complete(bench)


def test_who_loses_its_only_link_before_its_time_is_alone_is_not_first() -> None:
    bench, (far,) = newcomer(2)
    far.says_not_yet()
    far.asks(Bye(far.link.mine, ""))
    bench.wait(0.5)
    assert not complete(bench) and not bench.engine.me.ready
    again = Far(bench, elder(3), b"another1")
    again.hello()
    again.links_up()
    again.gives_baseline(at(peer(9), 2))
    assert complete(bench) and bench.count("baseline.streams") == 1


# -- giving ---------------------------------------------------------------------------------------------------------------


def replies_to_sync(bench: PeerBench, far: Far) -> list[BaselinePart]:
    bench.forget()
    far.asks(Sync(far.link.mine))
    return bench.replies(BaselinePart)


def test_a_baseline_lists_ones_own_stream_and_every_other_as_far_as_nothing_is_missing() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    for number in (1, 2, 4):
        far.gossip(segment(peer(9), number))
    (part,) = replies_to_sync(bench, far)
    own = Position(bench.engine.me.id, bench.engine.me.epoch, bench.engine.gossip.number, 0)  # notices, and no message
    assert part == BaselinePart(0, 1, [own, at(peer(9), 2)])


def test_a_long_baseline_goes_in_parts() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    for number in range(PART_MAX + 5):
        far.gossip(segment(peer(1000 + number), 1))
    parts = replies_to_sync(bench, far)
    assert [(part.part, part.parts, len(part.streams)) for part in parts] == [(0, 2, PART_MAX), (1, 2, 6)]
    assert all(len(frame) < 65_536 for _, frame in bench.of(outbox.REPLY))


def test_who_has_none_says_not_yet_and_says_so_again_when_it_has() -> None:
    bench, (first, second) = newcomer(2, 3)
    second.asks(Sync(second.link.mine))
    assert len(bench.replies(NotYet)) == 1 and bench.replies(BaselinePart) == []
    first.gives_baseline()
    told = [(key, body.link, body.settled) for key, body in bench.sent(Synced)]
    assert sorted(told) == sorted((far.key, far.nonce, 0) for far in (first, second)), "whoever asked, and all others"


def test_who_asks_again_and_again_gets_a_long_answer_once_in_a_while() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    assert len(replies_to_sync(bench, far)) == 1
    for _ in range(10):
        assert replies_to_sync(bench, far) == []
    bench.wait(GIVE_AGAIN_S)
    assert len(replies_to_sync(bench, far)) == 1 and bench.count("dropped.baseline_just_given") == 10


def test_a_link_that_is_not_known_gets_none() -> None:
    bench = PeerBench()
    bench.request(Sync(b"whatever"))
    assert bench.replies(UnknownLink) == [UnknownLink(b"whatever", bench.engine.me.id)] and bench.replies(NotYet) == []


# -- together -------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(2, 9))
@steady
def test_peers_that_start_together_all_get_a_baseline_and_every_message_after_it(luck: int, count: int) -> None:
    mesh = Mesh(luck)
    seed = mesh.seed(1, knobs=LAN)
    peers = [mesh.peer(number, seeds=[seed], knobs=LAN) for number in range(1, count + 1)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(3.0)
    assert all(place.engine.me.ready for place in peers)
    for place in peers:
        mesh.do(place, "publish", [("topic", place.engine.me.id, WALL)])
    mesh.settle()
    everybody = sorted(place.engine.me.id for place in peers)
    for place in peers:
        assert sorted(payloads_of(place.delivered)) == everybody


@given(st.integers(0, 10_000))
@settings(steady, max_examples=30)
def test_what_a_newcomer_publishes_when_it_is_ready_is_everywhere_and_it_hears_all_from_then_on(luck: int) -> None:
    mesh = Mesh(luck)
    seed = mesh.seed(1, knobs=LAN)
    elders = [mesh.peer(number, seeds=[seed], knobs=LAN) for number in range(1, 9)]
    for place in elders:
        mesh.do(place, "start")
    mesh.run(3.0)
    for place in elders:
        mesh.do(place, "publish", [("topic", b"before", WALL)])
    late = mesh.peer(20, seeds=[seed], knobs=LAN)
    mesh.do(late, "start")
    mesh.settle_until(lambda: late.engine.me.ready)
    mesh.do(late, "publish", [("topic", b"mine", WALL)])
    for place in elders:
        mesh.do(place, "publish", [("topic", b"after", WALL)])
    mesh.settle()
    for place in elders:
        got = payloads_of(place.delivered)
        assert (got.count(b"mine"), got.count(b"before"), got.count(b"after")) == (1, 8, 8)
    got = payloads_of(late.delivered)
    assert got.count(b"after") == 8 and got.count(b"before") <= 8
    assert late.engine.gossip.streams.missing == 0
    assert CODEC.decode_segment(late.delivered[0].frame).number >= 1


def test_a_newcomer_does_not_begin_with_nothing_while_a_neighbour_that_has_a_baseline_is_only_busy() -> None:
    bench, (far,) = newcomer(2)
    far.asks(Synced(far.link.mine, 5))
    bench.wait(8.0)
    assert not complete(bench) and len(bench.sent(Sync)) > 1, "it is asked again and again"
    far.gives_baseline(at(peer(9), 3))
    assert complete(bench)


def test_neighbours_that_were_silent_are_asked_again_in_turn_and_each_time_for_longer() -> None:
    bench, fars = newcomer(2, 3)
    for far in fars:
        far.asks(Synced(far.link.mine, 5))
    bench.wait(20.0)
    asked = [key for key, _ in bench.sent(Sync)]
    assert asked[:6] == [fars[0].key, fars[1].key] * 3 and not complete(bench)
    far = next(far for far in fars if far.key == asked[-1])
    far.gives_baseline(at(peer(9), 3))
    assert complete(bench)
