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


@pytest.mark.parametrize("topic", ["", ".", "a.", ".a", "a..b", "*", ">", "a.>", "a*", "x" * 201, "\ud800"])
def test_a_topic_that_no_message_may_have_is_refused(topic: str) -> None:
    with pytest.raises(InvalidTopic):
        check_message(topic, 0, 1_000)


def test_topic_and_payload_fit_together_or_are_refused() -> None:
    assert check_message("grüße", 3, 10) == 3
    assert check_message("x" * 200, 0, 200) == 0
    with pytest.raises(PayloadTooLarge) as caught:
        check_message("grüße", 4, 10)
    assert (caught.value.size, caught.value.size_max) == (11, 10)
