"""How many entries there are, kept as they come and go, so that nobody has to count them.

Entries are tallied by the day (UTC) on which they end, so that a sum over the days to come tells
how many are in force without looking at one of them.
"""

from collections import Counter

from validators.suppression import Suppression, SuppressionReason

DAY = 86_400
"""Seconds."""
NEVER = 0
"""The day of an entry that does not expire."""


def last_day(expires: float | None) -> int:
    """Number the day (UTC) in which an entry ends, from 1; NEVER without expiry."""
    return NEVER if expires is None else int(expires // DAY) + 1


def holds(day: int, now: float) -> bool:
    """Whether entries that end on `day` may still be in force at `now` (Unix seconds)."""
    return day == NEVER or day >= last_day(now)


class Tally:
    """Entries by reason and last day."""

    def __init__(self) -> None:
        self._numbers: Counter[tuple[SuppressionReason, int]] = Counter()

    def add(self, entry: Suppression, number: int = 1) -> None:
        """Take note of an entry that came, or with -1 went."""
        self._numbers[entry.reason, last_day(entry.expires)] += number

    def counts(self, now: float) -> dict[SuppressionReason, int]:
        """Sum up by reason what may be in force at `now`; no reason is listed with 0."""
        sums: Counter[SuppressionReason] = Counter()
        for (reason, day), number in self._numbers.items():
            if holds(day, now):
                sums[reason] += number
        return {reason: number for reason, number in sums.items() if number}
