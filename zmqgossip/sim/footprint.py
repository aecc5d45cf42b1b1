"""How much an engine remembers: the items in all containers that can be reached from it.

It counts entries and not bytes, so it is the same on every machine; a table that nobody ever clears shows as a number that grows
while nothing happens. It knows no class by name: a table that is added tomorrow is counted too.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

_LEAVES = (str, bytes, bytearray, int, float, bool, type(None), Random, type)


def footprint(root: object) -> int:
    """Items in all containers below `root`."""
    seen: dict[int, None] = {}
    frontier: list[Any] = [root]
    count = 0
    while frontier:
        one = frontier.pop()
        if isinstance(one, _LEAVES) or callable(one) or id(one) in seen:
            continue
        seen[id(one)] = None
        if isinstance(one, dict):
            count += len(one)
            frontier += one.values()
        elif isinstance(one, (list, tuple, deque, set, frozenset)):
            count += len(one)
            frontier += one
        else:
            frontier += _fields(one)
    return count


def _fields(one: object) -> list[Any]:
    names = [name for kind in type(one).__mro__ for name in _slots(kind)]
    return [*getattr(one, "__dict__", {}).values(), *(getattr(one, name, None) for name in names)]


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
