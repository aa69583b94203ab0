"""The mail route of a domain: its kinds, and how it follows from DNS (RFC 5321 5.1, RFC 7505)."""

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from validators.dns.special_use import special_use
from validators.dns.wire import Answer, Failed, Found, Missing, Mx, Type

_WITHOUT_SOA: Final = "without an SOA record"
HOST_LIMIT: Final = 8
"""Most mail hosts looked at. If none of them is reachable, the others may still be: Unknown."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Mail hosts by preference, the most preferred first; at least one is reachable."""

    hosts: tuple[str, ...]
    implicit: bool = False
    """There is no MX record, so the domain itself is the mail host (RFC 5321 5.1)."""


@dataclass(frozen=True, slots=True)
class NullMx:
    """The domain states that it takes no mail (RFC 7505)."""


@dataclass(frozen=True, slots=True)
class NoDomain:
    """The domain does not exist (NXDOMAIN)."""


@dataclass(frozen=True, slots=True)
class NoHost:
    """The domain exists, but neither it nor any of its mail hosts has an address."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """All addresses of the mail hosts are such as the internet does not route."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """DNS gave no answer, which says nothing about the domain."""

    detail: str = ""


MailRoute: TypeAlias = Hosts | NullMx | NoDomain | NoHost | Unroutable | Unknown

Ask: TypeAlias = Callable[[str, Type], Awaitable[Answer]]
"""Asks DNS for a name and a record type, as `Resolver.ask`."""


class Routed(NamedTuple):
    """A mail route, and the seconds for which the answers behind it hold."""

    route: MailRoute
    ttl: float


class _State(Enum):
    REACHABLE = auto()
    UNROUTABLE = auto()
    ABSENT = auto()
    UNKNOWN = auto()


class _Host(NamedTuple):
    """What DNS says of one mail host; `detail` is for people, where it is not reachable."""

    state: _State
    ttl: float
    detail: str = ""


async def find_route(domain: str, ask: Ask) -> Routed:
    """Return the mail route of a domain, given as in `Address.domain`."""
    if domain.startswith("["):
        return _literal(domain)
    answer = await ask(domain, Type.MX)
    match answer:
        case Failed(detail):
            return Routed(Unknown(detail), 0)
        case Missing():
            return await _without_mx(domain, answer, ask)
        case Found(values, ttl):
            records = sorted(value for value in values if isinstance(value, Mx))
            # RFC 7505 3 forbids a null MX beside others; if there are others, they are used
            hosts = tuple(dict.fromkeys(record.host for record in records if record.host))
            if not hosts:
                return Routed(NullMx(), ttl)
            return await _by_hosts(hosts, ttl, ask, implicit=False)


async def _without_mx(domain: str, answer: Missing, ask: Ask) -> Routed:
    """Return the route of a domain without MX records, as far as that answer can be believed."""
    if not answer.exists:
        if answer.doubtful:
            return Routed(Unknown(f"NXDOMAIN {_WITHOUT_SOA} for MX of {domain}"), 0)
        return Routed(NoDomain(), answer.ttl)
    routed = await _by_hosts((domain,), answer.ttl, ask, implicit=True)
    # a doubtful answer cannot refuse the domain, but an address can show that it takes mail
    if answer.doubtful and not isinstance(routed.route, Hosts):
        return Routed(Unknown(f"an empty reply {_WITHOUT_SOA} for MX of {domain}"), 0)
    return routed


async def _by_hosts(hosts: tuple[str, ...], ttl: float, ask: Ask, *, implicit: bool) -> Routed:
    """Look up the mail hosts in order until one is reachable.

    A host without an answer may be reachable: without a reachable one, the route is then Unknown.
    """
    found: dict[_State, str] = {}
    for name in hosts[:HOST_LIMIT]:
        host = await _find_host(name, ask)
        ttl = min(ttl, host.ttl)
        if host.state is _State.REACHABLE:
            return Routed(Hosts(hosts[:HOST_LIMIT], implicit), ttl)
        found.setdefault(host.state, host.detail)
    if len(hosts) > HOST_LIMIT:
        detail = f"none of the first {HOST_LIMIT} mail hosts can be reached"
        found.setdefault(_State.UNKNOWN, detail)
    if _State.UNKNOWN in found:
        return Routed(Unknown(found[_State.UNKNOWN]), 0)
    if _State.UNROUTABLE in found:
        return Routed(Unroutable(found[_State.UNROUTABLE]), ttl)
    return Routed(NoHost(found[_State.ABSENT]), ttl)


async def _find_host(name: str, ask: Ask) -> _Host:
    """Look up a mail host; one address that the internet routes is enough.

    AAAA is asked for only if the A records do not decide, which saves a query for most hosts.
    """
    known = _without_asking(name)
    if known is not None:
        return known
    ttl = float("inf")
    found: dict[_State, str] = {}
    for kind in (Type.A, Type.AAAA):
        answer = await ask(name, kind)
        if isinstance(answer, Failed):
            found[_State.UNKNOWN] = answer.detail
            continue
        ttl = min(ttl, answer.ttl)
        if isinstance(answer, Found):
            special = [_special(value) for value in answer.values if isinstance(value, bytes)]
            if None in special:
                return _Host(_State.REACHABLE, ttl)
            found.setdefault(_State.UNROUTABLE, f"{name} is {special[0]}")
        elif answer.doubtful:
            found[_State.UNKNOWN] = f"an empty reply {_WITHOUT_SOA} for {kind.name} of {name}"
        elif not answer.exists:
            break
    for state in (_State.UNKNOWN, _State.UNROUTABLE):
        if state in found:
            return _Host(state, ttl, found[state])
    return _Host(_State.ABSENT, ttl, f"{name} has no address")


def _without_asking(name: str) -> _Host | None:
    """Return what is known of a mail host by its name alone, or None."""
    if name == "localhost" or name.endswith(".localhost"):
        return _Host(_State.UNROUTABLE, float("inf"), f"{name} is loopback")  # RFC 6761 6.3
    if "\\" in name or name.rpartition(".")[2].isdigit():
        # an address in place of a name, which RFC 2181 10.3 forbids, or octets of no host name
        return _Host(_State.ABSENT, float("inf"), f"{name} is not a host name")
    return None


def _special(packed: bytes) -> str | None:
    """Return an address as text with its special use, or None if the internet routes it."""
    kind = special_use(packed)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6  # noqa: PLR2004 octets
    return kind and f"{socket.inet_ntop(family, packed)} ({kind})"


def _literal(domain: str) -> Routed:
    """Return the route of a domain literal (RFC 5321 4.1.3): the address itself."""
    address = ipaddress.ip_address(domain[1:-1].removeprefix("IPv6:"))
    kind = special_use(address.packed)
    forever = float("inf")
    if kind is None:
        return Routed(Hosts((str(address),), implicit=True), forever)
    return Routed(Unroutable(f"{address} ({kind})"), forever)
