"""The figures of the report, and the targets that issues set for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """The unit of a figure, which decides how it is written."""

    TIMES = "\u00d7"
    RATE = "/s"
    MIB = "MiB"
    KIB = "KiB"
    MICROSECONDS = "µs"
    MILLISECONDS = "ms"
    COUNT = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number: its load, its meaning, its value and its unit."""

    load: str
    name: str
    value: float
    unit: Unit

    def __str__(self) -> str:
        return written(self.value, self.unit)


def written(value: float, unit: Unit) -> str:
    """Return a number with three significant digits and thousands separators."""
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Target:
    """An upper or lower bound that a figure has to meet."""

    load: str
    name: str
    must: float | None
    goal: float | None = None
    at_most: bool = False

    def meets(self, figure: Figure, bound: float | None) -> bool | None:
        """Return whether a figure meets a bound, or None if there is no such bound."""
        if bound is None:
            return None
        return figure.value <= bound if self.at_most else figure.value >= bound


def times(path: str) -> str:
    """Return the name of the figure: presend's rate as a multiple of another path's."""
    return f"{Unit.TIMES} {path}"


POSTFIX, HARAKA, DIRECT = times("Postfix proxy"), times("Haraka"), times("direct")
ROUND_TRIPS = "round trips a message"
RATE = "addresses/s"
GROWTH = "memory, a million addresses beside a quarter"
IN_ALL, EACH = "memory with 1,000 sessions", "memory a session"
BODY = "memory above rest"
LOOKUP, START = "p99 of a lookup", "start beside one without a list"

TARGETS: Sequence[Target] = (
    Target("keep", POSTFIX, 1.3, 2.0),
    Target("keep", HARAKA, 8.0),
    Target("keep", DIRECT, None, 0.5),
    Target("anew", POSTFIX, 1.0, 1.3),
    Target("big", POSTFIX, 1.3, 1.7),
    Target("many", POSTFIX, 2.5, 5.0),
    Target("far", DIRECT, 2.2, 2.4),
    Target("far-tls", DIRECT, 4.0, 5.0),
    Target("pipe", POSTFIX, 10.0),
    Target("pipe", ROUND_TRIPS, 4.0, 2.0, at_most=True),
    Target("list", RATE, 50_000, 150_000),
    Target("list", GROWTH, 1.1, at_most=True),
    Target("idle", IN_ALL, 70, at_most=True),
    Target("idle", EACH, 20, at_most=True),
    Target("body", BODY, 8, at_most=True),
    Target("suppression", LOOKUP, 50, at_most=True),
    Target("suppression", START, 1.1, at_most=True),
)
