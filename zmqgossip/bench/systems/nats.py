"""NATS: one nats-server, and nats.py at both ends, which is asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from zmqgossip.bench import publishing
from zmqgossip.bench.board import Row
from zmqgossip.bench.counting import Ended, Oddities
from zmqgossip.bench.publishing import Schedule
from zmqgossip.bench.systems.station import Station, sent_by_calls
from zmqgossip.bench.task import Facts

nats: Any = import_module("nats")  # not a dependency: mypy need not know it
SUBJECT = "bench"
PENDING_MAX = 1_000_000
"""Messages and KiB that a subscription holds; far above the window, so that it never drops."""
CONNECT_TRIES = 100
CONNECT_PAUSE_S = 0.05


class Nats(Station):
    """The publisher (`publishes`) or a receiver."""

    def __init__(self, settings: Facts) -> None:
        self._publishes: bool = settings["publishes"]
        self._endpoint: str = settings["server"]
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._take: Callable[[bytes], object] = self._ignore
        self._ended = asyncio.Event()

    def connect(self, facts: Facts) -> Facts:
        self._loop.run_until_complete(self._connect())
        return {}

    async def _connect(self) -> None:
        for left in reversed(range(CONNECT_TRIES)):
            try:
                self._client = await nats.connect(self._endpoint, allow_reconnect=False)
                break
            except Exception:  # the server has just been started
                if not left:
                    raise
                await asyncio.sleep(CONNECT_PAUSE_S)
        if not self._publishes:
            held = {"pending_msgs_limit": PENDING_MAX, "pending_bytes_limit": PENDING_MAX * 1024}
            await self._client.subscribe(SUBJECT, cb=self._on_message, **held)
        await self._client.flush()

    def listen(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._loop.run_until_complete(self._ended.wait())

    async def _on_message(self, message: Any) -> None:
        """A coroutine for each message costs half of what `async for` does in nats.py."""
        try:
            self._take(message.data)
        except Ended:
            self._take = self._ignore
            self._ended.set()

    def _ignore(self, payload: bytes) -> None:
        """What comes after the end."""

    def count(self, oddities: Oddities) -> None:
        self.listen(sent_by_calls(oddities))

    def publish(self, size: int, head: Row, window: publishing.Window) -> int:
        send = partial(self._client.publish, SUBJECT)
        return self._loop.run_until_complete(publishing.publish_as_task(send, size, head, window))

    def publish_each(self, schedule: Schedule) -> None:
        self._loop.run_until_complete(publishing.publish_each_as_task(partial(self._client.publish, SUBJECT), schedule))

    def end(self, count: int, size: int, receivers: Sequence[Row], timeout_s: float = publishing.END_MAX_S) -> None:
        send = partial(self._client.publish, SUBJECT)
        self._loop.run_until_complete(publishing.say_the_end_as_task(send, count, size, receivers, timeout_s))
