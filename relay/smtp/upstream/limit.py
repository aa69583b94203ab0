"""How many connections one upstream allows: as configured, or fewer where it refuses more. No I/O.

No extension says how many connections a client may have, so an upstream says it by refusing one
more: Postfix and Exim answer it with 421, others close it or have their firewall reset it. A
refusal while other connections of ours work is such a limit. It is learned, and tried again for
one connection more after a pause: 1 s at first, twice as long after each further refusal.
"""

from __future__ import annotations

from typing import Final

_FIRST_PAUSE: Final = 1.0  # seconds
_SETTLE: Final = 2.0  # seconds in which an upstream may still count a connection that was closed


class ConnectionLimit:
    """The number of connections there may be to one upstream.

    `used` is the number of connections that exist or are being opened.
    """

    __slots__ = ("_ended", "_longest", "_pause", "_retry", "configured", "most")

    def __init__(self, configured: int, longest_pause: float) -> None:
        """`longest_pause` in seconds limits the time between two attempts to have more."""
        self.configured = configured
        self.most = configured
        """What may be in use now; less than `configured` where the upstream refused more."""
        self._longest = longest_pause
        self._pause = 0.0
        self._retry = 0.0
        self._ended = float("-inf")

    @property
    def learned(self) -> bool:
        """Whether the upstream allows fewer connections than are configured."""
        return self.most < self.configured

    def room(self, used: int, now: float) -> int:
        """Return how many connections may be opened now."""
        if used < self.most:
            return self.most - used
        return int(used == self.most < self.configured and now >= self._retry)

    def opened(self, used: int, now: float) -> None:
        """Take it that the upstream has let in one more connection."""
        if used > self.most:
            self.most = used
            self._retry = now + self._pause

    def proved(self, now: float) -> None:
        """Take it that a new connection carried a message: it was no mere greeting."""
        if self._pause > _FIRST_PAUSE:
            self._pause = min(_FIRST_PAUSE, self._longest)
            self._retry = min(self._retry, now + self._pause)

    def ended(self, now: float) -> None:
        """Take it that a connection is closed."""
        self._ended = now

    def refused(self, used: int, now: float, *, replied: bool) -> bool:
        """Learn from a refusal, with `used` others left; return whether it was a limit.

        With no other connection it is a failure, unless the upstream `replied` and may still count
        a connection that was closed a moment ago.
        """
        settling = replied and self.learned and now - self._ended < _SETTLE
        if not used and not settling:
            self.forget()
            return False
        self.most = min(used, self.most)
        self._pause = min(max(_FIRST_PAUSE, self._pause * 2), self._longest)
        self._retry = now + self._pause
        return True

    def forget(self) -> None:
        """Start again with what is configured: nothing works, so nothing is known."""
        self.most = self.configured
        self._pause = self._retry = 0.0
