"""Topics and their patterns: dot-separated tokens, where `*` stands for one token and `>` for one or more at the end."""

from __future__ import annotations

from zmqgossip.core.errors import ConfigError, InvalidTopic, PayloadTooLarge

ONE = "*"
REST = ">"
TOPIC_MAX = 200
"""Characters of a topic."""


def parse_pattern(pattern: str) -> tuple[str, ...]:
    """The tokens of a pattern. Raises ConfigError for an empty token, or a `>` that is not the last."""
    tokens = tuple(pattern.split("."))
    if "" in tokens:
        raise ConfigError(f"pattern {pattern!r} has an empty token; write tokens between dots, as in prices.*")
    for token in tokens:
        if token not in (ONE, REST) and (ONE in token or REST in token):
            raise ConfigError(f"pattern {pattern!r} has {token!r}; '*' and '>' stand alone between dots, as in prices.*")
    if REST in tokens[:-1]:
        raise ConfigError(f"pattern {pattern!r} goes on behind '>'; that stands for all the rest and must be last")
    return tokens


def check_topic(topic: str) -> None:
    """Raises InvalidTopic for what no receiver would take, or no pattern could name."""
    if len(topic) > TOPIC_MAX:
        raise InvalidTopic(topic, f"it has {len(topic)} characters, at most {TOPIC_MAX} fit")
    if "" in topic.split("."):
        raise InvalidTopic(topic, "it has an empty token; write tokens between dots, as in prices.btc")
    if ONE in topic or REST in topic:
        raise InvalidTopic(topic, "'*' and '>' stand in patterns only; publish to one topic, as prices.btc")
    if any("\ud800" <= char <= "\udfff" for char in topic):
        raise InvalidTopic(topic, "it has half a surrogate pair, which UTF-8 cannot write")


def check_message(topic: str, payload_length: int, message_bytes_max: int) -> int:
    """The bytes of the longest payload that may be published under this topic. Raises InvalidTopic, PayloadTooLarge."""
    check_topic(topic)
    if payload_length > message_bytes_max:
        raise PayloadTooLarge(payload_length, message_bytes_max)
    return message_bytes_max


def matches(tokens: tuple[str, ...], topic: str) -> bool:
    """Whether a topic fits the tokens of a pattern."""
    parts = topic.split(".")
    if tokens[-1] == REST:
        if len(parts) < len(tokens):
            return False
        tokens = tokens[:-1]
    elif len(parts) != len(tokens):
        return False
    return all(token in (ONE, part) for token, part in zip(tokens, parts, strict=False))
