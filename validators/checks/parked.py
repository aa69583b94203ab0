"""Recipients at domains that a parking service keeps (data/parking.toml), or that send no mail."""

import ipaddress
import re
import tomllib
from collections.abc import Awaitable, Sequence
from importlib import resources
from typing import ClassVar, Final, NamedTuple, TypeAlias

from validators.checks import Inputs
from validators.dns import Answer, Found, Hosts, MailRoute, Resolver, Type
from validators.domains import DomainCheck
from validators.lists import parents
from validators.verdict import Finding, Reason

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_NO_MAIL: Final = re.compile(rb"v=spf1\s+-all\s*\Z", re.IGNORECASE)
"""An SPF record by which a domain states that it sends no mail (RFC 7208)."""


class Services(NamedTuple):
    """The data file."""

    name_servers: frozenset[str]
    mail_hosts: frozenset[str]
    networks: tuple[_Network, ...]


def _read() -> Services:
    file = resources.files("validators.data").joinpath("parking.toml")
    data = tomllib.loads(file.read_text("utf-8"))
    networks = tuple(ipaddress.ip_network(text) for text in data["networks"])
    return Services(frozenset(data["name_servers"]), frozenset(data["mail_hosts"]), networks)


SERVICES: Final = _read()


def is_parking_host(host: str) -> bool:
    """Return whether a mail host belongs to a parking service."""
    return any(name in SERVICES.mail_hosts for name in parents(host))


class ParkedCheck(DomainCheck):
    """States PARKED_DOMAIN; the detail says by what.

    A domain with mail hosts of its own takes mail, whoever serves its name. So only a domain
    without an MX record costs further questions: for name servers, addresses and TXT records.
    """

    name: ClassVar[str] = "parked"

    def __init__(self, resolver: Resolver) -> None:
        """`resolver` is asked about domains without an MX record."""
        self._resolver = resolver

    def find(
        self, domain: str, route: MailRoute | None
    ) -> Finding | Awaitable[Finding | None] | None:
        """Return the finding for a mail route."""
        if not isinstance(route, Hosts) or domain.startswith("["):
            return None
        if route.implicit:
            return self._look_up(domain)
        host = next(filter(is_parking_host, route.hosts), None)
        return None if host is None else Finding(Reason.PARKED_DOMAIN, f"mail host {host}")

    async def _look_up(self, domain: str) -> Finding | None:
        ask = self._resolver.ask
        servers = _texts(await ask(domain, Type.NS))
        for server in servers:
            if any(name in SERVICES.name_servers for name in parents(server)):
                return Finding(Reason.PARKED_DOMAIN, f"name server {server}")
        for packed in _octets(await ask(domain, Type.A)):
            address = ipaddress.ip_address(packed)
            if any(address in network for network in SERVICES.networks):
                return Finding(Reason.PARKED_DOMAIN, f"address {address}")
        if any(map(_NO_MAIL.match, _octets(await ask(domain, Type.TXT)))):
            return Finding(Reason.PARKED_DOMAIN, "SPF -all and no MX")
        return None


def _texts(answer: Answer) -> Sequence[str]:
    found = answer.values if isinstance(answer, Found) else ()
    return [each for each in found if isinstance(each, str)]


def _octets(answer: Answer) -> Sequence[bytes]:
    found = answer.values if isinstance(answer, Found) else ()
    return [each for each in found if isinstance(each, bytes)]


def build(inputs: Inputs) -> ParkedCheck | None:
    """Return the check, or None without a resolver."""
    return ParkedCheck(inputs.resolver) if inputs.resolver is not None else None
