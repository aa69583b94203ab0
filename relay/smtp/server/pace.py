"""How fast a client has to send: a limit for each command, for a message, and a least rate.

Only time in which it is the client's turn counts, so that a client is never blamed for the slowness
of DNS, of the upstream or of presend itself.
"""

from __future__ import annotations

from typing import Final

from relay.reply import TABLE, Reply
from relay.settings.groups import Limits

WINDOW: Final = 60.0
"""Seconds of content over which the rate is measured."""


class Pace:
    """The time that one client has taken. `tick` is told how much has passed."""

    __slots__ = ("_idle", "_limits", "_message", "_octets", "_window")

    def __init__(self, limits: Limits) -> None:
        """Start with no time taken."""
        self._limits = limits
        self._idle = self._message = self._window = 0.0
        self._octets = 0

    def begin(self) -> None:
        """Begin to count the time of a message anew."""
        self._message = 0.0

    def tick(
        self, seconds: float, *, active: bool, in_transaction: bool, octets: int | None
    ) -> Reply | None:
        """Add `seconds`; return the reply with which to hang up, if the client is too slow.

        `active`: a command was completed, or content arrived, since the tick before. `octets`: the
        octets of content that arrived since then; None while no content is due.
        """
        limits = self._limits
        self._idle = 0.0 if active else self._idle + seconds
        if self._idle >= limits.idle:
            return TABLE["IDLE"]
        self._message = self._message + seconds if in_transaction else 0.0
        if self._message >= limits.message_time:
            return TABLE["TOO_SLOW"]
        if octets is None:
            self._window = 0.0
            self._octets = 0
            return None
        self._window += seconds
        self._octets += octets
        if self._window < WINDOW:
            return None
        slow = self._octets < limits.least_rate * self._window
        self._window = 0.0
        self._octets = 0
        return TABLE["TOO_SLOW"] if slow else None
