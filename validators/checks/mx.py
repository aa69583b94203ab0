"""Domains that take no mail, by their mail route in DNS (RFC 5321 5.1, RFC 7505)."""

from typing import ClassVar

from validators.checks import Inputs
from validators.dns import (
    Hosts,
    MailRoute,
    NoDomain,
    NoHost,
    NullMx,
    Unknown,
    Unroutable,
)
from validators.domains import DomainCheck
from validators.verdict import Finding, Reason


class MxCheck(DomainCheck):
    """States why mail for a domain cannot be delivered, or that DNS gave no answer.

    Or IMPLICIT_MX: it can, though the domain names no mail host.
    """

    name: ClassVar[str] = "mx"

    def find(self, domain: str, route: MailRoute | None) -> Finding | None:
        """Return the finding that a route leads to, or None if mail can be delivered."""
        if isinstance(route, Hosts):
            implicit = route.implicit and not domain.startswith("[")
            return Finding(Reason.IMPLICIT_MX) if implicit else None
        return None if route is None else _refusal(route)


def _refusal(route: NullMx | NoDomain | NoHost | Unroutable | Unknown) -> Finding:
    """Return the finding for a route that leads nowhere, or is not known."""
    match route:
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


def build(inputs: Inputs) -> MxCheck | None:
    """Return the check, or None without a resolver."""
    return MxCheck() if inputs.resolver is not None else None
