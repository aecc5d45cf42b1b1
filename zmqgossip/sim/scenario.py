"""What a scenario is: data. Who is there, who publishes what and when, what goes wrong when, and what every figure must be.

    Scenario    a name, a size, and for each size a Plan
    Plan        independent worlds (Variants), and the rows that are made of their figures
    Variant     one world: its weather and its knobs, and the steps that are gone through in order

A step that publishes or waits lets time pass; one that plans something (`Churn`, `Stall`, `Slowdown`) returns at once, and it happens while
later steps run. A figure is named "variant/phase.what", as "k=1/steady.p99_ms"; what there is says `figures`.
A smaller network has fewer peers and less time; its rows are the same.

Left to others: going through the steps (`driver`), the figures (`figures`), the scenarios themselves (`scenarios`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias

from zmqgossip.core.config import LAN, ProtocolConfig
from zmqgossip.sim.outcome import Outcome, Row, Value
from zmqgossip.sim.paths import Weather

EVERYBODY = 0
"""As a number of origins: all peers."""
ANYBODY = -1
"""As a number of origins: one random peer for each message."""


# -- steps ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Each of so many origins publishes so many messages, `every_s` apart, evenly spread. What came of it is the phase's figures.

    Attributes:
        phase: the name of the figures; "" for a phase that nobody asks about.
        quiet_s: afterwards, so that what is under way arrives before the next phase.
        learns: trees grow in this phase. A flood has none, and leaves it out.
    """

    phase: str
    origins: int
    messages: int
    every_s: float
    quiet_s: float = 0.0
    payload_bytes: int = 100
    learns: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """So large a share of all peers is killed at one instant. `but`: so many origins are spared, those that publish in `Say`."""

    share: float
    but: int = 0


@dataclass(frozen=True, slots=True)
class Recover:
    """Periodic steps begin, and random survivors go on publishing for `seconds`: from when on is all of that everywhere?

    "phase.whole_s" is the first moment after which every look finds all that was published more than a second ago at everybody.
    Once that has lasted `stays_s`, nobody looks on.
    """

    phase: str
    seconds: float
    every_s: float = 0.5
    stays_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Churn:
    """From now on so large a share of all peers leaves each second, and as many join. `but`: so many origins stay.

    The sizes of tables are looked at all the while: "churn.first_half_..." and "churn.second_half_...".
    """

    share_per_s: float
    seconds: float
    but: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """The peer that is asked last to publish stops for so long, from now on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Slowdown:
    """That peer works only a moment in every `every_s`, from now on for `seconds`: what comes meanwhile waits in its pipes."""

    seconds: float
    every_s: float


@dataclass(frozen=True, slots=True)
class Pour:
    """One origin publishes as fast as it may: `per_s` messages a second, but none while earlier ones wait for its window.

    That is what a program meets whose `publish()` waits.
    """

    phase: str
    per_s: float
    seconds: float
    quiet_s: float = 0.0
    payload_bytes: int = 100


Step: TypeAlias = Say | Wait | Kill | Recover | Churn | Stall | Slowdown | Pour


# -- worlds and rows ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Variant:
    """One world.

    Attributes:
        beside: yardsticks that go through the same steps on the same links: names of `baselines`.
        periodic: whether probes, shuffles and presence run from the beginning.
        pipe_max: frames that a pipe holds; None for the network's own.
    """

    name: str
    peers: int
    steps: tuple[Step, ...]
    config: ProtocolConfig = LAN
    weather: Weather = field(default_factory=Weather)
    beside: tuple[str, ...] = ()
    periodic: bool = True
    pipe_max: int | None = None


@dataclass(frozen=True, slots=True)
class Must:
    """A row: which figure, and what it must be. Without a bound it is only reported.

    Attributes:
        least, most: the bounds, themselves included.
        of: the figure that the bounds are multiples of; "" if they are plain numbers.
        per: the figure that the value is divided by.
    """

    name: str
    figure: str
    least: float | None = None
    most: float | None = None
    of: str = ""
    per: str = ""
    others: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario at one size.

    Attributes:
        drawn: the phases whose curves a picture shows, by name.
        curves: more of them, each made of figures of several variants: name -> (x, figure) points.
    """

    variants: tuple[Variant, ...]
    rows: tuple[Must, ...]
    drawn: tuple[str, ...] = ()
    curves: Mapping[str, Sequence[tuple[float, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Attributes:
    peers: the size unless somebody names another.
    peers_full: the size of the published figures.
    peers_min: with fewer it means nothing.
    note: why `peers` is less than `peers_full`, if it is; it stands at each row of a run at that size.
    plan: what is run at a size.
    axes: of the picture.
    """

    name: str
    title: str
    peers: int
    peers_full: int
    peers_min: int
    plan: Callable[[int], Plan]
    axes: tuple[str, str] = ("milliseconds", "% have it")
    note: str = ""


# -- what came of it ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Report:
    """What one variant came to. Only numbers and words: it goes from process to process.

    Attributes:
        violation: what a checker found, with the end of the trace; "" if nothing.
        events: of the virtual network.
    """

    variant: str
    figures: dict[str, Value] = field(default_factory=dict)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    digest: str = ""
    degree: float = 0.0
    events: int = 0
    violation: str = ""


def outcome(scenario: Scenario, peers: int, seed: int, reports: Sequence[Report], seconds: float) -> Outcome:
    """The rows of all variants, in the order of the plan: the same, whoever ran them."""
    plan = scenario.plan(peers)
    assert [report.variant for report in reports] == [variant.name for variant in plan.variants], "one report a variant, in order"
    figures = {f"{report.variant}/{name}": value for report in reports for name, value in report.figures.items()}
    why = scenario.note if peers == scenario.peers else ""
    rows = [_row(must, figures, "; ".join(part for part in (must.note, why) if part)) for must in plan.rows]
    rows += [Row(f"{one.variant}: safety", one.violation.partition("\n")[0], "no violation", False) for one in reports if one.violation]
    digest = blake2b("".join(report.digest for report in reports).encode(), digest_size=16).hexdigest()
    degree = reports[0].degree
    series = {f"{one.variant}: {name}": points for one in reports for name, points in one.series.items() if name in plan.drawn}
    for name, places in plan.curves.items():
        series[name] = [(x, value) for x, figure in places if (value := _number(figures, figure)) is not None]
    events = sum(report.events for report in reports)
    return Outcome(scenario.name, peers, seed, degree, digest, rows, seconds, events / max(seconds, 1e-9), series)


def _row(must: Must, figures: Mapping[str, Value], note: str) -> Row:
    value, scale = _number(figures, must.figure), _number(figures, must.of) if must.of else 1.0
    if value is not None and must.per:
        divisor = _number(figures, must.per)
        value = value / divisor if divisor else None
    bounds = [f"{sign} {bound:g}" for sign, bound in ((">=", must.least), ("<=", must.most)) if bound is not None]
    if must.of and bounds:
        bounds = [f"{bound} x {_shown(scale)}" for bound in bounds]
    ok = not bounds
    if bounds and value is not None and scale is not None:
        ok = (must.least is None or value >= must.least * scale) and (must.most is None or value <= must.most * scale)
    return Row(must.name, None if value is None else round(value, 4), " and ".join(bounds), ok, must.others, note)


def _number(figures: Mapping[str, Value], name: str) -> float | None:
    value = figures.get(name)
    return value if isinstance(value, (int, float)) else None


def _shown(value: float | None) -> str:
    return "what was not measured" if value is None else f"{value:.4g}"
