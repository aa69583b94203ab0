"""Writes held to the end of the event loop's turn, then made one a connection.

A write to a socket wakes its reader at once. When sixteen clients have spoken, it costs less to
hear all of them first and to answer then, than to wake one by one peers that compete for the
processors; what goes to one connection in a turn also leaves together. docs/performance.md has
the figures.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

_ENOUGH: Final = 65_536  # octets held for one connection; a turn may read megabytes from it


class Outbox:
    """What is to be written when the turn ends. Never holds anything from one turn to the next."""

    __slots__ = ("_at_turn_end", "_held")

    def __init__(self, at_turn_end: Callable[[Callable[[], None]], object]) -> None:
        """`at_turn_end` runs a callback once this turn's reads are done: the loop's `call_soon`."""
        self._at_turn_end = at_turn_end
        self._held: dict[asyncio.WriteTransport, bytes] = {}

    def write(self, transport: asyncio.WriteTransport, octets: bytes) -> None:
        """Write `octets` at the end of the turn, behind what is held for `transport`."""
        held = self._held
        if not held:
            self._at_turn_end(self.flush)
        before = held.get(transport)
        if before is None:
            held[transport] = octets
            return
        held[transport] = before + octets
        if len(before) > _ENOUGH:
            self.write_now(transport)  # so that its back-pressure is felt within the turn

    def write_now(self, transport: asyncio.WriteTransport, octets: bytes = b"") -> None:
        """Write what is held for `transport`, and `octets` behind it, at once."""
        octets = self._held.pop(transport, b"") + octets
        if octets:
            _write(transport, octets)

    def forget(self, transport: asyncio.WriteTransport) -> None:
        """Drop what is held for `transport`: it is to be aborted."""
        self._held.pop(transport, None)

    def flush(self) -> None:
        """Write everything."""
        held, self._held = self._held, {}
        for transport, octets in held.items():
            _write(transport, octets)


def _write(transport: asyncio.WriteTransport, octets: bytes) -> None:
    if transport.is_closing():
        return
    try:
        transport.write(octets)
    except Exception:
        _logger.exception("Writing to a connection failed")
        transport.abort()
