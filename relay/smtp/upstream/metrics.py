"""Metrics of the upstream connections, and their section of the status page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, get_args

from relay.observe.events import Stage
from relay.observe.metrics import (
    LONG_SECONDS,
    WAIT_SECONDS,
    Registry,
    counter,
    gauge,
    histogram,
)
from relay.observe.section import Row, Section, Text

if TYPE_CHECKING:
    from relay.smtp.upstream.pool import Pool

REPLY_SECONDS: Final = histogram(
    "presend_upstream_reply_seconds",
    "Time the upstream took to reply, by stage",
    LONG_SECONDS,
    {"stage": get_args(Stage)},
)
HANDSHAKES: Final = counter(
    "presend_upstream_handshakes_total",
    "Handshakes with the upstream, from connect to AUTH, by result",
    {"result": ("ok", "failed")},
)
REUSES: Final = counter(
    "presend_upstream_reuses_total",
    "Transactions that found a ready upstream connection: handshakes saved",
)
CONNECTIONS: Final = gauge(
    "presend_upstream_connections",
    "Upstream connections, by state",
    {"state": ("idle", "busy", "connecting")},
)
POOL_LIMIT: Final = gauge("presend_pool_limit", "Most upstream connections there may be")
POOL_LEARNED_LIMIT: Final = gauge(
    "presend_pool_learned_limit",
    "Upstream connections that the upstreams allow: pool limit, or fewer where one refused more",
)
POOL_WAIT: Final = histogram(
    "presend_pool_wait_seconds",
    "Time a transaction waited for an upstream connection",
    WAIT_SECONDS,
)


class UpstreamMetrics:
    """Counts what happens to upstream connections; registers the metrics of the upstream side."""

    __slots__ = ("_handshakes", "_registry", "pool_waited", "reply_waited", "reused")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._handshakes = registry.counter(HANDSHAKES)
        self.reused: Callable[[], None] = registry.counter(REUSES).add
        """Count a transaction that found a ready connection."""
        self.pool_waited: Callable[[float], None] = registry.histogram(POOL_WAIT).observe
        """Observe the seconds a transaction waited for a connection."""
        self.reply_waited: Callable[[str, float], None] = registry.histograms(REPLY_SECONDS).observe
        """Observe the seconds the upstream took to reply at a stage."""

    def watch_pools(self, pools: Sequence[Pool], limit: int) -> None:
        """Expose the state of the connections; `limit` is the most there may be in all pools."""
        self._registry.read(
            CONNECTIONS,
            lambda: {
                "idle": sum(pool.idle for pool in pools),
                "busy": sum(pool.busy for pool in pools),
                "connecting": sum(pool.connecting for pool in pools),
            },
        )
        self._registry.read(POOL_LIMIT, lambda: limit)
        self._registry.read(POOL_LEARNED_LIMIT, lambda: sum(pool.most for pool in pools))

    def handshake(self, *, ok: bool) -> None:
        """Count a handshake, from connect to AUTH."""
        self._handshakes.add("ok" if ok else "failed")


def section(pools: Sequence[tuple[Pool, str]], now: float) -> Section:
    """Return the section of the status page; `pools` come with the scheme of their upstream."""
    rows = []
    for pool, scheme in pools:
        backoff = pool.not_before - now
        state = Text("ready", "good")
        if backoff > 0:
            state = Text(f"backing off, {backoff:.0f} s left", "bad")
        elif pool.limited:
            state = Text(f"allows {pool.most:,} connections", "wait")
        connections = f"{pool.busy:,} busy, {pool.idle:,} idle, {pool.connecting:,} connecting"
        rows.append(Row(Text(pool.name, below=scheme), (state._replace(below=connections),)))
    return Section("Upstreams, in order of failover", rows=tuple(rows), wide=True)
