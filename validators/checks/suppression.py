"""Recipients on the suppression list."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from validators.address import Address
from validators.checks import Inputs
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
    ) -> None:
        """`clock` returns Unix time in seconds."""
        self._find = lookup.find
        self._clock = clock

    def examine(self, group: Sequence[Address]) -> Findings | Awaitable[Findings]:
        """Return a finding for each suppressed recipient, by one look-up. StoreUnavailable."""
        found = self._find(group)
        if not isinstance(found, list) and isinstance(found, Awaitable):
            return self._wait(found)
        if not any(found) and len(found) == len(group):
            return CLEAR
        return self._findings(found)

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
    return SuppressionCheck(inputs.suppressions, inputs.clock)
