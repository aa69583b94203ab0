"""The mail routes that are known: fixed answers, and those found, each until its time is over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from validators.dns.cache import TtlCache
from validators.dns.mail_route import Hosts, MailRoute
from validators.providers import OTHER, provider_of


@dataclass(slots=True)
class Stats:
    """Counts of what became of the questions for a route."""

    hits: int = 0
    """Known already."""
    misses: int = 0
    """Looked up."""
    shared: int = 0
    """Waited for a look-up that was under way."""


class Routes:
    """Routes by domain, as in Address.domain."""

    __slots__ = ("_fixed", "_found", "stats")

    def __init__(
        self, fixed: Mapping[str, MailRoute], size: int, clock: Callable[[], float]
    ) -> None:
        """Hold `fixed`, and `size` found ones at most; `clock` gives seconds."""
        self.stats = Stats()
        self._fixed = dict(fixed)
        self._found: TtlCache[MailRoute] = TtlCache(size, clock)

    def get(self, domain: str) -> MailRoute | None:
        """Return a route if it is known, and count that."""
        route = self._found.get(domain)
        if route is None and self._fixed:
            route = self._fixed.get(domain)
        if route is not None:
            self.stats.hits += 1
        return route

    def found(self, domain: str) -> MailRoute | None:
        """Return a route if it was found, and is still good."""
        return self._found.get(domain)

    def put(self, domain: str, route: MailRoute, ttl: float) -> None:
        """Hold what was found for `ttl` seconds."""
        self._found.put(domain, route, ttl)

    def provider(self, domain: str) -> str:
        """Return the mailbox provider by the route that is known, a bounded label, or "other"."""
        route = self._found.peek(domain) or self._fixed.get(domain)
        return provider_of(route.hosts[0]) if isinstance(route, Hosts) else OTHER
