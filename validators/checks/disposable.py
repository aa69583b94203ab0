"""Recipients at domains of disposable addresses (PyPI: disposable-email-domains)."""

from typing import ClassVar, Final

from disposable_email_domains import allowlist, blocklist

from validators.checks import Inputs
from validators.checks.private_relay import DOMAINS
from validators.dns import MailRoute
from validators.domains import DomainCheck
from validators.lists import Lists, parents
from validators.verdict import Finding, Reason

LISTED: Final = frozenset(blocklist) - frozenset(allowlist)
"""The domains of the package, less those that its own allow list has."""
_FOUND: Final = Finding(Reason.DISPOSABLE)


class DisposableCheck(DomainCheck):
    """States DISPOSABLE for a domain, or a subdomain of one, that is on the list.

    Forwarding services that belong to people (validators/checks/private_relay.py) are none.
    """

    name: ClassVar[str] = "disposable"

    def __init__(self, lists: Lists, allowed: frozenset[str] = frozenset()) -> None:
        """`allowed` are domains that are never disposable."""
        self._lists = lists
        self._allowed = allowed

    def find(self, domain: str, route: MailRoute | None) -> Finding | None:
        """Return the finding for a domain on the list."""
        del route
        own, listed = self._lists.current, LISTED
        for name in parents(domain):
            if name in own.disposable_allow or name in self._allowed:
                return None
            if name in own.disposable or name in listed:
                return _FOUND
        return None


def build(inputs: Inputs) -> DisposableCheck:
    """Return the check."""
    return DisposableCheck(inputs.lists, DOMAINS)
