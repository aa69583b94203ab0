"""The metrics of one process: registration of declared metrics, and their rendering."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, PROCESS_COLLECTOR, Metric, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.openmetrics import exposition as openmetrics

from relay.observe.metrics.declaration import Declaration, Kind
from relay.observe.metrics.series import Counter, Histogram, Histograms, Key, Value, bound

_logger = logging.getLogger(__name__)

Reading: TypeAlias = float | Mapping[Any, float] | None
"""One number; or numbers by the value of the one label, or by a tuple of the values of several."""
_Sample: TypeAlias = tuple[tuple[str, ...], float | Histogram]
_Source: TypeAlias = Callable[[], Iterable[_Sample]]


class Registry:
    """The metrics of one process. Each part registers the metrics it declares.

    All methods belong to one event loop. The argument is the value of the label `campaign`.
    Registering a name twice raises ValueError.
    """

    __slots__ = ("_campaign", "_failed", "_sources")

    def __init__(self, campaign: str) -> None:
        self._campaign = campaign
        self._sources: dict[str, tuple[Declaration, _Source]] = {}
        self._failed: set[str] = set()

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """Every metric registered so far, in the order of the exposition."""
        return tuple(declaration for declaration, _ in self._sources.values())

    def counter(self, declaration: Declaration) -> Counter:
        """Register a counter and return it."""
        made = Counter(*_allowed(declaration), preset=declaration.preset)
        self._register("counter", declaration, made.items)
        return made

    def histogram(self, declaration: Declaration) -> Histogram:
        """Register a histogram without labels and return it."""
        made = Histogram(declaration.bounds)
        self._register("histogram", declaration, lambda: [((), made)])
        return made

    def histograms(self, declaration: Declaration) -> Histograms:
        """Register a histogram with one label and return the family."""
        (allowed,) = _allowed(declaration)
        made = Histograms(allowed, declaration.bounds)
        self._register("histogram", declaration, made.items)
        return made

    def read(self, declaration: Declaration, source: Callable[[], Reading]) -> None:
        """Register a gauge or counter whose numbers `source` returns at each scrape.

        Declared label values that the reading lacks are exposed as 0; values that are not declared
        are added up as `other`. A source that returns None takes its metric out of that scrape; one
        that raises does so too, and is logged once.
        """
        allowed = _allowed(declaration)

        def samples() -> Iterable[_Sample]:
            reading = source()
            if reading is None:
                return []
            if not isinstance(reading, Mapping):
                return [((), reading)]
            found: dict[Key, float] = dict.fromkeys(declaration.preset, 0)
            for key, number in reading.items():
                bounded = bound(key if isinstance(key, tuple) else (key,), allowed)
                found[bounded] = found.get(bounded, 0) + number
            return [(tuple(map(str, key)), number) for key, number in found.items()]

        self._register(declaration.kind, declaration, samples)

    def render(self, accept: str = "", extra: Iterable[Metric] = ()) -> tuple[bytes, str]:
        """Return the page for Prometheus and its content type.

        OpenMetrics 1.0 where `accept`, the request's Accept header, allows it; else the text
        format 0.0.4. `extra` are families to add, such as `process_figures()`.
        """
        page = _Page([*self._collect(), *extra])
        if "application/openmetrics-text" in accept:
            body = openmetrics.generate_latest(page)  # type: ignore[no-untyped-call]
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(page), CONTENT_TYPE_PLAIN_0_0_4

    def _register(self, kind: Kind, declaration: Declaration, source: _Source) -> None:
        name = declaration.name
        if name in self._sources:
            raise ValueError(f"{name} is registered twice")
        if declaration.kind != kind:
            raise ValueError(f"{name} is declared as a {declaration.kind}, not a {kind}")
        self._sources[name] = (declaration, source)

    def _collect(self) -> Iterator[Metric]:
        for name, (declaration, source) in self._sources.items():
            try:
                samples = list(source())
            except Exception:
                if name not in self._failed:
                    self._failed.add(name)
                    _logger.exception("%s cannot be read; logged once", name)
                continue
            if samples:
                yield self._family(declaration, samples)

    def _family(self, declaration: Declaration, samples: Iterable[_Sample]) -> Metric:
        name, text, labels = declaration.name, declaration.help, declaration.labels
        fixed = (self._campaign,) if declaration.campaign else ()
        histogram = HistogramMetricFamily(name, text, labels=labels)
        number = (CounterMetricFamily if declaration.kind == "counter" else GaugeMetricFamily)(
            name, text, labels=labels
        )
        for values, value in samples:
            if isinstance(value, Histogram):
                histogram.add_metric((*fixed, *values), value.buckets(), value.sum)
            else:
                number.add_metric((*fixed, *values), value)
        return histogram if declaration.kind == "histogram" else number


class _Page:
    """The part of a registry that the client library's renderers use."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _allowed(declaration: Declaration) -> list[Collection[Value]]:
    """Return the allowed values of each label; a range finds a number as fast as a set does."""
    return [
        values if isinstance(values, range) else frozenset(values)
        for values in declaration.values.values()
    ]


def process_figures() -> list[Metric]:
    """Read `process_*` (CPU, memory, file descriptors) from /proc.

    This blocks, because /proc lists every open descriptor; call it in a thread.
    """
    return list(PROCESS_COLLECTOR.collect())
