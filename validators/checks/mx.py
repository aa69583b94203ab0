"""Domains that take no mail, by their mail route in DNS (RFC 5321 5.1, RFC 7505)."""

from collections.abc import Awaitable, Collection, Sequence
from typing import ClassVar

from validators.address import Address, parse_domain
from validators.checks import Inputs
from validators.dns import (
    Hosts,
    MailRoute,
    NoDomain,
    NoHost,
    NullMx,
    Resolver,
    Unknown,
    Unroutable,
)
from validators.verdict import CLEAR, Finding, Findings, Reason


class MxCheck:
    """States why mail for a domain cannot be delivered, or that DNS gave no answer."""

    name = "mx"
    unknown: ClassVar[Reason | None] = Reason.DNS_UNAVAILABLE

    def __init__(self, resolver: Resolver, trusted_domains: Collection[str] = ()) -> None:
        """`trusted_domains`, with subdomains, are not looked up. ValueError if one is no domain."""
        self._resolver = resolver
        self._trusted = frozenset(_trusted(domain) for domain in trusted_domains)

    def examine(self, group: Sequence[Address]) -> Findings | Awaitable[Findings]:
        """Return the findings, at once if the routes of all domains are cached."""
        cached = self._resolver.cached
        trusted = self._trusted
        known: dict[int, Finding | None] = {}
        unknown: set[str] = set()
        for place, address in enumerate(group):
            domain = address.domain
            if "." not in domain and domain[:1] != "[":
                continue  # not a fully qualified name (RFC 5321 2.3.5), so not one for DNS
            if trusted and self._is_trusted(domain):
                continue
            route = cached(domain)
            if route is None:
                unknown.add(domain)
            elif route.__class__ is not Hosts:
                known[place] = _finding(route)
        if unknown:
            return self._look_up(group, known, list(unknown))
        return [known.get(place) for place in range(len(group))] if known else CLEAR

    async def _look_up(
        self, group: Sequence[Address], known: dict[int, Finding | None], unknown: list[str]
    ) -> Findings:
        """Look up the domains that are not cached; `known` are findings by position in the group.

        Thousands of recipients may wait here, so little is kept for each of them.
        """
        routes = await self._resolver.mail_routes(unknown)
        return [
            _finding(routes[address.domain]) if address.domain in routes else known.get(place)
            for place, address in enumerate(group)
        ]

    def _is_trusted(self, domain: str) -> bool:
        """Return whether a domain or one of its parent domains is trusted."""
        while domain:
            if domain in self._trusted:
                return True
            domain = domain.partition(".")[2]
        return False


def build(inputs: Inputs) -> MxCheck | None:
    """Return the check, or None without a resolver. ValueError for a domain that is none."""
    if inputs.resolver is None:
        return None
    return MxCheck(inputs.resolver, inputs.trusted_domains)


def _trusted(domain: str) -> str:
    """Return a trusted domain in A-labels. A single label is allowed: it stands for a whole TLD."""
    domain = domain.strip().rstrip(".").removeprefix(".")
    if "." not in domain:
        parse_domain(f"{domain}.example")
        return domain.lower()
    return parse_domain(domain)


def _finding(route: MailRoute) -> Finding | None:
    """Return the finding that a route leads to, or None if mail can be delivered."""
    match route:
        case Hosts():
            return None
        case NullMx():
            return Finding(Reason.NULL_MX)
        case NoDomain():
            return Finding(Reason.NO_DOMAIN)
        case NoHost(detail):
            return Finding(Reason.NO_MAIL_HOST, detail)
        case Unroutable(detail):
            return Finding(Reason.UNROUTABLE, detail)
        case Unknown(detail):
            return Finding(Reason.DNS_UNAVAILABLE, detail)
