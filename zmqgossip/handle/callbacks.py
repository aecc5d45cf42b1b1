"""Callbacks: functions of the user that are called when something comes, one after the other, in one thread.

They never run at the same time, so they need no locks among themselves, and they may publish, ask others and close the handle. One
that raises harms nobody else: the exception goes to `threading.excepthook`, which prints it, and is counted.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

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
    """

    def __init__(self, feed: Feed[Message | Request], answer: Callable[[Request, bytes | BaseException | None], None]) -> None:
        self.failed_count = 0
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

    def join(self, timeout_s: float) -> None:
        """Waits for the callback that is running, unless it is the caller itself."""
        if self._thread is not None and threading.current_thread() is not self._thread:
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
        answer = self._call(self._on_request, request)
        if answer is not None and not isinstance(answer, (bytes, BaseException)):
            answer = TypeError(f"the handler returned {type(answer).__name__}, not bytes")
        if request.wants_answer:
            self._answer(request, answer)

    def _call(self, function: Callable[[Any], Any], argument: object) -> Any:
        """What `function` returns, or the exception that it raised."""
        try:
            return function(argument)
        except Exception as error:
            self.failed_count += 1
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            return error


def _check(function: Callable[..., object]) -> None:
    import inspect

    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__qualname__} is a coroutine function; use `async for message in peer.subscribe(...)` instead")
