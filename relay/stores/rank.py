"""Which of two entries counts: rules every store shares."""

from validators.suppression import ALL, Kind, Suppression

_ORDER = {Kind.ADDRESS: 0, Kind.SHA256: 1, Kind.MD5: 2, Kind.DOMAIN: 3}


def in_force(entry: Suppression, now: float) -> bool:
    """Whether an entry still holds at `now` (Unix seconds)."""
    return entry.expires is None or entry.expires > now


def lasts_longer(new: Suppression, known: Suppression) -> bool:
    """Whether `new` lasts longer than `known`; an entry without expiry lasts longest."""
    if known.expires is None:
        return False
    return new.expires is None or new.expires > known.expires


def specificity(entry: Suppression) -> tuple[int, bool, str]:
    """Sort key: address, digest, domain; a campaign's own entry before one for all."""
    return _ORDER[entry.kind], entry.scope == ALL, entry.scope
