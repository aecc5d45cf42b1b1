"""Who has heard what of whom, where everybody publishes: for each maker the first number, the next, and what was odd between."""

from __future__ import annotations

from zmqgossip.bench.counting import HEADER
from zmqgossip.bench.task import Facts

SEQUENCE_BITS = 40
"""A number says who made it in the bits above these."""


def numbered(place: int, number: int) -> int:
    """The number of the maker's next message, for its payload."""
    return place << SEQUENCE_BITS | number


class Heard:
    """What one listener has heard of one maker.

    Attributes:
        first: the first number that came: hearing begins there.
        received: different numbers.
        duplicates: copies of them.
        disordered: numbers that came after a higher one.
    """

    __slots__ = ("_missing", "_next", "disordered", "duplicates", "first", "received")

    def __init__(self, first: int) -> None:
        self.first = self._next = first
        self.received = self.duplicates = self.disordered = 0
        self._missing: set[int] = set()

    def take(self, number: int) -> None:
        if number >= self._next:
            self._missing.update(range(self._next, number))
            self._next = number + 1
            self.received += 1
        elif number in self._missing:
            self._missing.discard(number)
            self.received += 1
            self.disordered += 1
        elif number < self.first:
            self._missing.update(range(number + 1, self.first))
            self.first = number
            self.received += 1
            self.disordered += 1
        else:
            self.duplicates += 1


class Hearing:
    """What one listener has heard of everybody, and what it has made itself. Read by another thread than that which listens."""

    def __init__(self) -> None:
        self.made_ns: list[int] = []
        """When each of its own messages was made, by number."""
        self._heard: dict[int, Heard] = {}

    def take(self, payload: bytes) -> None:
        number = HEADER.unpack_from(payload)[0]
        place, number = number >> SEQUENCE_BITS, number & (1 << SEQUENCE_BITS) - 1
        heard = self._heard.get(place)
        if heard is None:
            heard = self._heard[place] = Heard(number)
        heard.take(number)

    def make(self, place: int, rest: bytes, now_ns: int) -> bytes:
        """The payload of its own next message."""
        payload = HEADER.pack(numbered(place, len(self.made_ns)), now_ns) + rest
        self.made_ns.append(now_ns)
        return payload

    def facts(self) -> Facts:
        """`heard`: for each maker [first, received, duplicates, disordered]; `made_ns`."""
        heard = {str(place): [one.first, one.received, one.duplicates, one.disordered] for place, one in list(self._heard.items())}
        return {"heard": heard, "made_ns": list(self.made_ns)}
