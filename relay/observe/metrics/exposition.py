"""From plain numbers to what Prometheus reads; the only module that knows its client library."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, PROCESS_COLLECTOR, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics

from relay.observe.metrics.catalogue import CATALOGUE, Description
from relay.observe.metrics.series import Histogram

_logger = logging.getLogger(__name__)

Sample: TypeAlias = tuple[tuple[str, ...], float | Histogram]
"""Label values, without the campaign, and the number or histogram that stands there."""
Source: TypeAlias = Callable[[], Iterable[Sample]]


class Exposition:
    """Renders the catalogue.

    Arguments: for each name in the catalogue where to read its samples, and the campaign. A source
    that raises takes its metric out of that page and is logged once.
    """

    __slots__ = ("_campaign", "_failed", "_sources")

    def __init__(self, sources: Mapping[str, Source], campaign: str) -> None:
        self._sources = [(description, sources[description.name]) for description in CATALOGUE]
        self._campaign = campaign
        self._failed: set[str] = set()

    def render(self, accept: str, extra: Iterable[Metric]) -> tuple[bytes, str]:
        """Return the body and its content type: OpenMetrics 1.0 where accepted, else text 0.0.4."""
        page = _Page([*self._collect(), *extra])
        if "application/openmetrics-text" in accept:
            body = openmetrics.generate_latest(page)  # type: ignore[no-untyped-call]
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(page), CONTENT_TYPE_PLAIN_0_0_4

    def _collect(self) -> Iterator[Metric]:
        for description, source in self._sources:
            try:
                samples = list(source())
            except Exception:
                if description.name not in self._failed:
                    self._failed.add(description.name)
                    _logger.exception("%s cannot be read; logged once", description.name)
                continue
            if samples:
                yield self._family(description, samples)

    def _family(self, description: Description, samples: Iterable[Sample]) -> Metric:
        name, kind, labels, text = description
        fixed = (self._campaign,) if "campaign" in labels else ()
        histogram = HistogramMetricFamily(name, text, labels=labels)
        number = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(
            name, text, labels=labels
        )
        for values, value in samples:
            if isinstance(value, Histogram):
                histogram.add_metric((*fixed, *values), value.buckets(), value.sum)
            else:
                number.add_metric((*fixed, *values), value)
        return histogram if kind == "histogram" else number


class _Page:
    """What the client library's renderers take for a registry."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def process_figures() -> list[Metric]:
    """Read `process_*` (CPU, memory, file descriptors) from /proc; blocks, so use a thread."""
    return list(PROCESS_COLLECTOR.collect())
