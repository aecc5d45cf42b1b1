"""Plain TCP connects: does anybody listen at a port? ZeroMQ's own connect says only that it did not work, not why."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zmqgossip.core.outbox import Knock
from zmqgossip.core.types import Endpoint

Watch = Callable[[socket.socket, Callable[[float], None] | None], None]


@dataclass(slots=True, eq=False)
class _Attempt:
    """One KNOCK effect: its ports, and what they met so far."""

    key: int
    until: float
    results: list[Knock | None]
    sockets: dict[int, socket.socket] = field(default_factory=dict)


class Knocker:
    """All connects under way of one body. `done(key, results, now)` is called once for each knock."""

    def __init__(self, watch: Watch, done: Callable[[int, Sequence[Knock], float], None], timeout_s: float) -> None:
        self._watch = watch
        self._done = done
        self._timeout_s = timeout_s
        self._attempts: list[_Attempt] = []

    def knock(self, key: int, endpoints: Sequence[Endpoint], now: float) -> None:
        attempt = _Attempt(key, now + self._timeout_s, [None] * len(endpoints))
        self._attempts.append(attempt)
        for place, endpoint in enumerate(endpoints):
            self._connect(attempt, place, endpoint)
        self._finish_if_complete(attempt, now)

    def _connect(self, attempt: _Attempt, place: int, endpoint: Endpoint) -> None:
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        try:
            plain = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:  # no descriptor left: that says nothing about the other side
            attempt.results[place] = Knock.SILENT
            return
        try:
            code = plain.connect_ex((endpoint.host, endpoint.port))
        except OSError as error:  # an address of no use here
            code = error.errno or errno.EINVAL
        if code == errno.EINPROGRESS:
            attempt.sockets[place] = plain
            self._watch(plain, lambda now: self._connected(attempt, place, now))
        else:
            plain.close()
            attempt.results[place] = _meaning(code)

    def _connected(self, attempt: _Attempt, place: int, now: float) -> None:
        plain = attempt.sockets.pop(place)
        code = plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._watch(plain, None)
        plain.close()
        attempt.results[place] = _meaning(code)
        self._finish_if_complete(attempt, now)

    def _finish_if_complete(self, attempt: _Attempt, now: float) -> None:
        if not attempt.sockets:
            self._attempts.remove(attempt)
            self._done(attempt.key, [result or Knock.SILENT for result in attempt.results], now)

    @property
    def next_deadline(self) -> float | None:
        return self._attempts[0].until if self._attempts else None

    def expire(self, now: float) -> None:
        """Gives up on connects that hang: each is SILENT."""
        while self._attempts and self._attempts[0].until <= now:
            attempt = self._attempts[0]
            self._drop(attempt)
            self._finish_if_complete(attempt, now)

    def close(self) -> None:
        for attempt in self._attempts:
            self._drop(attempt)
        self._attempts.clear()

    def _drop(self, attempt: _Attempt) -> None:
        for plain in attempt.sockets.values():
            self._watch(plain, None)
            plain.close()
        attempt.sockets.clear()


def _meaning(code: int) -> Knock:
    if code == 0:
        return Knock.ACCEPTED
    return Knock.REFUSED if code == errno.ECONNREFUSED else Knock.SILENT
