"""Recipients whose mailbox came before, by canonical form and not by spelling."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from validators.address import Address
from validators.checks import Inputs
from validators.verdict import CLEAR, Finding, Findings, Reason

_FOUND = Finding(Reason.DUPLICATE)


class DuplicateCheck:
    """States DUPLICATE for all but the first recipient of a mailbox.

    Without a memory of its caller, it sees one group: the recipients that a client pipelined.
    """

    name = "duplicate"
    unknown: ClassVar[Reason | None] = None

    def __init__(self, seen: Callable[[str], bool] | None = None) -> None:
        """`seen` returns whether a mailbox came before, and remembers it (`Inputs.seen`)."""
        self._seen = seen

    def examine(self, group: Sequence[Address]) -> Findings:
        """Return a finding for each mailbox that came before."""
        seen = self._seen
        if seen is None:
            if not group[1:] or len({address.canonical for address in group}) == len(group):
                return CLEAR
            seen = _memory()
        found = [_FOUND if seen(address.canonical) else None for address in group]
        return found if any(found) else CLEAR


def _memory() -> Callable[[str], bool]:
    """Return a memory of one group."""
    mailboxes: set[str] = set()

    def seen(mailbox: str) -> bool:
        before = len(mailboxes)
        mailboxes.add(mailbox)
        return len(mailboxes) == before

    return seen


def build(inputs: Inputs) -> DuplicateCheck:
    """Return the check."""
    return DuplicateCheck(inputs.seen)
