"""The checks, one module each. A module states the reasons whose rows in the table name it."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from validators.dns import Resolver
from validators.domains import DomainCheck
from validators.lists import Lists
from validators.pipeline import Check
from validators.reasons import CHECKS, Reason
from validators.suppression import SuppressionLookup


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What checks are built from. Each check takes what it needs."""

    suppressions: SuppressionLookup
    """The suppression list of this campaign."""
    resolver: Resolver | None
    """None if DNS is not to be asked."""
    trusted_domains: Collection[str] = ()
    """Domains that are not looked up in DNS, with all their subdomains."""
    role_allow: Collection[str] = ()
    """Role names, and addresses, that are no role accounts."""
    lists: Lists = field(default_factory=Lists)
    """Lists of the operator that may change."""
    blocklists: Sequence[str] = ()
    """Zones of domain blocklists to ask, such as `dbl.example.org`."""
    seen: Callable[[str], bool] | None = None
    """Returns whether a mailbox, by canonical form, came before, and remembers it.

    None: only the recipients of one group are compared.
    """
    clock: Callable[[], float] = time.time
    """Unix time in seconds."""


def build(inputs: Inputs, reasons: Iterable[Reason] = Reason) -> list[Check | DomainCheck]:
    """Return the checks that state `reasons`, in the order of the table.

    The module of a check offers `build(inputs) -> Check | DomainCheck | None`; None leaves the
    check out. ValueError if an input is not valid.
    """
    wanted = {reason.row.check for reason in reasons}
    checks: list[Check | DomainCheck] = []
    for name in CHECKS:
        if name in wanted:
            check: Check | DomainCheck | None = _MODULES[name].build(inputs)
            if check is not None:
                checks.append(check)
    return checks


_MODULES = {name: import_module(f"{__name__}.{name}") for name in CHECKS}
