"""The sessions behind the listening sockets: their clock, and their drain."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from relay.smtp.server.connection import Client

if TYPE_CHECKING:
    from relay.smtp.server.doorman import Doorman
    from relay.smtp.server.rules import Rules


class Listener:
    """The sessions behind the listening sockets, which `relay.app` opens and closes."""

    __slots__ = ("_doorman", "_rules")

    def __init__(self, rules: Rules) -> None:
        """Begin without sessions."""
        self._rules = rules
        self._doorman: Doorman = rules.doorman

    def connection(self) -> Client:
        """Return the protocol of a new connection."""
        return Client(self._rules)

    def tick(self, now: float) -> None:
        """Close clients that have been idle too long."""
        for client in tuple(self._doorman.inside):
            client.tick(now)

    async def drain(self, grace: float) -> int:
        """Refuse new clients, and let transactions end within `grace` seconds.

        Return the number of those that did not, and were cut short.
        """
        self._doorman.draining = True
        for client in tuple(self._doorman.inside):
            client.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._doorman.emptied()
        left = tuple(self._doorman.inside)
        cut = sum(client.busy for client in left)
        for client in left:
            client.cut()
        return cut
