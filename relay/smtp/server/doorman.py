"""Who may connect, and who is connected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from relay.reply import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.reply import Reply


class Guest(Protocol):
    """A connected client: `client.Client`."""

    @property
    def busy(self) -> bool:
        """Whether a transaction is under way."""

    def tick(self, now: float) -> None:
        """Look at the clock."""

    def drain(self) -> None:
        """Leave as soon as nothing is under way."""

    def cut(self) -> None:
        """Leave at once."""


class Doorman:
    """Who may come in, and who is in."""

    __slots__ = ("_emptied", "_most", "_permits", "_refused", "draining", "inside")

    def __init__(
        self, permits: Callable[[str], bool], most: int, refused: Callable[[str], None]
    ) -> None:
        """`permits` tells of an IP address; `refused` counts a cause."""
        self._permits = permits
        self._most = most
        self._refused = refused
        self._emptied = asyncio.Event()
        self.draining = False
        self.inside: set[Guest] = set()

    def enter(self, guest: Guest, peer: str) -> Reply | None:
        """Let `guest` in, or return what to say instead of a greeting."""
        if not self._permits(peer):
            self._refused("client")
            return TABLE["CLIENT_REFUSED"]
        if self.draining:
            self._refused("draining")
            return TABLE["DRAINING"]
        if len(self.inside) >= self._most:
            self._refused("connections")
            return TABLE["TOO_MANY_CONNECTIONS"]
        self.inside.add(guest)
        return None

    def leave(self, guest: Guest) -> None:
        """Forget `guest`, whether or not it was let in."""
        self.inside.discard(guest)
        if not self.inside:
            self._emptied.set()

    async def emptied(self) -> None:
        """Wait until nobody is in."""
        while self.inside:
            self._emptied.clear()
            await self._emptied.wait()
