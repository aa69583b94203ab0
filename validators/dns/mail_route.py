"""Where a domain's mail goes, as DNS tells it: a closed union, with its own case for unknown."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Hosts:
    """Mail hosts in the order of their preference; one of them at least can be reached."""

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
    """The domain exists, and nothing there takes mail: no address, or none for any MX."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """Every mail host that has addresses has only such as the internet does not route."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer could be had: our trouble, or theirs, but no fact about the domain."""

    detail: str = ""


MailRoute: TypeAlias = Hosts | NullMx | NoDomain | NoHost | Unroutable | Unknown
