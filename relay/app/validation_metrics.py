"""Metrics of the validators, and the section of the status page on their look-ups in DNS.

They stand here because `validators` is a library that knows no metrics.
"""

from collections.abc import Callable
from typing import Final, Protocol

from relay.observe.metrics import OTHER, REMOTE_SECONDS, Registry, counter, histogram
from relay.observe.section import Section, counts
from validators.reasons import CHECKS

DNS_CACHE: Final = counter(
    "presend_dns_cache_total",
    "Mail routes asked for, by how the cache answered; shared joined a lookup under way",
    {"result": ("hit", "miss", "shared")},
)
DNS_LOOKUP_SECONDS: Final = histogram(
    "presend_dns_lookup_seconds",
    "Time of a mail route lookup that the cache could not answer",
    REMOTE_SECONDS,
)
CHECK_FAILURES: Final = counter(
    "presend_check_failures_total",
    "Checks that crashed; their recipients were deferred unless the policy says otherwise",
    {"check": ("syntax", *CHECKS, OTHER)},
)


class DnsStats(Protocol):
    """The counters of a resolver: answered from the cache, looked up, joined a look-up."""

    @property
    def hits(self) -> int: ...  # noqa: D102
    @property
    def misses(self) -> int: ...  # noqa: D102
    @property
    def shared(self) -> int: ...  # noqa: D102


class ValidationMetrics:
    """Counts look-ups and crashes of checks; registers the metrics of the validators."""

    __slots__ = ("_check_failures", "_registry", "dns_looked_up")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._check_failures = registry.counter(CHECK_FAILURES)
        self.dns_looked_up: Callable[[float], None] = registry.histogram(DNS_LOOKUP_SECONDS).observe
        """Observe the seconds of a mail route look-up that the cache could not answer."""

    def watch_dns(self, stats: DnsStats) -> None:
        """Expose how the resolver's cache answered."""
        self._registry.read(
            DNS_CACHE,
            lambda: {"hit": stats.hits, "miss": stats.misses, "shared": stats.shared},
        )

    def check_failed(self, check: str) -> None:
        """Count a check that crashed, by its name."""
        self._check_failures.add(check)


def dns_section(stats: DnsStats) -> Section:
    """Return the section of the status page on mail routes."""
    numbers = {
        "from the cache": stats.hits,
        "looked up": stats.misses,
        "joined a lookup under way": stats.shared,
    }
    return Section(f"Mail routes asked for: {sum(numbers.values()):,}", rows=counts(numbers))
