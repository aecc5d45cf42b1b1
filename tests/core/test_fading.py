"""Streams of those who are gone fade: how far they were is remembered, nothing is delivered twice, and nobody is owed what is old."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.harness import WALL, Far, PeerBench, peer, segment
from tests.core.streaming import ORIGIN, asked, begun, entries, entry, gives, numbers, position, pulls, says
from tests.core.test_baseline import newcomer, replies_to_sync
from zmqgossip.core.gossip_messages import Ask, BaselinePart, Digest, Pull, Pulled, Walked
from zmqgossip.core.lives import FADE_LOOKS
from zmqgossip.core.types import U64_MAX, PeerRecord, PeerState

GONE_S = 20.0
FADED_S = GONE_S * 9 / 8 + 3.0
"""Settled by then, and looked at."""


def becomes(bench: PeerBench, state: PeerState) -> None:
    for one in (PeerState.ALIVE, state):
        bench.call(lambda now, one=one: bench.engine.members.learn(ORIGIN, one, WALL))


def is_here(bench: PeerBench) -> bool:
    return bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch) is not None


def faded(**knobs: float) -> tuple[PeerBench, Far]:
    """A peer that has three segments of somebody who has left, long ago."""
    bench, (far,) = begun(2, stream_gone_s=GONE_S, **knobs)
    for number in (1, 2, 3):
        far.gossip(segment(ORIGIN, number))
    says(far, entry(ORIGIN, 3))
    becomes(bench, PeerState.LEFT)
    bench.wait(FADED_S)
    return bench, far


@pytest.mark.parametrize("state", [PeerState.LEFT, PeerState.DEAD])
def test_the_stream_of_somebody_who_is_gone_is_kept_for_a_while_and_then_only_remembered(state: PeerState) -> None:
    bench, (far,) = begun(2, stream_gone_s=GONE_S)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 1))
    becomes(bench, state)
    bench.wait(GONE_S - 1.0)
    assert is_here(bench)
    bench.wait(FADED_S - GONE_S + 1.0)
    streams = bench.engine.gossip.streams
    assert not is_here(bench) and streams.past_positions() == [position(ORIGIN, 1)]
    assert streams.kept_bytes == sum(stream.kept_bytes for stream in streams.all()) and bench.count("streams.faded") == 1


def test_streams_of_the_living_do_not_fade_nor_does_ones_own() -> None:
    bench, (far,) = begun(2, stream_gone_s=GONE_S)
    far.gossip(segment(ORIGIN, 1))
    says(far, entry(ORIGIN, 1))
    bench.call(lambda now: bench.engine.members.learn(ORIGIN, PeerState.ALIVE, WALL))
    bench.wait(2 * FADED_S)
    assert is_here(bench) and bench.engine.gossip.publisher.stream in bench.engine.gossip.streams.all()


def test_the_stream_of_a_stranger_fades_where_everybody_is_known_and_only_there() -> None:
    for members_full_max, here in ((2_000, False), (1, True)):
        bench, (far, *_) = begun(2, 3, 4, stream_gone_s=GONE_S, members_full_max=members_full_max)
        far.gossip(segment(ORIGIN, 1))
        says(far, entry(ORIGIN, 1))
        bench.wait(FADED_S + 5.0)
        assert bench.engine.members.partial == here
        assert is_here(bench) == here


def test_what_comes_again_of_a_faded_stream_is_known_and_what_follows_is_not() -> None:
    bench, far = faded()
    for number in (2, 3, 4):
        far.gossip(segment(ORIGIN, number))
    assert numbers(bench) == [1, 2, 3, 4]


def test_a_neighbour_whose_stream_has_not_faded_yet_is_asked_for_nothing() -> None:
    bench, far = faded()
    bench.forget()
    far.reply(Walked([], [position(ORIGIN, 3)]))
    says(far, entry(ORIGIN, 3))
    bench.wait(2.0)
    assert not is_here(bench) and pulls(bench) == [] and asked(bench) == []


def test_a_neighbour_that_lacks_some_of_a_faded_stream_is_told_and_learns_that_it_is_gone() -> None:
    bench, far = faded()
    bench.forget()
    far.reply(Walked([], [position(ORIGIN, 1)]))
    bench.wait(0.5)
    assert entries(bench)[-1].contiguous == 3
    far.asks(Pull(far.link.mine, ORIGIN.id, ORIGIN.epoch, [(2, 3)]))
    (end,) = bench.replies(Pulled)
    assert (end.oldest, end.contiguous, end.messages) == (4, 3, 3)


def test_who_asks_how_a_faded_stream_is_or_for_what_it_lacks_of_it_is_answered_from_what_is_remembered() -> None:
    bench, far = faded()
    bench.forget()
    far.asks(Ask(far.link.mine, [(ORIGIN.id, ORIGIN.epoch), (peer(79).id, 1)]))
    far.asks(Pull(far.link.mine, ORIGIN.id, ORIGIN.epoch, [(2, 3)]))
    (digest,), (end,) = bench.replies(Digest), bench.replies(Pulled)
    assert [(one.origin, one.contiguous, one.done) for one in digest.entries] == [(ORIGIN.id, 3, 3)]
    assert (end.oldest, end.contiguous, end.messages) == (4, 3, 3)
    assert not is_here(bench)


def test_all_of_a_faded_stream_is_here() -> None:
    gossip = faded()[0].engine.gossip
    assert [gossip.has_all(ORIGIN, last) for last in (0, 3, 4)] == [True, True, False]


def test_a_neighbour_that_has_more_of_a_faded_stream_is_asked_for_the_rest_only() -> None:
    bench, far = faded()
    says(far, entry(ORIGIN, 5))
    bench.wait(0.1)
    assert [body.ranges for _, body, _ in pulls(bench)] == [[(4, 5)]]
    gives(far, ORIGIN, [4, 5])
    assert numbers(bench) == [1, 2, 3, 4, 5]


def test_the_stream_of_somebody_who_lives_after_all_is_one_again_and_settles_as_elsewhere() -> None:
    bench, far = faded()
    newer = replace(ORIGIN, revision=ORIGIN.revision + 1)
    bench.call(lambda now: bench.engine.members.learn(newer, PeerState.ALIVE, WALL))
    far.reply(Walked([], [position(ORIGIN, 3)]))
    bench.wait(4.0)
    stream = bench.engine.gossip.streams.get(ORIGIN.id, ORIGIN.epoch)
    assert stream is not None and stream.settled and stream.contiguous == 3 and pulls(bench) == []


def test_a_baseline_names_faded_streams_apart() -> None:
    bench, far = faded()
    streams, past = replies_to_sync(bench, far)
    assert past.past == [position(ORIGIN, 3)] and past.streams == [] and (past.part, past.parts) == (1, 2)
    assert position(ORIGIN, 3) not in streams.streams and streams.past == []


def age_of(part: BaselinePart, record: PeerRecord) -> int:
    (place,) = [place for place, one in enumerate(part.streams) if one.origin == record.id]
    return part.ages[place] if part.ages else 0


@pytest.mark.parametrize("state", [PeerState.LEFT, PeerState.DEAD])
def test_a_baseline_says_for_how_long_streams_of_the_gone_have_been_settled_and_of_others_nothing(state: PeerState) -> None:
    bench, (far,) = begun(2, stream_gone_s=GONE_S)
    for origin in (ORIGIN, peer(78)):
        far.gossip(segment(origin, 1))
    becomes(bench, state)
    (part,) = replies_to_sync(bench, far)
    assert age_of(part, ORIGIN) == 0  # not settled
    says(far, entry(ORIGIN, 1), entry(peer(78), 1))
    bench.call(lambda now: bench.engine.members.learn(peer(78), PeerState.ALIVE, WALL))
    bench.wait(GONE_S - 5.0)
    (part,) = replies_to_sync(bench, far)
    assert GONE_S - 7.0 <= age_of(part, ORIGIN) <= GONE_S - 5.0 and age_of(part, peer(78)) == 0


def test_a_newcomer_keeps_streams_of_the_gone_no_longer_than_whoever_told_it_and_says_so_to_the_next() -> None:
    bench, (far,) = newcomer(2, stream_gone_s=GONE_S)
    bench.reply(far.key, BaselinePart(0, 1, [position(ORIGIN, 3)], [], [10]), far.asked_at)
    says(far, entry(ORIGIN, 3))
    becomes(bench, PeerState.LEFT)
    bench.wait(6.0)
    (part,) = replies_to_sync(bench, far)
    assert is_here(bench) and 15 <= age_of(part, ORIGIN) <= 16
    bench.wait(4.0 + GONE_S / FADE_LOOKS)
    assert not is_here(bench) and bench.count("streams.faded") == 1


def told(age_s: int, contiguous: int = 3) -> tuple[PeerBench, Far]:
    """A newcomer to which its baseline said for how long nothing of the stream of somebody who has left has changed."""
    bench, (far,) = newcomer(2, stream_gone_s=GONE_S)
    bench.reply(far.key, BaselinePart(0, 1, [position(ORIGIN, contiguous)], [], [age_s]), far.asked_at)
    becomes(bench, PeerState.LEFT)
    return bench, far


def test_an_age_is_handed_on_also_where_the_stream_has_not_settled_yet() -> None:
    bench, far = told(15)
    bench.wait(1.0)
    (part,) = replies_to_sync(bench, far)
    assert age_of(part, ORIGIN) == 16


@pytest.mark.parametrize("age_s", [U64_MAX, U64_MAX >> 1, 21])
def test_an_age_that_cannot_be_is_handed_on_as_the_largest_that_can(age_s: int) -> None:
    bench, far = told(age_s)
    (part,) = replies_to_sync(bench, far)
    assert age_of(part, ORIGIN) == GONE_S
    says(far, entry(ORIGIN, 3))
    bench.wait(FADED_S - GONE_S)
    assert not is_here(bench) and bench.count("streams.faded") == 1


def test_ages_of_fewer_streams_or_of_more_are_those_of_the_first_and_no_harm() -> None:
    bench, (far,) = newcomer(2, stream_gone_s=GONE_S)
    streams = [position(ORIGIN, 3), position(peer(78), 3)]
    bench.reply(far.key, BaselinePart(0, 2, streams, [], [15]), far.asked_at)
    bench.reply(far.key, BaselinePart(1, 2, [position(peer(79), 3)], [], [0, 15, 15]), far.asked_at)
    becomes(bench, PeerState.LEFT)
    (part,) = replies_to_sync(bench, far)
    assert [age_of(part, one) for one in (ORIGIN, peer(78), peer(79))] == [15, 0, 0]


def test_a_stream_that_jumps_has_changed_and_is_kept_as_long_as_elsewhere() -> None:
    bench, far = told(15)
    says(far, entry(ORIGIN, 5))
    bench.wait(0.1)
    gives(far, ORIGIN, [], oldest=6, contiguous=5)
    bench.wait(2.0)
    says(far, entry(ORIGIN, 5))
    bench.wait(GONE_S - 8.0)
    assert bench.count("streams.jumped") == 1 and is_here(bench)


def test_what_a_newcomer_still_gets_of_the_gone_is_kept_as_long_as_elsewhere() -> None:
    bench, (far,) = newcomer(2, stream_gone_s=GONE_S)
    bench.reply(far.key, BaselinePart(0, 1, [position(ORIGIN, 3)], [], [15]), far.asked_at)
    far.gossip(segment(ORIGIN, 4))
    says(far, entry(ORIGIN, 4))
    becomes(bench, PeerState.LEFT)
    bench.wait(GONE_S - 5.0)
    assert is_here(bench)


def test_a_late_copy_of_what_is_only_remembered_makes_no_stream_that_would_never_fade() -> None:
    bench, far = faded()
    far.gossip(segment(ORIGIN, 3))
    assert not is_here(bench) and numbers(bench) == [1, 2, 3] and bench.count("duplicates.known") == 1


def test_a_newcomer_remembers_faded_streams_and_is_owed_nothing_of_them() -> None:
    bench, (first, second) = newcomer(2, 3)
    (asked_one,) = [far for far in (first, second) if far.asked_at is not None]
    asked_one.gossip(segment(peer(78), 5))
    bench.reply(asked_one.key, BaselinePart(0, 1, [], [position(ORIGIN, 3), position(peer(78), 4)]), asked_one.asked_at)
    assert not is_here(bench)
    assert numbers(bench, peer(78)) == [5]
    asked_one.reply(Walked([], [position(ORIGIN, 3)]))
    bench.wait(1.0)
    assert pulls(bench) == []
    asked_one.gossip(segment(ORIGIN, 3))
    asked_one.gossip(segment(ORIGIN, 4))
    assert numbers(bench) == [4]
