"""Is the recipient on the suppression list?"""

import time
from collections.abc import Awaitable, Callable, Sequence

from validators.address import Address
from validators.suppression import Suppression, SuppressionLookup
from validators.verdict import CLEAR, Facts, Finding, Reason


class SuppressionCheck:
    """States SUPPRESSED, with the entry's reason as the detail."""

    name = "suppression"

    def __init__(
        self,
        lookup: SuppressionLookup,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask `lookup`; `clock` gives Unix seconds."""
        self._find = lookup.find
        self._clock = clock

    def examine(self, group: Sequence[Address]) -> Facts | Awaitable[Facts]:
        """Return who is suppressed; one lookup for the group."""
        found = self._find(group)
        if not isinstance(found, list) and isinstance(found, Awaitable):
            return self._wait(found)
        if not any(found) and len(found) == len(group):
            return CLEAR
        return self._facts(found)

    async def _wait(self, found: Awaitable[Sequence[Suppression | None]]) -> Facts:
        return self._facts(await found)

    def _facts(self, found: Sequence[Suppression | None]) -> Facts:
        now = self._clock()
        return [
            Finding(Reason.SUPPRESSED, entry.reason)
            if entry is not None and (entry.expires is None or entry.expires > now)
            else None
            for entry in found
        ]
