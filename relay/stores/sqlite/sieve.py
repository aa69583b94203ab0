"""What spares a read: most addresses are on no list, and a few bits can say so for certain.

A sieve holds one bit for each hash of a listed address, in 16 times as many places as there are
addresses. An address whose bit is not set is not listed; one whose bit is set is asked about. The
sieve is made a slice at a time, in the store's refreshes, from a file that does not change
meanwhile; when the file changes it is thrown away, and made anew once the file has come to rest.
"""

import sqlite3
from typing import Final

_MOST: Final = 1_000_000
"""Addresses on a list that gets a sieve, of 2 MiB then; a longer list is read for every address."""
_SLICE: Final = 8192
"""Rows read in one refresh: a few milliseconds."""
_REST: Final = 8
"""Refreshes without a change before a sieve is begun."""
_PLACES: Final = 16
"""Bits an address: one in sixteen addresses that are not listed is asked about all the same."""


class Sieve:
    """The addresses of one file, as far as `misses` needs them; empty until it is complete."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._mask = 0
        self._last = b""
        self._rested = 0
        self.complete = False

    def reset(self) -> None:
        """Throw everything away: the file has changed."""
        self._bits = bytearray()
        self._last = b""
        self._rested = 0
        self.complete = False

    def advance(self, connection: sqlite3.Connection, addresses: int) -> None:
        """Take in the next rows; to be called at each refresh at which the file is unchanged.

        `addresses` is their number on the list, of every scope. Raises sqlite3.Error.
        """
        if self.complete or not 0 < addresses <= _MOST:
            return
        self._rested += 1
        if self._rested < _REST:
            return
        if not self._bits:
            size = max(64, 1 << (addresses * _PLACES - 1).bit_length())
            self._bits = bytearray(size // 8)
            self._mask = size - 1
        rows = connection.execute(
            "SELECT key, value FROM suppression WHERE key > ? AND kind = 0 ORDER BY key LIMIT ?",
            (self._last, _SLICE),
        ).fetchall()
        bits, mask = self._bits, self._mask
        for _, value in rows:
            place = hash(value) & mask
            bits[place >> 3] |= 1 << (place & 7)
        if len(rows) < _SLICE:
            self.complete = True
        else:
            self._last = rows[-1][0]

    def misses(self, address: str) -> bool:
        """Whether the canonical `address` is certainly not listed; only once `complete`."""
        place = hash(address) & self._mask
        return not self._bits[place >> 3] & 1 << (place & 7)
