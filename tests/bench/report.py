"""The report: text for a terminal, Markdown for a page, and JSON."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import TARGETS, Figure, Target, written
from tests.bench.loads import Rates

START, END = "<!-- measured -->", "<!-- end of measured -->"
COLUMNS = ("load", "figure", "measured", "must", "goal", "result")


def verdict(target: Target, figure: Figure | None) -> str:
    """Return a short text that says whether a figure meets its bounds."""
    if figure is None:
        return "not measured"
    if target.meets(figure, target.must) is False:
        return "missed"
    if target.meets(figure, target.goal):
        return "goal"
    return "short of the goal" if target.must is None else "met"


def bound(target: Target, value: float | None, figure: Figure | None) -> str:
    """Return a bound as text, in the unit of the figure."""
    if value is None:
        return ""
    sense = "≤ " if target.at_most else "≥ "
    return sense + (written(value, figure.unit) if figure else f"{value:g}")


def targets(figures: Sequence[Figure]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each target."""
    known = {(figure.load, figure.name): figure for figure in figures}
    for target in TARGETS:
        figure = known.get((target.load, target.name))
        bounds = (bound(target, value, figure) for value in (target.must, target.goal))
        measured = str(figure) if figure else "-"
        yield target.load, target.name, measured, *bounds, verdict(target, figure)


def rates_table(measured: Mapping[str, Rates]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each load and path: the median, the slowest and the fastest round."""
    for name, rates in measured.items():
        for path, rounds in rates.rounds.items():
            if rounds:
                spread = (f"{value:,.1f}" for value in (min(rounds), max(rounds)))
                yield name, path, f"{rates.median(path):,.1f}", *spread, str(len(rounds))


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table with aligned columns."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def text(measured: Mapping[str, Rates], figures: Sequence[Figure], notes: Sequence[str]) -> str:
    """Return the whole report."""
    wanted = {(target.load, target.name) for target in TARGETS}
    more = [
        (figure.load, figure.name, str(figure))
        for figure in figures
        if (figure.load, figure.name) not in wanted
    ]
    parts = [
        aligned(COLUMNS, list(targets(figures))),
        aligned(
            ("load", "path", "messages/s", "slowest", "fastest", "rounds"),
            list(rates_table(measured)),
        ),
        aligned(("load", "figure", "measured"), more),
        described(machine()),
        *[f"Note: {note}" for note in notes],
    ]
    return "\n\n".join(parts) + "\n"


def updated(page: str, report: str) -> str:
    """Return a page with the text between its two markers replaced by a report."""
    start, end = page.index(START) + len(START), page.index(END)
    return f"{page[:start]}\n\n{report.rstrip()}\n\n{page[end:]}"


def machine() -> dict[str, Any]:
    """Describe the machine (processors, system, versions) without its host name."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processors": os.cpu_count(),
        "model": models[0] if models else platform.machine(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def described(found: Mapping[str, Any]) -> str:
    """Return one sentence that describes the machine."""
    return (
        f"Machine: {found['processors']} processors ({found['model']}), Linux {found['kernel']}, "
        f"Python {found['python']}; load average {found['load']:.1f} at the end of the run."
    )


def as_json(measured: Mapping[str, Rates], figures: Sequence[Figure], notes: Sequence[str]) -> str:
    """Return all measurements as JSON."""
    whole = {
        "machine": machine(),
        "rates": {name: rates.rounds for name, rates in measured.items()},
        "figures": [
            {"load": each.load, "name": each.name, "value": each.value, "unit": each.unit}
            for each in figures
        ],
        "notes": list(notes),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
