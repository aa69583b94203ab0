"""Fair turns among sessions: no client can keep the others waiting by sending many commands.

A session reads commands of OCTETS octets of what arrived, and the rest in later turns. In each
iteration of the event loop one of the sessions with commands left has a turn, in rotation, so that
an iteration stays short however many clients send however much.

The same holds for octets: when a whole read buffer has been read in an iteration, whoever fills it
again goes on in a later iteration, in rotation as well. libuv would read on from each connection as
long as octets keep coming.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from relay.smtp.server.flow import MUCH_READ

if TYPE_CHECKING:
    from relay.smtp.server.connection import Connection

OCTETS: Final = 256
"""Octets of commands that are read in one turn; the command that reaches them is the last."""
_LARGE_GROUP: Final = 1000
_SMALL_GROUP: Final = 10  # while other sessions wait for their turns


class Turns:
    """The connections with commands left to read, in the order in which they have their turns."""

    __slots__ = ("_at_turn_end", "_filled", "_queue", "_stopped", "largest_group")

    def __init__(self, at_turn_end: Callable[[Callable[[], None]], object]) -> None:
        """`at_turn_end` runs a callback in the next iteration: `loop.call_soon`."""
        self.largest_group = _LARGE_GROUP
        """Most RCPTs to be judged and sent on together; the next ones form a group of their own."""
        self._at_turn_end = at_turn_end
        self._queue: dict[Connection, None] = {}
        self._stopped: dict[Connection, None] = {}
        self._filled = False

    def join(self, connection: Connection) -> None:
        """Give the connection a turn later; one that is in the queue keeps its place."""
        if not self._queue:
            self._at_turn_end(self._give)
        self._queue[connection] = None
        self.largest_group = _SMALL_GROUP

    def _give(self) -> None:
        """Give the first connection its turn, in which it may join the end of the queue again."""
        first = next(iter(self._queue))
        del self._queue[first]
        if self._queue:
            self._at_turn_end(self._give)
        else:
            self.largest_group = _LARGE_GROUP
        first.take_turn()

    def has_read(self, connection: Connection) -> None:
        """Stop a connection that filled the read buffer, if one did in this iteration before."""
        if self._filled:
            self._stopped[connection] = None
            connection.flow.pause(MUCH_READ)
        else:
            self._filled = True
            self._at_turn_end(self._read_on)

    def _read_on(self) -> None:
        """Begin an iteration: the first of the connections that were stopped may read again."""
        if self._stopped:
            first = next(iter(self._stopped))
            del self._stopped[first]
            first.flow.resume(MUCH_READ)
        self._filled = bool(self._stopped)
        if self._filled:
            self._at_turn_end(self._read_on)
