"""The demo's account: from lines in files to what was due, what came, what came twice, and the four proofs."""

from __future__ import annotations

import pytest

from zmqgossip.cli.demo_account import (
    Life,
    SeedLog,
    longest_path,
    parse_message,
    parse_ready,
    port_of,
    prove_dead_report,
    prove_everybody,
    prove_leave,
    prove_passed_on,
    seen_by_all,
    settle,
)

A, B, C, D = (f"127.0.0.1:{port}" for port in (5001, 5002, 5003, 5004))
AT = 1_730_000_000  # 2024-10-27T03:33:20Z


def message(origin: str, second: int, count: int = 1, brought: str = "") -> str:
    """A line about a message; brought by its maker if nobody else is named, and so the maker's own line too."""
    code = 1155 if brought else 1133
    return f"<{code}> <{port_of(origin)}> <{AT + second}.250000> <{count}> from {brought or origin} origin {origin}"


def ready(second: int) -> str:
    return f"2024-10-27T03:33:{20 + second:02}.000000Z ready, 4 links up"


def life(endpoint: str, *lines: str, ready_at: int | None = 0) -> Life:
    made = Life(endpoint)
    for line in ([ready(ready_at)] if ready_at is not None else []) + list(lines):
        made.read(line)
    return made


def test_a_line_of_a_message_is_read_to_the_microsecond() -> None:
    line = "<1155> <5001> <1730000000.123456> <3> from 127.0.0.1:5002 origin 127.0.0.1:5001"
    read = parse_message(line)
    assert read is not None
    assert (read.origin, read.at_us, read.count, read.brought, read.line) == (A, 1_730_000_000_123_456, 3, B, line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "<1122> <1730000000.123456> <5001> from 127.0.0.1:5001 origin 127.0.0.1:5001",
        "<1144> <1730000000.123456> <5001> <5002> from 127.0.0.1:5001 origin 127.0.0.1:5001",
        "<1155> <5001> <1730000000.123456> <3> from 127.0.0.1:5002 origin",
        "2024-10-27T03:33:20.000000Z chat 127.0.0.1:5001: " + message(A, 0),
        "2024-10-27T03:33:20.000000Z joined 127.0.0.1:5001",
    ],
)
def test_other_lines_are_no_messages(line: str) -> None:
    assert parse_message(line) is None


@pytest.mark.parametrize(
    ("line", "at_us"),
    [
        ("2024-10-27T03:33:20.000007Z ready, 4 links up", AT * 1_000_000 + 7),
        ("2024-10-27T03:33:20.000000Z peer ready 127.0.0.1:5001", None),
        ("2024-10-27T03:33:20.000000Z chat 127.0.0.1:5001: ready, 4 links up", None),
    ],
)
def test_a_peer_is_ready_from_the_time_of_its_own_line(line: str, at_us: int | None) -> None:
    assert parse_ready(line) == at_us


def test_only_the_first_ready_line_counts() -> None:
    assert life(A, ready(9)).ready_us == AT * 1_000_000


def test_signs_of_life_are_counted() -> None:
    asked = "<1122> <1730000000.123456> <5001> from 127.0.0.1:5001 origin 127.0.0.1:5001"
    answered = "<1144> <1730000000.123456> <5001> <5002> from 127.0.0.1:5001 origin 127.0.0.1:5001"
    counted = life(B, asked, answered, asked)
    assert (counted.probes, counted.replies) == (2, 1)


MADE = message(A, 1)
FIGURES = [
    ("nothing happened", [life(A), life(B)], [0, 1], (0, 0, 0, 0)),
    ("each has the other's", [life(A, MADE, message(B, 1)), life(B, message(B, 1), MADE)], [0, 1], (2, 2, 0, 0)),
    ("nobody owes its own to itself", [life(A, MADE)], [0], (0, 0, 0, 0)),
    ("brought by another is delivered all the same", [life(A, MADE), life(B, message(A, 1, 1, C))], [0, 1], (1, 1, 0, 0)),
    ("one of two has not got it", [life(A, MADE), life(B, MADE), life(C)], [0, 1, 2], (2, 1, 1, 0)),
    ("a dead receiver is owed nothing", [life(A, MADE), life(B, MADE), life(C)], [0, 1], (1, 1, 0, 0)),
    ("a dead maker's messages are due", [life(A, MADE), life(B), life(C, MADE)], [1, 2], (2, 1, 1, 0)),
    ("one that was not ready yet is owed nothing", [life(A, MADE), life(B, MADE, ready_at=2)], [0, 1], (0, 0, 0, 0)),
    ("one that never was ready either", [life(A, MADE), life(B, MADE, ready_at=None)], [0, 1], (0, 0, 0, 0)),
    ("ready in the same second, before", [life(A, MADE), life(B, MADE, ready_at=1)], [0, 1], (1, 1, 0, 0)),
    ("twice by the same", [life(A, MADE), life(B, MADE, MADE)], [0, 1], (1, 1, 0, 1)),
    ("twice by different ones", [life(A, MADE), life(B, MADE, message(A, 1, 1, C))], [0, 1], (1, 1, 0, 1)),
    ("three times are two too many", [life(A, MADE), life(B, MADE, MADE, MADE)], [0, 1], (1, 1, 0, 2)),
    ("twice at one that died later", [life(A, MADE), life(B, MADE, MADE)], [0], (0, 0, 0, 1)),
    ("one's own written twice", [life(A, MADE, MADE)], [0], (0, 0, 0, 1)),
    ("a second life counts from one again", [life(A, MADE), life(A, message(A, 5)), life(B, MADE, message(A, 5))], [1, 2], (3, 2, 1, 0)),
    ("another time stamp is another message", [life(A, MADE), life(B, message(A, 2))], [0, 1], (1, 0, 1, 0)),
]


@pytest.mark.parametrize(("lives", "survivors", "figures"), [row[1:] for row in FIGURES], ids=[str(row[0]) for row in FIGURES])
def test_what_is_due_is_counted_at_the_makers_and_what_came_at_the_receivers(
    lives: list[Life], survivors: list[int], figures: tuple[int, int, int, int]
) -> None:
    account = settle(lives, [lives[place] for place in survivors])
    assert (account.expected, account.delivered, account.lost, account.duplicates) == figures


def test_what_is_missing_is_named() -> None:
    account = settle(lives := [life(A, MADE), life(B, MADE), life(C)], lives)
    assert account.missing == ((C, MADE),)
    assert account.messages == 1


def test_a_message_is_seen_by_all_when_everybody_has_it_who_was_ready_in_time() -> None:
    maker = life(A, MADE)
    assert maker.latest is not None
    assert seen_by_all(maker.latest, [life(B, MADE), life(C, ready_at=2), life(D, ready_at=None)])
    assert not seen_by_all(maker.latest, [life(B, MADE), life(C)])


def test_the_latest_message_is_the_last_in_the_file() -> None:
    latest = life(A, MADE, message(B, 9), message(A, 2, 2)).latest
    assert latest is not None and latest.count == 2
    assert life(A).latest is None


def test_the_longest_path_goes_from_bringer_to_bringer_back_to_the_maker() -> None:
    lives = [life(A, MADE), life(B, MADE), life(C, message(A, 1, 1, B)), life(D, message(A, 1, 1, C))]
    made = parse_message(MADE)
    assert made is not None
    assert longest_path(made, lives) == [A, B, C, D]
    assert longest_path(made, [lives[0], lives[3]]) == []  # what lies between is not read yet
    assert longest_path(made, []) == []


def test_the_first_proof_is_a_line_that_another_than_the_maker_has_brought() -> None:
    passed_on = message(A, 1, 1, C)
    assert prove_passed_on([life(A, MADE), life(B, MADE)]) is None
    assert prove_passed_on([life(A, MADE), life(B, passed_on)]) == f"output_5002.txt: {passed_on}"


def test_the_second_proof_is_a_survivor_that_heard_from_every_other_peer() -> None:
    lives = [life(A, MADE), life(B, MADE, message(C, 1), message(C, 2, 2)), life(C, MADE)]
    assert prove_everybody(lives, [lives[0], lives[2]]) is None
    assert prove_everybody(lives, lives) == "output_5002.txt has messages of all 2 others: 1 of 5001, 2 of 5003"
    assert prove_everybody([lives[0]], [lives[0]]) is None


def test_the_other_two_proofs_are_lines_of_the_seeds_about_the_one_that_was_killed_and_the_one_that_left() -> None:
    report = f"2024-10-27T03:33:20.000000Z seed 127.0.0.1:6001 dead report of {A} by {B} (refused, 0 misses)"
    leave = f"2024-10-27T03:33:20.000000Z seed 127.0.0.1:6001 leave of {C}, 7 peers"
    log = SeedLog()
    for line in (report, report.replace(B, C), leave, "2024-10-27T03:33:20.000000Z seed 127.0.0.1:6001 connection from 127.0.0.1"):
        log.read(line)
    assert prove_dead_report(log, A) == f"output_seed.txt: {report}"
    assert prove_leave(log, C) == f"output_seed.txt: {leave}"
    assert log.reporter(A) == (B, "refused")
    assert log.reporter(C) is None
    assert [prove_dead_report(log, C), prove_dead_report(log, None), prove_leave(log, A), prove_leave(log, None)] == [None] * 4
