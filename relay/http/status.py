"""What the status page shows, as values; the application fills it in at each request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """One upstream and its connections."""

    address: str
    """`host:port`."""
    scheme: str
    """`smtp`, `smtp+starttls` or `smtps`."""
    backoff: float = 0.0
    """Seconds until it is tried again; 0 when it is ready."""
    idle: int = 0
    busy: int = 0
    connecting: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one presend at one moment."""

    campaign: str
    version: str
    uptime: float
    """Seconds since the start."""
    draining: bool
    reasons: Sequence[str] = ()
    """Why it is not ready, as /readyz says; empty when it is."""
    sessions: int = 0
    messages: Mapping[str, int] = field(default_factory=dict)
    """Transactions ended, by result."""
    verdicts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Recipients judged, by verdict and reason."""
    observed: Mapping[str, int] = field(default_factory=dict)
    """Shadow-mode facts, by reason."""
    upstreams: Sequence[UpstreamStatus] = ()
    """In the order of failover."""
    dns_hits: int = 0
    dns_misses: int = 0
    dns_shared: int = 0
    suppressions: Mapping[str, int] = field(default_factory=dict)
    """Entries by reason."""
    store: str = ""
    """Which store; without a password."""
    store_trouble: str | None = None
    """Why the store does not answer; None while it does."""
