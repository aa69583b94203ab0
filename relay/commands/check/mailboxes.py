"""Remembers the mailboxes of a list, so that later rows with the same mailbox are found.

A mailbox is remembered by 127 bits of its BLAKE2b digest, in a hash table with open addressing. For
a list of a thousand million rows, the probability that any two of its mailboxes have equal digests
is below 10^-20: for all purposes, only what is equal is found. The table takes 24 to 48 octets a
mailbox, and half as much again while it grows: for a million rows 32 MiB, and 48 MiB for a moment.
"""

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from struct import Struct
from typing import Final

_FIRST: Final = 1 << 10
_WORDS: Final = Struct("<QQ")
DIGEST: Final = _WORDS.size
"""Octets of a digest."""


class Mailboxes:
    """A set of mailboxes, by canonical form."""

    def __init__(self) -> None:
        self._size = _FIRST
        """Places in the table, a power of two; each has two words, the second one not zero."""
        self._table = array("Q", (0,)) * (2 * _FIRST)
        self._used = 0
        self.record: bytearray | None = None
        """If it is set, takes the digests of what is new, as `restore` takes them."""

    def __len__(self) -> int:
        return self._used

    def repeated(self, mailboxes: Sequence[str]) -> list[int]:
        """Return the positions of those that came before, and remember the others.

        An empty text is no mailbox.
        """
        found: list[int] = []
        table, last, unpack = self._table, self._size - 1, _WORDS.unpack
        for position, mailbox in enumerate(mailboxes):
            if not mailbox:
                continue
            first, second = unpack(blake2b(mailbox.encode(), digest_size=DIGEST).digest())
            second |= 1  # a place that is not used has 0 there
            place = (first & last) * 2
            while used := table[place + 1]:
                if used == second and table[place] == first:
                    found.append(position)
                    break
                place = (place + 2) & (2 * last + 1)
            else:
                table[place], table[place + 1] = first, second
                self._used += 1
                if self.record is not None:
                    self.record += _WORDS.pack(first, second)
                if 3 * self._used > 2 * self._size:
                    self._grow()
                    table, last = self._table, self._size - 1
        return found

    def digests(self) -> Iterator[bytes]:
        """Yield the digests, to be given to `restore`."""
        table = self._table
        for place in range(0, 2 * self._size, 2):
            if table[place + 1]:
                yield _WORDS.pack(table[place], table[place + 1])

    def restore(self, digests: bytes) -> None:
        """Remember what another set has yielded, which has no digest twice."""
        for first, second in _WORDS.iter_unpack(digests):
            _insert(self._table, self._size - 1, first, second)
            self._used += 1
            if 3 * self._used > 2 * self._size:
                self._grow()

    def _grow(self) -> None:
        old, size = self._table, self._size
        self._size = 2 * size
        self._table = table = array("Q", (0,)) * (2 * self._size)
        for at in range(0, 2 * size, 2):
            if second := old[at + 1]:
                _insert(table, self._size - 1, old[at], second)


def _insert(table: "array[int]", last: int, first: int, second: int) -> None:
    """Insert a digest that is not there; `last` is the highest place."""
    place = (first & last) * 2
    while table[place + 1]:
        place = (place + 2) & (2 * last + 1)
    table[place], table[place + 1] = first, second
