"""Message content on its way through: end of data, line ends, size and loops (RFC 5321 4.1.1.4).

No sockets. Whatever way the octets are cut into chunks, the same octets come out and the same end
is found: a property test holds that. What leaves a scanner is dot-stuffed and ends at a line end
or inside a line, never between CR and LF, and holds no bare CR, bare LF or NUL; so no server
behind presend can see an end of message that presend did not see (SMTP smuggling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relay.reply import TABLE

if TYPE_CHECKING:
    from relay.reply import AnyReply

_END: Final = b"\r\n.\r\n"
_LOOP: Final = 100  # Received headers (RFC 5321 6.3)
_NUL, _LF, _CR = b"\0\n\r"


class _Watch:
    """Line ends, size and Received headers of content that passes by."""

    __slots__ = ("_headers", "_limit", "_received", "_tail", "fault", "size")

    def __init__(self, limit: int) -> None:
        """`limit` is the largest message in octets."""
        self.fault: AnyReply | None = None
        self.size = 0
        self._limit = limit
        self._headers = True
        self._received = 0
        self._tail = b"\r\n"

    def check(self, content: bytes) -> bytes:
        """Return `content`, or nothing from the first fault on. It never ends in CR."""
        if self.fault is not None:
            return b""
        self.size += len(content)
        text = content.replace(b"\r\n", b"")  # what is left of CR and LF belongs to no pair
        if _CR in text or _LF in text or _NUL in text:
            self.fault = TABLE["BAD_LINE_ENDS"]
        elif self.size > self._limit:
            self.fault = TABLE["TOO_LARGE"]
        elif self._headers:
            self._count_received(content)
        return b"" if self.fault is not None else content

    def _count_received(self, content: bytes) -> None:
        """Count the header's Received fields; what a chunk's edge cuts is seen with the next."""
        window = self._tail + content
        end = window.find(b"\r\n\r\n")
        if end >= 0:
            self._headers = False
            window = window[: end + 2]
        self._received += window.lower().count(b"\r\nreceived:")
        self._tail = window[-10:]  # one short of the field name, so no field is counted twice
        if self._received >= _LOOP:
            self.fault = TABLE["MAIL_LOOP"]


class DataScanner(_Watch):
    """Content after DATA, dot-stuffed by the client and left so."""

    __slots__ = ("_held", "_last", "last")

    def __init__(self, limit: int) -> None:
        """`limit` is the largest message in octets."""
        super().__init__(limit)
        self.last = True
        self._last = b"\r\n"  # the last octets let through; a dot may come first of all
        self._held = b""

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """Take the next octets from the client.

        The second value is None until CRLF.CRLF was seen, then whatever follows it. A fault does
        not end the message: the client sends on, and `fault` is the answer at the end.
        """
        window = self._last + self._held + chunk
        end = window.find(_END)
        if end >= 0:
            return self.check(window[2 : end + 2]), window[end + 5 :]
        if window.endswith(b"\r\n.\r"):
            keep = 2
        elif window.endswith((b"\r", b"\r\n.")):
            keep = 1
        else:
            keep = 0
        stop = len(window) - keep
        self._held = window[stop:]
        self._last = window[stop - 2 : stop]
        return self.check(window[2:stop]), None


class ChunkScanner(_Watch):
    """Content of BDAT chunks (RFC 3030), dot-stuffed on the way so that DATA can carry it."""

    __slots__ = ("_at_line_start", "_held", "_left", "last")

    def __init__(self, limit: int) -> None:
        """`limit` is the largest message in octets."""
        super().__init__(limit)
        self._at_line_start = True
        self._held = b""
        self._left = 0
        self.last = False

    def expect(self, octets: int, *, last: bool) -> None:
        """Announce the next chunk of `octets` octets."""
        self._left = octets
        self.last = last

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """Take the next octets; the second value is None until this chunk is complete."""
        mine, rest = chunk[: self._left], chunk[self._left :]
        self._left -= len(mine)
        window = self._held + mine
        self._held = b""
        if window.endswith(b"\r") and (self._left or not self.last):
            window, self._held = window[:-1], b"\r"
        content = self.check(window)
        if content:
            content = self._stuffed(content)
        if self._left:
            return content, None
        if self.last and not self._at_line_start and self.fault is None:
            content += b"\r\n"  # DATA ends with a line end (RFC 5321 4.1.1.4)
        return content, rest

    def _stuffed(self, content: bytes) -> bytes:
        """Double the dot that begins a line (RFC 5321 4.5.2)."""
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and content.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = content.endswith(b"\r\n")
        return stuffed
