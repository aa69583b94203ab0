"""Counters and histograms as plain numbers.

The event loop that updates them also reads them, so they need no lock. That makes an increment
several times cheaper than one of the client library.
"""

import itertools
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

OTHER: Final = "other"
"""Counted in place of every label value outside the declared set."""

Value: TypeAlias = str | int
Key: TypeAlias = tuple[Value, ...]


def bound(key: Key, allowed: Sequence[Container[Value]]) -> Key:
    """Return `key` with OTHER in place of each value that its label does not allow."""
    return tuple(
        value if value in values else OTHER for value, values in zip(key, allowed, strict=True)
    )


class Counter:
    """A family of counters, one for each combination of label values.

    Arguments: for each label the container of its allowed values; any other value counts as
    OTHER. The combinations in `preset` exist from the start at 0, so that `rate()` sees the first
    increase.
    """

    __slots__ = ("_allowed", "_values")

    def __init__(self, *allowed: Container[Value], preset: Iterable[Key] = ()) -> None:
        self._allowed = allowed
        self._values: dict[Key, int] = dict.fromkeys(preset, 0)

    def add(self, *key: Value) -> None:
        """Count one; `key` holds a value for each label, in the declared order."""
        try:
            self._values[key] += 1
        except KeyError:
            bounded = bound(key, self._allowed)
            self._values[bounded] = self._values.get(bounded, 0) + 1

    def items(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Yield the label values of each counter, and its count."""
        for key, count in self._values.items():
            yield tuple(str(value) for value in key), count


class Histogram:
    """Counts of observations up to each of the given rising bounds, and the observations' sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation, in the unit of the bounds."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def sum(self) -> float:
        """Sum of all observations."""
        return self._sum

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative (upper bound, count) pairs, the last bound being `+Inf`."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return list(zip(bounds, itertools.accumulate(self._counts), strict=True))


class Histograms:
    """A family of histograms, one for each observed value of one label.

    Arguments: the allowed values of the label, any other counts as OTHER; the rising bounds.
    """

    __slots__ = ("_allowed", "_bounds", "_children")

    def __init__(self, allowed: Container[Value], bounds: Sequence[float]) -> None:
        self._allowed = allowed
        self._bounds = bounds
        self._children: dict[str, Histogram] = {}

    def observe(self, label: str, value: float) -> None:
        """Count one observation for a label value."""
        child = self._children.get(label)
        if child is None:
            known = label if label in self._allowed else OTHER
            child = self._children.setdefault(known, Histogram(self._bounds))
        child.observe(value)

    def items(self) -> Iterator[tuple[tuple[str, ...], Histogram]]:
        """Yield the label value of each histogram, and the histogram."""
        for value, child in self._children.items():
            yield (value,), child
