"""Metrics of the validators, and the section of the status page on their look-ups in DNS.

They stand here because `validators` is a library that knows no metrics.
"""

from collections.abc import Callable
from typing import Final, Protocol

from relay.observe.metrics import OTHER, REMOTE_SECONDS, Registry, counter, gauge, histogram
from relay.observe.section import Section, counts, note
from validators.dns import DOUBTS, Resolver
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
DNS_DOUBTFUL: Final = counter(
    "presend_dns_doubtful_total",
    "DNS replies that were not believed, or not by themselves",
    {"kind": DOUBTS},
)
DNS_CANARY_FAILING: Final = gauge(
    "presend_dns_canary_failing",
    "1 while DNS says that a canary does not exist: nobody is refused by its answers; otherwise 0",
)
DNS_PENDING: Final = gauge(
    "presend_dns_pending",
    "Mail routes that recipients wait for; held are those over the budget",
    {"state": ("running", "queued", "held")},
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

    def watch_resolver(self, resolver: Resolver) -> None:
        """Expose what the resolver does not believe, and what is pending."""
        self._registry.read(DNS_DOUBTFUL, lambda: resolver.doubtful)
        self._registry.read(DNS_CANARY_FAILING, lambda: int(bool(resolver.canary_fault)))
        self._registry.read(DNS_PENDING, lambda: {**resolver.pending._asdict()})

    def check_failed(self, check: str) -> None:
        """Count a check that crashed, by its name."""
        self._check_failures.add(check)


def dns_section(stats: DnsStats, fault: str = "") -> Section:
    """Return the section of the status page on mail routes; `fault`: why DNS is not believed."""
    numbers = {
        "from the cache": stats.hits,
        "looked up": stats.misses,
        "joined a lookup under way": stats.shared,
    }
    notes = (note(f"DNS is not believed: {fault}"),) if fault else ()
    title = f"Mail routes asked for: {sum(numbers.values()):,}"
    return Section(title, rows=counts(numbers), notes=notes)
