"""The last command of a transaction that came to nothing, so that its connection is used again."""

from __future__ import annotations

from typing import Final

from relay.reply import INTERMEDIATE, UpstreamReply
from relay.smtp.upstream.connection import Connection
from relay.smtp.upstream.pool import Failover

_RSET: Final = b"RSET\r\n"
_LONE_DOT: Final = b".\r\n"
_ANY: Final = 1000  # above every reply code


def reset(pools: Failover, connection: Connection) -> None:
    """End an open transaction with RSET, then take the connection back."""
    if connection.alive:
        connection.user = _Cleaning(pools, connection, INTERMEDIATE)
        connection.exchange([_RSET])


def end_empty_message(pools: Failover, connection: Connection) -> None:
    """Send the final dot after a 354 without recipients (RFC 2920 3.1), then take it back."""
    if connection.alive:
        connection.user = _Cleaning(pools, connection, _ANY)
        connection.exchange([_LONE_DOT])


class _Cleaning:
    """The user of a connection while a last command makes it fit for another transaction."""

    __slots__ = ("_below", "_connection", "_pools")

    def __init__(self, pools: Failover, connection: Connection, below: int) -> None:
        """A reply code under `below` means that the connection is clean."""
        self._pools = pools
        self._connection = connection
        self._below = below

    def replied(self, replies: list[UpstreamReply], fault: str | None) -> None:
        """Give the connection back, or close it."""
        if fault is None and replies[0].code < self._below:
            self._pools.give_back(self._connection)
        else:
            self._connection.abort()

    def upstream_paused(self, unsent: int) -> None:
        """Do nothing: no content is sent."""

    def upstream_resumed(self) -> None:
        """Do nothing."""

    def upstream_crashed(self) -> None:
        """Do nothing: the connection is closed."""
