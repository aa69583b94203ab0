"""Writes are held until the end of the event loop's turn, then sent as one write a connection.

A write to a socket wakes its reader at once. When many clients have sent something, reading all of
them first and answering afterwards costs less than waking their processes one by one, which then
compete for the processors; and what goes to one connection within a turn leaves in one write.
docs/performance.md has the figures.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

_logger = logging.getLogger(__name__)

_LIMIT: Final = 65_536  # octets held for one connection: a turn may read megabytes for it


class WriteBuffer:
    """Octets to be written at the end of the turn, by transport."""

    __slots__ = ("_held", "at_turn_end")

    def __init__(self, at_turn_end: Callable[[Callable[[], None]], object]) -> None:
        """`at_turn_end` runs a callback once this turn's reads are done: `loop.call_soon`."""
        self.at_turn_end = at_turn_end
        self._held: dict[asyncio.WriteTransport, bytes] = {}

    def write(self, transport: asyncio.WriteTransport, octets: bytes) -> None:
        """Write `octets` at the end of the turn, after what is held for `transport`."""
        held = self._held
        if not held:
            self.at_turn_end(self.flush)
        before = held.get(transport)
        if before is None:
            held[transport] = octets
            return
        held[transport] = before + octets
        if len(before) > _LIMIT:
            self.write_now(transport)  # the transport's back-pressure then works within the turn

    def write_now(self, transport: asyncio.WriteTransport, octets: bytes = b"") -> None:
        """Write what is held for `transport`, and `octets` after it, at once."""
        octets = self._held.pop(transport, b"") + octets
        if octets:
            _write(transport, octets)

    def discard(self, transport: asyncio.WriteTransport) -> None:
        """Discard what is held for `transport`, which is about to be aborted."""
        self._held.pop(transport, None)

    def flush(self) -> None:
        """Write everything that is held."""
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
