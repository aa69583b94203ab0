"""The octets that all sessions together hold back, for peers that do not read or read slowly.

An octet is held if it was read from a client ahead of its turn, was written to an upstream that
does not read, or is a reply that a client does not read. Each connection bounds its own octets;
the budget bounds the sum, so that the memory of the process does not grow with the number of slow
peers. When it is exhausted, nothing is read from a client as long as octets of it are held. If that
does not help within PATIENCE, those who hold most are deferred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from relay.smtp.server.connection import Connection

PATIENCE: Final = 5.0
"""Seconds for which the budget may be exhausted before a session is ended."""
_LARGE: Final = 262_144  # octets read at once: fewer reads take less CPU time
_SMALL: Final = 32_768  # while half of the budget is used: what is read may have to be held


class Budget:
    """How many octets are held, and by whom."""

    __slots__ = (
        "_holders",
        "_large",
        "_limit",
        "_since",
        "_small",
        "exhausted",
        "held",
        "read_buffer",
    )

    def __init__(self, limit: int) -> None:
        """`limit` is the number of octets from which the budget is exhausted."""
        self.held = 0
        """Octets held for all connections."""
        self.exhausted = False
        self._large = memoryview(bytearray(_LARGE))
        self._small = self._large[:_SMALL]
        self.read_buffer = self._large
        """Where the next octets from a client are read into; all connections share it."""
        self._limit = limit
        self._holders: dict[Connection, int] = {}
        self._since: float | None = None

    def hold(self, connection: Connection, octets: int) -> None:
        """State how many octets are held for a connection now."""
        before = self._holders.pop(connection, 0)
        if octets:
            self._holders[connection] = octets
        self.held += octets - before
        self.exhausted = self.held > self._limit
        self.read_buffer = self._small if self.held > self._limit // 2 else self._large

    def tick(self, now: float) -> list[Connection]:
        """Return the connections to end: those that hold most, after PATIENCE."""
        if not self.exhausted:
            self._since = None
            return []
        if self._since is None:
            self._since = now
        if now - self._since < PATIENCE:
            return []
        largest = sorted(self._holders, key=self._holders.__getitem__, reverse=True)
        surplus = self.held - self._limit // 2
        ended: list[Connection] = []
        for connection in largest:
            if surplus <= 0:
                break
            ended.append(connection)
            surplus -= self._holders[connection]
        return ended
