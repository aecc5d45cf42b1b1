"""The line of registrations: clients take turns, and newcomers go before those who try again."""

from __future__ import annotations

from hypothesis import given, strategies as st

from tests.core.harness import steady
from zmqgossip.core.line import AGAIN_SHARE, Line


def emptied(line: Line) -> list[int]:
    return [line.take() for _ in range(len(line))]


def test_clients_take_turns_however_many_places_each_has() -> None:
    line = Line()
    for key in range(10):
        line.put("greedy", key)
    for key in (20, 21):
        line.put(key, key)
    assert emptied(line) == [0, 20, 21, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_one_turn_in_ten_is_for_those_who_try_again() -> None:
    line = Line()
    for key in range(40):
        line.put(key, key)
        line.put(key, 100 + key, again=True)
    turns = emptied(line)
    repeated = [place for place, key in enumerate(turns) if key >= 100]
    assert repeated[:4] == [AGAIN_SHARE * nth - 1 for nth in (1, 2, 3, 4)] and len(turns) == 80


def test_who_tries_again_does_not_wait_for_nobody() -> None:
    line = Line()
    line.put("a", 1, again=True)
    line.put("a", 2, again=True)
    assert emptied(line) == [1, 2]


def test_who_was_removed_has_no_turn() -> None:
    line = Line()
    for key in range(3):
        line.put("a", key)
    line.put("a", 9, again=True)
    for key in (1, 9, 7):
        line.remove("a", key)
    line.remove("b", 0)
    assert emptied(line) == [0, 2] and not line


@steady
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_everybody_has_exactly_one_turn(places: list[tuple[int, bool]]) -> None:
    line = Line()
    for key, (client, again) in enumerate(places):
        line.put(client, key, again=again)
    assert sorted(emptied(line)) == list(range(len(places))) and not line


@steady
@given(st.lists(st.integers(0, 4), max_size=60))
def test_between_two_turns_of_a_client_everybody_else_who_waits_has_one(clients: list[int]) -> None:
    line = Line()
    for key, client in enumerate(clients):
        line.put(client, key)
    served = [clients[key] for key in emptied(line)]
    for place, client in enumerate(served):
        later = served[place + 1 :]
        if client in later:
            assert {*later[: later.index(client)]} == {*later} - {client}
