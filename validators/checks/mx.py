"""Does the domain take mail at all? RFC 5321 5.1, RFC 7505."""

from collections.abc import Awaitable, Collection, Sequence

from validators.address import Address, parse_domain
from validators.dns.resolver import (
    Hosts,
    MailRoute,
    NoDomain,
    NoHost,
    NullMx,
    Resolver,
    Unknown,
    Unroutable,
)
from validators.verdict import CLEAR, Facts, Finding, Reason


class MxCheck:
    """States why a domain's mail has nowhere to go, or that DNS did not say."""

    name = "mx"

    def __init__(self, resolver: Resolver, trusted_domains: Collection[str] = ()) -> None:
        """Ask `resolver`, except for the trusted domains and all that is below them.

        ValueError if one of them is not a domain.
        """
        self._resolver = resolver
        self._trusted = frozenset(_trusted(domain) for domain in trusted_domains)

    def examine(self, group: Sequence[Address]) -> Facts | Awaitable[Facts]:
        """Return the facts at once where every route is known, else look the others up."""
        cached = self._resolver.cached
        trusted = self._trusted
        known: dict[int, Finding | None] = {}
        unknown: dict[int, str] = {}
        for place, address in enumerate(group):
            domain = address.domain
            if trusted and self._is_trusted(domain):
                continue
            route = cached(domain)
            if route is None:
                unknown[place] = domain
            elif route.__class__ is not Hosts:
                known[place] = _finding(route)
        if unknown:
            return self._look_up(len(group), known, unknown)
        return [known.get(place) for place in range(len(group))] if known else CLEAR

    async def _look_up(
        self,
        size: int,
        known: dict[int, Finding | None],
        unknown: dict[int, str],
    ) -> Facts:
        """Return the facts on a group when those that are not known, by place, have come."""
        routes = await self._resolver.mail_routes(frozenset(unknown.values()))
        known |= {place: _finding(routes[domain]) for place, domain in unknown.items()}
        return [known.get(place) for place in range(size)]

    def _is_trusted(self, domain: str) -> bool:
        """Tell whether a domain, or one it is below, is trusted."""
        while domain:
            if domain in self._trusted:
                return True
            domain = domain.partition(".")[2]
        return False


def _trusted(domain: str) -> str:
    """Return a trusted domain in A-labels; a single label is one too (everything below it)."""
    domain = domain.strip().rstrip(".").removeprefix(".")
    if "." not in domain:
        parse_domain(f"{domain}.example")
        return domain.lower()
    return parse_domain(domain)


def _finding(route: MailRoute) -> Finding | None:
    """Return what a route means for a recipient."""
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
        case Unknown(detail):  # our trouble, or theirs: no fact about the recipient
            return Finding(Reason.DNS_UNAVAILABLE, detail)
