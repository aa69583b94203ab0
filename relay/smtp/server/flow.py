"""Back-pressure towards one client: why nothing is read from it, and what is held for it.

What is held counts against the budget of the process (budget.py).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from relay.smtp.server.budget import Budget
    from relay.smtp.server.connection import Connection

READ_AHEAD: Final = 65_536
"""Octets that a client may send ahead of the replies."""

# Why nothing is read from the client at the moment; several may hold at once.
TOO_FAR_AHEAD: Final = 1
UPSTREAM_SLOW: Final = 2
REPLIES_UNREAD: Final = 4
HANDSHAKING: Final = 8
MUCH_READ: Final = 16


class Flow:
    """Whether a connection is read from, and the octets held for it."""

    __slots__ = ("_budget", "_connection", "causes", "held", "transport", "unread", "unsent")

    def __init__(self, connection: Connection, budget: Budget) -> None:
        """Read, and hold nothing."""
        self.transport: asyncio.Transport | None = None
        """The connection to the client; None before it is made and after it is lost."""
        self.causes = 0
        """Why nothing is read; 0 if the connection is read from."""
        self.held = 0
        """Octets held, as the budget knows them."""
        self.unread = 0
        """Octets of replies that the client does not read."""
        self.unsent = 0
        """Octets of content that the upstream does not read."""
        self._connection = connection
        self._budget = budget

    def pause(self, cause: int) -> None:
        """Stop reading."""
        if not self.causes and self.transport is not None:
            self.transport.pause_reading()
        self.causes |= cause

    def resume(self, cause: int) -> None:
        """Read again, if nothing else speaks against it."""
        if not self.causes & cause:
            return
        self.causes &= ~cause
        if not self.causes and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def hold(self, ahead: int, *, waiting: bool) -> None:
        """State how many octets were read ahead, and whether they have to wait.

        Nothing more is read then from a client that is too far ahead; where the budget is
        exhausted, that is a client that is ahead at all.
        """
        self.held = held = ahead + self.unread + self.unsent
        self._budget.hold(self._connection, held)
        if ahead > READ_AHEAD or (ahead and waiting and self._budget.exhausted):
            self.pause(TOO_FAR_AHEAD)
