"""Metrics for Prometheus: declarations, counters and histograms, and the registry.

Each part of presend declares its own metrics beside its code and registers them in the Registry of
its process; no list holds them all. A label takes its values from a declared, closed set, and any
other value counts as `other`, so no input can create series without bound.
"""

from relay.observe.metrics.declaration import (
    LOCAL_SECONDS,
    LONG_SECONDS,
    REMOTE_SECONDS,
    WAIT_SECONDS,
    Declaration,
    counter,
    gauge,
    histogram,
)
from relay.observe.metrics.registry import Registry, process_figures
from relay.observe.metrics.series import OTHER, Counter, Histogram, Histograms

__all__ = [
    "LOCAL_SECONDS",
    "LONG_SECONDS",
    "OTHER",
    "REMOTE_SECONDS",
    "WAIT_SECONDS",
    "Counter",
    "Declaration",
    "Histogram",
    "Histograms",
    "Registry",
    "counter",
    "gauge",
    "histogram",
    "process_figures",
]
