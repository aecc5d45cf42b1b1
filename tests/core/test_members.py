"""Who exists: which news replaces which, what the user is told of it, and what the table may grow to."""

from __future__ import annotations

from functools import reduce
from operator import xor
from random import Random

import pytest
from hypothesis import given, strategies as st

from tests.core.harness import EPOCH, peer, steady
from zmqgossip.core import outbox
from zmqgossip.core.events import Event, PeerAlive, PeerDead, PeerJoined, PeerLeft, PeerReady, PeerSuspected
from zmqgossip.core.gossip_messages import BUCKETS
from zmqgossip.core.members import Change, Members
from zmqgossip.core.outbox import Outbox
from zmqgossip.core.types import PeerRecord, PeerState
from zmqgossip.core.wire import record_hash

ALIVE, SUSPECT, DEAD, LEFT = PeerState.ALIVE, PeerState.SUSPECT, PeerState.DEAD, PeerState.LEFT
STATES = (ALIVE, SUSPECT, DEAD, LEFT)


class Table(Members):
    """A table of members with its outbox at hand; its node is peer 1."""

    def __init__(self, living_max: int = 100, tombstones_max: int = 100, tombstone_s: float = 1000.0) -> None:
        self.out = Outbox()
        super().__init__(peer(1).id, living_max, tombstones_max, tombstone_s, self.out)

    def told(self) -> list[Event]:
        return [effect[1] for effect in self.out.drain() if effect[0] == outbox.EVENT]

    def state_of(self, number: int) -> PeerState | None:
        held = self.get(peer(number).id)
        return None if held is None else held.state


def table_with(record: PeerRecord, state: PeerState) -> Table:
    table = Table()
    table.learn(record, state, 100.0)
    table.told()
    return table


# -- what replaces what ---------------------------------------------------------------------------------------------------

NONE = Change.NONE
EQUAL_ORDER = {
    #          news: ALIVE             SUSPECT            DEAD           LEFT
    ALIVE: (NONE, Change.SUSPECTED, Change.DIED, Change.LEFT),
    SUSPECT: (Change.CLEARED, NONE, Change.DIED, Change.LEFT),
    DEAD: (NONE, NONE, NONE, Change.LEFT),
    LEFT: (NONE, NONE, NONE, NONE),
}
NEWER = {
    ALIVE: (Change.UPDATED, Change.SUSPECTED, Change.DIED, Change.LEFT),
    SUSPECT: (Change.CLEARED, Change.UPDATED, Change.DIED, Change.LEFT),
    DEAD: (Change.REVIVED, Change.SUSPECTED, Change.UPDATED, Change.LEFT),
    LEFT: (Change.REVIVED, Change.SUSPECTED, Change.DIED, Change.UPDATED),
}


def rows(table: dict[PeerState, tuple[Change, ...]]) -> list[tuple[PeerState, PeerState, Change]]:
    return [(held, news, change) for held, changes in table.items() for news, change in zip(STATES, changes, strict=True)]


@pytest.mark.parametrize(("held", "news", "change"), rows(EQUAL_ORDER))
def test_news_of_equal_order_makes_only_the_moves_of_the_table(held: PeerState, news: PeerState, change: Change) -> None:
    table = table_with(peer(2), held)
    assert table.learn(peer(2), news, 200.0) is change
    assert table.state_of(2) is (held if change is NONE else news)


@pytest.mark.parametrize("newer", [peer(2, revision=4), peer(2, epoch=EPOCH + 1)], ids=["revision", "epoch"])
@pytest.mark.parametrize(("held", "news", "change"), rows(NEWER))
def test_a_newer_record_always_wins(held: PeerState, news: PeerState, change: Change, newer: PeerRecord) -> None:
    table = table_with(peer(2, revision=3), held)
    assert table.learn(newer, news, 200.0) is change
    entry = table.get(newer.id)
    assert entry is not None and entry.state is news and entry.record.order == newer.order


@pytest.mark.parametrize("older", [peer(2, revision=2), peer(2, epoch=EPOCH - 1, revision=9)], ids=["revision", "epoch"])
@pytest.mark.parametrize("held", STATES)
@pytest.mark.parametrize("news", STATES)
def test_an_older_record_never_changes_anything(held: PeerState, news: PeerState, older: PeerRecord) -> None:
    table = table_with(peer(2, revision=3), held)
    assert table.learn(older, news, 200.0) is NONE
    entry = table.get(older.id)
    assert entry is not None and entry.state is held and entry.record.revision == 3 and table.told() == []


@pytest.mark.parametrize(("news", "change"), [(ALIVE, Change.JOINED), (SUSPECT, Change.JOINED), (DEAD, Change.DIED), (LEFT, Change.LEFT)])
def test_any_news_of_an_unknown_peer_is_taken(news: PeerState, change: Change) -> None:
    table = Table()
    assert table.learn(peer(2), news, 100.0) is change
    assert table.state_of(2) is news


@pytest.mark.parametrize("state", STATES)
def test_the_node_itself_is_never_in_its_table(state: PeerState) -> None:
    table = Table()
    assert table.learn(peer(1), state, 100.0) is NONE
    assert table.get(peer(1).id) is None and table.told() == []


# -- what the user is told ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "news", "told"),
    [
        (None, ALIVE, [PeerJoined]),
        (None, SUSPECT, [PeerJoined]),
        (None, DEAD, [PeerDead]),
        (None, LEFT, [PeerLeft]),
        (ALIVE, SUSPECT, [PeerSuspected]),
        (ALIVE, DEAD, [PeerDead]),
        (SUSPECT, ALIVE, [PeerAlive]),
        (SUSPECT, LEFT, [PeerLeft]),
        (DEAD, ALIVE, []),
    ],
)
def test_a_change_is_told_once(held: PeerState | None, news: PeerState, told: list[type[Event]]) -> None:
    table = Table() if held is None else table_with(peer(2), held)
    table.learn(peer(2), news, 200.0)
    table.learn(peer(2), news, 300.0)
    assert [type(event) for event in table.told()] == told


def test_a_revived_peer_has_joined_again() -> None:
    table = table_with(peer(2), DEAD)
    table.learn(peer(2, revision=1), ALIVE, 200.0)
    assert table.told() == [PeerJoined(peer(2, revision=1))]


def test_apply_tells_nobody() -> None:
    table = Table()
    assert table.apply(peer(2), ALIVE, 100.0) is Change.JOINED
    assert table.told() == [] and table.is_living(peer(2).id)


# -- ready ----------------------------------------------------------------------------------------------------------------


def test_a_peer_becomes_ready_once() -> None:
    table = table_with(peer(2), ALIVE)
    assert table.ready_count == 0
    for _ in range(2):
        table.learn(peer(2, ready=True), ALIVE, 200.0)
    assert table.told() == [PeerReady(peer(2, ready=True))] and table.ready_count == 1


def test_a_peer_that_joins_ready_is_told_as_both() -> None:
    table = Table()
    table.learn(peer(2, ready=True), ALIVE, 100.0)
    assert [type(event) for event in table.told()] == [PeerJoined, PeerReady]


@pytest.mark.parametrize("news", [peer(2), peer(2, revision=5)], ids=["old copy", "refuted"])
@pytest.mark.parametrize("state", [ALIVE, SUSPECT])
def test_ready_never_goes_back_in_the_same_life(news: PeerRecord, state: PeerState) -> None:
    table = table_with(peer(2, ready=True), ALIVE)
    table.learn(news, state, 200.0)
    entry = table.get(peer(2).id)
    assert entry is not None and entry.record.ready and table.ready_count == 1


def test_a_new_life_begins_unready() -> None:
    table = table_with(peer(2, ready=True), ALIVE)
    table.learn(peer(2, epoch=EPOCH + 1), ALIVE, 200.0)
    assert table.ready_count == 0


@pytest.mark.parametrize("gone", [DEAD, LEFT])
def test_the_gone_are_not_counted_as_ready(gone: PeerState) -> None:
    table = table_with(peer(2, ready=True), ALIVE)
    table.learn(peer(2), gone, 200.0)
    assert table.ready_count == 0


@pytest.mark.parametrize(("held", "news"), [(ALIVE, SUSPECT), (SUSPECT, ALIVE)])
def test_readiness_that_comes_with_a_change_of_state_is_told_too(held: PeerState, news: PeerState) -> None:
    table = table_with(peer(2), held)
    table.learn(peer(2, ready=True), news, 200.0)
    assert table.ready_count == 1
    assert PeerReady(peer(2, ready=True)) in table.told()


# -- since ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("news", "state", "since"),
    [(peer(2, revision=1), ALIVE, 100.0), (peer(2, ready=True), ALIVE, 100.0), (peer(2), SUSPECT, 200.0), (peer(2), DEAD, 200.0)],
)
def test_since_is_the_time_of_the_last_change_of_state(news: PeerRecord, state: PeerState, since: float) -> None:
    table = table_with(peer(2), ALIVE)
    table.learn(news, state, 200.0)
    entry = table.get(peer(2).id)
    assert entry is not None and entry.since == since


# -- limits ---------------------------------------------------------------------------------------------------------------


def test_a_full_table_takes_no_newcomers_but_news_of_its_own() -> None:
    table = Table(living_max=2)
    table.learn(peer(2), ALIVE, 100.0)
    table.learn(peer(3), ALIVE, 100.0)
    table.told()
    assert table.learn(peer(4), ALIVE, 100.0) is Change.FULL and table.refused_count == 1
    assert table.get(peer(4).id) is None and table.told() == [] and table.living_count == 2
    assert table.learn(peer(3), SUSPECT, 100.0) is Change.SUSPECTED
    assert table.learn(peer(3), DEAD, 100.0) is Change.DIED
    assert table.learn(peer(4), ALIVE, 100.0) is Change.JOINED


def test_a_revived_tombstone_respects_the_limit_of_the_living() -> None:
    table = Table(living_max=2)
    for number in range(2, 6):
        table.learn(peer(number), DEAD, 100.0)
        table.learn(peer(number, revision=1), ALIVE, 100.0)
    assert table.living_count == 2


def test_of_too_many_tombstones_the_oldest_goes_first() -> None:
    table = Table(tombstones_max=2)
    for number, state in ((2, DEAD), (3, LEFT), (4, DEAD)):
        table.learn(peer(number), state, 100.0 + number)
    assert [member.record.id for member in table.tombstones()] == [peer(3).id, peer(4).id]
    assert table.tombstones_count == 2


def test_a_tombstone_goes_when_its_time_is_over() -> None:
    table = Table(tombstone_s=50.0)
    table.learn(peer(2), DEAD, 100.0)
    table.learn(peer(3), ALIVE, 150.0)
    assert table.state_of(2) is DEAD
    table.learn(peer(4), ALIVE, 150.1)
    assert table.state_of(2) is None and table.living_count == 2


def test_a_tombstone_turned_from_dead_to_left_is_young_again() -> None:
    table = Table(tombstones_max=2)
    table.learn(peer(2), DEAD, 100.0)
    table.learn(peer(3), DEAD, 101.0)
    table.learn(peer(2), LEFT, 102.0)
    table.learn(peer(4), DEAD, 103.0)
    assert [member.record.id for member in table.tombstones()] == [peer(2).id, peer(4).id]


@pytest.mark.parametrize("state", STATES)
def test_a_forgotten_entry_leaves_no_trace(state: PeerState) -> None:
    table = table_with(peer(2, ready=True), state)
    table.forget(peer(2).id)
    table.forget(peer(3).id)  # was never there
    assert table.get(peer(2).id) is None
    assert (table.living_count, table.tombstones_count, table.ready_count) == (0, 0, 0)


NEWS = st.tuples(st.integers(1, 5), st.integers(0, 1), st.integers(0, 2), st.booleans(), st.sampled_from(STATES), st.floats(0, 50))


@steady
@given(st.lists(NEWS, max_size=60))
def test_whatever_comes_the_table_stays_in_order(news: list[tuple[int, int, int, bool, PeerState, float]]) -> None:
    table = Table(living_max=3, tombstones_max=2, tombstone_s=100.0)
    table.become(peer(1))
    wall = 0.0
    for number, life, revision, ready, state, seconds in news:
        wall += seconds
        record = peer(number, epoch=EPOCH + life, revision=revision, ready=ready)
        before = table.get(record.id)
        change = table.learn(record, state, wall)
        after = table.get(record.id)
        if before is not None and after is not None:
            assert after.record.order >= before.record.order
        if change in (NONE, Change.FULL):
            assert after == before
        living, gone = list(table.living()), list(table.tombstones())
        assert all(member.state in (ALIVE, SUSPECT) for member in living)
        assert all(member.state in (DEAD, LEFT) for member in gone)
        assert not {member.record.id for member in living} & {member.record.id for member in gone}
        assert (table.living_count, table.tombstones_count) == (len(living), len(gone))
        assert table.ready_count == sum(member.record.ready for member in living)
        assert table.get(peer(1).id) is None
        assert len(gone) <= 2
        assert_numbers_stand_for(table, [peer(1), *(member.record for member in living)])


def assert_numbers_stand_for(table: Table, records: list[PeerRecord]) -> None:
    """What is kept up to date is what is computed anew."""
    folds = [0] * BUCKETS
    for record in records:
        folds[record.id[-1]] ^= record_hash(record)
    assert table.folds == folds and table.root == reduce(xor, folds)
    listed = [member.record.id for bucket in range(BUCKETS) for member in table.in_buckets((bucket,))]
    known = [member.record.id for member in (*table.living(), *table.tombstones())]
    assert sorted(listed) == sorted(known)


STEPS = st.one_of(
    st.tuples(st.just("learn"), st.integers(2, 40), st.sampled_from(STATES)),
    st.tuples(st.sampled_from(("follow", "unfollow", "narrow", "widen", "become")), st.integers(2, 40), st.just(ALIVE)),
)


@steady
@given(st.lists(STEPS, max_size=80))
def test_a_table_that_is_full_now_and_partial_then_keeps_to_its_limits(steps: list[tuple[str, int, PeerState]]) -> None:
    table, me, luck = Table(), peer(1), Random(1)
    linked: dict[int, bool] = {}
    table.become(me)
    for what, number, state in steps:
        match what:
            case "learn":
                table.learn(peer(number), state, 1.0)
                if state in (DEAD, LEFT):
                    linked.pop(number, None)
                    table.unfollow(peer(number).id)
            case "follow" if table.is_living(peer(number).id) and len(linked) < 4:
                table.follow(peer(number).id)
                linked[number] = True
            case "unfollow":
                table.unfollow(peer(number).id)
                linked.pop(number, None)
            case "narrow":
                table.narrow(5, luck, 1.0)
            case "widen":
                table.widen()
            case "become":
                me = peer(1, revision=number)
                table.become(me)
        assert all(table.is_living(peer(number).id) for number in linked)
        assert_numbers_stand_for(table, [me, *(member.record for member in table.living())])
        if table.partial:
            suspects = sum(member.state is SUSPECT for member in table.living())
            assert table.candidates_count <= 5 + suspects and table.tombstones_count <= 5
