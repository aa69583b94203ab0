"""Metrics of the suppression store, and its section of the status page."""

from typing import Final

from relay.observe.metrics import Registry, counter, gauge
from relay.observe.section import Section, Text, counts, note
from relay.stores.protocol import Store
from validators.suppression import StoreUnavailable, SuppressionReason

SUPPRESSION_ENTRIES: Final = gauge(
    "presend_suppression_entries",
    "Entries on the suppression list, by reason",
    {"reason": tuple(map(str, SuppressionReason))},
)
STORE_ERRORS: Final = counter("presend_store_errors_total", "Store operations that failed")


class StoreMetrics:
    """Counts failures of a store; registers the metrics of the store."""

    __slots__ = ("_errors",)

    def __init__(self, registry: Registry, store: Store) -> None:
        self._errors = registry.counter(STORE_ERRORS)
        registry.read(SUPPRESSION_ENTRIES, lambda: _entries(store))

    def store_failed(self) -> None:
        """Count a store operation that failed."""
        self._errors.add()


def section(store: Store, url: str) -> Section:
    """Return the section of the status page; `url` is the setting, without a password."""
    entries, trouble = _entries(store), store.healthy()
    if entries is None:
        return Section("Suppressions", notes=((Text(url, "soft"), Text(trouble or "", "bad")),))
    health = Text("working", "good") if trouble is None else Text(trouble, "bad")
    about = (Text(url, "soft"), health)
    return Section(
        f"Suppressions: {sum(entries.values()):,}",
        rows=counts(entries),
        notes=(about,) if entries else (note("The list is empty."), about),
    )


def _entries(store: Store) -> dict[str, int] | None:
    """Return the number of entries by reason; None while the store does not know them."""
    try:
        counted = store.counts()
    except StoreUnavailable:
        return None
    return {str(reason): entries for reason, entries in counted.items()}
