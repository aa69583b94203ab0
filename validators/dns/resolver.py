"""The caching resolver: DNS answers by name and type, and on top of them mail routes by domain."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

import dns.resolver

from validators.dns.cache import RouteCache, TtlCache
from validators.dns.canaries import RETRY, Canaries, Trust
from validators.dns.lookups import Limits, Lookups, State
from validators.dns.mail_route import Hosts, MailRoute, NullMx, Routed, Unknown, find_route
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
        pending: int = 5000,
        hold: float | None = None,
        canaries: Sequence[str] = (),
        retry: float = RETRY,
    ) -> None:
        """Ask `servers`, each (address, port), or those of the system.

        Args:
            servers: name servers in order of preference.
            timeout: seconds for one question, and for one mail route with all its questions; the
                wait for its turn among the others is included.
            max_queries: most queries on their way at once, and most mail routes looked up at once.
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
            pending: most mail routes that are looked up or whose turn comes. Others wait until
                there are fewer.
            hold: seconds for which they wait, and are looked up; `timeout` if it is None.
            canaries: domains that are known to take mail. While one of them is refused, no domain
                is: their routes are Unknown. None: all negative answers are believed that have an
                SOA record.
            retry: seconds between tests while a canary fails.

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
        self._nameservers = Nameservers(
            _system_servers() if servers is None else servers,
            max_queries=max_queries,
        )
        self._routes = RouteCache(known, cache_size, clock)
        self.stats = self._routes.stats
        self.cached = self._routes.get
        self.provider = self._routes.provider
        self._answers: TtlCache[_Question, Answer] = TtlCache(cache_size, clock)
        self._answer_flights = SingleFlight(self._look_up)
        self._lookups = Lookups(
            self._look_up_route,
            self.cached,
            self._joined,
            Limits(max_queries, pending, timeout, None if patient else hold or timeout),
        )
        self._canaries = Canaries(
            canaries, self._find_canary, on_failure=self._distrust, clock=clock, retry=retry
        )

    async def ask(self, name: str, kind: Type) -> Answer:
        """Return the answer for an absolute name, from the cache if it is there.

        The TTL of the answer is the time for which it is still cached. A cancelled caller does not
        end the look-up for others.
        """
        question = (name, kind)
        return self._cached_answer(question) or await self._shared_look_up(question)

    async def mail_route(self, domain: str) -> MailRoute:
        """Return the mail route of a domain, from the cache if it is there."""
        return (await self.mail_routes((domain,)))[domain]

    async def mail_routes(self, domains: Collection[str]) -> dict[str, MailRoute]:
        """Return the mail routes of several domains, looked up side by side."""
        routes: dict[str, MailRoute] = {}
        unknown: list[str] = []
        for domain in domains:
            route = self.cached(domain)
            if route is None:
                unknown.append(domain)
            else:
                routes[domain] = route
        return routes | await self._lookups.routes(unknown) if unknown else routes

    @property
    def pending(self) -> State:
        """Return how many mail routes are pending."""
        return self._lookups.state

    @property
    def doubtful(self) -> Mapping[str, int]:
        """Return the numbers of replies that were not believed, by kind (transport.DOUBTS)."""
        return self._nameservers.doubtful

    @property
    def canary_fault(self) -> str:
        """Return what is wrong while a canary fails, and an empty text otherwise."""
        return self._canaries.fault

    @property
    def last_canary_fault(self) -> str:
        """Return the latest fault of a canary, also after it has ended."""
        return self._canaries.failed

    async def aclose(self) -> None:
        """End all look-ups. Their callers, and later ones, get Unknown or Failed."""
        await self._lookups.aclose()
        await self._canaries.aclose()
        await self._answer_flights.aclose()

    def _joined(self) -> None:
        self.stats.shared += 1

    async def _look_up_route(self, domain: str, deadline: float | None) -> MailRoute:
        """Look up a mail route and cache it. `deadline` is by the clock of the event loop."""
        self.stats.misses += 1
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + self._timeout
        started = self._clock()
        try:
            async with asyncio.timeout_at(deadline):
                route, ttl = await self._believed(domain, await find_route(domain, self._ask_route))
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

    async def _believed(self, domain: str, routed: Routed) -> Routed:
        """Return a route as it is, or Unknown if it refuses a domain while the canaries fail."""
        route = routed.route
        if isinstance(route, Unknown) or domain.startswith("["):
            return routed
        # an implicit mail host has no MX record: a resolver that has an address for every name
        refused = not isinstance(route, Hosts) or route.implicit
        self._canaries.note(refused=refused)
        if refused and await self._canaries.trust() is Trust.FAILING:
            return Routed(Unknown(f"DNS is not believed: {self._canaries.fault}"), 0)
        return routed

    async def _find_canary(self, domain: str) -> MailRoute:
        """Look up a canary, past the cache. A negative answer need not be sound to be wrong."""

        async def ask(name: str, kind: Type) -> Answer:
            answer = await self._nameservers.ask(name, kind)
            return answer._replace(doubtful=False) if isinstance(answer, Missing) else answer

        try:
            # a domain that waits for this test has the rest of the time for it
            async with asyncio.timeout(self._timeout / 2):
                return (await find_route(domain, ask)).route
        except TimeoutError:
            return Unknown(self._too_late())
        except Exception:
            logger.exception("the look-up of a canary failed")
            return Unknown("the look-up failed")

    def _distrust(self) -> None:
        """Forget the negative answers that were believed."""
        self._routes.drop_refusals()
        self._answers.drop(lambda answer: not isinstance(answer, Found))

    async def _ask_route(self, name: str, kind: Type) -> Answer:
        """Return an answer for a mail route. NXDOMAIN without an SOA record needs the canaries.

        MX records are cached as part of the route, and a route is looked up once for all callers
        and within a time limit: they need no cache, no shared look-up and no limit of their own.
        """
        if kind is not Type.MX:
            answer = await self.ask(name, kind)
        else:
            answer = self._limited(await self._nameservers.ask(name, kind))
        if isinstance(answer, Missing) and answer.doubtful:
            trust = await self._canaries.trust()
            if trust is Trust.PROVEN and not answer.exists:
                return Missing(exists=False, ttl=answer.ttl)
        return answer

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
            case Missing():
                return answer._replace(ttl=left)
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
            case Missing(ttl=ttl):
                return answer._replace(ttl=max(self._min_ttl, min(ttl, self._negative_ttl)))
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
