"""The rules that every store shares: which of several entries counts, and until when.

A store that has its own query language may write a rule in it, but the results are the same: the
contract suite in tests/contracts compares them.
"""

from typing import Final

from validators.suppression import ALL, Kind, Suppression

_ORDER: Final = {Kind.ADDRESS: 0, Kind.SHA256: 1, Kind.MD5: 2, Kind.DOMAIN: 3}
_DAY: Final = 86_400
"""Seconds."""
NEVER: Final = 0
"""The last day of an entry that does not expire."""


def in_force(entry: Suppression, now: float) -> bool:
    """Return whether an entry still holds at `now` (Unix seconds)."""
    return entry.expires is None or entry.expires > now


def lasts_longer(new: Suppression, known: Suppression) -> bool:
    """Return whether `new` lasts longer than `known`; an entry without expiry lasts longest."""
    if known.expires is None:
        return False
    return new.expires is None or new.expires > known.expires


def specificity(entry: Suppression) -> tuple[int, bool, str]:
    """Return a sort key: address, digest, domain; a campaign's own entry before one for all."""
    return _ORDER[entry.kind], entry.scope == ALL, entry.scope


def last_day(expires: float | None) -> int:
    """Return the number of the day (UTC) on which an entry ends, from 1; NEVER without expiry.

    Stores count their entries by last day, so that the number in force is a sum over the days to
    come, and no entry has to be read for it.
    """
    return NEVER if expires is None else int(expires // _DAY) + 1
