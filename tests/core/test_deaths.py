"""A death goes from neighbour to neighbour: each tells it once, with others of the same moment, if it is news to it and believed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.harness import CODEC, PeerBench, deaths_frame, neighbour, notice_segment, peer
from tests.core.streaming import Far, begun
from tests.core.test_members import ALIVE, DEAD, LEFT
from zmqgossip.core import outbox
from zmqgossip.core.deaths import GAP_S, GATHER_S
from zmqgossip.core.events import PeerDead
from zmqgossip.core.gossip_messages import DEATHS_MAX, Deaths, Notice
from zmqgossip.core.messages import Verdict
from zmqgossip.core.types import PeerRecord
from zmqgossip.core.wire import TOPIC_DIGEST

DEAD_ONES = [peer(number) for number in range(10, 14)]


def knows(*records: PeerRecord) -> tuple[PeerBench, Far]:
    """A peer that knows those, and its neighbour."""
    bench, (far,) = begun(2)
    for record in records:
        bench.call(lambda now, record=record: bench.engine.membership.learn(record, ALIVE, now))
    return bench, far


def finds(*dead: PeerRecord) -> tuple[PeerBench, Far]:
    """A peer that has just found those dead, and its neighbour."""
    bench, far = knows(*dead)
    for record in dead:
        bench.call(lambda now, record=record: bench.engine.membership.visited(record, now))
    return bench, far


def told(bench: PeerBench) -> list[PeerRecord]:
    bench.wait(GAP_S)
    return bench.deaths


def frames_of_deaths(bench: PeerBench) -> int:
    frames = [frame for (frame,) in bench.of(outbox.PUBLISH) if frame[:1] == TOPIC_DIGEST]
    return sum(isinstance(CODEC.decode(frame[1:])[0], Deaths) for frame in frames)


def test_those_found_at_one_moment_are_told_in_one_frame_a_moment_later() -> None:
    bench, _ = finds(*DEAD_ONES)
    bench.wait(GATHER_S - 0.001)
    assert bench.deaths == []
    assert told(bench) == DEAD_ONES and frames_of_deaths(bench) == 1 and bench.count("deaths.told") == len(DEAD_ONES)


def test_what_is_heard_meanwhile_goes_with_the_next_frame_and_that_keeps_its_distance() -> None:
    bench, far = knows(*DEAD_ONES)
    for place, record in enumerate(DEAD_ONES):  # within 0.03 s
        far.gossip(deaths_frame(record))
        bench.wait(0.01)
        assert bench.deaths == [], place
    bench.wait(GATHER_S - 0.04)
    assert bench.deaths == DEAD_ONES
    far.gossip(deaths_frame(peer(77)))  # nobody known
    bench.call(lambda now: bench.engine.membership.learn(peer(20), ALIVE, now))
    far.gossip(deaths_frame(peer(20)))
    bench.wait(GAP_S - 0.001)
    assert bench.deaths == DEAD_ONES
    bench.wait(0.002)
    assert bench.deaths == [*DEAD_ONES, peer(20)] and frames_of_deaths(bench) == 2


def test_many_are_told_in_several_frames() -> None:
    many = [peer(number) for number in range(1000, 1000 + 2 * DEATHS_MAX + 1)]
    bench, _ = finds(*many)
    assert told(bench) == many and frames_of_deaths(bench) == 3


def test_what_is_heard_is_told_on_once_however_often_it_is_heard() -> None:
    bench, far = knows(*DEAD_ONES)
    far.gossip(deaths_frame(*DEAD_ONES))
    assert told(bench) == DEAD_ONES and bench.events(PeerDead) == [PeerDead(record) for record in DEAD_ONES]
    far.gossip(deaths_frame(*DEAD_ONES))
    bench.wait(2.0)
    assert bench.deaths == DEAD_ONES


MOVED = replace(DEAD_ONES[1], port=1)
LIES = {
    "an impossible revision": peer(11, revision=5000),
    "a life that is not known": peer(11, epoch=DEAD_ONES[1].epoch + 1),
    "a stranger": peer(77),
    "another address": MOVED,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_death_that_is_not_believed_is_not_told_on(lie: PeerRecord) -> None:
    bench, far = knows(*DEAD_ONES)
    far.gossip(deaths_frame(lie))
    assert told(bench) == [] and bench.events(PeerDead) == []
    assert bench.count("dropped.hint_about_unknown_life") == 1


@pytest.mark.parametrize("lie", [lie for name, lie in LIES.items() if name != "a stranger"])
def test_nor_is_it_of_one_who_is_held_dead_already(lie: PeerRecord) -> None:
    bench, far = knows(*DEAD_ONES)
    far.gossip(deaths_frame(DEAD_ONES[1], replace(lie, revision=max(lie.revision, 1))))
    assert told(bench) == [DEAD_ONES[1]]
    far.gossip(notice_segment(peer(11), 1, Notice(peer(11, revision=1), ALIVE)))
    assert bench.state_of(peer(11)) is ALIVE, "it can refute"


def test_one_who_has_left_does_not_become_dead() -> None:
    bench, far = knows(peer(20))
    far.gossip(notice_segment(peer(20), 1, Notice(peer(20), LEFT)))
    far.gossip(deaths_frame(peer(20, revision=7)))
    assert told(bench) == [] and bench.state_of(peer(20)) is LEFT


def test_a_newer_record_of_the_dead_is_told_on_too_and_replaces_one_that_waits() -> None:
    bench, far = knows(peer(20))
    far.gossip(deaths_frame(peer(20)))
    far.gossip(deaths_frame(peer(20, revision=1)))
    assert told(bench) == [peer(20, revision=1)]
    far.gossip(deaths_frame(peer(20, revision=2)))
    assert told(bench) == [peer(20, revision=1), peer(20, revision=2)]


def test_a_neighbour_that_is_called_dead_hears_it_once_though_nobody_here_believes_it() -> None:
    bench, far = knows(*DEAD_ONES)
    for _ in range(5):
        far.gossip(deaths_frame(peer(2)))
        bench.wait(1.0)
    assert bench.deaths == [peer(2)] and bench.state_of(peer(2)) is not DEAD and bench.events(PeerDead) == []
    assert bench.count("dropped.hint_about_neighbour") == 5


def test_the_death_of_an_older_record_is_no_news() -> None:
    bench, far = knows(peer(20, revision=3))
    far.gossip(deaths_frame(peer(20)))
    assert told(bench) == [] and bench.state_of(peer(20)) is ALIVE


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
    far.gossip(deaths_frame(gone.record))
    assert bench.state_of(gone.record) is DEAD
    assert told(bench) == [gone.record]
    bench.reply(seed, Verdict(gone.record, DEAD))
    assert told(bench) == [gone.record]


def test_a_peer_that_does_not_know_everybody_tells_nobody() -> None:
    bench, _ = begun(2, 3, members_full_max=10, candidates_max=8)
    bench.told(bench.asked_seeds[0], *(peer(number) for number in range(101, 121)))
    bench.call(lambda now: bench.engine.membership.untold.add(peer(3), now))
    bench.call(lambda now: bench.engine.members.apply(peer(3), DEAD, 0.0))
    bench.forget()
    assert told(bench) == [] and bench.count("deaths.spared") >= 1


def test_who_has_no_link_tells_it_when_there_is_one() -> None:
    bench, far = knows(*DEAD_ONES)
    far.crashes()
    bench.call(lambda now: bench.engine.membership.visited(DEAD_ONES[0], now))
    assert told(bench) == []
    bench.wait(1.0)
    neighbour(bench, 3)
    assert told(bench) == [DEAD_ONES[0], peer(2)]


def test_who_goes_tells_first_whom_it_found_dead() -> None:
    bench, _ = finds(*DEAD_ONES)
    bench.call(bench.engine.leave)
    assert bench.deaths == DEAD_ONES and [notice.record for notice in bench.notices] == [bench.engine.me]


def test_who_goes_says_nothing_after_its_last_word() -> None:
    bench = PeerBench()
    seed = bench.join()
    gone, _ = neighbour(bench, 2), neighbour(bench, 3)
    gone.crashes()
    bench.call(bench.engine.leave)
    bench.reply(seed, Verdict(gone.record, DEAD))
    assert told(bench) == []
