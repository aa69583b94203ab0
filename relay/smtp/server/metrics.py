"""Metrics of the SMTP server."""

from collections.abc import Callable, Sized
from typing import Final

from relay.observe.metrics import Registry, counter, gauge

SESSIONS: Final = gauge("presend_sessions", "SMTP sessions open")
SESSIONS_REFUSED: Final = counter(
    "presend_sessions_refused_total",
    "SMTP sessions refused at connect, by cause",
    {"cause": ("connections", "client", "draining")},
)
DRAIN_CUT: Final = counter(
    "presend_drain_cut_total",
    "Transactions cut because the grace period ended before they did",
)


class ServerMetrics:
    """Counts what happens to SMTP sessions; registers the metrics of the SMTP server."""

    __slots__ = ("_drain_cut", "_refused", "_registry")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._refused = registry.counter(SESSIONS_REFUSED)
        self._drain_cut = registry.counter(DRAIN_CUT)

    def watch_sessions(self, sessions: Callable[[], Sized]) -> None:
        """Expose how many sessions are open; `sessions` returns them."""
        self._registry.read(SESSIONS, lambda: len(sessions()))

    def session_refused(self, cause: str) -> None:
        """Count a session refused at connect: `connections`, `client` or `draining`."""
        self._refused.add(cause)

    def drain_cut(self) -> None:
        """Count a transaction that was cut at the end of the grace period."""
        self._drain_cut.add()
