"""Every drop has a counter and a reason; so has what went well. Names are `group.reason`."""

from __future__ import annotations


class Counters:
    """Counts under names. Reading gives them sorted, so that two runs print alike."""

    __slots__ = ("_counts", "refused_count")

    def __init__(self) -> None:
        self.refused_count = 0  # frames of remotes, whatever the reason: the body asks after each
        self._counts: dict[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + amount

    def get(self, name: str) -> int:
        return self._counts.get(name, 0)

    def as_dict(self) -> dict[str, int]:
        return dict(sorted(self._counts.items()))

    def group(self, prefix: str) -> dict[str, int]:
        """The counters of one group, without its name: `group("refused")["magic"]`."""
        start = prefix + "."
        return {name[len(start) :]: count for name, count in sorted(self._counts.items()) if name.startswith(start)}
