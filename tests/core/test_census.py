"""How many there are, and whether a peer knows them all: when a table becomes partial, what it keeps then, and of whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.core.harness import Far, PeerBench, config, deaths_frame, members, neighbour, notice_segment, peer
from tests.core.streaming import begun
from tests.core.test_members import ALIVE, DEAD, LEFT, SUSPECT, Table
from zmqgossip.core import outbox
from zmqgossip.core.census import WAITS_MAX
from zmqgossip.core.events import Event, MembersFull, MembersPartial, PeerDead, PeerJoined, PeerLeft, PeerReady, PeerSuspected
from zmqgossip.core.gossip_messages import BaselinePart, Notice, Sync, Synced
from zmqgossip.core.messages import Leave, List, Listed, Present
from zmqgossip.core.outbox import Flushed
from zmqgossip.core.types import PeerRecord, PeerState

SMALL: dict[str, Any] = {"members_full_max": 10, "candidates_max": 8}


def partial(*linked: int) -> tuple[PeerBench, list[Far], int]:
    """Peer 1 in a cluster of twenty of which it was told, linked with some of them; and the key of its seed."""
    bench, fars = begun(*linked, **SMALL)
    (seed,) = bench.asked_seeds
    bench.told(seed, *(peer(number) for number in range(101, 121)))
    return bench, fars, seed


def living(bench: PeerBench) -> list[PeerRecord]:
    return [member.record for member in bench.engine.members.living()]


# -- the table ------------------------------------------------------------------------------------------------------------


def narrow(*followed: int, candidates: int = 3, known: int = 20) -> Table:
    table = Table()
    for number in range(2, 2 + known):
        table.learn(peer(number), ALIVE, 0.0)
    for number in followed:
        table.follow(peer(number).id)
    table.narrow(candidates, Random(1), 0.0)
    table.told()
    return table


def test_a_table_that_becomes_partial_keeps_those_who_are_followed_and_some_others() -> None:
    table = narrow(5, 6, candidates=3)
    assert table.state_of(5) is ALIVE and table.state_of(6) is ALIVE
    assert (table.living_count, table.candidates_count) == (5, 3) and table.told() == []


def test_a_candidate_that_comes_displaces_another_and_never_one_that_is_followed() -> None:
    table = narrow(5, 6, candidates=3)
    for number in range(30, 60):
        table.learn(peer(number), ALIVE, 1.0)
        assert table.candidates_count == 3 and table.is_living(peer(number).id)
    assert table.is_living(peer(5).id) and table.is_living(peer(6).id) and table.evicted_count == 30 and table.told() == []


def test_which_candidate_goes_is_the_generators_choice() -> None:
    def kept(luck: int) -> list[PeerRecord]:
        table = narrow(candidates=3, known=3)
        table.narrow(3, Random(luck), 0.0)
        table.learn(peer(40), ALIVE, 0.0)
        return [member.record for member in table.living()]

    assert kept(1) == kept(1) and len({tuple(kept(luck)) for luck in range(10)}) > 1


@pytest.mark.parametrize(("state", "event"), [(DEAD, PeerDead), (LEFT, PeerLeft)])
def test_the_end_of_a_neighbour_is_told_and_remembered_and_that_of_a_candidate_is_not(
    state: PeerState, event: Callable[[PeerRecord], Event]
) -> None:
    table = narrow(5, candidates=30)
    table.learn(peer(5), state, 1.0)
    table.learn(peer(7), state, 1.0)
    assert table.told() == [event(peer(5))] and [member.record for member in table.tombstones()] == [peer(5)]
    assert table.get(peer(7).id) is None


def test_the_end_of_a_suspicion_is_told_though_the_link_is_gone() -> None:
    table = narrow(5)
    table.learn(peer(5), SUSPECT, 1.0)
    table.unfollow(peer(5).id)
    for number in range(30, 60):
        table.learn(peer(number), ALIVE, 1.0)
    table.learn(peer(5), DEAD, 2.0)
    assert table.told() == [PeerSuspected(peer(5)), PeerDead(peer(5))] and table.state_of(5) is DEAD


def test_who_is_followed_no_more_is_a_candidate_like_the_others() -> None:
    table = narrow(5, candidates=3)
    table.unfollow(peer(5).id)
    assert (table.living_count, table.candidates_count) == (3, 3)
    table.learn(peer(5), DEAD, 1.0)
    assert table.told() == [] and table.tombstones_count == 0


def test_the_tombstones_of_a_partial_table_are_as_many_as_candidates() -> None:
    table = narrow(*range(2, 12), candidates=4)
    for number in range(2, 12):
        table.learn(peer(number), DEAD, 1.0)
    assert [member.record for member in table.tombstones()] == [peer(number) for number in range(8, 12)]


def test_a_candidate_that_becomes_a_neighbour_is_told_of_and_the_others_are_forgotten_when_a_table_is_full_again() -> None:
    table = narrow(5, candidates=2, known=6)
    candidates = [member.record for member in table.living() if member.record != peer(5)]
    table.follow(candidates[0].id)
    table.follow(candidates[0].id)
    assert table.told() == [PeerJoined(candidates[0])]
    table.learn(peer(40, ready=True), ALIVE, 1.0)
    table.widen()
    assert not table.partial and {member.record for member in table.living()} == {peer(5), candidates[0]} and table.told() == []
    table.learn(peer(40, ready=True), ALIVE, 2.0)
    assert table.told() == [PeerJoined(peer(40, ready=True)), PeerReady(peer(40, ready=True))]


# -- when -----------------------------------------------------------------------------------------------------------------


def test_a_seed_that_lists_more_than_the_limit_makes_the_table_partial() -> None:
    bench, _, seed = partial(2)
    bench.reply(seed, Present(11, []))
    assert bench.engine.members.partial and bench.events(MembersPartial) == [MembersPartial(20)]
    assert bench.engine.sizes(bench.now)["members_count"] == 11 and bench.engine.sizes(bench.now)["candidates"] == 8


def test_at_the_limit_a_table_is_full() -> None:
    bench, _ = begun(2, **SMALL)
    bench.reply(bench.asked_seeds[0], Present(10, members(peer(number) for number in range(2, 11))))
    assert not bench.engine.members.partial and bench.engine.members.living_count == 9


def test_a_table_that_grows_over_the_limit_by_itself_becomes_partial() -> None:
    bench, (far,) = begun(2, **SMALL)
    for number in range(3, 30):
        far.gossip(notice_segment(peer(number), 1, Notice(peer(number), ALIVE)))
    assert bench.engine.members.partial and len(living(bench)) == 9 and bench.engine.census.ready_count == 10


def test_a_short_list_makes_no_table_full_before_a_lease_is_over_and_then_one_list_is_read_to_its_end() -> None:
    bench, _, seed = partial(2)
    lease_s = bench.engine.node.config.lease_s
    bench.forget()
    for _ in range(6):
        bench.reply(seed, Present(7, []))
        assert bench.engine.members.partial
        bench.now += lease_s / 6.1
    for _ in range(7):
        bench.now += lease_s / 6
        bench.reply(seed, Present(7, []))
    assert not bench.engine.members.partial and len(bench.events(MembersFull)) == 1
    bench.reply(seed, Listed(7, True, members([peer(3)])))
    bench.reply(seed, Listed(7, False, members([peer(4)])))
    assert [body.after for _, body in bench.sent(List)] == [bytes(16), peer(3).id]
    assert peer(3) in living(bench) and peer(4) in living(bench)


def test_a_seed_that_has_not_spoken_for_a_lease_counts_no_more_unless_none_has() -> None:
    bench, _ = begun(2, **SMALL)
    census = bench.engine.census
    census.heard(0, 500, bench.now)
    assert census.estimate(bench.now) == 500
    later = bench.now + 2 * bench.engine.node.config.lease_s
    assert census.estimate(later) == 500
    census.heard(1, 30, later)
    assert census.estimate(later) == 30


def test_of_what_seeds_list_all_is_estimated_and_one_that_boasts_counts_for_nothing() -> None:
    bench = PeerBench(seeds=5, knobs=config(**SMALL))
    census = bench.engine.census
    census.heard(0, 60, bench.now)
    assert census.estimate(bench.now) == 100, "of five seeds three list each peer"
    census.heard(1, 1_000_000, bench.now)
    assert census.estimate(bench.now) == 100
    census.heard(2, 66, bench.now)
    assert census.estimate(bench.now) == 110


def test_where_seeds_are_out_of_reach_each_peer_is_on_more_lists() -> None:
    bench = PeerBench(seeds=3, knobs=config(**SMALL))
    bench.start()
    bench.engine.census.heard(0, 60, bench.now)
    assert bench.engine.census.estimate(bench.now) == 90
    bench.disconnect(bench.asked_seeds[0])
    assert bench.engine.census.estimate(bench.now) == 60


def seen(bench: PeerBench, seconds: float, total: Callable[[float], int]) -> list[float]:
    """After how long the table became full, each second `total` being what a seed says then; it is narrowed at once."""
    began, full_at = bench.now, []
    while bench.now < began + seconds:
        bench.now += 1.0
        bench.engine.census.heard(0, total(bench.now - began), bench.now)
        if bench.engine.census.look(bench.now) is not None:
            full_at.append(bench.now - began)
            bench.engine.census.heard(0, 20, bench.now)
            assert bench.engine.census.look(bench.now) == 20 and bench.engine.members.partial
    return full_at


def test_a_list_that_fills_up_again_makes_no_table_full_however_long_that_takes() -> None:
    bench, _ = begun(2, members_full_max=100, candidates_max=8)
    bench.engine.census.heard(0, 200, bench.now)
    assert bench.engine.census.look(bench.now) == 200
    lease_s = bench.engine.node.config.lease_s
    assert seen(bench, 15 * lease_s, lambda at: min(200, int(10 * at / lease_s))) == []


def test_each_time_it_was_full_in_vain_a_peer_waits_twice_as_long_up_to_a_limit() -> None:
    bench, _, _ = partial(2)
    lease_s = bench.engine.node.config.lease_s
    full_at = seen(bench, 250 * lease_s, lambda _: 5)
    waits = [later - at for at, later in zip([0.0, *full_at], full_at, strict=False)]
    for number, wait_s in enumerate(waits):
        assert min(2**number, WAITS_MAX) * lease_s <= wait_s <= 2 * min(2**number, WAITS_MAX) * lease_s + 2.0
    assert len(waits) >= 7


def test_pages_are_read_of_all_seeds_while_they_go_on_and_not_of_one_that_says_the_same_for_ever() -> None:
    bench = PeerBench(seeds=3)
    bench.start()
    one, other = bench.asked_seeds
    bench.listed_by(one)
    bench.listed_by(other)
    bench.call(bench.engine.presence.read_all)
    assert sorted(key for key, _ in bench.sent(List)) == sorted([one, other])
    bench.forget()
    for _ in range(10):
        bench.reply(one, Listed(9, True, members([peer(7)])))
    assert [body.after for _, body in bench.sent(List)] == [peer(7).id]
    bench.reply(other, Listed(9, True, members([peer(7)])))
    bench.engine.members.narrow(8, Random(1), 0.0)
    bench.reply(other, Listed(9, True, members([peer(8)])))
    assert len(bench.sent(List)) == 2, "who knows only a part reads no whole list"


def test_a_table_that_is_short_now_and_then_stays_partial() -> None:
    bench, _, seed = partial(2)
    for _ in range(30):
        bench.reply(seed, Present(7, []))
        bench.now += bench.engine.node.config.lease_s * 0.9
        bench.reply(seed, Present(8, []))
    assert bench.engine.members.partial


# -- what a partial peer does ---------------------------------------------------------------------------------------------


def test_a_partial_peer_tells_nobody_by_gossip() -> None:
    bench, (near, far), _ = partial(2, 3)
    bench.forget()
    bench.call(bench.engine.membership.refute, bench.engine.me.epoch, bench.engine.me.revision)
    far.asks(Leave(far.record, far.link.mine, 0))
    bench.disconnect(near.key)
    bench.call(bench.engine.leave)
    assert bench.notices == [] and bench.count("notices.spared") >= 2
    assert bench.events(PeerLeft) == [PeerLeft(far.record)]


def test_a_notice_of_another_concerns_a_candidate() -> None:
    bench, (far,), _ = partial(2)
    bench.forget()
    far.gossip(notice_segment(peer(50), 1, Notice(peer(50), ALIVE)))
    assert peer(50) in living(bench)
    far.gossip(deaths_frame(peer(50)))
    assert bench.engine.members.get(peer(50).id) is None
    assert bench.events(PeerJoined) == [] and bench.events(PeerDead) == []


def test_a_flush_of_a_partial_peer_ends_at_once_and_one_under_way_with_it() -> None:
    bench, _ = begun(2, **SMALL)
    bench.call(bench.engine.flush, 1, 60.0)
    bench.told(bench.asked_seeds[0], *(peer(number) for number in range(101, 121)))
    bench.call(bench.engine.flush, 2, 60.0)
    assert [(done.token, done.complete) for done in flushed(bench)] == [(1, False), (2, False)]
    assert bench.count("flushes.members_unknown") == 2


def flushed(bench: PeerBench) -> list[Flushed]:
    return [done for (done,) in bench.of(outbox.FLUSHED)]


def test_the_link_shows_that_a_neighbour_lives_whom_a_partial_peer_held_dead() -> None:
    bench, (far,), _ = partial(2)
    bench.call(lambda now: bench.engine.membership.learn(far.record, DEAD, now))
    link = far.link
    bench.call(lambda now: bench.engine.membership.lose(link, "a test", now))
    bench.wait(3.0)
    assert bench.state_of(far.record) is DEAD
    bench.call(lambda now: bench.engine.overlay.bridge(bench.engine.me, far.record, now))
    far.connects()
    far.welcome()
    far.comes_up()
    assert bench.state_of(far.record) is ALIVE


def test_a_neighbour_takes_no_candidates_place_and_stands_in_the_table_that_it_makes_partial() -> None:
    bench, _, _ = partial(2)
    evicted = bench.engine.members.evicted_count
    neighbour(bench, 70)
    assert bench.engine.members.evicted_count == evicted

    for luck in range(20):
        bench = PeerBench(luck=luck, knobs=config(**SMALL))
        bench.join()
        for number in range(3, 12):
            bench.engine.membership.learn(peer(number), ALIVE, bench.now)
        neighbour(bench, 70)
        assert bench.engine.members.partial and peer(70) in living(bench)


def test_a_candidate_whom_nobody_meets_at_its_address_is_one_no_more() -> None:
    bench, (far,), _ = partial(2)
    dialled = [link for link in bench.engine.view.links() if link.peer != far.record]
    bench.disconnect(dialled[0].key)
    assert bench.engine.members.get(dialled[0].peer.id) is None


def test_a_neighbour_that_has_its_baseline_is_ready() -> None:
    bench, (far,), _ = partial(2)
    bench.forget()
    far.asks(Synced(far.link.mine, 0))
    member = bench.engine.members.get(far.record.id)
    assert member is not None and member.record.ready


def test_a_newcomer_gets_a_baseline_though_nobody_has_said_anything() -> None:
    bench = PeerBench(knobs=config(**SMALL))
    bench.engine.membership.baseline.complete = True
    bench.join(peer(2))
    far = Far(bench, peer(2))
    far.links_up()
    bench.forget()
    far.asks(Sync(far.link.mine))
    assert [(part.part, part.parts) for part in bench.replies(BaselinePart)] == [(0, 1)]
