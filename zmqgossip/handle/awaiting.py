"""Awaiting: how a task of asyncio waits for what another thread settles.

`asyncio.wrap_future` would cancel the future with its task, and `asyncio.shield` leaves one behind that nobody looks at: its event
loop may be closed, or report an exception that was never retrieved, long after the task has gone.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def settled(future: Future[T]) -> T:
    """What the future returns or raises. A task that is cancelled meanwhile leaves it as it is, for others or unheard."""
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()
    future.add_done_callback(lambda _: wake(loop, waiting))
    await waiting
    return future.result()


def wake(loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[None]) -> None:
    """Ends the waiting, from any thread."""
    with suppress(RuntimeError):  # that event loop has ended, and who waited with it
        loop.call_soon_threadsafe(_end, waiting)


def _end(waiting: asyncio.Future[Any]) -> None:
    if not waiting.done():  # its task may have been cancelled
        waiting.set_result(None)
