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
"""Seconds between two tests of a list."""


class Blocklist:
    """One list. It is asked only while its test succeeds."""

    def __init__(self, zone: str, resolver: Resolver, clock: Callable[[], float]) -> None:
        """`clock` returns seconds."""
        self._zone = zone
        self._resolver = resolver
        self._clock = clock
        self._tested = float("-inf")
        self._usable = False
        self._testing = asyncio.Lock()

    async def has(self, name: str) -> bool:
        """Return whether a domain is on the list; False if that is not known."""
        return await self._usable_now() and await self._asked(name) is True

    async def _usable_now(self) -> bool:
        async with self._testing:
            if self._clock() - self._tested >= _TEST_AGAIN:
                self._tested = self._clock()
                listed = [await self._asked(name) for name in _MUST_BE]
                usable = any(listed) and await self._asked(_MUST_NOT_BE) is False
                if not usable:
                    logger.warning("A blocklist is not used for an hour: its test entries fail")
                self._usable = usable
            return self._usable

    async def _asked(self, name: str) -> bool | None:
        """Return whether a name is on the list; None if the list did not say."""
        answer = await self._resolver.ask(f"{name}.{self._zone}", Type.A)
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
        self._free = free_domains()

    def find(
        self, domain: str, route: MailRoute | None
    ) -> Finding | Awaitable[Finding | None] | None:
        """Return the finding for a domain. Mailbox providers, and their hosts, are left out."""
        if not isinstance(route, Hosts) or domain in self._free or domain.startswith("["):
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
    return ListedCheck([Blocklist(z, resolver, time.monotonic) for z in inputs.blocklists])
