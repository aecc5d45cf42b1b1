"""`zmqgossip pub` and `zmqgossip sub` without a network: wrong input, and the forms of a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from zmqgossip.cli.app import app
from zmqgossip.cli.errors import run
from zmqgossip.cli.pub import check_topic
from zmqgossip.cli.sub import facts_of, line_of
from zmqgossip.core.errors import ZmqGossipError
from zmqgossip.handle.message import Message, Origin

MESSAGE = Message("prices.btc", b"1 \xff\x1b", Origin(bytes(16), "127.0.0.1", 5001), 3, 1_700_000_000.25, 2)

WRONG = [
    (["pub", "a..b", "x"], "empty token"),
    (["pub", "a.*", "x"], "stand in patterns only"),
    (["pub", "x" * 201, "x"], "at most 200"),
    (["pub", "a\udcff", "x"], "UTF-8"),
    (["pub", "a", "x", "--wait", "0"], "--wait"),
    (["pub", "a", "x", "--config", "none.json"], "none.json"),
    (["pub"], "TOPIC"),
    (["sub", "a.>.b"], "must be last"),
    (["sub", "-n", "0"], "-n"),
    (["sub", "--raw", "--json"], "choose one"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG, ids=[ascii(" ".join(arguments))[:20] for arguments, _ in WRONG])
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(app, arguments) == 2
    printed, said = capsys.readouterr()
    assert (printed, said.count("\n"), named in said) == ("", 1, True), said


@pytest.mark.parametrize("topic", ["a", "prices.btc", "x" * 200, "grüße.an alle"])
def test_what_a_message_may_have_as_its_topic_is_taken(topic: str) -> None:
    check_topic(topic)


@pytest.mark.parametrize("topic", ["", ".", "a.", ".a", "a..b", "*", ">", "a.>", "a*", "x" * 201, "\ud800"])
def test_what_no_message_may_have_as_its_topic_is_refused(topic: str) -> None:
    with pytest.raises(ZmqGossipError):
        check_topic(topic)


def test_a_line_for_people_tells_topic_and_payload_first_and_moves_no_cursor() -> None:
    assert line_of(MESSAGE) == "prices.btc: 1 \ufffd\\x1b origin 127.0.0.1:5001"


def test_a_message_as_json_says_who_made_it_and_when() -> None:
    assert facts_of(MESSAGE) == {
        "ts": "2023-11-14T22:13:20.250000Z",
        "kind": "message",
        "origin": "127.0.0.1:5001",
        "number": 3,
        "topic": "prices.btc",
        "size": 4,
        "payload": "1 \\xff\x1b",
        "hops": 2,
    }
