"""Recipients on the suppression list."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from validators.address import Address
from validators.checks import Inputs
from validators.lists import Lists
from validators.suppression import Suppression, SuppressionLookup
from validators.verdict import CLEAR, Finding, Findings, Reason


class SuppressionCheck:
    """States SUPPRESSED; the detail is the reason of the entry."""

    name = "suppression"
    unknown: ClassVar[Reason | None] = Reason.STORE_UNAVAILABLE

    def __init__(
        self,
        lookup: SuppressionLookup,
        clock: Callable[[], float] = time.time,
        lists: Lists | None = None,
    ) -> None:
        """`clock` returns Unix time in seconds. `lists` has suppressed domains; it may change."""
        self._find = lookup.find
        self._clock = clock
        self._lists = lists or Lists()

    def examine(self, group: Sequence[Address]) -> Findings | Awaitable[Findings]:
        """Return a finding for each suppressed recipient, by one look-up. StoreUnavailable."""
        found = self._find(group)
        if self._lists.current.suppressed_domains:
            return self._with_domains(group, found)
        if not isinstance(found, list) and isinstance(found, Awaitable):
            return self._wait(found)
        if not any(found) and len(found) == len(group):
            return CLEAR
        return self._findings(found)

    def _with_domains(
        self,
        group: Sequence[Address],
        found: Sequence[Suppression | None] | Awaitable[Sequence[Suppression | None]],
    ) -> Findings | Awaitable[Findings]:
        """Add the recipients at domains on the list to those that the store has."""
        domains = self._lists.current.suppressed_domains
        listed = [
            Finding(Reason.SUPPRESSED, "list") if address.domain in domains else None
            for address in group
        ]

        def joined(entries: Sequence[Suppression | None]) -> Findings:
            return [one or two for one, two in zip(self._findings(entries), listed, strict=True)]

        async def wait(answer: Awaitable[Sequence[Suppression | None]]) -> Findings:
            return joined(await answer)

        if not isinstance(found, list) and isinstance(found, Awaitable):
            return wait(found)
        return joined(found)

    async def _wait(self, found: Awaitable[Sequence[Suppression | None]]) -> Findings:
        return self._findings(await found)

    def _findings(self, found: Sequence[Suppression | None]) -> Findings:
        now = self._clock()
        return [
            Finding(Reason.SUPPRESSED, entry.reason)
            if entry is not None and (entry.expires is None or entry.expires > now)
            else None
            for entry in found
        ]


def build(inputs: Inputs) -> SuppressionCheck:
    """Return the check."""
    return SuppressionCheck(inputs.suppressions, inputs.clock, inputs.lists)
