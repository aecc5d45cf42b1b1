"""A seed's list: leases, samples and pages, and what is kept of those that are gone."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, strategies as st

from tests.core.harness import CLUSTER, EPOCH, START, WALL, SeedBench, config, peer, steady
from zmqgossip.core.config import DEFAULT, ProtocolConfig
from zmqgossip.core.events import PeerRemoved
from zmqgossip.core.messages import List, Listed, Presence, Present
from zmqgossip.core.node import Node
from zmqgossip.core.registry import Registry
from zmqgossip.core.types import FIRST_ID, Member, PeerId, PeerState

ALIVE, SUSPECT, DEAD, LEFT = PeerState.ALIVE, PeerState.SUSPECT, PeerState.DEAD, PeerState.LEFT
LEASE = DEFAULT.lease_s


def registry_of(*numbers: int, knobs: ProtocolConfig = DEFAULT) -> Registry:
    registry = Registry(Node(CLUSTER, knobs, Random(1), WALL - START))
    for number in numbers:
        registry.enter(peer(number), b"a ticket", START)
    return registry


def ids(members: list[Member]) -> list[int]:
    return [int.from_bytes(member.record.id, "big") for member in members]


def all_pages(registry: Registry, limit: int) -> list[int]:
    found: list[int] = []
    after, more = FIRST_ID, True
    while more:
        members, more = registry.page(after, limit)
        assert len(members) == limit or not more, "only the last page is short"
        found += ids(members)
        after = members[-1].record.id if members else after
    return found


# -- leases, at a seed ----------------------------------------------------------------------------------------------------


def test_a_peer_that_does_not_renew_is_gone_when_its_lease_is_over_and_not_before() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.wait(LEASE - 0.001)
    assert bench.state_of(peer(2)) is ALIVE
    bench.wait(0.001)
    assert bench.state_of(peer(2)) is DEAD
    assert bench.events(PeerRemoved) == [PeerRemoved(peer(2), "its presence was not renewed", 0)]


def test_a_lease_is_four_intervals() -> None:
    assert LEASE == 4 * DEFAULT.presence_interval_s == 52.0


def test_every_presence_update_gives_the_whole_lease_again() -> None:
    bench = SeedBench()
    (ticket,) = bench.enlist(peer(2))
    for _ in range(10):
        bench.wait(LEASE - 1.0)
        bench.hears(peer(2), Presence(peer(2), ticket, 3))
    assert bench.state_of(peer(2)) is ALIVE and len(bench.told(peer(2), Present)) == 10
    bench.wait(LEASE)
    assert bench.state_of(peer(2)) is DEAD


def test_an_update_with_a_wrong_ticket_renews_nothing() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.wait(LEASE / 2)
    bench.hears(peer(2), Presence(peer(2), b"a guess!", 3))
    bench.wait(LEASE / 2)
    assert bench.state_of(peer(2)) is DEAD


@pytest.mark.parametrize("away_s", [4.0, 30.0, 60.0, 600.0])
def test_a_seed_that_was_away_takes_nobodys_lease_by_that(away_s: float) -> None:
    bench = SeedBench()
    (ticket, _) = bench.enlist(peer(2), peer(3))
    bench.wait(LEASE - 1.0)
    bench.sleep(away_s)
    assert bench.state_of(peer(2)) is bench.state_of(peer(3)) is ALIVE and bench.count("loop.late") == 1
    bench.hears(peer(2), Presence(peer(2), ticket, 3))
    bench.wait(DEFAULT.presence_interval_s)
    assert bench.state_of(peer(2)) is ALIVE
    assert bench.state_of(peer(3)) is DEAD, "who has still not renewed goes"


def test_a_seed_that_is_a_little_late_extends_nothing() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.sleep(LEASE + DEFAULT.late_s - 0.1)
    assert bench.state_of(peer(2)) is DEAD


# -- records --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "taken"),
    [
        (peer(2, ready=True), True),
        (peer(2, revision=5), True),
        (peer(2, epoch=EPOCH - 1, revision=9), False),
    ],
    ids=["ready", "newer", "older"],
)
def test_an_update_brings_the_newer_record(update: object, taken: bool) -> None:
    bench = SeedBench()
    (ticket,) = bench.enlist(peer(2))
    bench.hears(peer(2), Presence(update, ticket, 1))  # type: ignore[arg-type]
    entry = bench.engine.registry.get(peer(2).id)
    assert entry is not None and entry.record == (update if taken else peer(2))


@pytest.mark.parametrize(("port", "publish", "host"), [(5001, 6000, "10.0.0.2"), (5000, 6001, "10.0.0.2"), (5000, 6000, "10.0.0.9")])
def test_no_address_changes_without_a_dial_back(port: int, publish: int, host: str) -> None:
    bench = SeedBench()
    (ticket,) = bench.enlist(peer(2))
    moved = type(peer(2))(peer(2).id, EPOCH, 1, host, port, publish)
    bench.hears(peer(2), Presence(moved, ticket, 1))
    entry = bench.engine.registry.get(peer(2).id)
    assert entry is not None
    assert (entry.record.host, entry.record.port, entry.record.publish) == ("10.0.0.2", 5000, 6000)


def test_whoever_is_found_by_address_goes_with_the_entry() -> None:
    registry = registry_of(2)
    entry = registry.at(peer(2).endpoint)
    assert entry is not None and registry.by_key(entry.key) is entry is registry.get(peer(2).id)
    registry.remove(entry, DEAD, START)
    assert registry.at(peer(2).endpoint) is registry.by_key(entry.key) is registry.get(peer(2).id) is None
    assert len(registry) == 0 and registry.gone_count == 1


def test_whoever_is_listed_again_has_no_tombstone() -> None:
    registry = registry_of(2)
    entry = registry.get(peer(2).id)
    assert entry is not None
    registry.remove(entry, LEFT, START)
    assert registry.tombstone(peer(2).id) is not None
    registry.enter(peer(2, revision=1), b"a ticket", START)
    assert registry.tombstone(peer(2).id) is None and registry.gone_count == 0


def test_tombstones_are_bounded() -> None:
    registry = registry_of(*range(2, 12), knobs=config(tombstones_max=3))
    for number in range(2, 12):
        entry = registry.get(peer(number).id)
        assert entry is not None
        registry.remove(entry, DEAD, START + number)
    members, more = registry.page_of_gone(FIRST_ID, 10)
    assert ids(members) == [9, 10, 11] and not more


# -- samples --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("listed", "limit", "expected"), [(0, 5, 0), (1, 5, 0), (4, 5, 3), (6, 5, 5), (100, 5, 5), (100, 64, 64)])
def test_a_sample_is_bounded_and_has_everybody_if_all_fit(listed: int, limit: int, expected: int) -> None:
    registry = registry_of(*range(1, listed + 1))
    for luck in range(20):
        sample = ids(registry.sample(Random(luck), limit, peer(1).id))
        assert len(sample) == len(set(sample)) == expected and 1 not in sample


def test_a_sample_never_has_a_suspect() -> None:
    registry = registry_of(*range(1, 21))
    for number in range(1, 11):
        entry = registry.get(peer(number).id)
        assert entry is not None
        registry.set_state(entry, SUSPECT, START)
    samples = [ids(registry.sample(Random(luck), 20, peer(20).id)) for luck in range(10)]
    assert all(set(sample) == set(range(11, 20)) for sample in samples)


def test_everybody_is_in_some_sample() -> None:
    registry = registry_of(*range(1, 51))
    found = {number for luck in range(100) for number in ids(registry.sample(Random(luck), 5, peer(1).id))}
    assert found == set(range(2, 51))


# -- pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 11, 256])
def test_the_pages_together_are_the_whole_list_in_order(limit: int) -> None:
    assert all_pages(registry_of(*range(1, 11)), limit) == list(range(1, 11))


def test_a_page_that_ends_with_the_list_is_the_last() -> None:
    assert registry_of(1, 2, 3).page(FIRST_ID, 3)[1] is False


def test_an_empty_list_has_one_empty_page() -> None:
    assert registry_of().page(FIRST_ID, 10) == ([], False)


def test_suspects_are_still_listed() -> None:
    registry = registry_of(1, 2)
    entry = registry.get(peer(2).id)
    assert entry is not None
    registry.set_state(entry, SUSPECT, START + 5.0)
    members, _ = registry.page(FIRST_ID, 10)
    assert [(member.state, member.since) for member in members] == [(ALIVE, WALL), (SUSPECT, WALL + 5.0)]


CHANGES = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=4)


@steady
@given(st.sets(st.integers(1, 40), max_size=30), st.integers(1, 7), st.lists(CHANGES, max_size=20), st.booleans())
def test_who_is_listed_throughout_is_on_exactly_one_page_whatever_changes_in_between(
    listed: set[int], limit: int, changes: list[list[tuple[bool, int]]], gone: bool
) -> None:
    registry = registry_of(*sorted(listed))
    for_ever, ever = set(listed), set(listed)
    found: list[int] = []
    after: PeerId = FIRST_ID
    more = True
    while more:
        members, more = registry.page(after, limit)
        assert len(members) <= limit
        found += ids(members)
        after = members[-1].record.id if members else after
        for enters, number in changes.pop() if changes else []:
            entry = registry.get(peer(number).id)
            if enters and entry is None:
                registry.enter(peer(number), b"a ticket", START)
                ever.add(number)
            elif not enters and entry is not None:
                registry.remove(entry, DEAD if gone else LEFT, START)
                for_ever.discard(number)
    assert found == sorted(set(found)), "in order, nobody twice"
    assert for_ever <= set(found) <= ever


def test_a_page_is_asked_for_by_anybody_and_never_larger_than_the_limit() -> None:
    bench = SeedBench(knobs=config(page_max=3))
    bench.enlist(*[peer(number) for number in range(2, 10)])
    for limit, expected in ((0, 1), (2, 2), (3, 3), (100, 3), (2**32, 3)):
        bench.forget()
        bench.hears(peer(99), List(FIRST_ID, limit))
        (page,) = bench.replies(Listed)
        assert (len(page.members), page.total, page.more) == (expected, 8, True)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_tombstones_have_pages_of_their_own(limit: int) -> None:
    bench = SeedBench()
    bench.enlist(*[peer(number) for number in range(2, 7)])
    bench.wait(LEASE)
    bench.enlist(peer(8))
    found: list[int] = []
    after, more = FIRST_ID, True
    while more:
        bench.forget()
        bench.hears(peer(99), List(after, limit, True))
        (page,) = bench.replies(Listed)
        assert page.total == 5 and len(page.members) <= limit
        assert {member.state for member in page.members} == {DEAD}
        found += ids(page.members)
        after, more = page.members[-1].record.id, page.more
    assert found == [2, 3, 4, 5, 6]


def test_whoever_was_taken_off_is_named_twice_to_everybody_however_many_wait() -> None:
    registry = registry_of(1, *range(2, 202))
    asker = registry.get(peer(1).id)
    assert asker is not None
    for number in range(2, 202):
        entry = registry.get(peer(number).id)
        assert entry is not None
        registry.remove(entry, DEAD, START + number)
    answers = [ids(registry.tell_gone(asker, 64)) for _ in range(12)]
    assert sorted(number for answer in answers for number in answer) == sorted([*range(2, 202)] * 2)
    assert max(map(len, answers)) == 128 and answers[0][0] == 2, "the longest gone first"


def test_who_was_listed_before_the_clock_was_set_back_is_told_of_whoever_goes_afterwards() -> None:
    registry = registry_of(1, 2)
    asker, other = registry.get(peer(1).id), registry.get(peer(2).id)
    assert asker is not None and other is not None
    registry._node.wall_offset -= 3600.0
    registry.remove(other, DEAD, START + 1.0)
    assert ids(registry.tell_gone(asker, 64)) == [2]
