"""Recipients whose domain or mail host is on a domain blocklist (RFC 5782 section 3)."""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final

from validators.checks import Inputs
from validators.dns import Failed, Found, Hosts, MailRoute, Resolver, Type
from validators.domains import DomainCheck
from validators.mailbox_domains import free_domains
from validators.providers import OTHER, provider_of
from validators.verdict import Finding, Reason

logger: Final = logging.getLogger(__name__)

_PROVIDERS: Final = free_domains()
_LISTED: Final = ipaddress.ip_network("127.0.0.0/8")
_ERRORS: Final = (
    ipaddress.ip_network("127.255.255.0/24"),  # refused: typing error, open resolver, too many
    ipaddress.ip_network("127.0.0.1/32"),  # refused, on lists whose answers are bit masks
    ipaddress.ip_network("127.0.1.255/32"),  # an address was asked for
)
_MUST_BE: Final = ("test", "dbltest.com")
"""Names one of which every list has (RFC 5782 section 5; Spamhaus for the DBL)."""
_MUST_NOT_BE: Final = "invalid"
_TEST_AGAIN: Final = 3600.0
"""Seconds between two tests of a list that can be used."""
_RETRY: Final = 60.0
"""Seconds until a list is tested again that cannot be used."""
_PATIENCE: Final = 2.0
"""Seconds for a test, and for a question: nobody has to wait longer for a list that is silent."""
_LONGEST: Final = 253
"""Characters of a domain name (RFC 1035 2.3.4)."""


class Blocklist:
    """One list. It is asked only while its test succeeds."""

    def __init__(
        self, place: int, zone: str, resolver: Resolver, clock: Callable[[], float]
    ) -> None:
        """`place` is that of the zone in the setting, from 1. `clock` returns seconds."""
        self._place = place
        self._zone = zone
        self._resolver = resolver
        self._clock = clock
        self._test_at = float("-inf")
        self._usable = False
        self._told = False
        self._testing = asyncio.Lock()

    async def has(self, name: str) -> bool:
        """Return whether a domain is on the list; False if that is not known."""
        if not await self._usable_now():
            return False
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._asked(name) is True
        except TimeoutError:
            self._note(usable=False, why="it gives no answer")
            return False

    async def _usable_now(self) -> bool:
        async with self._testing:
            if self._clock() >= self._test_at:
                await self._test()
            return self._usable

    async def _test(self) -> None:
        """Test that the list has what it must have, and nothing that it must not (RFC 5782 5)."""
        try:
            async with asyncio.timeout(_PATIENCE):
                names = (*_MUST_BE, _MUST_NOT_BE)
                *must, must_not = await asyncio.gather(*(self._asked(name) for name in names))
        except TimeoutError:
            self._note(usable=False, why="it gives no answer")
            return
        if True not in must:
            self._note(usable=False, why="it does not have its test entries")
        elif must_not is None:
            self._note(usable=False, why="it refuses questions")
        elif must_not:
            self._note(usable=False, why="it lists a name that no list has")
        else:
            self._note(usable=True)

    def _note(self, *, usable: bool, why: str = "") -> None:
        """Keep whether the list can be used. Log a change, without the zone: it may have a key."""
        self._usable = usable
        self._test_at = self._clock() + (_TEST_AGAIN if usable else _RETRY)
        if not usable and not self._told:
            logger.warning("Blocklist %d is not used: %s", self._place, why)
        elif usable and self._told:
            logger.warning("Blocklist %d is used again", self._place)
        self._told = not usable

    async def _asked(self, name: str) -> bool | None:
        """Return whether a name is on the list; None if the list did not say."""
        question = f"{name}.{self._zone}"
        if len(question) > _LONGEST:
            return None
        answer = await self._resolver.ask(question, Type.A)
        if isinstance(answer, Failed):
            return None
        if not isinstance(answer, Found):
            return False
        addresses = [
            ipaddress.ip_address(each) for each in answer.values if isinstance(each, bytes)
        ]
        if any(address in network for address in addresses for network in _ERRORS):
            return None
        return any(address in _LISTED for address in addresses)


class ListedCheck(DomainCheck):
    """States LISTED_DOMAIN; the detail is the domain or host that is listed."""

    name: ClassVar[str] = "listed"

    def __init__(self, lists: Sequence[Blocklist]) -> None:
        """`lists` are asked in order, until one has the domain."""
        self._lists = lists

    def find(
        self, domain: str, route: MailRoute | None
    ) -> Finding | Awaitable[Finding | None] | None:
        """Return the finding for a domain. Mailbox providers, and their hosts, are left out."""
        if not isinstance(route, Hosts) or domain in _PROVIDERS or domain.startswith("["):
            return None
        host = route.hosts[0]
        names = [domain]
        if host != domain and provider_of(host) == OTHER and not host.endswith(f".{domain}"):
            names.append(host)
        return self._look_up(names)

    async def _look_up(self, names: Sequence[str]) -> Finding | None:
        for name in names:
            for each in self._lists:
                if await each.has(name):
                    return Finding(Reason.LISTED_DOMAIN, name)
        return None


def build(inputs: Inputs) -> ListedCheck | None:
    """Return the check, or None without a list or a resolver."""
    if inputs.resolver is None or not inputs.blocklists:
        return None
    resolver = inputs.resolver
    return ListedCheck(
        [
            Blocklist(place, zone, resolver, time.monotonic)
            for place, zone in enumerate(inputs.blocklists, 1)
        ]
    )
