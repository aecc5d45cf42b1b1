"""Pictures of figures, as SVG: bars for systems, lines for what happens over time. Plain shapes, dark on white, readable when printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log, log10
from typing import Any
from xml.sax.saxutils import escape

from zmqgossip.bench.table import COLUMNS, text

WIDTH = 720
ROW = 26
LEFT = 170
RIGHT = 90
TOP = 54
CHART = 260
CHART_LEFT = 90
GRID = "#e4e8ea"
DECADES_FROM = 50
"""By how many times the largest figure exceeds the least, for their logarithms to be drawn."""
COLOURS = ("#1b6ca8", "#c8553d", "#3d8c5a", "#7a4f9a", "#b58900", "#5a6570", "#c2185b", "#00838f", "#6d4c41", "#9e9d24")
OURS = COLOURS[0]
OTHER = "#9aa5ad"


def bars(title: str, systems: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> str:
    """A group of bars a key, a bar a system, as long as its figure."""
    shapes: list[str] = []
    y = TOP
    for key in keys:
        figures = {system: mine[key] for system, mine in systems.items() if isinstance(mine.get(key), (int, float))}
        most = max(figures.values(), default=0) or 1
        shapes.append(_words(LEFT, y, COLUMNS[key], weight="bold"))
        for system, figure in figures.items():
            y += ROW
            length = (WIDTH - LEFT - RIGHT) * figure / most
            colour = OURS if system.startswith("zmqgossip") else OTHER
            shapes.append(_words(LEFT - 8, y, system, anchor="end"))
            shapes.append(f'<rect x="{LEFT}" y="{y - 13}" width="{length:.1f}" height="18" fill="{colour}"/>')
            shapes.append(_words(LEFT + length + 6, y, text(figure)))
        y += 2 * ROW
    return _page(title, y - ROW // 2, shapes)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str, *, decades: bool = False) -> str:
    """A line a series of points (x, y), both at least 0. Series that are the same share a line, a colour and an entry below.

    `decades`: figures across that reach over some are drawn by their logarithm: the last of a thousand answers must not hide the others.
    """
    points = [point for mine in series.values() for point in mine]
    y_most = max((y for _, y in points), default=0.0) or 1.0
    bottom, width = TOP + CHART, WIDTH - CHART_LEFT - 30
    scale = _scale([x for x, _ in points], decades=decades)

    def place(x: float, y: float) -> str:
        return f"{CHART_LEFT + width * scale.share(x):.1f},{bottom - CHART * y / y_most:.1f}"

    shapes = [_words(CHART_LEFT, TOP - 12, up), _words(CHART_LEFT + width / 2, bottom + 36, across, anchor="middle")]
    for x in scale.ticks:
        at = CHART_LEFT + width * scale.share(x)
        shapes.append(f'<path d="M{at:.1f} {TOP} V{bottom}" stroke="{GRID}"/>')
        shapes.append(_words(at, bottom + 18, text(x), anchor="middle"))
    for y in _round_steps(y_most):
        level = bottom - CHART * y / y_most
        shapes.append(f'<path d="M{CHART_LEFT} {level:.1f} H{CHART_LEFT + width}" stroke="{GRID}"/>')
        shapes.append(_words(CHART_LEFT - 6, round(level) + 4, text(y), anchor="end"))
    shapes.append(f'<path d="M{CHART_LEFT} {TOP} V{bottom} H{CHART_LEFT + width}" fill="none" stroke="#333"/>')
    named: dict[str, list[str]] = {}
    for name, mine in series.items():
        named.setdefault(" ".join(place(*one) for one in mine), []).append(name)
    below = bottom + 60
    for number, (line, names) in enumerate(named.items()):
        colour = COLOURS[number % len(COLOURS)]
        shapes.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for place_in_entry, name in enumerate(names):
            shapes.append(_words(CHART_LEFT, below, name if not place_in_entry else f"= {name}", colour=colour))
            below += 18
    return _page(title, below, shapes)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a figure stands across, as a share of the width; `least` is the figure at the left edge of a logarithmic one, else None."""

    most: float
    ticks: Sequence[float]
    least: float | None = None

    def share(self, x: float) -> float:
        if self.least is None:
            return x / self.most
        return log(max(x, self.least) / self.least) / log(self.most / self.least)


def _scale(figures: Sequence[float], *, decades: bool) -> _Scale:
    most = max(figures, default=0.0) or 1.0
    least = min((x for x in figures if x > 0), default=most)
    if not decades or most < DECADES_FROM * least:
        return _Scale(most, _round_steps(most))
    rounded = [factor * 10.0**power for power in range(floor(log10(least)), floor(log10(most)) + 1) for factor in (1, 2, 5)]
    return _Scale(most, [x for x in rounded if least <= x <= most], least)


def _round_steps(most: float) -> list[float]:
    """From 0 to at most `most`, in four to ten equal steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(most))
    step = next(factor * power for factor in (1, 0.5, 0.2) if most / (factor * power) >= 4)
    return [number * step for number in range(floor(most / step * (1 + 1e-9)) + 1)]


def _words(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#222") -> str:
    place = f'x="{x:.1f}" y="{y}" text-anchor="{anchor}"'
    return f'<text {place} font-weight="{weight}" fill="{colour}">{escape(words)}</text>'


def _page(title: str, height: int, shapes: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    style = ' font-family="sans-serif" font-size="13">'
    back = f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
    return "\n".join([head + style, back, _words(16, 24, title, weight="bold"), *shapes, "</svg>", ""])
