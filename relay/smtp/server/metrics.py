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
SESSIONS_DEFERRED: Final = counter(
    "presend_sessions_deferred_total",
    "SMTP sessions ended because too much was held in memory for slow peers",
)
AUTH: Final = counter(
    "presend_auth_total",
    "Attempts to authenticate, by result",
    {"result": ("accepted", "failed", "refused")},
)
DRAIN_CUT: Final = counter(
    "presend_drain_cut_total",
    "Transactions cut because the grace period ended before they did",
)


class ServerMetrics:
    """Counts what happens to SMTP sessions; registers the metrics of the SMTP server."""

    __slots__ = ("_auth", "_deferred", "_drain_cut", "_refused", "_registry")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._refused = registry.counter(SESSIONS_REFUSED)
        self._deferred = registry.counter(SESSIONS_DEFERRED)
        self._auth = registry.counter(AUTH)
        self._drain_cut = registry.counter(DRAIN_CUT)

    def watch_sessions(self, sessions: Callable[[], Sized]) -> None:
        """Expose how many sessions are open; `sessions` returns them."""
        self._registry.read(SESSIONS, lambda: len(sessions()))

    def session_refused(self, cause: str) -> None:
        """Count a session refused at connect: `connections`, `client` or `draining`."""
        self._refused.add(cause)

    def session_deferred(self) -> None:
        """Count a session ended because of the octets held for it."""
        self._deferred.add()

    def authenticated(self, result: str) -> None:
        """Count an attempt to authenticate: `accepted`, `failed` or `refused`."""
        self._auth.add(result)

    def drain_cut(self) -> None:
        """Count a transaction that was cut at the end of the grace period."""
        self._drain_cut.add()
