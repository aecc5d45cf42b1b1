"""Whose turn it is: clients take turns, however many places each has, and who tries again lets newcomers pass.

Served in the order of arrival, one client with 200 places would make the next wait for 200 turns; in turns it makes it wait for one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

AGAIN_SHARE = 10
"""One turn in so many is for somebody who tries again, while newcomers wait: liars' repetitions cost newcomers a tenth of the turns,
and newcomers without end do not keep out who was unlucky once."""


class Line:
    """Keys that wait for their turn, each of some client."""

    __slots__ = ("_again", "_first", "_firsts_in_a_row")

    def __init__(self) -> None:
        self._first = _Turns()
        self._again = _Turns()
        self._firsts_in_a_row = 0

    def put(self, client: Hashable, key: int, *, again: bool = False) -> None:
        (self._again if again else self._first).put(client, key)

    def take(self) -> int:
        """The key whose turn it is, out of the line. There must be one."""
        is_first = bool(self._first) and not (self._again and self._firsts_in_a_row >= AGAIN_SHARE - 1)
        self._firsts_in_a_row = self._firsts_in_a_row + 1 if is_first else 0
        return (self._first if is_first else self._again).take()

    def remove(self, client: Hashable, key: int) -> None:
        """It waits no longer, if it did."""
        self._first.remove(client, key)
        self._again.remove(client, key)

    def __len__(self) -> int:
        return len(self._first) + len(self._again)


class _Turns:
    """Round robin: the client at the front has its oldest key served, and goes to the back."""

    __slots__ = ("_by_client", "_count")

    def __init__(self) -> None:
        self._by_client: OrderedDict[Hashable, OrderedDict[int, None]] = OrderedDict()
        self._count = 0

    def put(self, client: Hashable, key: int) -> None:
        self._by_client.setdefault(client, OrderedDict())[key] = None
        self._count += 1

    def take(self) -> int:
        client, keys = self._by_client.popitem(last=False)
        key, _ = keys.popitem(last=False)
        if keys:
            self._by_client[client] = keys
        self._count -= 1
        return key

    def remove(self, client: Hashable, key: int) -> None:
        keys = self._by_client.get(client)
        if keys is None or key not in keys:
            return
        del keys[key]
        if not keys:
            del self._by_client[client]
        self._count -= 1

    def __len__(self) -> int:
        return self._count
