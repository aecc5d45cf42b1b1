"""Figures out of figures: medians, spreads, percentiles and ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float]) -> float:
    """(max - min) / median: how far the rounds lie apart; 0 for none."""
    middle = median(values) if values else 0.0
    return (max(values) - min(values)) / middle if middle else 0.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above; `ordered` ascends and is not empty."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median of the rounds' ratios, ours to theirs; None if there is none."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True) if other]
    return median(ratios) if ratios else None


def rounded(value: float | None, digits: int = 3) -> float | None:
    """With so many digits that mean something: nobody measures more here. None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    if value == 0:
        return 0.0
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return round(value, max(places, 0))
