"""Topics and their patterns: dot-separated tokens, where `*` stands for one token and `>` for one or more at the end."""

from __future__ import annotations

from zmqgossip.core.errors import ConfigError

ONE = "*"
REST = ">"


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


def parse_topic(topic: str) -> tuple[str, ...]:
    """The tokens of a topic that a pattern can name. Raises ConfigError for an empty token, or a character that patterns use."""
    tokens = tuple(topic.split("."))
    if "" in tokens:
        raise ConfigError(f"topic {topic!r} has an empty token; write tokens between dots, as in prices.btc")
    if any(char in topic for char in (ONE, REST)):
        raise ConfigError(f"topic {topic!r} has '*' or '>', which stand in patterns only; publish to one topic, as prices.btc")
    return tokens


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
