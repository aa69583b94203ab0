"""MailRoute, and the one caching resolver that finds it: one flight for all who wait."""

import asyncio
import contextlib
import enum
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import dns.resolver

from validators.dns.cache import TtlCache
from validators.dns.mail_route import (
    Hosts,
    MailRoute,
    NoDomain,
    NoHost,
    NullMx,
    Unknown,
    Unroutable,
)
from validators.dns.routes import Routes, Stats
from validators.dns.routing import Host, State, find_host, find_route
from validators.dns.singleflight import ClosedError, SingleFlight
from validators.dns.transport import Nameservers, Server

__all__ = [
    "Hosts",
    "MailRoute",
    "NoDomain",
    "NoHost",
    "NullMx",
    "Resolver",
    "Stats",
    "Unknown",
    "Unroutable",
]

logger: Final = logging.getLogger(__name__)


class Lasting(enum.Enum):
    """How long an answer is good for: as it says, not too long, or hardly at all."""

    POSITIVE = enum.auto()
    NEGATIVE = enum.auto()
    UNKNOWN = enum.auto()


_HOST_LASTING: Final = {
    State.REACHABLE: Lasting.POSITIVE,
    State.UNROUTABLE: Lasting.NEGATIVE,
    State.ABSENT: Lasting.NEGATIVE,
    State.UNKNOWN: Lasting.UNKNOWN,
}


class Resolver:
    """Mail routes by domain: cached by TTL, bounded in memory, in time and in queries.

    Belongs to the event loop it is first awaited in. Never raises for what DNS does: that is
    Unknown.
    """

    cached: Callable[[str], MailRoute | None]
    """Return the route if it is known; the domain as in Address.domain."""
    provider: Callable[[str], str]
    """Return the mailbox provider by the route that is known, a bounded label, or "other"."""

    def __init__(  # noqa: PLR0913 every bound is the operator's to set
        self,
        servers: Sequence[Server] | None = None,
        *,
        timeout: float = 5.0,
        max_queries: int = 64,
        cache_size: int = 50_000,
        min_ttl: float = 5.0,
        max_ttl: float = 3600.0,
        negative_ttl: float = 300.0,
        unknown_ttl: float = 5.0,
        known: Mapping[str, MailRoute] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
        on_lookup: Callable[[float], None] | None = None,
        patient: bool = False,
    ) -> None:
        """Ask `servers`, (address, port), or the system's.

        `timeout` is the limit in seconds for one route in all, waiting for a free query included.
        A TTL is held within `min_ttl` and `max_ttl`, a negative answer (RFC 2308) for
        `negative_ttl` at most, and Unknown for `unknown_ttl`. `known` are fixed answers, asked
        first. `on_lookup` is told the seconds each look-up took. `patient` is for lists: the
        time of a look-up runs from its turn, `max_queries` at once, so that ten thousand new
        domains do not wait past their limit; and Unknown holds as long as a negative answer, so
        that a domain without an answer is waited for once. ValueError for a server that is not
        given by its address.
        """
        self._timeout = timeout
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._negative_ttl = negative_ttl
        self._unknown_ttl = negative_ttl if patient else unknown_ttl
        self._clock = clock
        self._on_lookup = on_lookup
        self._turns = asyncio.Semaphore(max_queries) if patient else contextlib.nullcontext()
        self._nameservers = Nameservers(
            _system_servers() if servers is None else servers,
            max_queries=max_queries,
        )
        self._routes = Routes(known, cache_size, clock)
        self.stats = self._routes.stats
        self.cached = self._routes.get
        self.provider = self._routes.provider
        self._hosts: TtlCache[Host] = TtlCache(cache_size, clock)
        self._route_flights = SingleFlight(self._fly_for_route)
        self._host_flights = SingleFlight(self._fly_for_host)

    async def mail_route(self, domain: str) -> MailRoute:
        """Return the route, looked up if need be; a cancelled caller leaves the others theirs."""
        route = self.cached(domain)
        if route is None:
            self._take_off(domain)
            route = await self._land(domain)
        return route

    async def mail_routes(self, domains: Collection[str]) -> dict[str, MailRoute]:
        """Return the routes of several domains, looked up side by side."""
        routes = {domain: self.cached(domain) for domain in domains}
        for domain, route in routes.items():
            if route is None:
                self._take_off(domain)
        return {domain: route or await self._land(domain) for domain, route in routes.items()}

    async def aclose(self) -> None:
        """End every look-up; whoever still waits for one gets Unknown, as does who asks later."""
        await self._route_flights.aclose()
        await self._host_flights.aclose()

    def _take_off(self, domain: str) -> None:
        """Look a route up, unless that is being done."""
        if domain in self._route_flights:
            self.stats.shared += 1
            return
        self.stats.misses += 1
        with contextlib.suppress(ClosedError):
            self._route_flights.start(domain)

    async def _land(self, domain: str) -> MailRoute:
        """Wait for a route."""
        route = self._routes.found(domain)
        if route is not None:
            return route
        try:
            return await self._route_flights.wait(domain)
        except ClosedError:
            return Unknown("the resolver is closed")

    async def _fly_for_route(self, domain: str) -> MailRoute:
        """Look a route up within the limit, and remember it."""
        async with self._turns:
            started = self._clock()
            try:
                async with asyncio.timeout(self._timeout):
                    route, ttl = await find_route(domain, self._nameservers.ask, self._host)
            except TimeoutError:
                route, ttl = Unknown(f"no answer within {self._timeout:g} s"), 0.0
            except Exception:
                logger.exception("the look-up of a mail route failed")
                route, ttl = Unknown("the look-up failed"), 0.0
        self._routes.put(domain, route, self._hold(ttl, _lasting(route)))
        if self._on_lookup is not None:
            self._on_lookup(self._clock() - started)
        return route

    async def _host(self, name: str) -> Host:
        """Return what is known of a mail host; many domains share one."""
        host = self._hosts.get(name)
        return await self._host_flights.wait(name) if host is None else host

    async def _fly_for_host(self, name: str) -> Host:
        """Look a mail host up within the limit, and remember it."""
        try:
            async with asyncio.timeout(self._timeout):
                host = await find_host(name, self._nameservers.ask)
        except TimeoutError:
            host = Host(State.UNKNOWN, 0, f"no answer within {self._timeout:g} s")
        self._hosts.put(name, host, self._hold(host.ttl, _HOST_LASTING[host.state]))
        return host

    def _hold(self, ttl: float, lasting: Lasting) -> float:
        """Return for how many seconds to hold an answer whose records say `ttl`."""
        match lasting:
            case Lasting.POSITIVE:
                return max(self._min_ttl, min(ttl, self._max_ttl))
            case Lasting.NEGATIVE:
                return max(self._min_ttl, min(ttl, self._negative_ttl))
            case Lasting.UNKNOWN:
                return self._unknown_ttl


def _lasting(route: MailRoute) -> Lasting:
    match route:
        case Hosts() | NullMx():
            return Lasting.POSITIVE
        case NoDomain() | NoHost() | Unroutable():
            return Lasting.NEGATIVE
        case Unknown():
            return Lasting.UNKNOWN


def _system_servers() -> list[Server]:
    """Return the servers of resolv.conf; without any, the one on this machine (resolv.conf(5))."""
    try:
        addresses = dns.resolver.Resolver().nameservers
    except dns.resolver.NoResolverConfiguration:
        addresses = []
    return [(str(address), 53) for address in addresses] or [("127.0.0.1", 53)]
