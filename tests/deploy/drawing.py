"""Panels drawn as SVG in the style of Grafana: time series, single values, tables."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, NamedTuple

from tests.deploy.units import shown, ticks

BACKGROUND, PANEL, BORDER, TEXT, FAINT = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8e99"
PALETTE = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#f2495c", "#5794f2", "#b877d9", "#705da0")
COLOURS = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
_LETTER = 6.1  # width of a letter at 11 px


class Box(NamedTuple):
    """A rectangle, in pixels."""

    x: float
    y: float
    w: float
    h: float


class Line(NamedTuple):
    """One series of a panel: its legend, its samples as (unix seconds, value)."""

    legend: str
    samples: Sequence[tuple[float, float]]


def text(x: float, y: float, what: str, **style: object) -> str:
    """Return one line of text."""
    known = {"size": 11, "fill": TEXT, "anchor": "start", "weight": 400} | style
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{known["size"]}" fill="{known["fill"]}" '
        f'text-anchor="{known["anchor"]}" font-weight="{known["weight"]}">{escape(what)}</text>'
    )


def frame(box: Box, title: str) -> str:
    """Return a panel's border and title."""
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="2" fill="{PANEL}" '
        f'stroke="{BORDER}"/>' + text(box.x + 10, box.y + 20, title, size=13, weight=500)
    )


def colour(value: float, steps: Sequence[dict[str, Any]]) -> str:
    """Return the colour of a value by a panel's thresholds."""
    name = "green"
    for step in steps:
        if step["value"] is None or value >= step["value"]:
            name = step["color"]
    return COLOURS[name]


def timeseries(
    box: Box, panel: dict[str, Any], lines: Sequence[Line], span: tuple[float, float]
) -> str:
    """Return lines or stacked areas over time, with axes, thresholds and a legend."""
    defaults = panel["fieldConfig"]["defaults"]
    legend, height = _legend(box, lines)
    plot = Box(box.x + 62, box.y + 34, box.w - 76, box.h - 34 - 22 - height)
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    layers = list(_stack(lines)) if stacked else [(line, None) for line in lines]
    values = [value for line, _ in layers for _, value in line.samples if not math.isnan(value)]
    marks = ticks(defaults.get("min", 0), max([*values, 0.0]) or 1.0)
    scale = _Scale(plot, span, marks[0], marks[-1])
    parts = [frame(box, panel["title"]), *_axes(scale, marks, defaults["unit"]), legend]
    for number, (line, base) in enumerate(layers):
        parts.append(_curve(scale, line, base, PALETTE[number % len(PALETTE)], stacked=stacked))
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None and marks[0] <= step["value"] <= marks[-1]:
            y = scale.y(step["value"])
            parts.append(
                f'<line x1="{plot.x}" x2="{plot.x + plot.w}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="{COLOURS[step["color"]]}" stroke-dasharray="8 5" opacity="0.8"/>'
            )
    return "".join(parts)


def stat(box: Box, panel: dict[str, Any], lines: Sequence[Line], span: tuple[float, float]) -> str:
    """Return the last value as large text, above a graph of the series."""
    defaults = panel["fieldConfig"]["defaults"]
    line = lines[0]
    last = line.samples[-1][1]
    fill = colour(last, defaults["thresholds"]["steps"])
    values = [value for _, value in line.samples if not math.isnan(value)]
    low, high = min([*values, 0.0]), max([*values, 1e-9])
    lower = Box(box.x + 1, box.y + box.h * 0.6, box.w - 2, box.h * 0.4 - 1)
    curve = _curve(_Scale(lower, span, low, high), line, None, fill, stacked=True)
    middle, y = box.x + box.w / 2, box.y + box.h * 0.55
    caption = text(middle, y + 24, line.legend, anchor="middle", fill=TEXT) if line.legend else ""
    number = shown(last, defaults["unit"])
    big = text(middle, y, number, size=30, fill=fill, anchor="middle", weight=600)
    return frame(box, panel["title"]) + curve + big + caption


def table(
    box: Box, title: str, columns: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]
) -> str:
    """Return a table of cells (text, background); an empty background means the panel's own."""
    width = (box.w - 20) / len(columns)
    parts = [frame(box, title)]
    for number, name in enumerate(columns):
        parts.append(text(box.x + 18 + number * width, box.y + 48, name, fill="#6e9fff", size=12))
    for line, row in enumerate(rows):
        y = box.y + 60 + line * 30
        for number, (value, fill) in enumerate(row):
            x = box.x + 10 + number * width
            if fill:
                parts.append(
                    f'<rect x="{x + 2:.1f}" y="{y}" width="{width - 4:.1f}" height="26" '
                    f'fill="{fill}" opacity="0.55"/>'
                )
            parts.append(text(x + 8, y + 18, value, size=12))
    return "".join(parts)


class _Scale(NamedTuple):
    plot: Box
    span: tuple[float, float]
    low: float
    high: float

    def x(self, moment: float) -> float:
        start, end = self.span
        return self.plot.x + self.plot.w * (moment - start) / (end - start)

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.plot.y + self.plot.h * (1 - share)


def _axes(scale: _Scale, marks: Sequence[float], unit: str) -> Iterator[str]:
    plot = scale.plot
    for mark in marks:
        y = scale.y(mark)
        yield (
            f'<line x1="{plot.x}" x2="{plot.x + plot.w}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{BORDER}"/>'
        )
        yield text(plot.x - 8, y + 4, shown(mark, unit), anchor="end", fill=FAINT)
    start, end = scale.span
    step = next(step for step in (5, 15, 30, 60, 120, 300, 900, 3600) if (end - start) / step <= 7)
    for number in range(math.ceil(start / step), math.floor(end / step) + 1):
        moment = datetime.fromtimestamp(number * step, UTC)
        label = f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
        yield text(scale.x(number * step), plot.y + plot.h + 16, label, anchor="middle", fill=FAINT)


def _legend(box: Box, lines: Sequence[Line]) -> tuple[str, float]:
    """Return the legend at the bottom of a panel, and its height."""
    rows, x, places = 0, 0.0, []
    for line in lines:
        width = 22 + _LETTER * len(line.legend)
        if x and x + width > box.w - 20:
            rows, x = rows + 1, 0.0
        places.append((rows, x))
        x += width
    height = 18.0 * (rows + 1)
    parts = []
    for number, (line, (row, left)) in enumerate(zip(lines, places, strict=True)):
        y = box.y + box.h - height + row * 18 + 6
        fill = PALETTE[number % len(PALETTE)]
        parts.append(
            f'<rect x="{box.x + 10 + left:.1f}" y="{y - 5}" width="10" height="3" fill="{fill}"/>'
        )
        parts.append(text(box.x + 24 + left, y, line.legend))
    return "".join(parts), height


def _stack(lines: Sequence[Line]) -> Iterator[tuple[Line, Line | None]]:
    below: Line | None = None
    sums: dict[float, float] = {}
    for line in lines:
        for moment, value in line.samples:
            sums[moment] = sums.get(moment, 0.0) + (0.0 if math.isnan(value) else value)
        top = Line(line.legend, sorted(sums.items()))
        yield top, below
        below = top


def _curve(scale: _Scale, line: Line, base: Line | None, stroke: str, *, stacked: bool) -> str:
    known = [(moment, value) for moment, value in line.samples if not math.isnan(value)]
    points = _bends([(scale.x(moment), scale.y(value)) for moment, value in known])
    if not points:
        return ""
    floor = scale.plot.y + scale.plot.h
    under = (
        _bends([(scale.x(moment), scale.y(value)) for moment, value in base.samples])
        if base
        else [(points[0][0], floor), (points[-1][0], floor)]
    )
    area = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*points, *reversed(under)])
    course = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polygon points="{area}" fill="{stroke}" opacity="{0.25 if stacked else 0.06}"/>'
        f'<polyline points="{course}" fill="none" stroke="{stroke}" stroke-width="1.3"/>'
    )


def _bends(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Remove points between two equal neighbours."""
    return [
        point
        for number, point in enumerate(points)
        if number in {0, len(points) - 1}
        or not points[number - 1][1] == point[1] == points[number + 1][1]
    ]
