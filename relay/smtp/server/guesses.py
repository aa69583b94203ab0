"""Wrong passwords: how long the next attempt from the same address has to wait (RFC 4954 4).

The first few failures cost nothing, since people mistype. After them one attempt a second is
checked for each address; whether the password is right makes no difference to the wait, because a
client that guesses would otherwise take a slow reply for a no and hang up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from relay.settings.clients import site_of

_FREE: Final = 3
"""Failures without a wait."""
_INTERVAL: Final = 1.0
"""Seconds between two attempts after that."""
_LONGEST: Final = 10.0
"""Seconds of waiting beyond which an attempt is refused."""
_FORGOTTEN: Final = 600.0
"""Seconds after the last failure when an address starts anew."""
_ADDRESSES: Final = 4096
"""Most addresses remembered; the one with the oldest failure is forgotten first."""


class _Record:
    """The failures of one address."""

    __slots__ = ("failures", "last", "next")

    def __init__(self) -> None:
        self.failures = 0
        self.last = 0.0
        self.next = 0.0


class Guesses:
    """The failed attempts of all addresses; bounded."""

    __slots__ = ("_clock", "_records")

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait(self, peer: str) -> float | None:
        """Return the seconds until an attempt of `peer` may be checked; None if it is refused."""
        if not self._records:
            return 0.0
        record = self._records.get(site_of(peer))
        if record is None or record.failures < _FREE:
            return 0.0
        now = self._clock()
        if now - record.last >= _FORGOTTEN:
            return 0.0
        turn = max(now, record.next)
        if turn - now > _LONGEST:
            return None
        record.next = turn + _INTERVAL
        return turn - now

    def failed(self, peer: str) -> None:
        """Note a wrong user name or password."""
        site, now = site_of(peer), self._clock()
        record = self._records.pop(site, None)
        if record is None or now - record.last >= _FORGOTTEN:
            record = _Record()
        record.failures += 1
        record.last = now
        record.next = max(record.next, now + _INTERVAL)
        self._records[site] = record
        if len(self._records) > _ADDRESSES:
            self._records.popitem(last=False)
