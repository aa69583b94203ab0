"""Recipients at forwarding services that hide a person's mailbox (data/private_relays.toml)."""

import tomllib
from importlib import resources
from typing import ClassVar, Final

from validators.checks import Inputs
from validators.dns import MailRoute
from validators.domains import DomainCheck
from validators.lists import parents
from validators.verdict import Finding, Reason


def _read() -> frozenset[str]:
    file = resources.files("validators.data").joinpath("private_relays.toml")
    services = tomllib.loads(file.read_text("utf-8"))
    return frozenset(domain for domains in services.values() for domain in domains)


DOMAINS: Final = _read()
_FOUND = Finding(Reason.PRIVATE_RELAY)


class PrivateRelayCheck(DomainCheck):
    """States PRIVATE_RELAY, a fact for statistics."""

    name: ClassVar[str] = "private_relay"

    def find(self, domain: str, route: MailRoute | None) -> Finding | None:
        """Return the finding for a domain of a forwarding service, or a subdomain of one."""
        del route
        return _FOUND if is_relay(domain) else None


def is_relay(domain: str) -> bool:
    """Return whether a domain belongs to a forwarding service."""
    return any(name in DOMAINS for name in parents(domain))


def build(_: Inputs) -> PrivateRelayCheck:
    """Return the check."""
    return PrivateRelayCheck()
