"""Does the domain take mail at all? RFC 5321 5.1, RFC 7505."""

from collections.abc import Awaitable, Collection, Sequence

from validators.address import Address, parse_domain
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
from validators.verdict import Finding, Reason


class MxCheck:
    """States why a domain's mail has nowhere to go, or that DNS did not say."""

    name = "mx"

    def __init__(self, resolver: Resolver, trusted_domains: Collection[str] = ()) -> None:
        """Ask `resolver`, except for the trusted domains and all that is below them.

        ValueError if one of them is not a domain.
        """
        self._resolver = resolver
        self._trusted = frozenset(_trusted(domain) for domain in trusted_domains)

    def examine(
        self,
        group: Sequence[Address],
    ) -> Sequence[Finding | None] | Awaitable[Sequence[Finding | None]]:
        """Return the facts at once where every route is known, else look the others up."""
        cached = self._resolver.cached
        facts: list[Finding | None] = []
        unknown: dict[int, str] = {}
        for address in group:
            domain = address.domain
            if self._trusted and self._is_trusted(domain):
                facts.append(None)
                continue
            route = cached(domain)
            if route is None:
                unknown[len(facts)] = domain
                facts.append(None)
            else:
                facts.append(None if type(route) is Hosts else _finding(route))
        return self._wait(facts, unknown) if unknown else facts

    async def _wait(
        self,
        facts: list[Finding | None],
        unknown: dict[int, str],
    ) -> list[Finding | None]:
        """Fill in the facts that were not known, by place."""
        routes = await self._resolver.mail_routes(frozenset(unknown.values()))
        for place, domain in unknown.items():
            facts[place] = _finding(routes[domain])
        return facts

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
