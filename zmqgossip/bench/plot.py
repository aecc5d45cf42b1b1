"""Pictures of figures, as SVG: bars for systems, lines for what happens over time. Plain shapes, dark on white, readable when printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from zmqgossip.bench.table import COLUMNS, text

WIDTH = 720
ROW = 26
LEFT = 170
RIGHT = 90
TOP = 54
CHART = 260
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


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> str:
    """A line a series of points (x, y), both from 0. Series that are the same share a line and its colour."""
    points = [point for mine in series.values() for point in mine]
    x_most = max((x for x, _ in points), default=0.0) or 1.0
    y_most = max((y for _, y in points), default=0.0) or 1.0
    left, bottom, width = 90, TOP + CHART, WIDTH - 90 - 30

    def place(x: float, y: float) -> str:
        return f"{left + width * x / x_most:.1f},{bottom - CHART * y / y_most:.1f}"

    shapes = [
        f'<path d="M{left} {TOP} V{bottom} H{left + width}" fill="none" stroke="#333"/>',
        _words(left - 6, TOP + 5, text(float(y_most)), anchor="end"),
        _words(left - 6, bottom + 4, "0", anchor="end"),
        _words(left, bottom + 18, "0", anchor="middle"),
        _words(left + width, bottom + 18, text(float(x_most)), anchor="end"),
        _words(left, TOP - 8, up),
        _words(left + width / 2, bottom + 18, across, anchor="middle"),
    ]
    named: dict[str, list[str]] = {}
    for name, mine in series.items():
        named.setdefault(" ".join(place(*one) for one in mine), []).append(name)
    below = bottom + 40
    for number, (line, names) in enumerate(named.items()):
        colour = COLOURS[number % len(COLOURS)]
        shapes.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for name in names:
            shapes.append(_words(left, below, name, colour=colour))
            below += 18
    return _page(title, below, shapes)


def _words(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#222") -> str:
    place = f'x="{x:.1f}" y="{y}" text-anchor="{anchor}"'
    return f'<text {place} font-weight="{weight}" fill="{colour}">{escape(words)}</text>'


def _page(title: str, height: int, shapes: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    style = ' font-family="sans-serif" font-size="13">'
    back = f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
    return "\n".join([head + style, back, _words(16, 24, title, weight="bold"), *shapes, "</svg>", ""])
