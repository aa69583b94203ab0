"""Recipients with a tag in the local part (RFC 5233): `ann+news@example.com`."""

from collections.abc import Sequence
from typing import ClassVar

from validators.address import Address
from validators.checks import Inputs
from validators.verdict import CLEAR, Finding, Findings, Reason

_FOUND = Finding(Reason.TAGGED)


class TaggedCheck:
    """States TAGGED, a fact for statistics: who uses tags often knows to whom an address went."""

    name = "tagged"
    unknown: ClassVar[Reason | None] = None

    def examine(self, group: Sequence[Address]) -> Findings:
        """Return a finding for each local part with a plus sign that is not its first character."""
        for address in group:
            if "+" in address.local[1:]:
                return [_FOUND if "+" in each.local[1:] else None for each in group]
        return CLEAR


def build(_: Inputs) -> TaggedCheck:
    """Return the check."""
    return TaggedCheck()
