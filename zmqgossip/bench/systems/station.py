"""A station: one process's part in a system. What a system does not do in its own way is here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from zmqgossip.bench import counting, publishing
from zmqgossip.bench.board import Row
from zmqgossip.bench.counting import Oddities
from zmqgossip.bench.hearing import Hearing
from zmqgossip.bench.publishing import Schedule, Talk
from zmqgossip.bench.task import Facts


class Station:
    """What roles and the bench ask of a process. Commands take and return facts, which go over the pipe as JSON.

    Attributes:
        oddities: what was odd with what this process has counted.
        hearing: what it has heard where everybody publishes.
    """

    oddities: Oddities | None = None

    @cached_property
    def hearing(self) -> Hearing:
        return Hearing()

    def at_once(self) -> dict[str, Callable[[], Facts]]:
        """Commands that are answered at any time, by another thread than that which counts."""
        return {"heard": self.hearing.facts, "missing": lambda: {"missing": self.oddities.missing() if self.oddities else []}}

    # -- commands of the bench, in this order -----------------------------------------------------------------------------

    def open(self, facts: Facts) -> Facts:
        """Binds; says what the others need to know."""
        return {}

    def connect(self, facts: Facts) -> Facts:
        """Connects to what the others have said."""
        return {}

    def wait(self, facts: Facts) -> Facts:
        """Returns when what is sent from now on arrives."""
        return {}

    # -- what comes -------------------------------------------------------------------------------------------------------

    def payloads(self) -> Iterator[bytes]:
        """What arrives, as the system gives it to Python."""
        raise NotImplementedError

    def listen(self, take: Callable[[bytes], object]) -> None:
        """Hands each payload to `take` until that raises Ended."""
        for payload in self.payloads():
            take(payload)

    def count(self, oddities: Oddities) -> None:
        counting.count(self.payloads(), oddities)

    def chat(self, talk: Talk) -> None:
        """Publishes steadily and listens, for ever."""
        threading.Thread(target=publishing.talk, args=(self.send, self.hearing, talk), daemon=True).start()
        self.listen(self.hearing.take)

    # -- what goes --------------------------------------------------------------------------------------------------------

    send: Callable[[bytes], object]
    """Publishes one message."""

    def meanwhile(self) -> None:
        """What else a maker has to do while it publishes: nothing, for most."""

    def publish(self, size: int, head: Row, window: publishing.Window) -> int:
        return publishing.publish(self.send, size, head, window, self.meanwhile)

    def publish_each(self, schedule: Schedule) -> None:
        publishing.publish_each(self.send, schedule, self.meanwhile)

    def end(self, count: int, size: int, receivers: Sequence[Row], timeout_s: float = publishing.END_MAX_S) -> None:
        publishing.say_the_end(self.send, count, size, receivers, self.meanwhile, timeout_s)


def sent_by_calls(oddities: Oddities) -> Callable[[bytes], object]:
    """The counter of a system that calls with each message, ready to be called."""
    counter = counting.counter(oddities)
    next(counter)
    return counter.send
