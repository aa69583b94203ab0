"""The caching resolver: DNS answers by name and type, and on top of them mail routes by domain."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

import dns.resolver

from validators.dns.cache import RouteCache, TtlCache
from validators.dns.mail_route import Hosts, MailRoute, NullMx, Unknown, find_route
from validators.dns.singleflight import ClosedError, SingleFlight
from validators.dns.transport import Nameservers, Server
from validators.dns.wire import Answer, Failed, Found, Missing, Type

logger: Final = logging.getLogger(__name__)

LARGEST_ANSWER: Final = 16_384
"""Octets, roughly: a larger answer is not cached, so that the cache is bounded in memory too."""

_CLOSED: Final = "the resolver is closed"
_Question: TypeAlias = tuple[str, Type]


class Resolver:
    """Asks DNS, and caches the answers by their TTL; bounded in memory, time and queries.

    Belongs to the event loop in which it is first awaited. It raises nothing that DNS is the cause
    of: a question without an answer is Failed, the mail route then Unknown.
    """

    # the cache's own methods, since a method that calls them would cost every recipient a call
    cached: Callable[[str], MailRoute | None]
    """Return the mail route of a domain, as in `Address.domain`, if it is cached."""
    provider: Callable[[str], str]
    """Return the mailbox provider by the mail route that is cached, even if it has expired."""

    def __init__(  # noqa: PLR0913 every limit is a setting
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
        """Ask `servers`, each (address, port), or those of the system.

        Args:
            servers: name servers in order of preference.
            timeout: seconds for one question, and for one mail route with all its questions; the
                wait for one of the `max_queries` is included.
            max_queries: most queries on their way at once.
            cache_size: most answers, and most mail routes, that are cached.
            min_ttl: least seconds for which an answer is cached.
            max_ttl: most seconds for which a positive answer is cached.
            negative_ttl: most seconds for which a negative answer is cached (RFC 2308).
            unknown_ttl: seconds for which it is cached that there was no answer.
            known: mail routes that need no DNS.
            clock: returns seconds.
            on_lookup: called with the seconds that a mail route took to look up.
            patient: for lists of recipients instead of clients that wait. The `timeout` of a mail
                route then begins when one of `max_queries` turns is free, and a question without
                an answer is not repeated before `negative_ttl`.

        Raises:
            ValueError: a server is not given by its address.

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
        self._routes = RouteCache(known, cache_size, clock)
        self.stats = self._routes.stats
        self.cached = self._routes.get
        self.provider = self._routes.provider
        self._answers: TtlCache[_Question, Answer] = TtlCache(cache_size, clock)
        self._route_flights = SingleFlight(self._look_up_route)
        self._answer_flights = SingleFlight(self._look_up)

    async def ask(self, name: str, kind: Type) -> Answer:
        """Return the answer for an absolute name, from the cache if it is there.

        The TTL of the answer is the time for which it is still cached. A cancelled caller does not
        end the look-up for others.
        """
        question = (name, kind)
        return self._cached_answer(question) or await self._shared_look_up(question)

    async def mail_route(self, domain: str) -> MailRoute:
        """Return the mail route of a domain, from the cache if it is there."""
        return self.cached(domain) or await self._result(self._start(domain))

    async def mail_routes(self, domains: Collection[str]) -> dict[str, MailRoute]:
        """Return the mail routes of several domains, looked up side by side."""
        routes = {domain: self.cached(domain) for domain in domains}
        tasks = {domain: self._start(domain) for domain, route in routes.items() if route is None}
        return {
            domain: await self._result(tasks[domain]) if route is None else route
            for domain, route in routes.items()
        }

    async def aclose(self) -> None:
        """End all look-ups. Their callers, and later ones, get Unknown or Failed."""
        await self._route_flights.aclose()
        await self._answer_flights.aclose()

    def _start(self, domain: str) -> asyncio.Task[MailRoute] | None:
        """Return the look-up of a mail route that is in flight, or a new one; None when closed."""
        if domain in self._route_flights:
            self.stats.shared += 1
        else:
            self.stats.misses += 1
        try:
            return self._route_flights.start(domain)
        except ClosedError:
            return None

    async def _result(self, task: asyncio.Task[MailRoute] | None) -> MailRoute:
        try:
            return Unknown(_CLOSED) if task is None else await self._route_flights.result(task)
        except ClosedError:
            return Unknown(_CLOSED)

    async def _look_up_route(self, domain: str) -> MailRoute:
        """Look up a mail route and cache it."""
        async with self._turns:
            started = self._clock()
            try:
                async with asyncio.timeout(self._timeout):
                    route, ttl = await find_route(domain, self._ask_for_route)
            except TimeoutError:
                route, ttl = Unknown(self._too_late()), 0.0
            except Exception:
                logger.exception("the look-up of a mail route failed")
                route, ttl = Unknown("the look-up failed"), 0.0
        match route:
            case Unknown():
                ttl = self._unknown_ttl
            case Hosts() | NullMx():
                ttl = min(ttl, self._max_ttl)
            case _:
                ttl = min(ttl, self._negative_ttl)
        self._routes.put(domain, route, ttl)
        if self._on_lookup is not None:
            self._on_lookup(self._clock() - started)
        return route

    async def _ask_for_route(self, name: str, kind: Type) -> Answer:
        """Return an answer for a mail route.

        MX records are cached as part of the route, and a route is looked up once for all callers
        and within a time limit: they need no cache, no shared look-up and no limit of their own.
        """
        if kind is not Type.MX:
            return await self.ask(name, kind)
        return self._limited(await self._nameservers.ask(name, kind))

    async def _shared_look_up(self, question: _Question) -> Answer:
        try:
            return await self._answer_flights.do(question)
        except ClosedError:
            return Failed(_CLOSED)

    def _cached_answer(self, question: _Question) -> Answer | None:
        entry = self._answers.peek(question)
        if entry is None:
            return None
        answer, expires = entry
        left = expires - self._clock()
        if left <= 0:
            return None
        match answer:
            case Found(values):
                return Found(values, left)
            case Missing(exists):
                return Missing(exists, left)
            case Failed():
                return answer

    async def _look_up(self, question: _Question) -> Answer:
        """Query the name servers within the time limit, and cache the answer."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = self._limited(await self._nameservers.ask(*question))
        except TimeoutError:
            answer = Failed(self._too_late())
        if not isinstance(answer, Found) or _octets(answer) <= LARGEST_ANSWER:
            ttl = self._unknown_ttl if isinstance(answer, Failed) else answer.ttl
            self._answers.put(question, answer, ttl)
        return answer

    def _limited(self, answer: Answer) -> Answer:
        """Return an answer with its TTL within the limits."""
        match answer:
            case Found(values, ttl):
                return Found(values, max(self._min_ttl, min(ttl, self._max_ttl)))
            case Missing(exists, ttl):
                return Missing(exists, max(self._min_ttl, min(ttl, self._negative_ttl)))
            case Failed():
                return answer

    def _too_late(self) -> str:
        return f"no answer within {self._timeout:g} s"


def _octets(answer: Found) -> int:
    """Return roughly how much memory the values of an answer take."""
    return sum(64 + len(v if isinstance(v, bytes | str) else v.host) for v in answer.values)


def _system_servers() -> list[Server]:
    """Return the servers of resolv.conf; without any, the one on this machine (resolv.conf(5))."""
    try:
        addresses = dns.resolver.Resolver().nameservers
    except dns.resolver.NoResolverConfiguration:
        addresses = []
    return [(str(address), 53) for address in addresses] or [("127.0.0.1", 53)]
