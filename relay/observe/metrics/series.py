"""Counters and histograms as plain numbers: cheap to feed, and bounded whatever is fed to them.

One event loop feeds them and the same loop reads them, so they need no lock; that makes an
increment several times cheaper than that of a client library.
"""

import itertools
from bisect import bisect_left
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from typing import Final, Self, TypeAlias

OTHER: Final = "other"
"""Stands for every label value outside the closed set."""

Value: TypeAlias = str | int
Key: TypeAlias = tuple[Value, ...]


class Counts:
    """A family of counters, one for each combination of label values.

    Arguments: for each label the container of its allowed values; any other value counts as
    OTHER. The combinations in `preset` exist from the start, at 0, so that a first increase is
    seen by `rate()`.
    """

    __slots__ = ("_allowed", "_values")

    def __init__(self, *allowed: Container[Value], preset: Iterable[Key] = ()) -> None:
        self._allowed = allowed
        self._values: dict[Key, int] = dict.fromkeys(preset, 0)

    @classmethod
    def of(cls, values: Collection[str]) -> Self:
        """Make a family with one label whose every value is known, and there from the start."""
        return cls(frozenset(values), preset=[(value,) for value in values])

    def add(self, *key: Value) -> None:
        """Count one."""
        try:
            self._values[key] += 1
        except KeyError:
            self._add_new(key)

    def _add_new(self, key: Key) -> None:
        bounded = tuple(
            value if value in allowed else OTHER
            for value, allowed in zip(key, self._allowed, strict=True)
        )
        self._values[bounded] = self._values.get(bounded, 0) + 1

    def items(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Yield the label values of each counter and its count."""
        for key, count in self._values.items():
            yield tuple(str(value) for value in key), count


class Histogram:
    """Counts of observations below each of the given rising bounds, and their sum."""

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
    """A family of histograms, one for each value of one label that was seen, and OTHER."""

    __slots__ = ("_allowed", "_bounds", "_children")

    def __init__(self, allowed: Iterable[str], bounds: Sequence[float]) -> None:
        self._allowed = frozenset(allowed)
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
        """Yield the label value of each histogram and the histogram."""
        for value, child in self._children.items():
            yield (value,), child
