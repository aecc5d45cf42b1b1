"""What users hand over, checked for its kind: said in their own thread, where the mistake was made."""

from __future__ import annotations

import math
import time

from zmqgossip.core.errors import InvalidTimeout


def text_of(topic: object, what: str = "a topic") -> str:
    """A plain str. Raises TypeError."""
    if not isinstance(topic, str):
        raise TypeError(f"{what} is a str, not {type(topic).__name__}")
    return topic if type(topic) is str else str.__str__(topic)


def bytes_of(payload: object) -> bytes:
    """Plain bytes that nobody changes any more. Raises TypeError."""
    if not isinstance(payload, (bytes, bytearray, memoryview)):
        raise TypeError(f"a payload is bytes, not {type(payload).__name__}; encode it first, as text.encode()")
    return bytes(payload)


def seconds_of(timeout: object) -> float:
    """A number of seconds. Raises TypeError."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"a timeout is a number of seconds, not {timeout!r}: who is asked may never answer")
    return timeout


def wait_of(timeout: object) -> float:
    """A number of seconds that somebody waits; 0 does not wait. Raises TypeError, InvalidTimeout."""
    seconds = seconds_of(timeout)
    if not seconds >= 0:  # neither is NaN
        raise InvalidTimeout(seconds, math.inf)
    return seconds


def limit_of(timeout: float | None) -> float | None:
    """The same for the standard library's waits, which take None for ever and no infinity. Raises as `wait_of` does."""
    return None if timeout is None or math.isinf(wait_of(timeout)) else timeout


def until_of(timeout: float | None) -> float | None:
    """When a wait that begins now ends, by the monotonic clock; None for never. Raises as `wait_of` does."""
    limit = limit_of(timeout)
    return None if limit is None else time.monotonic() + limit
