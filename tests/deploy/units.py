"""Formats numbers as Grafana does, in the units that the dashboards use."""

import math

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def shown(value: float, unit: str) -> str:
    """Return a value as text, in the unit of a panel."""
    if math.isnan(value):
        return "no value"
    if unit == "percentunit":
        return f"{_short(value * 100)} %"
    if unit == "s":
        return _seconds(value)
    if unit.startswith("suffix:"):
        return f"{_short(value)} {unit.removeprefix('suffix:')}"
    return _short(value)


def _seconds(value: float) -> str:
    if value == 0:
        return "0 s"
    scale, name = next((item for item in _SECONDS if value >= item[0]), _SECONDS[-1])
    return f"{_short(value / scale)} {name}"


def _short(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.3g}"


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return round values from `low` to beyond `high`: at most `most` steps, two at least."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / most))
    for factor in (1, 2, 2.5, 5, 10, 20):
        if span / (step * factor) <= most:
            step *= factor
            break
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]
