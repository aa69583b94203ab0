"""Fair turns among sessions: no client can keep the others waiting by sending many commands.

A session reads commands of OCTETS octets of what arrived, and the rest in later turns. In each
iteration of the event loop a few of the sessions with commands left have a turn, in rotation, so
that an iteration stays short however many clients send however much.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from relay.smtp.server.connection import Connection

OCTETS: Final = 512
"""Octets of commands that are read in one turn; the command that reaches them is the last."""
_TURNS: Final = 4
"""Turns in one iteration of the event loop, beside those of sessions that have just received."""


class Turns:
    """The connections with commands left to read, in the order in which they have their turns."""

    __slots__ = ("_at_turn_end", "_queue")

    def __init__(self, at_turn_end: Callable[[Callable[[], None]], object]) -> None:
        """`at_turn_end` runs a callback in the next iteration: `loop.call_soon`."""
        self._at_turn_end = at_turn_end
        self._queue: dict[Connection, None] = {}

    def join(self, connection: Connection) -> None:
        """Give the connection a turn later; one that is in the queue keeps its place."""
        if not self._queue:
            self._at_turn_end(self._give)
        self._queue[connection] = None

    def _give(self) -> None:
        """Give some connections their turns. A turn may join again, at the end of the queue."""
        queue = self._queue
        present = list(islice(queue, _TURNS))
        for connection in present:
            del queue[connection]
        if queue:
            self._at_turn_end(self._give)
        for connection in present:
            connection.take_turn()
