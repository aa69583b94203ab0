"""The built-in DNS zone of `presend serve --dev`: one domain for each kind of mail route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from validators.dns import Hosts, NoDomain, NoHost, NullMx, Unknown, Unroutable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from validators.dns import MailRoute

ZONE: Final[Mapping[str, MailRoute]] = {
    "good.example.com": Hosts(("mx.good.example.com",)),
    "implicit.example.com": Hosts(("implicit.example.com",), implicit=True),
    "nullmx.example.com": NullMx(),
    "nxdomain.example.com": NoDomain(),
    "nohost.example.com": NoHost(),
    "unroutable.example.com": Unroutable("mx.unroutable.example.com is 127.0.0.1"),
    "timeout.example.com": Unknown("no answer"),
}
"""Domains under example.com (RFC 2606), each with the mail route that its records would give."""


def introduction(smtp: str, http: str, maildir: str) -> str:
    """Return the text printed at the start: endpoints, Maildir and built-in domains."""
    width = max(map(len, ZONE))
    domains = "\n".join(f"    {name:{width}}  {_says(route)}" for name, route in ZONE.items())
    return (
        "presend for development: no mail leaves this machine.\n"
        f"  SMTP       {smtp}\n"
        f"  status     http://{http}/\n"
        f"  mail goes  into the Maildir {maildir}\n"
        "  domains that need no DNS (the system's DNS answers for all others):\n"
        f"{domains}\n"
    )


def _says(route: MailRoute) -> str:  # noqa: PLR0911 - one return per kind of route
    match route:
        case Hosts(implicit=True):
            return "accepted: no MX, but an address"
        case Hosts():
            return "accepted: has an MX"
        case NullMx():
            return "refused: null MX, takes no mail"
        case NoDomain():
            return "refused: does not exist"
        case NoHost():
            return "refused: has no mail host"
        case Unroutable():
            return "refused: its only mail host is loopback"
        case Unknown():
            return "deferred: DNS gives no answer"
