"""The demo's plan, and what it refuses before it starts anything."""

from __future__ import annotations

import pytest

from zmqgossip.cli.app import app
from zmqgossip.cli.demo import PEERS_MAX, PEERS_MIN
from zmqgossip.cli.demo_story import EVERY_MAX_S, EVERY_MIN_S, joining_s, minimum_s, plan
from zmqgossip.cli.errors import ExitCode, run


@pytest.mark.parametrize("peers", [PEERS_MIN, 12, 30, PEERS_MAX])
@pytest.mark.parametrize("factor", [1.0, 1.5, 3.0, 20.0])
def test_messages_are_spread_over_the_middle_and_end_well_before_the_end(peers: int, factor: float) -> None:
    duration_s = minimum_s(peers) * factor
    made = plan(duration_s, peers)
    last_s = joining_s(peers) + (made.messages - 1) * made.every_s
    assert EVERY_MIN_S <= made.every_s <= EVERY_MAX_S
    assert made.messages >= 10
    assert 0.7 * duration_s < last_s + made.every_s
    assert last_s <= 0.75 * duration_s + 1e-6 < made.end_at_s


@pytest.mark.parametrize(("peers", "least"), [(4, 9), (12, 12), (30, 18)])
def test_more_peers_need_more_time(peers: int, least: int) -> None:
    assert minimum_s(peers) == least


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--for", "5"], "--for 5 is too short to show 12 peers; give at least 12 seconds"),
        (["--for", "12", "--peers", "30"], "--for 12 is too short to show 30 peers; give at least 18 seconds"),
        (["--for", "nan"], "--for nan is too short to show 12 peers; give at least 12 seconds"),
    ],
)
def test_too_little_time_is_refused_with_the_least_that_is_enough(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ["demo", *arguments]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"zmqgossip: {line}\n")


@pytest.mark.parametrize("peers", ["3", "101", "many"])
def test_a_number_of_peers_that_makes_no_network_is_refused(peers: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["demo", "--peers", peers]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("zmqgossip: invalid value for '--peers': ")
