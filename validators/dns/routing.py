"""From records to a mail route: RFC 5321 5.1 and RFC 7505, decided on the answers alone."""

import enum
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

from validators.dns.mail_route import (
    Hosts,
    MailRoute,
    NoDomain,
    NoHost,
    NullMx,
    Unknown,
    Unroutable,
)
from validators.dns.special_use import special_use
from validators.dns.wire import Answer, Failed, Found, Missing, Mx, Type

HOST_LIMIT: Final = 8
"""Mail hosts looked at; so many bad ones in a row say nothing about those that follow."""

Ask: TypeAlias = Callable[[str, Type], Awaitable[Answer]]


class State(enum.Enum):
    """What is known of one mail host."""

    REACHABLE = enum.auto()
    UNROUTABLE = enum.auto()
    ABSENT = enum.auto()
    UNKNOWN = enum.auto()


class Host(NamedTuple):
    """One mail host: `ttl` in seconds, `detail` for people where it is not reachable."""

    state: State
    ttl: float
    detail: str = ""


class Routed(NamedTuple):
    """A mail route and how long it holds, in seconds."""

    route: MailRoute
    ttl: float


LookUp: TypeAlias = Callable[[str], Awaitable[Host]]


async def find_route(domain: str, ask: Ask, look_up: LookUp) -> Routed:
    """Return where mail for a domain goes; `look_up` knows mail hosts."""
    if domain.startswith("["):
        return _literal(domain)
    said = await ask(domain, Type.MX)
    match said:
        case Failed(detail):
            return Routed(Unknown(detail), 0)
        case Missing(exists=False, ttl=ttl):
            return Routed(NoDomain(), ttl)
        case Missing(ttl=ttl):
            return await _by_hosts((domain,), ttl, look_up, implicit=True)
        case Found(values, ttl):
            records = sorted(value for value in values if isinstance(value, Mx))
            # RFC 7505 3 forbids a null MX beside others; then the others count
            hosts = tuple(dict.fromkeys(record.host for record in records if record.host))
            if not hosts:
                return Routed(NullMx(), ttl)
            return await _by_hosts(hosts, ttl, look_up, implicit=False)


async def _by_hosts(
    hosts: tuple[str, ...],
    ttl: float,
    look_up: LookUp,
    *,
    implicit: bool,
) -> Routed:
    """Look at the hosts in order, until one can be reached.

    A host that is not known may be a good one: then the route is not known either.
    """
    met: dict[State, str] = {}
    for name in hosts[:HOST_LIMIT]:
        host = await look_up(name)
        ttl = min(ttl, host.ttl)
        if host.state is State.REACHABLE:
            return Routed(Hosts(hosts[:HOST_LIMIT], implicit), ttl)
        met.setdefault(host.state, host.detail)
    if len(hosts) > HOST_LIMIT:
        met.setdefault(State.UNKNOWN, f"none of the first {HOST_LIMIT} mail hosts can be reached")
    if State.UNKNOWN in met:
        return Routed(Unknown(met[State.UNKNOWN]), 0)
    if State.UNROUTABLE in met:
        return Routed(Unroutable(met[State.UNROUTABLE]), ttl)
    return Routed(NoHost(met[State.ABSENT]), ttl)


async def find_host(name: str, ask: Ask) -> Host:
    """Return what is known of a mail host: one address that is routed is enough.

    AAAA is asked only if the A records do not settle it, which nearly always spares a query.
    """
    known = _without_asking(name)
    if known is not None:
        return known
    ttl = float("inf")
    met: dict[State, str] = {}
    for kind in (Type.A, Type.AAAA):
        said = await ask(name, kind)
        if isinstance(said, Failed):
            met[State.UNKNOWN] = said.detail
            continue
        ttl = min(ttl, said.ttl)
        if isinstance(said, Found):
            special = [_special(value) for value in said.values if isinstance(value, bytes)]
            if None in special:
                return Host(State.REACHABLE, ttl)
            met.setdefault(State.UNROUTABLE, f"{name} is {special[0]}")
        elif not said.exists:
            break
    for state in (State.UNKNOWN, State.UNROUTABLE):
        if state in met:
            return Host(state, ttl, met[state])
    return Host(State.ABSENT, ttl, f"{name} has no address")


def _without_asking(name: str) -> Host | None:
    """Return what a name says by itself, or None if DNS has to be asked."""
    if name == "localhost" or name.endswith(".localhost"):
        return Host(State.UNROUTABLE, float("inf"), f"{name} is loopback")  # RFC 6761 6.3
    if "\\" in name or name.rpartition(".")[2].isdigit():
        # an address in place of a name (RFC 2181 10.3 forbids it), or garbage
        return Host(State.ABSENT, float("inf"), f"{name} is not a host name")
    return None


def _special(packed: bytes) -> str | None:
    """Return an address that is not routed with the reason, or None."""
    kind = special_use(packed)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6  # noqa: PLR2004 octets
    return kind and f"{socket.inet_ntop(family, packed)} ({kind})"


def _literal(domain: str) -> Routed:
    """Judge a domain literal (RFC 5321 4.1.3) by the address it is."""
    address = ipaddress.ip_address(domain[1:-1].removeprefix("IPv6:"))
    kind = special_use(address.packed)
    forever = float("inf")
    if kind is None:
        return Routed(Hosts((str(address),), implicit=True), forever)
    return Routed(Unroutable(f"{address} ({kind})"), forever)
