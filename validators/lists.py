"""Lists of the operator, which may change while checks use them.

A file has one entry a line; `#` begins a comment. `relay.app.lists` reads the files and replaces
`Lists.current` as a whole, so that a check never sees half of a new list.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from validators.address import parse_domain

_LONGEST: Final = 320
"""Characters of a line: an address has 254."""

_NETWORK: Final = re.compile(r"[\d.]+(?:/|\Z)|[^/]*:")
"""What begins as an IP address or network does. A name may begin with a digit: `163.com`."""


class ListError(ValueError):
    """A line of a list is not an entry; the message is for the operator."""


class ListName(StrEnum):
    """The lists, by the names of their settings."""

    SUPPRESSED_DOMAINS = "suppressed_domains"
    """Domains whose recipients are suppressed."""
    ROLE_ALLOW = "role_allow"
    """Names and addresses that are no role accounts."""
    DISPOSABLE = "disposable"
    """Domains of disposable addresses, besides those of the package."""
    DISPOSABLE_ALLOW = "disposable_allow"
    """Domains that are none, though they are on the list."""
    TRAP_MX = "trap_mx"
    """Mail hosts of spam traps: domains, with their subdomains, and IP addresses or networks."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of all lists at one time."""

    suppressed_domains: frozenset[str] = frozenset()
    role_allow: frozenset[str] = frozenset()
    disposable: frozenset[str] = frozenset()
    disposable_allow: frozenset[str] = frozenset()
    trap_mx: frozenset[str] = frozenset()


class Lists:
    """Holds the entries that are in force."""

    __slots__ = ("current",)

    def __init__(self, entries: Entries | None = None) -> None:
        """Begin with empty lists unless `entries` are given."""
        self.current = entries or Entries()


def read(name: ListName, lines: Iterable[str]) -> frozenset[str]:
    """Return the entries of a list. Raises ListError with the number of the line."""
    found = set()
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            if len(text) > _LONGEST:
                raise ValueError("The line is too long.")  # noqa: TRY301 reported with its number
            found.add(_entry(name, text))
        except ValueError as error:
            message = f"line {number}: {text[:80]!r}: {error}"
            raise ListError(message) from None
    return frozenset(found)


def _entry(name: ListName, text: str) -> str:
    """Return an entry in the form in which it is compared. Raises ValueError."""
    if name is ListName.ROLE_ALLOW:
        if "@" in text:
            parse_domain(text.rpartition("@")[2])
        return text.lower()
    if name is ListName.TRAP_MX and _NETWORK.match(text):
        return str(ipaddress.ip_network(text, strict=False))
    return parse_domain(text.removeprefix("@").removeprefix("*.").rstrip("."))


def parents(domain: str) -> Iterator[str]:
    """Yield a domain, then the domains above it, down to two labels."""
    while "." in domain:
        yield domain
        domain = domain.partition(".")[2]
