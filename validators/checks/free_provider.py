"""Recipients at providers where anybody can have a mailbox (data/mailbox_domains.toml)."""

from typing import ClassVar, Final

from validators.checks import Inputs
from validators.dns import MailRoute
from validators.domains import DomainCheck
from validators.mailbox_domains import free_domains
from validators.verdict import Finding, Reason

_DOMAINS: Final = free_domains()
_FOUND: Final = Finding(Reason.FREE_PROVIDER)


class FreeProviderCheck(DomainCheck):
    """States FREE_PROVIDER, a fact for statistics."""

    name: ClassVar[str] = "free_provider"

    def find(self, domain: str, route: MailRoute | None) -> Finding | None:
        """Return the finding for a provider's domain."""
        del route
        return _FOUND if domain in _DOMAINS else None


def build(_: Inputs) -> FreeProviderCheck:
    """Return the check."""
    return FreeProviderCheck()
