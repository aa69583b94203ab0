"""What a client has sent and nobody has read yet: lines for commands, octets for content."""

from __future__ import annotations

from typing import Final

from relay.reply import TABLE
from relay.smtp.server import commands
from relay.smtp.server.commands import BadCommand

_NUL: Final = 0  # a number: to look for `b"\0"` in octets takes eight times as long


class Input:
    """A buffer with a reading position; bounded by its owner, who stops reading the socket."""

    __slots__ = ("_octets", "_position", "_skipping", "left")

    def __init__(self) -> None:
        """Start empty."""
        self.left = 0
        """Number of unread octets."""
        self._octets = b""
        self._position = 0
        self._skipping = False

    def feed(self, octets: bytes) -> None:
        """Append what arrived."""
        if self.left:
            octets = self._octets[self._position :] + octets
        self._octets = octets
        self._position = 0
        self.left = len(octets)

    def take(self) -> bytes:
        """Return all unread octets."""
        octets = self._octets[self._position :] if self._position else self._octets
        self.clear()
        return octets

    def clear(self) -> None:
        """Forget all unread octets."""
        self._octets = b""
        self._position = self.left = 0

    def line(self) -> bytes | None:
        """Return the next line without its CRLF, or None if it is not complete yet.

        Raises BadCommand for a line that is too long or that CR LF does not end (RFC 5321 2.3.8);
        that line is then read.
        """
        start = self._position
        end = self._octets.find(b"\n", start)
        if end < 0:
            if self.left > commands.LONGEST:
                self.clear()
                self._skipping = True
            return None
        self._position = end + 1
        line = self._octets[start : end + 1]
        length = len(line)
        self.left -= length
        if self._skipping:
            self._skipping = False
            raise BadCommand(TABLE["LINE_TOO_LONG"])
        if length > commands.SHORTEST and length > commands.limit(line):
            raise BadCommand(TABLE["LINE_TOO_LONG"])
        if length == 1 or line.find(b"\r") != length - 2 or _NUL in line:
            raise BadCommand(TABLE["BAD_LINE_END"])
        return line[:-2]

    def next_is(self, verb: bytes) -> bool:
        """Whether the next line is complete and begins with `verb`, whatever its case."""
        if not self.left:
            return False
        start = self._position
        if self._octets[start : start + len(verb)].upper() != verb:
            return False
        return self._octets.find(b"\n", start) >= 0

    def mark(self) -> int:
        """Return the reading position, for `back`."""
        return self._position

    def back(self, mark: int) -> None:
        """Read again from `mark`."""
        self.left += self._position - mark
        self._position = mark
