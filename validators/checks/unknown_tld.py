"""Recipients under a top-level domain that does not exist."""

from collections.abc import Collection
from typing import ClassVar, Final

from validators.checks import Inputs
from validators.dns import MailRoute
from validators.domains import DomainCheck
from validators.top_level import PRIVATE, root_zone
from validators.verdict import Finding, Reason

_KNOWN: Final = root_zone() | PRIVATE


class UnknownTldCheck(DomainCheck):
    """States UNKNOWN_TLD; the detail is the label.

    Special-use names, and names that networks use inside, are no fault.
    """

    name: ClassVar[str] = "unknown_tld"

    def __init__(self, trusted_domains: Collection[str] = ()) -> None:
        """`trusted_domains` and what is beside them under the same label are known."""
        own = {name.strip().rstrip(".").rpartition(".")[2].lower() for name in trusted_domains}
        self._known = _KNOWN | own

    def find(self, domain: str, route: MailRoute | None) -> Finding | None:
        """Return the finding for a domain whose last label is not known."""
        del route
        label = domain.rpartition(".")[2]
        if label in self._known or domain.startswith("["):
            return None
        return Finding(Reason.UNKNOWN_TLD, label)


def build(inputs: Inputs) -> UnknownTldCheck:
    """Return the check."""
    return UnknownTldCheck(inputs.trusted_domains)
