"""Repair: who lacks something asks one that has it, and gives up by name what nobody keeps."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.harness import CODEC, WALL, Far, PeerBench, config, peer, segment
from tests.core.streaming import ORIGIN, begun, entry, gives, numbers, own, publish, pulls, says, stream_of, synced
from zmqgossip.core import outbox
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.events import MessagesLost
from zmqgossip.core.gossip_messages import Pull, Pulled
from zmqgossip.core.repair import PULLED_MAX
from zmqgossip.core.types import PeerState


def lost(bench: PeerBench) -> list[tuple[int, int]]:
    return [(event.first, event.last) for event in bench.events(MessagesLost)]


def asked(bench: PeerBench) -> list[tuple[int, list[tuple[int, int]]]]:
    return [(key, body.ranges) for key, body, _ in pulls(bench)]


# -- asking ---------------------------------------------------------------------------------------------------------------


def test_a_gap_is_asked_for_exactly_after_a_moment_without_movement() -> None:
    bench, (far,) = begun(2)
    for number in (1, 3, 6):
        far.gossip(segment(ORIGIN, number))
    bench.wait(0.04)
    assert asked(bench) == []
    bench.wait(0.02)
    assert asked(bench) == [(far.key, [(2, 2), (4, 5)])]
    gives(far, ORIGIN, [2, 4, 5], contiguous=6)
    assert numbers(bench) == [1, 2, 3, 4, 5, 6]
    bench.wait(5.0)
    assert len(asked(bench)) == 1


def test_a_gap_that_closes_by_itself_is_not_asked_for() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 2))
    bench.wait(0.03)
    far.gossip(segment(ORIGIN, 1))
    bench.wait(2.0)
    assert asked(bench) == [] and numbers(bench) == [1, 2]


def test_the_origin_is_asked_for_what_others_keep_no_more_though_its_last_digest_was_lost() -> None:
    bench, (origin, other) = begun(2, 3)
    origin.gossip(segment(origin.record, 1))
    says(origin, entry(origin.record, 1))
    says(other, entry(origin.record, 9))
    for _ in range(2):
        bench.wait(0.1)
        if asked(bench)[-1][0] == other.key:
            gives(other, origin.record, [], oldest=8, contiguous=9)
    assert (origin.key, [(2, 9)]) in asked(bench)
    gives(origin, origin.record, range(2, 10), contiguous=9)
    bench.wait(10.0)
    assert stream_of(bench, origin.record).contiguous == 9 and lost(bench) == []


def test_a_later_life_of_an_origin_that_knows_nothing_of_the_earlier_one_holds_up_nothing() -> None:
    bench, (later,) = begun(2)
    earlier = replace(later.record, epoch=later.record.epoch - 5)
    for number in (1, 3):
        later.gossip(segment(earlier, number))
    bench.wait(0.1)
    for _ in range(8):
        if len(asked(bench)) > 1:
            break
        gives(later, earlier, [], oldest=0)
        bench.wait(1.0)
    assert len(asked(bench)) == 1, "it has said that it has none"


def test_the_last_segment_of_a_burst_is_missed_by_a_digest_and_so_is_the_first_of_a_stream() -> None:
    for there in (4, 1):
        bench, (far,) = begun(2)
        for number in range(1, there):
            far.gossip(segment(ORIGIN, number))
        says(far, entry(ORIGIN, there))
        bench.wait(0.06)
        assert asked(bench) == [(far.key, [(there, there)])]
        gives(far, ORIGIN, [there])
        assert numbers(bench)[-1] == there


def test_who_does_not_answer_is_passed_over_for_the_next() -> None:
    bench, (far, other) = begun(2, 3)
    says(far, entry(ORIGIN, 1))
    says(other, entry(ORIGIN, 1))
    bench.wait(2.5)
    assert [key for key, _ in asked(bench)][:2] == [far.key, other.key]


def test_who_is_asked_and_goes_is_replaced_at_once() -> None:
    bench, (far, other) = begun(2, 3)
    says(far, entry(ORIGIN, 1))
    says(other, entry(ORIGIN, 1))
    bench.wait(0.06)
    far.crashes()
    bench.wait(0.01)
    assert [key for key, _ in asked(bench)][-1] == other.key and len(asked(bench)) == 2


def test_a_neighbour_that_never_serves_what_it_claims_is_not_asked_at_the_speed_of_the_wire() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    for _ in range(40):
        says(far, entry(ORIGIN, 9))
        bench.wait(0.1)
        open_pulls = pulls(bench)
        if open_pulls:
            bench.reply(far.key, Pulled(ORIGIN.id, ORIGIN.epoch, 1, 9, 9), open_pulls[-1][2])
    assert 2 <= len(asked(bench)) <= 8


def test_many_streams_behind_are_asked_for_a_few_at_a_time() -> None:
    bench, (far,) = begun(2)
    origins = [peer(number) for number in range(100, 300)]
    says(far, *[entry(origin, 1) for origin in origins])
    bench.wait(0.06)
    assert len(asked(bench)) == 3
    for origin in origins:
        while all(body.origin != origin.id for _, body, _ in pulls(bench)):
            bench.wait(0.05)
        exchange = next(number for _, body, number in pulls(bench) if body.origin == origin.id)
        bench.call(bench.engine.on_reply, far.key, segment(origin, 1))
        bench.reply(far.key, Pulled(origin.id, origin.epoch, 1, 1, 1), exchange)
    assert all(numbers(bench, origin) == [1] for origin in origins)


# -- giving up ------------------------------------------------------------------------------------------------------------


def test_what_is_gone_at_two_neighbours_is_jumped_over_and_named_in_one_event() -> None:
    bench, (far, other) = begun(2, 3)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 9))
    says(other, entry(ORIGIN, 9))
    bench.wait(0.06)
    gives(far, ORIGIN, [], oldest=5, contiguous=9)
    assert lost(bench) == []
    gives(other, ORIGIN, [], oldest=7, contiguous=9)
    assert stream_of(bench).contiguous == 6
    bench.wait(0.15)
    assert len(pulls(bench)) == 3
    gives([far, other][pulls(bench)[-1][0] == other.key], ORIGIN, [7, 8, 9])
    assert numbers(bench) == [1, 7, 8, 9] and lost(bench) == [(2, 6)]


def test_the_only_neighbour_left_after_gone_is_believed_after_a_second() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 9))
    bench.wait(0.06)
    gives(far, ORIGIN, [], oldest=5, contiguous=9)
    bench.wait(0.8)
    assert stream_of(bench).contiguous == 1
    bench.wait(0.3)
    assert stream_of(bench).contiguous == 4
    gives(far, ORIGIN, [5, 6, 7, 8, 9])
    assert numbers(bench) == [1, 5, 6, 7, 8, 9] and lost(bench) == [(2, 4)]


def test_the_only_neighbour_left_after_gone_is_not_believed_while_the_origin_lives_and_may_be_linked_yet() -> None:
    bench, (far,) = begun(2)
    bench.call(lambda now: bench.engine.membership.learn(ORIGIN, PeerState.ALIVE, now))
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 9))
    bench.wait(0.06)
    for _ in range(8):
        gives(far, ORIGIN, [], oldest=5, contiguous=9)
        bench.wait(3.0)
    assert stream_of(bench).contiguous == 1 and lost(bench) == []
    bench.call(lambda now: bench.engine.membership.learn(ORIGIN, PeerState.DEAD, now))
    bench.wait(3.0)
    gives(far, ORIGIN, [5, 6, 7, 8, 9])
    assert numbers(bench) == [1, 5, 6, 7, 8, 9] and lost(bench) == [(2, 4)]


def test_what_the_origin_itself_says_is_gone_is_believed_after_a_second() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(far.record, 1))
    says(far, entry(far.record, 9))
    bench.wait(0.06)
    gives(far, far.record, [], oldest=5, contiguous=9)
    bench.wait(1.1)
    gives(far, far.record, [5, 6, 7, 8, 9])
    assert lost(bench) == [(2, 4)]


def test_of_several_gaps_that_the_only_neighbour_keeps_no_more_the_others_are_not_waited_for_as_long_again() -> None:
    bench, (far,) = begun(2)
    bench.call(lambda now: bench.engine.membership.learn(ORIGIN, PeerState.ALIVE, now))
    for number in (1, 3, 5, 7):
        far.gossip(segment(ORIGIN, number))
    says(far, entry(ORIGIN, 9))
    bench.wait(0.06)
    for _ in range(13):
        gives(far, ORIGIN, [], oldest=9, contiguous=9)
        bench.wait(3.0)
    assert stream_of(bench).contiguous >= 7 and lost(bench) == [(2, 2), (4, 4), (6, 6)]


def test_where_nothing_is_kept_any_more_all_is_named_at_once() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 9))
    bench.wait(0.06)
    gives(far, ORIGIN, [], oldest=10, contiguous=9, messages=9)
    bench.wait(1.2)
    assert lost(bench) == [(2, 9)] and stream_of(bench).contiguous == 9
    far.gossip(segment(ORIGIN, 10))
    assert numbers(bench) == [1, 10]


def test_gone_is_forgotten_when_the_stream_moves_by_itself() -> None:
    bench, (far, other) = begun(2, 3)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 9))
    bench.wait(0.06)
    gives(far, ORIGIN, [], oldest=3, contiguous=9)
    for number in range(2, 7):
        other.gossip(segment(ORIGIN, number))
    bench.wait(3.0)
    assert stream_of(bench).contiguous == 6 and lost(bench) == [] and numbers(bench) == [1, 2, 3, 4, 5, 6]


def test_gaps_that_nobody_can_fill_are_named_when_their_origin_is_gone_and_kept_while_it_lives() -> None:
    bench, (far,) = begun(2)
    bench.engine.members.learn(replace(ORIGIN, ready=True), PeerState.ALIVE, WALL)
    for number in (1, 3, 5):
        far.gossip(segment(ORIGIN, number))
    says(far, entry(ORIGIN, 1))
    bench.wait(9.0)
    assert lost(bench) == []
    bench.engine.members.learn(ORIGIN, PeerState.DEAD, WALL)
    bench.wait(0.2)
    assert lost(bench) == [(2, 2), (4, 4)] and numbers(bench) == [1, 3, 5]


def test_a_gap_of_an_origin_that_is_not_known_is_kept_for_half_a_minute() -> None:
    bench, (far,) = begun(2)
    far.gossip(segment(ORIGIN, 2))
    says(far, entry(ORIGIN, 0))
    bench.wait(25.0)
    assert lost(bench) == []
    bench.wait(10.0)
    assert lost(bench) == [(1, 1)] and numbers(bench) == [2]


# -- answering ------------------------------------------------------------------------------------------------------------


def answer(bench: PeerBench, far: Far, *ranges: tuple[int, int], origin: bytes = b"") -> tuple[list[int], Pulled]:
    bench.forget()
    far.asks(Pull(far.link.mine, origin or bench.engine.me.id, bench.engine.me.epoch, list(ranges)))
    frames = [frame for _, frame in bench.of(outbox.REPLY)]
    end, _ = CODEC.decode(frames[-1])
    assert isinstance(end, Pulled)
    return [CODEC.decode_segment(frame).number for frame in frames[:-1]], end


def test_a_pull_is_answered_with_what_is_here_so_much_at_a_time() -> None:
    bench = PeerBench(knobs=config(pull_bytes_max=1500))
    bench.join()
    far = synced(bench, 2)
    for _ in range(6):
        publish(bench, bytes(500))
    last = own(bench).highest
    found, end = answer(bench, far, (1, 1_000_000_000_000))
    assert found == [1, 2, 3] and (end.oldest, end.contiguous) == (1, last)
    assert answer(bench, far, (last, last))[0] == [last]
    assert answer(bench, far, (last + 1, 1 << 60))[0] == []


def test_what_is_pulled_from_its_origin_comes_as_the_origin_sent_it_and_from_others_as_passed_on() -> None:
    bench, (far,) = begun(2)
    publish(bench)
    far.gossip(segment(ORIGIN, 1))
    for origin, hops in ((bench.engine.me, 0), (ORIGIN, 1)):  # 1133, and 1155: no other code has these
        bench.forget()
        far.asks(Pull(far.link.mine, origin.id, origin.epoch, [(1, 1_000)]))
        frames = [frame for _, frame in bench.of(outbox.REPLY)][:-1]
        assert frames and {CODEC.decode_segment(frame).hops for frame in frames} == {hops}


def test_a_pull_of_an_unknown_stream_is_answered_with_nothing() -> None:
    bench, (far,) = begun(2)
    found, end = answer(bench, far, (1, 5), origin=bytes(16))
    assert found == [] and (end.oldest, end.contiguous, end.messages) == (0, 0, 0)


def waited(bench: PeerBench, far: Far, number: int, comes_by_itself: bool) -> float:
    """How long after a gap before that number it is asked for; then it comes."""
    far.gossip(segment(ORIGIN, number + 1))
    bench.forget()
    start = bench.now
    while not pulls(bench):
        bench.wait(0.01)
    if comes_by_itself:
        far.gossip(segment(ORIGIN, number))
    gives(far, ORIGIN, [number], contiguous=number + 1)
    return bench.now - start


def test_pulls_that_were_too_soon_make_the_next_ones_later_and_those_that_were_needed_sooner_again() -> None:
    bench, (far,) = begun(2)
    hasty = [waited(bench, far, number, True) for number in range(1, 31, 2)]
    assert hasty[0] == pytest.approx(DEFAULT.pull_after_s, abs=0.02) and hasty == sorted(hasty)
    assert hasty[1] == pytest.approx(1.5 * DEFAULT.pull_after_s, abs=0.02) and hasty[-1] == pytest.approx(1.0, abs=0.02)
    needed = [waited(bench, far, number, False) for number in range(31, 121, 2)]
    assert needed == sorted(needed, reverse=True) and needed[-1] == pytest.approx(DEFAULT.pull_after_s, abs=0.02)


def test_what_was_too_soon_is_forgotten_by_half_every_two_seconds_until_the_wait_is_right_again() -> None:
    bench, (far,) = begun(2)
    for number in range(1, 31, 2):
        waited(bench, far, number, True)
    later = []
    for number in (31, 33, 35, 37):
        bench.wait(2.0)
        later.append(waited(bench, far, number, False))
    assert later == pytest.approx([0.5, 0.22, 0.1, 0.05], abs=0.05)
    bench.wait(20.0)
    assert waited(bench, far, 39, False) == pytest.approx(DEFAULT.pull_after_s, abs=0.02)


@pytest.mark.parametrize(("pipe_segments", "count"), [(100_000, PULLED_MAX), (600, 150), (60, 15), (2, 1)])
def test_an_answer_has_so_many_segments_however_small_they_are_and_less_than_half_a_pipe(pipe_segments: int, count: int) -> None:
    bench, (far,) = begun(2, pipe_segments=pipe_segments)
    for number in range(1, 301):
        far.gossip(segment(ORIGIN, number))
    given, end = answer(bench, far, (1, 400), origin=ORIGIN.id)
    assert given == list(range(1, count + 1)) and end.contiguous == 300


# -- who may get it yet ---------------------------------------------------------------------------------------------------


def test_what_newcomers_never_had_is_waited_for_from_a_neighbour_that_is_no_further_than_this_peer() -> None:
    bench, (old, *news) = begun(2, 3, 4)
    for number in range(1, 6):
        old.gossip(segment(ORIGIN, number))
    says(old, entry(ORIGIN, 5))
    for far in news:
        says(far, entry(ORIGIN, 9))
    bench.wait(0.1)
    for _ in news:
        (key, _, exchange) = pulls(bench)[-1]
        bench.reply(key, Pulled(ORIGIN.id, ORIGIN.epoch, 10, 9, 9), exchange)
    bench.wait(3.0)
    assert bench.events(MessagesLost) == []
    for number in range(6, 10):
        old.gossip(segment(ORIGIN, number))
    bench.wait(10.0)
    assert numbers(bench) == list(range(1, 10)) and bench.events(MessagesLost) == []


def test_what_a_neighbour_has_whose_dealer_is_being_connected_anew_is_not_given_up() -> None:
    bench, (gone, holder) = begun(2, 3)
    gone.gossip(segment(ORIGIN, 1))
    bench.disconnect(holder.key)
    says(holder, entry(ORIGIN, 9))
    says(gone, entry(ORIGIN, 9))
    bench.wait(0.1)
    gives(gone, ORIGIN, [], oldest=8, contiguous=9)
    bench.wait(2.0)
    assert bench.engine.view.by_key(holder.key) is not None and bench.events(MessagesLost) == []


def test_a_gap_that_nobody_fills_is_given_up_in_the_end_though_its_origin_lives() -> None:
    bench, (far,) = begun(2)
    bench.call(lambda now: bench.engine.members.learn(ORIGIN, PeerState.ALIVE, WALL))
    for number in (1, 3):
        far.gossip(segment(ORIGIN, number))
    says(far, entry(ORIGIN, 1))
    bench.wait(25.0)
    assert numbers(bench) == [1]
    bench.wait(10.0)
    assert numbers(bench) == [1, 3] and [(lost.first, lost.last) for lost in bench.events(MessagesLost)] == [(2, 2)]


def test_a_peer_that_was_away_itself_gives_up_nothing_before_it_has_read_what_came_meanwhile() -> None:
    bench, (far,) = begun(2)
    for number in (1, 3):
        far.gossip(segment(ORIGIN, number))
    says(far, entry(ORIGIN, 1))
    bench.call(lambda now: bench.engine.members.learn(ORIGIN, PeerState.ALIVE, WALL))
    bench.call(lambda now: bench.engine.members.learn(ORIGIN, PeerState.DEAD, WALL))
    bench.wait(0.01)
    bench.sleep(60.0)
    far.gossip(segment(ORIGIN, 2))
    assert numbers(bench) == [1, 2, 3] and bench.events(MessagesLost) == []


def test_a_stream_that_waits_for_a_place_has_the_next_one_before_those_that_go_on() -> None:
    bench, (far,) = begun(2)
    origins = [peer(number) for number in range(100, 104)]
    says(far, *[entry(origin, 10_000) for origin in origins[:3]], entry(origins[3], 1))
    bench.wait(0.06)
    answered = 0
    while all(body.origin != origins[3].id for _, body, _ in pulls(bench)):
        for _, body, exchange in pulls(bench)[answered:]:
            answered += 1
            record = next(origin for origin in origins if origin.id == body.origin)
            (first, _) = body.ranges[0]
            bench.call(bench.engine.on_reply, far.key, segment(record, first))
            bench.reply(far.key, Pulled(record.id, record.epoch, 1, 10_000, 10_000), exchange)
        bench.wait(0.01)
        assert answered <= 6


def test_what_answers_without_an_end_bring_is_not_remembered_for_ever() -> None:
    bench, (far,) = begun(2)
    for number in range(1, 3 * PULLED_MAX):
        bench.call(bench.engine.on_reply, far.key, segment(ORIGIN, number))
    assert sum(map(len, stream_of(bench).pulled)) <= 2 * PULLED_MAX


def test_of_many_gaps_the_others_are_given_up_a_second_each_after_the_first() -> None:
    bench, (old, one, other) = begun(2, 3, 4)
    for number in (1, *range(5, 60, 5)):
        old.gossip(segment(ORIGIN, number))
    says(old, entry(ORIGIN, 1))
    for far in (one, other):
        says(far, entry(ORIGIN, 99))
    bench.wait(0.1)
    for _ in range(2):
        (key, _, exchange) = pulls(bench)[-1]
        bench.reply(key, Pulled(ORIGIN.id, ORIGIN.epoch, 90, 99, 99), exchange)
    bench.wait(4.0)
    says(old, entry(ORIGIN, 1))
    bench.wait(0.5)
    assert stream_of(bench).contiguous == 1, "the one that is no further may get it yet"
    bench.wait(0.7)
    assert stream_of(bench).contiguous == 5
    bench.wait(0.8)
    assert stream_of(bench).contiguous == 5, "who has jumped too says within a second what it has beyond"
    for _ in range(11):
        says(old, entry(ORIGIN, 1))
        bench.wait(1.0)
    assert stream_of(bench).contiguous in (55, 89)


def test_nothing_is_given_up_while_a_neighbour_that_may_have_it_is_silent_altogether() -> None:
    bench, (silent, newcomer) = begun(2, 3)
    silent.gossip(segment(ORIGIN, 1))
    says(newcomer, entry(ORIGIN, 9))
    bench.wait(0.1)
    gives(newcomer, ORIGIN, [], oldest=10, contiguous=9)
    for _ in range(12):
        bench.wait(1.0)
        says(newcomer, entry(ORIGIN, 9))
    assert stream_of(bench).contiguous == 1 and bench.engine.view.by_peer(silent.record.id) is not None
    says(silent, entry(ORIGIN, 1))
    bench.wait(1.0)
    assert stream_of(bench).contiguous == 9


def test_gone_of_a_number_that_has_come_since_leads_to_no_jump_and_no_loss() -> None:
    bench, (far, other) = begun(2, 3)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 4))
    bench.wait(0.06)
    gives(far, ORIGIN, [], oldest=3, contiguous=4)
    for number in (2, 3, 4):
        bench.call(bench.engine.on_reply, other.key, segment(ORIGIN, number))
    bench.wait(1.0)
    other.gossip(segment(ORIGIN, 6))
    for _ in range(8):
        says(far, entry(ORIGIN, 4))
        says(other, entry(ORIGIN, 4))
        bench.wait(1.0)
    assert stream_of(bench).contiguous == 4 and bench.events(MessagesLost) == []
