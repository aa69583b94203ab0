"""Recipients whose mail host is one of spam traps: of the operator's list, or by what it serves."""

import ipaddress
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Sequence
from typing import ClassVar, Final, TypeAlias

from validators.checks import Inputs
from validators.checks.typo import misspelling
from validators.dns import Found, Hosts, MailRoute, Resolver, Type
from validators.domains import DomainCheck
from validators.lists import Lists, parents
from validators.providers import OTHER, provider_of
from validators.verdict import Finding, Reason

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_SEVERAL: Final = 3
"""Misspellings of providers that share a mail host before it is suspected."""
_HOSTS: Final = 10_000
"""Most mail hosts of misspellings that are remembered."""


class TrapMxCheck(DomainCheck):
    """States TRAP_MX; the detail is the mail host.

    A host is suspected too if it takes the mail of several misspellings of mailbox providers that
    this relay has seen: who registers them collects mail that is not meant for them.
    """

    name: ClassVar[str] = "trap_mx"

    def __init__(self, lists: Lists, resolver: Resolver) -> None:
        """`resolver` is asked for the addresses of mail hosts if the list has addresses."""
        self._lists = lists
        self._resolver = resolver
        self._misspellings: OrderedDict[str, set[str]] = OrderedDict()

    def find(
        self, domain: str, route: MailRoute | None
    ) -> Finding | Awaitable[Finding | None] | None:
        """Return the finding for a mail route."""
        if not isinstance(route, Hosts):
            return None
        listed = self._lists.current.trap_mx
        if listed:
            for host in route.hosts:
                if any(name in listed for name in (host, *parents(host))):
                    return Finding(Reason.TRAP_MX, host)
        shared = self._shared(domain, route.hosts[0])
        if shared is not None:
            return shared
        networks = [ipaddress.ip_network(each) for each in listed if "/" in each]
        if not networks:
            return None
        if domain.startswith("["):  # the host is the address itself
            return _within(route.hosts[0], ipaddress.ip_address(route.hosts[0]), networks)
        return self._by_address(route.hosts, networks)

    def _shared(self, domain: str, host: str) -> Finding | None:
        """Note a misspelling, and return a finding if its host serves several."""
        slip = misspelling(domain)
        if slip is None or not slip.clear or provider_of(host) != OTHER or host == domain:
            return None
        domains = self._misspellings.setdefault(host, set())
        self._misspellings.move_to_end(host)
        if len(self._misspellings) > _HOSTS:
            self._misspellings.popitem(last=False)
        if len(domains) < _SEVERAL:
            domains.add(domain)
        return Finding(Reason.TRAP_MX, host) if len(domains) >= _SEVERAL else None

    async def _by_address(
        self, hosts: Sequence[str], networks: Sequence[_Network]
    ) -> Finding | None:
        kinds = [
            kind
            for kind, version in ((Type.A, 4), (Type.AAAA, 6))
            if any(network.version == version for network in networks)
        ]
        for host in hosts:
            for kind in kinds:
                answer = await self._resolver.ask(host, kind)
                for packed in answer.values if isinstance(answer, Found) else ():
                    if isinstance(packed, bytes):
                        found = _within(host, ipaddress.ip_address(packed), networks)
                        if found is not None:
                            return found
        return None


def _within(host: str, address: _Address, networks: Iterable[_Network]) -> Finding | None:
    """Return the finding for a host whose address is in one of the networks."""
    if any(address in network for network in networks):
        detail = host if host == str(address) else f"{host} ({address})"
        return Finding(Reason.TRAP_MX, detail)
    return None


def build(inputs: Inputs) -> TrapMxCheck | None:
    """Return the check, or None without a resolver."""
    return TrapMxCheck(inputs.lists, inputs.resolver) if inputs.resolver is not None else None
