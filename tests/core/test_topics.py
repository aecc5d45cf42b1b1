"""Patterns of topics."""

from __future__ import annotations

import pytest

from zmqgossip.core.errors import ConfigError, InvalidTopic, PayloadTooLarge
from zmqgossip.core.topics import check_message, matches, parse_pattern

FITS = [
    ("prices.btc", "prices.btc", True),
    ("prices.btc", "prices.eth", False),
    ("prices.btc", "prices.btc.usd", False),
    ("prices.*", "prices.btc", True),
    ("prices.*", "prices", False),
    ("prices.*", "prices.btc.usd", False),
    ("*.btc", "prices.btc", True),
    ("*", "gossip", True),
    ("*", "a.b", False),
    ("prices.>", "prices.btc.usd", True),
    ("prices.>", "prices.btc", True),
    ("prices.>", "prices", False),
    (">", "anything.at.all", True),
    ("*.*.>", "a.b.c", True),
    ("*.*.>", "a.b", False),
    ("*", "", True),
]


@pytest.mark.parametrize(("pattern", "topic", "fits"), FITS)
def test_a_star_is_one_token_and_an_angle_bracket_the_rest(pattern: str, topic: str, fits: bool) -> None:
    assert matches(parse_pattern(pattern), topic) is fits


@pytest.mark.parametrize("pattern", ["", "a..b", ".a", "a.", ">.a", "a.>.b"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    "topic",
    ["t" * 201, "\ud800", "x\udfff", "", "prices..btc", ".btc", "prices.*", "a>b"],
    ids=["too long", "half a pair", "the other half", "empty", "empty token", "empty at the front", "one", "rest"],
)
def test_a_topic_that_no_receiver_would_accept_is_refused(topic: str) -> None:
    with pytest.raises(InvalidTopic):
        check_message(topic, 0, 65_536)


@pytest.mark.parametrize("topic", ["t" * 200, "prices.\u20bf", "\U0001f41f"])
def test_any_other_topic_is_taken(topic: str) -> None:
    check_message(topic, 0, 65_536)


def test_the_payload_alone_may_be_as_large_as_a_message() -> None:
    topic = "\u20bf" * 200
    assert check_message(topic, 100, 100) == 100
    with pytest.raises(PayloadTooLarge) as caught:
        check_message(topic, 101, 100)
    assert (caught.value.size, caught.value.size_max) == (101, 100)
