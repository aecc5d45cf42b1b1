"""What the bench is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]
"""A document, or a part of one: what JSON can say."""


@dataclass(frozen=True, slots=True)
class Task:
    """One measure, to be taken once.

    Attributes:
        peers: processes of each system.
        sizes: bytes of a message; most measures take the first one.
        systems: which, by name.
        step: is told what comes next, before each run, and what share of all has been done.
        seconds: of a run; None for as long as the measure holds right.
    """

    peers: int
    sizes: Sequence[int]
    rounds: int
    systems: Sequence[str]
    step: Callable[[str, float], object]
    seconds: float | None = None

    @property
    def size(self) -> int:
        return self.sizes[0]
