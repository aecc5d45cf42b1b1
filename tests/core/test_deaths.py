"""A death is told a moment later: with others of that moment, and not at all if somebody else has told it or it was none."""

from __future__ import annotations

import pytest

from tests.core.harness import PeerBench, neighbour, notice_segment, peer
from tests.core.streaming import Far, begun
from tests.core.test_members import ALIVE, DEAD, LEFT
from zmqgossip.core.deaths import GATHER_MAX_S, GATHER_MIN_S, NOTICES_MAX
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.messages import Verdict
from zmqgossip.core.types import PeerRecord

DEAD_ONES = [peer(number) for number in range(10, 14)]


def finds(*dead: PeerRecord) -> tuple[PeerBench, Far]:
    """A peer that has just found those dead, and its neighbour."""
    bench, (far,) = begun(2)
    for record in dead:
        bench.call(lambda now, record=record: bench.engine.membership.learn(record, ALIVE, now))
        bench.call(lambda now, record=record: bench.engine.membership.visited(record, now))
    return bench, far


def told(bench: PeerBench) -> list[PeerRecord]:
    bench.wait(GATHER_MAX_S)
    return [notice.record for notice in bench.notices if notice.state is DEAD]


def test_those_found_at_one_moment_are_told_in_one_segment_a_moment_later() -> None:
    bench, _ = finds(*DEAD_ONES)
    before = bench.count("published.segments")
    bench.wait(GATHER_MIN_S - 0.001)
    assert bench.notices == []
    assert told(bench) == DEAD_ONES and bench.count("published.segments") == before + 1


def test_many_are_told_in_several_segments() -> None:
    many = [peer(number) for number in range(1000, 1000 + 2 * NOTICES_MAX + 1)]
    bench, _ = finds(*many)
    before = bench.count("published.segments")
    assert told(bench) == many and bench.count("published.segments") == before + 3


def test_what_somebody_else_has_told_is_not_told_again() -> None:
    bench, far = finds(*DEAD_ONES)
    far.gossip(notice_segment(peer(3), 1, Notice(DEAD_ONES[1], DEAD)))
    assert told(bench) == [DEAD_ONES[0], *DEAD_ONES[2:]] and bench.count("notices.told_by_another") == 1


def test_the_death_of_an_older_record_is_not_the_one_that_was_found() -> None:
    newer = peer(20, revision=3)
    bench, far = finds(newer)
    far.gossip(notice_segment(peer(3), 1, Notice(peer(20), DEAD)))
    assert told(bench) == [newer]


@pytest.mark.parametrize("lie", [peer(11, revision=5000), peer(11, epoch=DEAD_ONES[1].epoch + 1)])
def test_a_death_that_nobody_believes_spares_nobody_his_word(lie: PeerRecord) -> None:
    bench, far = finds(*DEAD_ONES)
    far.gossip(notice_segment(peer(3), 1, Notice(lie, DEAD)))
    assert told(bench) == DEAD_ONES and bench.count("notices.told_by_another") == 0


def test_who_lives_or_has_left_after_all_is_not_told_dead() -> None:
    bench, far = finds(*DEAD_ONES[:2])
    far.gossip(notice_segment(DEAD_ONES[0], 1, Notice(peer(10, revision=1), ALIVE)))
    far.gossip(notice_segment(DEAD_ONES[1], 1, Notice(DEAD_ONES[1], LEFT)))
    assert told(bench) == []


def test_whom_others_called_dead_is_not_told_once_more_when_a_verdict_comes() -> None:
    bench = PeerBench()
    seed = bench.join()
    gone, far = neighbour(bench, 2), neighbour(bench, 3)
    bench.forget()
    gone.crashes()
    far.gossip(notice_segment(peer(4), 1, Notice(gone.record, DEAD)))
    assert bench.state_of(gone.record) is DEAD
    bench.reply(seed, Verdict(gone.record, DEAD))
    assert told(bench) == []


def test_a_peer_that_does_not_know_everybody_tells_nobody() -> None:
    bench, _ = begun(2, 3, members_full_max=10, candidates_max=8)
    bench.told(bench.asked_seeds[0], *(peer(number) for number in range(101, 121)))
    bench.call(lambda now: bench.engine.membership.deaths.found(peer(3), now))
    bench.call(lambda now: bench.engine.members.apply(peer(3), DEAD, 0.0))
    bench.forget()
    assert told(bench) == [] and bench.count("notices.spared") >= 1


def test_who_goes_tells_first_whom_it_found_dead() -> None:
    bench, _ = finds(*DEAD_ONES)
    bench.call(bench.engine.leave)
    assert [notice.record for notice in bench.notices] == [*DEAD_ONES, bench.engine.me]


def test_who_goes_says_nothing_after_its_last_word() -> None:
    bench = PeerBench()
    seed = bench.join()
    gone, _ = neighbour(bench, 2), neighbour(bench, 3)
    gone.crashes()
    bench.call(bench.engine.leave)
    number = bench.engine.gossip.number
    bench.reply(seed, Verdict(gone.record, DEAD))
    assert told(bench) == [] and bench.engine.gossip.number == number
