"""Callbacks: functions of the user that are called when something comes, one after the other, in one thread.

They never run at the same time, so they need no locks among themselves, and they may publish, ask others and close the handle. One
that raises harms nobody else: the exception goes to `threading.excepthook`, which prints it, and is counted. What still waits when
the handle is closed is let go: nobody who has closed wants to be called for long.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from zmqgossip.core.errors import NodeClosed
from zmqgossip.core.topics import matches, parse_pattern
from zmqgossip.handle.feed import Feed
from zmqgossip.handle.message import Message, Request

OnMessage = Callable[[Message], object]
OnRequest = Callable[[Request], bytes | None]


class Callbacks:
    """The thread of one handle's callbacks; it starts with the first of them.

    Args:
        feed: messages and requests, in the order in which they came.
        answer: takes a request and what its handler returned, or the exception that it raised.

    Attributes:
        failed_count: calls that raised.
        ending: their peer is on its way out, so NodeClosed is no failure any more.
    """

    def __init__(self, feed: Feed[Message | Request], answer: Callable[[Request, bytes | BaseException | None], None]) -> None:
        self.failed_count = 0
        self.ending = False
        self._feed = feed
        self._answer = answer
        self._patterns: list[tuple[tuple[str, ...], OnMessage]] = []
        self._on_request: OnRequest | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def wants_messages(self) -> bool:
        """Whether a message can concern anybody here."""
        return bool(self._patterns)

    def on(self, pattern: str, function: OnMessage) -> None:
        """Calls `function` for messages whose topic fits. Raises ConfigError for a bad pattern, TypeError for a coroutine."""
        tokens = parse_pattern(pattern)
        _check(function)
        with self._lock:
            self._patterns = [*self._patterns, (tokens, function)]
        self._start()

    def on_request(self, function: OnRequest) -> None:
        """Answers direct messages with what `function` returns, from now on."""
        _check(function)
        self._on_request = function
        self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="zmqgossip callbacks", daemon=True)
                self._thread.start()

    @property
    def is_caller(self) -> bool:
        """Whether a callback is what asks this."""
        return threading.current_thread() is self._thread

    def join(self, timeout_s: float) -> None:
        """Waits for the callback that is running, unless it is the caller itself."""
        if self._thread is not None and not self.is_caller:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        for item in self._feed:
            if isinstance(item, Request):
                self._handle(item)
                continue
            for tokens, function in self._patterns:
                if matches(tokens, item.topic):
                    self._call(function, item)

    def _handle(self, request: Request) -> None:
        assert self._on_request is not None, "questions come only when there is a handler"
        answer = self._call(_bytes_of(self._on_request), request)
        if request.wants_answer:
            self._answer(request, answer)

    def _call(self, function: Callable[[Any], Any], argument: object) -> Any:
        """What `function` returns, or the exception that it raised."""
        try:
            return function(argument)
        except NodeClosed as error:
            if not self.ending:
                self._complain()
            return error  # its peer ends while it runs: what it had still to say has nobody to go to
        except BaseException as error:  # sys.exit() too: in a callback it would end all the others, and nobody would know
            self._complain()
            return error

    def _complain(self) -> None:
        self.failed_count += 1
        with suppress(Exception):  # the hook is the user's as well
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


def _bytes_of(handler: OnRequest) -> OnRequest:
    """That handler, and TypeError if it returns what cannot be sent."""

    def handle(request: Request) -> bytes | None:
        answer: object = handler(request)
        if answer is not None and not isinstance(answer, bytes):
            raise TypeError(f"the handler of requests returned {type(answer).__name__}, not bytes")
        return answer

    return handle


def _check(function: Callable[..., object]) -> None:
    import inspect

    if not callable(function):
        raise TypeError(f"{function!r} cannot be called; decorate a function")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} is a coroutine function; use `async for message in peer.subscribe(...)` instead")
