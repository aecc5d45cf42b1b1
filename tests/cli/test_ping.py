"""`zmqgossip ping` without a network: what names a peer, and the line at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zmqgossip.cli.app import app
from zmqgossip.cli.errors import NobodyReachable, run
from zmqgossip.cli.ping import find, is_id, summary
from zmqgossip.core.errors import ZmqGossipError
from zmqgossip.core.types import Endpoint
from zmqgossip.runtime import query
from zmqgossip.settings import Settings, load

CONFIG = json.dumps({"cluster": "test", "seeds": [{"host": "127.0.0.1", "port": 1}]})


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text(CONFIG)
    return load(None)


@pytest.mark.parametrize("target", ["abcd", "ABCD", "0123", "123456", "0" * 32])
def test_this_is_the_beginning_of_an_id(target: str) -> None:
    assert is_id(target)


@pytest.mark.parametrize("target", ["", "abc", "1234", "65535", "99999", "abcx", "0" * 33, "::1", "abcd:1"])
def test_this_is_none(target: str) -> None:
    assert not is_id(target)


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [("5001", Endpoint("127.0.0.1", 5001)), ("10.0.0.1:5", Endpoint("10.0.0.1", 5)), ("[::1]:5", Endpoint("::1", 5))],
)
def test_a_port_and_an_endpoint_name_a_peer(target: str, endpoint: Endpoint, settings: Settings) -> None:
    assert find(target, settings) == (endpoint, None)


@pytest.mark.parametrize("target", ["70000", "nonsense", "127.0.0.1:x", "abc", ":5", "5:"])
def test_what_names_no_peer_is_one_line_and_exit_code_2(target: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["ping", target]) == 2
    printed, said = capsys.readouterr()
    assert (printed, said.count("\n"), target in said) == ("", 1, True), said


def test_an_id_is_looked_up_in_the_lists_and_must_be_the_only_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from zmqgossip.core.types import Member, PeerRecord, PeerState

    records = [PeerRecord(bytes([0xAB, 0xCD, last] * 5) + b"\0", 1, 0, "127.0.0.1", 5000 + last, 6000) for last in (1, 2)]
    members = [Member(record, PeerState.ALIVE, 0.0) for record in records]
    complete = True

    def ask_seeds(*_: object, **__: object) -> list[query.Answer]:
        return [query.Answer(Endpoint("127.0.0.1", 1), members, complete)]

    monkeypatch.setattr(query, "ask_seeds", ask_seeds)
    assert find("abcd02", settings) == (records[1].endpoint, records[1].id)
    with pytest.raises(ZmqGossipError, match="2 peers have an id that begins with abcd") as error:
        find("ABCD", settings)
    assert all(record.id.hex() in str(error.value) for record in records)
    with pytest.raises(NobodyReachable, match="no peer whose id begins with abcd03"):
        find("abcd03", settings)
    complete = False
    with pytest.raises(NobodyReachable, match="no seed answers"):
        find("abcd02", settings)


def test_the_summary_has_the_times_of_what_was_answered() -> None:
    assert summary(2, []) == "2 sent, 0 received"
    assert summary(4, [3.0, 1.0, 1.5]) == "4 sent, 3 received, min 1.00 median 1.50 max 3.00 ms"
