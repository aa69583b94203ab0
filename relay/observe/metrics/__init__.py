"""Every metric presend has: what feeds it, and its rendering for Prometheus.

Numbers come by two ways. What happens is counted where it happens: by `Metrics.emit`, the event
sink, and by a small method for each thing that is no event. What merely is, such as the size of
the pool, is read through a callback when Prometheus scrapes.

All methods belong to one event loop. A label takes its value from a closed set; anything else is
counted as `other`, so no input can create series without bound.
"""

import platform
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Protocol

from prometheus_client import Metric

from relay.observe.events import NO_REASON, Event, Message, Recipient, UpstreamFault, UpstreamReply
from relay.observe.metrics import labels
from relay.observe.metrics.catalogue import CATALOGUE, Description
from relay.observe.metrics.exposition import Exposition, Sample, Source, process_figures
from relay.observe.metrics.series import OTHER, Counts, Histogram, Histograms

__all__ = ["Description", "DnsStats", "Metrics", "process_figures"]


class DnsStats(Protocol):
    """What the resolver counts: answered from the cache, looked up, joined a lookup under way."""

    @property
    def hits(self) -> int: ...  # noqa: D102
    @property
    def misses(self) -> int: ...  # noqa: D102
    @property
    def shared(self) -> int: ...  # noqa: D102


class Metrics:
    """All metrics of one process; an event sink.

    Arguments: the campaign; the mailbox providers that may stand in the `provider` label; the
    version for `presend_build_info`.
    """

    def __init__(self, campaign: str, *, providers: Collection[str], version: str) -> None:
        known = frozenset({*providers, OTHER})
        self._build = (version, platform.python_version())
        self._recipients = Counts(
            frozenset(labels.VERDICTS),
            frozenset({*labels.REASONS, NO_REASON}),
            preset=labels.JUDGEMENTS,
        )
        self._observed = Counts.of(labels.REASONS)
        self._messages = Counts.of(labels.RESULTS)
        self._replies = Counts(frozenset(labels.STAGES), labels.CODES, known)
        self._unknown_users = Counts.of(sorted(known))
        self._faults = Counts.of(labels.STAGES)
        self._handshakes = Counts.of(labels.HANDSHAKES)
        self._reuses = Counts(preset=[()])
        self._refused = Counts.of(labels.CAUSES)
        self._store_errors = Counts(preset=[()])
        self._check_failures = Counts.of(labels.CHECKS)
        self._drain_cut = Counts(preset=[()])
        self._transaction = Histogram(labels.LONG_SECONDS)
        self._validation = Histogram(labels.LOCAL_SECONDS)
        self._dns_lookup = Histogram(labels.REMOTE_SECONDS)
        self._pool_wait = Histogram(labels.WAIT_SECONDS)
        self._reply_seconds = Histograms(labels.STAGES, labels.LONG_SECONDS)
        self.reply_waited: Callable[[str, float], None] = self._reply_seconds.observe
        """Observe how many seconds the upstream took to reply at a stage."""
        self._watched: dict[str, Source] = {}
        self._exposition = Exposition(self._sources(), campaign)
        self._handlers: dict[type, Callable[..., None]] = {
            Recipient: self._recipient,
            Message: self._message,
            UpstreamReply: self._upstream_reply,
            UpstreamFault: self._upstream_fault,
        }

    def _sources(self) -> dict[str, Source]:
        return {
            "presend_recipients_total": self._recipients.items,
            "presend_observed_total": self._observed.items,
            "presend_messages_total": self._messages.items,
            "presend_transaction_seconds": lambda: [((), self._transaction)],
            "presend_validation_seconds": lambda: [((), self._validation)],
            "presend_upstream_replies_total": self._replies.items,
            "presend_unknown_users_total": self._unknown_users.items,
            "presend_upstream_reply_seconds": self._reply_seconds.items,
            "presend_upstream_faults_total": self._faults.items,
            "presend_upstream_handshakes_total": self._handshakes.items,
            "presend_upstream_reuses_total": self._reuses.items,
            "presend_upstream_connections": partial(self._read, "pool"),
            "presend_pool_limit": partial(self._read, "pool_limit"),
            "presend_pool_wait_seconds": lambda: [((), self._pool_wait)],
            "presend_sessions": partial(self._read, "sessions"),
            "presend_sessions_refused_total": self._refused.items,
            "presend_drain_cut_total": self._drain_cut.items,
            "presend_dns_cache_total": partial(self._read, "dns"),
            "presend_dns_lookup_seconds": lambda: [((), self._dns_lookup)],
            "presend_suppression_entries": partial(self._read, "suppression_entries"),
            "presend_store_errors_total": self._store_errors.items,
            "presend_check_failures_total": self._check_failures.items,
            "presend_log_dropped_total": partial(self._read, "log_dropped"),
            "presend_build_info": lambda: [(self._build, 1)],
        }

    def _read(self, name: str) -> Iterable[Sample]:
        source = self._watched.get(name)
        return source() if source is not None else ()

    def emit(self, event: Event) -> None:
        """Count one event."""
        self._handlers[event.__class__](event)

    def _recipient(self, event: Recipient) -> None:
        _, _, verdict, reason, _, observed, _, upstream_code, enhanced, provider = event
        self._recipients.add(verdict, reason)
        for each in observed:
            self._observed.add(each)
        if upstream_code:
            self._replies.add("rcpt", upstream_code, provider)
            if enhanced in labels.UNKNOWN_USER:
                self._unknown_users.add(provider)

    def _message(self, event: Message) -> None:
        self._messages.add(event.result)
        self._transaction.observe(event.seconds)
        self._validation.observe(event.validation_seconds)

    def _upstream_reply(self, event: UpstreamReply) -> None:
        self._replies.add(event.stage, event.code, event.provider)
        if event.stage == "final" and event.enhanced in labels.UNKNOWN_USER:
            self._unknown_users.add(event.provider)

    def _upstream_fault(self, event: UpstreamFault) -> None:
        self._faults.add(event.stage)

    def handshake(self, *, ok: bool) -> None:
        """Count a handshake with the upstream, from connect to AUTH."""
        self._handshakes.add("ok" if ok else "failed")

    def reused(self) -> None:
        """Count a transaction that found a ready upstream connection."""
        self._reuses.add()

    def pool_waited(self, seconds: float) -> None:
        """Observe how long a transaction waited for an upstream connection."""
        self._pool_wait.observe(seconds)

    def dns_looked_up(self, seconds: float) -> None:
        """Observe a mail route lookup that the cache could not answer."""
        self._dns_lookup.observe(seconds)

    def session_refused(self, cause: str) -> None:
        """Count a session refused at connect; `cause` is one of labels.CAUSES."""
        self._refused.add(cause)

    def store_failed(self) -> None:
        """Count a store operation that failed."""
        self._store_errors.add()

    def check_failed(self, check: str) -> None:
        """Count a check that crashed, by its name."""
        self._check_failures.add(check)

    def drain_cut(self) -> None:
        """Count a transaction cut at the end of the grace period."""
        self._drain_cut.add()

    def watch(
        self,
        *,
        sessions: Callable[[], int] | None = None,
        pool: Callable[[], Mapping[str, int]] | None = None,
        pool_limit: Callable[[], int] | None = None,
        suppression_entries: Callable[[], Mapping[str, int]] | None = None,
        dns: Callable[[], DnsStats] | None = None,
        log_dropped: Callable[[], int] | None = None,
    ) -> None:
        """Say where to read, at each scrape, what merely is.

        A callback that raises takes its metric out of that scrape and is logged once; a metric
        without a callback is absent. Calls add up.

        Arguments: open SMTP sessions; upstream connections by state (labels.POOL_STATES); the most
        there may be; suppressions by reason; the resolver's counters; log lines dropped so far.
        """
        for name, number in (
            ("sessions", sessions),
            ("pool_limit", pool_limit),
            ("log_dropped", log_dropped),
        ):
            if number is not None:
                self._watched[name] = _one(number)
        if pool is not None:
            self._watched["pool"] = _several(pool, labels.POOL_STATES)
        if suppression_entries is not None:
            self._watched["suppression_entries"] = _several(
                suppression_entries, labels.SUPPRESSIONS
            )
        if dns is not None:
            self._watched["dns"] = _several(lambda: _dns_counts(dns()), labels.CACHE_RESULTS)

    def verdicts(self) -> dict[tuple[str, str], int]:
        """Return the recipients judged so far by (verdict, reason), leaving out what is 0."""
        return {(verdict, reason): n for (verdict, reason), n in self._recipients.items() if n}

    def messages(self) -> dict[str, int]:
        """Return the transactions ended so far by result."""
        return {result: n for (result,), n in self._messages.items()}

    def observed(self) -> dict[str, int]:
        """Return the shadow-mode facts so far by reason, leaving out what is 0."""
        return {reason: n for (reason,), n in self._observed.items() if n}

    def render(self, accept: str = "", extra: Iterable[Metric] = ()) -> tuple[bytes, str]:
        """Return the page for Prometheus and its content type.

        Arguments: the request's Accept header; families to add, such as `process_figures()`.
        """
        return self._exposition.render(accept, extra)

    @staticmethod
    def describe() -> list[Description]:
        """Return what each metric is, in the order of the exposition."""
        return list(CATALOGUE)


def _one(number: Callable[[], int]) -> Source:
    return lambda: [((), number())]


def _several(numbers: Callable[[], Mapping[str, int]], allowed: Iterable[str]) -> Source:
    """Read a mapping: every allowed value, 0 where it is missing, and the rest as OTHER."""

    def read() -> Iterable[Sample]:
        found = dict(numbers())
        for value in allowed:
            yield (value,), found.pop(value, 0)
        if found:
            yield (OTHER,), sum(found.values())

    return read


def _dns_counts(stats: DnsStats) -> dict[str, int]:
    return {"hit": stats.hits, "miss": stats.misses, "shared": stats.shared}
