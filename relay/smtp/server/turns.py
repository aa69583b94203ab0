"""Fair turns among sessions: no client can keep the others waiting by sending many commands.

A session reads commands of OCTETS octets of what arrived, and the rest in later turns. In each
iteration of the event loop one of the sessions with commands left has a turn, in rotation, so that
an iteration stays short however many clients send however much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from relay.smtp.server.connection import Connection

OCTETS: Final = 256
"""Octets of commands that are read in one turn; the command that reaches them is the last."""
_LARGE_GROUP: Final = 1000
_SMALL_GROUP: Final = 10  # while other sessions wait for their turns


class Turns:
    """The connections with commands left to read, in the order in which they have their turns."""

    __slots__ = ("_at_turn_end", "_queue", "largest_group")

    def __init__(self, at_turn_end: Callable[[Callable[[], None]], object]) -> None:
        """`at_turn_end` runs a callback in the next iteration: `loop.call_soon`."""
        self.largest_group = _LARGE_GROUP
        """Most RCPTs to be judged and sent on together; the next ones form a group of their own."""
        self._at_turn_end = at_turn_end
        self._queue: dict[Connection, None] = {}

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
