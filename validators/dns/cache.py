"""The caches of the resolver: values with a TTL, and the mail routes of domains."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from validators.dns.mail_route import Hosts, MailRoute
from validators.providers import OTHER, provider_of

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """A bounded cache. Each value has its own TTL; a full cache drops the oldest entry."""

    __slots__ = ("_clock", "_entries", "_size")

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """`size` is the largest number of entries; `clock` returns seconds."""
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value, or None if there is none or it has expired."""
        entry = self._entries.get(key)
        if entry is None or entry[1] <= self._clock():
            return None
        return entry[0]

    def peek(self, key: K) -> tuple[V, float] | None:
        """Return the value and the time at which it expires, or expired; None if there is none."""
        return self._entries.get(key)

    def put(self, key: K, value: V, ttl: float) -> None:
        """Store a value for `ttl` seconds."""
        self._entries[key] = (value, self._clock() + ttl)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, unwanted: Callable[[V], bool]) -> None:
        """Remove the values for which `unwanted` is true."""
        for key in [key for key, entry in self._entries.items() if unwanted(entry[0])]:
            del self._entries[key]


@dataclass(slots=True)
class Stats:
    """How often a mail route was answered from the cache, looked up, or waited for."""

    hits: int = 0
    """Answered from the cache."""
    misses: int = 0
    """Looked up."""
    shared: int = 0
    """Waited for a look-up that was in flight already."""


class RouteCache:
    """Mail routes by domain, as in `Address.domain`. Every recipient passes here."""

    __slots__ = ("_found", "_known", "stats")

    def __init__(
        self, known: Mapping[str, MailRoute], size: int, clock: Callable[[], float]
    ) -> None:
        """`known` are routes that need no DNS; `size` limits the others."""
        self.stats = Stats()
        self._known = dict(known)
        self._found: TtlCache[str, MailRoute] = TtlCache(size, clock)

    def get(self, domain: str) -> MailRoute | None:
        """Return the mail route of a domain if it is cached, and count that."""
        route = self._found.get(domain)
        if route is None and self._known:
            route = self._known.get(domain)
        if route is not None:
            self.stats.hits += 1
        return route

    def put(self, domain: str, route: MailRoute, ttl: float) -> None:
        """Store a route for `ttl` seconds."""
        self._found.put(domain, route, ttl)

    def drop_refusals(self) -> None:
        """Remove all routes but those of domains that take mail."""
        self._found.drop(lambda route: not isinstance(route, Hosts))

    def provider(self, domain: str) -> str:
        """Return the mailbox provider by the mail route that is cached, even if it has expired."""
        entry = self._found.peek(domain)
        route = self._known.get(domain) if entry is None else entry[0]
        return provider_of(route.hosts[0]) if isinstance(route, Hosts) else OTHER
