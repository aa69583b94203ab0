"""Where a domain's mail goes: MailRoute, and the one caching resolver that finds it."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Hosts:
    """Mail hosts in the order of their preference, one of which at least can be reached."""

    hosts: tuple[str, ...]
    implicit: bool = False
    """No MX: the domain's own address is the mail host (RFC 5321 5.1)."""


@dataclass(frozen=True, slots=True)
class NullMx:
    """The domain says that it takes no mail (RFC 7505)."""


@dataclass(frozen=True, slots=True)
class NoDomain:
    """The domain does not exist (NXDOMAIN)."""


@dataclass(frozen=True, slots=True)
class NoHost:
    """The domain exists, but nothing there takes mail: no MX that has an address, no address."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """Every mail host has addresses only that the internet does not route."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer could be had: our trouble, or theirs, but no fact about the domain."""

    detail: str = ""


MailRoute: TypeAlias = Hosts | NullMx | NoDomain | NoHost | Unroutable | Unknown
