"""The collector of cycles, told to look less often.

Thousands of engines are millions of objects that all live, and a run makes hardly any cycle among them. At Python's own thresholds a
tenth of a run's time, and half of that of building a settled world, went into looking for garbage that is not there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_AFTER = 100_000
"""New objects between two looks at the young ones: what is under way in a network of thousands at one moment."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """As long as this lasts, the collector looks rarely. Whoever has switched it off finds it off."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(max(LOOK_AFTER, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
