"""Stall: one receiver stops, or its application dawdles, while the publisher gives what the network takes. What does that do to all others?

A run of a minute: after ten seconds the trouble begins, and at its end everybody says what is missing there. The counts on the board are
read ten times a second, so that it is known when the others were slowed, and for how long.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from zmqgossip import ProtocolConfig
from zmqgossip.bench import networks, ranges, upkeep
from zmqgossip.bench.board import DONE, DUPLICATES, LATE, LOST, SEEN, SLOW, STOP
from zmqgossip.bench.crew import Child, Crew, tell_all
from zmqgossip.bench.errors import BenchFailed
from zmqgossip.bench.figures import rounded
from zmqgossip.bench.task import Facts, Task

PUBLISHED_S = 60.0
BEGIN = 10 / 60
"""Of that time, when the trouble begins."""
WARM_UP = 3 / 60
LOOK_S = 0.1
RECOVERED = 0.9
"""Of the rate before: the others are well again."""
HALTED = 0.1
"""Of the rate before: they stand still."""
WINDOW_S = 1.0
END_S = 45.0
SERIES = 5
"""Looks a point of the picture."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What happens to the last receiver.

    Attributes:
        share: of the whole time, how long.
        stops: its process is stopped; else its application takes one message a second.
    """

    name: str
    share: float
    stops: bool


SITUATIONS = (
    Situation("stopped_3_s", 3 / 60, True),
    Situation("stopped_30_s", 30 / 60, True),
    Situation("slow_application", 50 / 60, False),
)


@dataclass(slots=True)
class Timeline:
    """What was seen while it ran.

    Attributes:
        points: (seconds, messages that each receiver had got), the troubled one last.
        begin, end: of the trouble, in those seconds.
    """

    points: list[tuple[float, list[int]]] = field(default_factory=list)
    begin: float = 0.0
    end: float = 0.0

    def rate(self, first: float, last: float) -> float | None:
        """Messages a second at the slowest of the others between two moments; None if nobody looked then."""
        inside = [point for point in self.points if first <= point[0] <= last]
        if len(inside) < 2 or inside[-1][0] == inside[0][0]:
            return None
        (began, before), (ended, after) = inside[0], inside[-1]
        return min(now - then for now, then in zip(after[:-1], before[:-1], strict=True)) / (ended - began)

    def recovered_s(self, before: float | None) -> float | None:
        """Seconds until the others had 90 % of their rate again, for a second: the longest such time that began in the trouble.

        0 if they never had less; None if they never had it again.
        """
        if not before:
            return None
        window = min(WINDOW_S, self.points[-1][0] / 10)
        longest, since = 0.0, None
        for moment, _ in self.points:
            rate = self.rate(moment, moment + window + LOOK_S / 2)
            if rate is None or moment < self.begin or moment + window > self.points[-1][0]:
                continue
            if rate >= RECOVERED * before:
                longest, since = max(longest, moment - since if since is not None else 0.0), None
            elif since is None and moment < self.end:
                since = moment
        return longest if since is None else None

    def halted_s(self, before: float | None) -> float | None:
        """Seconds of the trouble in which the slowest of the others had next to nothing, however often that began anew.

        None if the rate before is not known.
        """
        if not before:
            return None
        inside = [point for point in self.points if self.begin <= point[0] <= self.end]
        halted = 0.0
        for (began, then), (ended, now) in pairwise(inside):
            rate = min(late - early for late, early in zip(now[:-1], then[:-1], strict=True)) / (ended - began)
            halted += ended - began if rate < HALTED * before else 0.0
        return halted

    def series(self) -> dict[str, list[tuple[float, int]]]:
        """Rates over time, for a picture."""
        others, troubled = [], []
        for (began, before), (ended, after) in zip(self.points[::SERIES], self.points[SERIES::SERIES], strict=False):
            rates = [(now - then) / (ended - began) for now, then in zip(after, before, strict=True)]
            others.append((round(ended, 1), round(min(rates[:-1]))))
            troubled.append((round(ended, 1), round(rates[-1])))
        return {"slowest of the others": others, "the troubled one": troubled}


def measure(task: Task) -> Facts:
    """Every situation at every size, once; the document that --json prints."""
    sizes: Facts = {}
    begun = 0
    for size in task.sizes:
        sizes[str(size)] = found = {}
        for situation in SITUATIONS:
            task.step(f"{size} bytes: {situation.name.replace('_', ' ')}", begun / (len(task.sizes) * len(SITUATIONS)))
            begun += 1
            with Crew(task.peers) as crew:
                networks.assemble_gossip(crew, task.peers)
                found[situation.name] = run(crew, situation, size, task.seconds or PUBLISHED_S)
    return {"peers": task.peers, "seconds": task.seconds or PUBLISHED_S, "sizes": sizes}


def run(crew: Crew, situation: Situation, size: int, seconds: float) -> Facts:
    """One situation. A process that ends by itself is counted, and leaves the rest unknown."""
    timeline = Timeline()
    try:
        return _run(crew, situation, size, seconds, timeline)
    except BenchFailed as error:
        return {"aborts": _aborts(crew), "failed": str(error)}


def _run(crew: Crew, situation: Situation, size: int, seconds: float, timeline: Timeline) -> Facts:
    publisher, *receivers = crew.stations
    head, victim = crew.board.row(0), receivers[-1]
    # Who can dawdle counts in a slower loop, so only the one that will.
    counting = [child.begin("count_slowly" if child is victim and not situation.stops else "count") for child in receivers]
    publishing = publisher.begin("publish", {"size": size, "receivers": crew.receivers, "end_s": END_S})
    began = time.monotonic()
    timeline.begin, timeline.end = BEGIN * seconds, (BEGIN + situation.share) * seconds
    _watch(crew, timeline, began, timeline.begin)
    _trouble(head, victim, situation, True)
    _watch(crew, timeline, began, timeline.end)
    _trouble(head, victim, situation, False)
    _watch(crew, timeline, began, seconds)
    head[STOP] = 1
    published = publisher.answer(publishing, seconds + 2 * END_S)["published"]
    for child, number in zip(receivers, counting, strict=True):
        if crew.board.row(child.row)[DONE]:
            child.answer(number)
    return _report(crew, timeline, published)


def _watch(crew: Crew, timeline: Timeline, began: float, until: float) -> None:
    """Looks at the board until so many seconds have gone."""
    while (at := time.monotonic() - began) < until:
        rows = crew.board.copy()
        timeline.points.append((at, [rows[place][SEEN] - rows[place][LOST] for place in crew.receivers]))
        time.sleep(min(LOOK_S, until - at))


def _trouble(head: memoryview, victim: Child, situation: Situation, begins: bool) -> None:
    if situation.stops:
        victim.send_signal(signal.SIGSTOP if begins else signal.SIGCONT)
    else:
        head[SLOW] = int(begins)


def _report(crew: Crew, timeline: Timeline, published: int) -> Facts:
    rows = crew.board.copy()
    others = [rows[place] for place in crew.receivers[:-1]]
    before = timeline.rate(WARM_UP / BEGIN * timeline.begin, timeline.begin)
    last = timeline.points[-1][0]
    return {
        "published": published,
        "lost": sum(published - row[SEEN] + row[LOST] for row in others),
        "duplicates": sum(rows[place][DUPLICATES] for place in crew.receivers),
        "out_of_order": sum(rows[place][LATE] for place in crew.receivers),
        "rate_before": rounded(before),
        "rate_during": rounded(timeline.rate(timeline.begin, timeline.end)),
        "rate_during_settled": rounded(timeline.rate(timeline.begin + ProtocolConfig().slow_after_s + WINDOW_S, timeline.end)),
        "rate_after": rounded(timeline.rate(timeline.end, last)),
        "recovered_s": rounded(timeline.recovered_s(before)),
        "halted_s": rounded(timeline.halted_s(before)),
        **victims_account(crew.stations[-1], rows[crew.receivers[-1]], published),
        "slow_events": sum(one["slow"] for one in tell_all(crew.stations, "named")),
        "rss_mib_max": rounded(max(upkeep.rss_peak_mib(child.pid) for child in crew.stations)),
        "aborts": _aborts(crew),
        "timeline": timeline.series(),
    }


def victims_account(victim: Child, row: Sequence[int], published: int) -> Facts:
    """What the troubled one has, and whether what it lacks is exactly what it has named."""
    missing = victim.answer(victim.begin("missing"))["missing"]
    if row[SEEN] < published:
        missing = [*missing, (row[SEEN], published - 1)]
    named = victim.answer(victim.begin("named"))["lost"]
    lacks, names = ranges.merged(missing), ranges.merged([(first - 1, last - 1) for first, last in named])  # messages count from 1
    unnamed, wrong = ranges.size(ranges.without(lacks, names)), ranges.size(ranges.without(names, lacks))
    return {
        "troubled_got": published - ranges.size(lacks),
        "troubled_named_lost": ranges.size(names),
        "troubled_lacks_unnamed": unnamed,
        "troubled_named_but_got": wrong,
        "troubled_right": not unnamed and not wrong,
    }


def _aborts(crew: Crew) -> int:
    """Processes that a signal has ended, which nobody sent: an assertion of libzmq."""
    return sum(code is not None and code < 0 for code in (child.returncode for child in crew.stations))
