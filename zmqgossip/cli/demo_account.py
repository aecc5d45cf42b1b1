"""What the lines in `output_*.txt` add up to: who made how many messages, where they arrived, and what that proves.

The intuition: nobody in the demo is asked how it went. Every process writes down what it sees, and the account is made from
those lines alone: what is due is counted where messages are made, what came is counted where they arrive. A process is a `Life`,
because a port may have two of them, one after the other.

Left to others: reading files and ending processes (`demo_network.py`), the order of events (`demo_story.py`). Nothing here reads
a clock or a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Key: TypeAlias = tuple[str, int, int]
"""What makes a message one and the same everywhere: origin, time stamp, msg_count. A restarted origin counts from 1 again."""

_MESSAGE = re.compile(r"<(?:1133|1155)> <\d+> <(\d+)\.(\d{6})> <(\d+)> from (\S+) origin (\S+)")
_READY = re.compile(r"(\S+) ready, \d+ links? up")
_DEAD_REPORT = re.compile(r"\S+ seed \S+ dead report of (\S+) by (\S+) \((\w+), \d+ misses\)")
_LEAVE = re.compile(r"\S+ seed (\S+) leave of (\S+), \d+ peers")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One line about one message. `at_us` is when it was made, in whole microseconds, since a float would round."""

    origin: str
    at_us: int
    count: int
    brought: str
    line: str

    @property
    def key(self) -> Key:
        return (self.origin, self.at_us, self.count)


def parse_message(line: str) -> Message | None:
    """The message that a line is about; None for a line about something else."""
    match = _MESSAGE.fullmatch(line)
    if match is None:
        return None
    whole, fraction, count, brought, origin = match.groups()
    return Message(origin, int(whole + fraction), int(count), brought, line)


def parse_ready(line: str) -> int | None:
    """When a peer became ready, in microseconds, if that is what the line says."""
    match = _READY.fullmatch(line)
    if match is None:
        return None
    return (datetime.fromisoformat(match[1]) - _EPOCH) // timedelta(microseconds=1)


@dataclass(slots=True, eq=False)
class Life:
    """What one process of a peer has written: its own messages, those of others with who brought them, and signs of life."""

    endpoint: str
    ready_us: int | None = None
    own: dict[Key, Message] = field(default_factory=dict)
    received: dict[Key, Message] = field(default_factory=dict)
    repeats: int = 0
    probes: int = 0
    replies: int = 0

    @property
    def port(self) -> str:
        return port_of(self.endpoint)

    @property
    def latest(self) -> Message | None:
        """The last message that it made."""
        return next(reversed(self.own.values()), None)

    def read(self, line: str) -> None:
        """Takes in the next line of its file."""
        message = parse_message(line)
        if message is None:
            self.probes += line.startswith("<1122>")
            self.replies += line.startswith("<1144>")
            self.ready_us = parse_ready(line) if self.ready_us is None else self.ready_us
            return
        mine = message.brought == message.origin == self.endpoint
        known = self.own if mine else self.received
        if message.key in known:
            self.repeats += 1
        else:
            known[message.key] = message


@dataclass(slots=True, eq=False)
class SeedLog:
    """What the seeds have written, of which the demo needs two kinds of lines: dead reports and leaves."""

    dead_reports: dict[str, list[str]] = field(default_factory=dict)
    leaves: dict[str, list[str]] = field(default_factory=dict)

    def read(self, line: str) -> None:
        """Takes in the next line of `output_seed.txt`."""
        if (report := _DEAD_REPORT.fullmatch(line)) is not None:
            self.dead_reports.setdefault(report[1], []).append(line)
        elif (leave := _LEAVE.fullmatch(line)) is not None:
            self.leaves.setdefault(leave[2], []).append(line)

    def reporter(self, endpoint: str) -> tuple[str, str] | None:
        """Who first reported `endpoint` dead, and with what evidence."""
        for line in self.dead_reports.get(endpoint, []):
            match = _DEAD_REPORT.fullmatch(line)
            if match is not None:
                return match[2], match[3]
        return None


@dataclass(frozen=True, slots=True)
class Account:
    """What was due and what came. `missing` names what did not come, as (receiver, line of the maker)."""

    messages: int
    expected: int
    delivered: int
    duplicates: int
    missing: tuple[tuple[str, str], ...]

    @property
    def lost(self) -> int:
        return self.expected - self.delivered

    @property
    def clean(self) -> bool:
        return self.expected > 0 and self.lost == 0 and self.duplicates == 0


def settle(lives: Sequence[Life], survivors: Sequence[Life]) -> Account:
    """The account of all `lives`, of which `survivors` lived to the end.

    Due is each message at each other survivor that was ready when the message was made; what came is counted over those very
    pairs. A duplicate is a line beyond the first about one message in one life, the dead ones' too.
    """
    expected = 0
    missing: list[tuple[str, str]] = []
    for maker in lives:
        for message in maker.own.values():
            for receiver in survivors:
                if receiver is maker or receiver.ready_us is None or receiver.ready_us > message.at_us:
                    continue
                expected += 1
                if message.key not in receiver.received:
                    missing.append((receiver.endpoint, message.line))
    return Account(
        messages=sum(len(life.own) for life in lives),
        expected=expected,
        delivered=expected - len(missing),
        duplicates=sum(life.repeats for life in lives),
        missing=tuple(missing),
    )


def seen_by_all(message: Message, others: Iterable[Life]) -> bool:
    """Has everybody who was ready when it was made got it?"""
    return all(message.key in life.received for life in others if life.ready_us is not None and life.ready_us <= message.at_us)


def path_to(receiver: Life, message: Message, lives: Iterable[Life]) -> list[str]:
    """The endpoints that a message came through, from its maker to `receiver`; [] if that is not known."""
    brought = {life.endpoint: got.brought for life in lives if (got := life.received.get(message.key)) is not None}
    path = [receiver.endpoint]
    while path[-1] != message.origin:
        before = brought.get(path[-1])
        if before is None or before in path:  # a line not read yet
            return []
        path.append(before)
    return path[::-1]


def longest_path(message: Message, lives: Sequence[Life]) -> list[str]:
    """The path over the most peers that a message has taken."""
    return max((path_to(life, message, lives) for life in lives if message.key in life.received), key=len, default=[])


def prove_passed_on(lives: Iterable[Life]) -> str | None:
    """A line about a message that somebody else than its maker has brought."""
    for life in lives:
        for message in life.received.values():
            if message.brought != message.origin:
                return f"output_{life.port}.txt: {message.line}"
    return None


def prove_everybody(lives: Sequence[Life], survivors: Iterable[Life]) -> str | None:
    """One survivor that has messages of every other peer, and how many of each."""
    everybody = sorted({life.endpoint for life in lives})
    for life in survivors:
        counts = dict.fromkeys(everybody, 0)
        for origin, _, _ in life.received:
            counts[origin] = counts.get(origin, 0) + 1
        counts.pop(life.endpoint)
        if counts and all(counts.values()):
            shown = ", ".join(f"{count} of {port_of(origin)}" for origin, count in counts.items())
            return f"output_{life.port}.txt has messages of all {len(counts)} others: {shown}"
    return None


def prove_dead_report(log: SeedLog, endpoint: str | None) -> str | None:
    """A seed's line about the dead report of the peer that was killed."""
    return _first(log.dead_reports, endpoint)


def prove_leave(log: SeedLog, endpoint: str | None) -> str | None:
    """A seed's line about the goodbye of the peer that left."""
    return _first(log.leaves, endpoint)


def port_of(endpoint: str) -> str:
    """All peers of the demo share a host, so the port is name enough for a person."""
    return endpoint.rpartition(":")[2]


def _first(lines: dict[str, list[str]], endpoint: str | None) -> str | None:
    found = lines.get(endpoint, []) if endpoint is not None else []
    return f"output_seed.txt: {found[0]}" if found else None
