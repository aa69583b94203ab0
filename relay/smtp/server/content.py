"""Message content on its way through: end of data, line ends, size, loops (RFC 5321 4.1.1.4).

No sockets. The same octets come out and the same end is found however the octets are cut into
chunks: a property test holds that. What leaves a scanner is dot-stuffed, never ends between CR and
LF, and holds no bare CR, bare LF or NUL; so no server behind presend can see an end of message that
presend did not see (SMTP smuggling).
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from typing import Final, NamedTuple

from relay.reply import TABLE, AnyReply
from relay.smtp.transaction import Transaction

_END: Final = b"\r\n.\r\n"
_LOOP: Final = 100  # Received headers (RFC 5321 6.3)
_READ_OVER: Final = 1 << 24  # octets, and twice the largest message, read after a fault
_NUL, _LF, _CR = b"\0\n\r"


class _Scanner:
    """Line ends, size and Received headers of the content that passes."""

    __slots__ = ("_headers", "_limit", "_read_over", "_received", "_tail", "fault", "size")

    def __init__(self, limit: int) -> None:
        """`limit` is the largest message in octets."""
        self.fault: AnyReply | None = None
        """What to answer at the end of the content, in place of the upstream's reply."""
        self.size = 0
        """Octets of content so far."""
        self._limit = limit
        self._read_over = 2 * limit + _READ_OVER
        self._headers = True
        self._received = 0
        self._tail = b"\r\n"

    @property
    def exhausted(self) -> bool:
        """Whether content at fault goes on for longer than a client may be listened to.

        The client reads the reply only at the end of its message, so the rest is read over, but
        within bounds.
        """
        return self._read_over <= 0

    def check(self, content: bytes) -> bytes:
        """Return `content`, or nothing from the first fault on; `content` never ends in CR."""
        if self.fault is not None:
            self._read_over -= len(content)
            return b""
        self.size += len(content)
        text = content.replace(b"\r\n", b"")  # any CR or LF left belongs to no pair
        if _CR in text or _LF in text or _NUL in text:
            self.fault = TABLE["BAD_LINE_ENDS"]
        elif self.size > self._limit:
            self.fault = TABLE["TOO_LARGE"]
        elif self._headers:
            self._count_received(content)
        return b"" if self.fault is not None else content

    def _count_received(self, content: bytes) -> None:
        """Count the header's Received fields, also those that a chunk's edge cuts."""
        window = self._tail + content
        end = window.find(b"\r\n\r\n")
        if end >= 0:
            self._headers = False
            window = window[: end + 2]
        self._received += window.lower().count(b"\r\nreceived:")
        self._tail = window[-10:]  # one short of the field name, so no field is counted twice
        if self._received >= _LOOP:
            self.fault = TABLE["MAIL_LOOP"]


class DataScanner(_Scanner):
    """Content after DATA, which the client has dot-stuffed."""

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


class ChunkScanner(_Scanner):
    """Content of BDAT chunks (RFC 3030); it is dot-stuffed here, because DATA carries it on."""

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


class End(NamedTuple):
    """The end of a message or of a chunk was found."""

    rest: bytes
    """Octets behind the end."""
    tail: bytes
    """The last content of the message, for `Transaction.end`; empty unless `last`."""
    last: bool
    """The message ends here; False: only a chunk does."""
    fault: AnyReply | None
    """The reply, if the content is at fault."""


class Content:
    """Passes content from a scanner to the transaction, which is dropped at the first fault.

    Content at fault is read to its end all the same: only there does the client read a reply.
    """

    __slots__ = ("_header", "_tx", "scanner")

    def __init__(
        self, scanner: DataScanner | ChunkScanner, tx: Transaction | None, header: bytes
    ) -> None:
        """`header` goes in front of the content; without `tx` the scanner has its fault already."""
        self.scanner = scanner
        self._tx = tx
        self._header = header

    def expect(self, octets: int, *, last: bool) -> None:
        """Announce the next chunk of BDAT."""
        assert isinstance(self.scanner, ChunkScanner)  # noqa: S101 - the content began with BDAT
        self.scanner.expect(octets, last=last)

    def feed(self, octets: bytes) -> End | None:
        """Pass on what arrived; return None as long as the end is not among it."""
        scanner, tx = self.scanner, self._tx
        content, rest = scanner.feed(octets)
        last = rest is not None and scanner.last
        if tx is not None:
            tx.size = scanner.size
            if scanner.fault is not None:
                tx.refuse(scanner.fault)
            else:
                if self._header and (content or rest is not None):
                    content, self._header = self._header + content, b""
                if content and not last:
                    tx.content(content)
        if rest is None:
            return None
        return End(rest, content if last else b"", last, scanner.fault)


def read_over(limit: int, reply: AnyReply) -> Content:
    """Return the content of a chunk that leads to nothing; `reply` is the answer at its end."""
    scanner = ChunkScanner(limit)
    scanner.fault = reply
    return Content(scanner, None, b"")


class Received:
    """Writes Received headers; the date is formatted once a second."""

    __slots__ = ("_by", "_date", "_now", "_second")

    def __init__(self, hostname: str, now: Callable[[], float]) -> None:
        """`now` gives Unix seconds."""
        self._by = hostname
        self._now = now
        self._second = -1
        self._date = ""

    def header(self, helo: str, peer: str, protocol: str, message_id: str) -> bytes:
        """Return the header with its CRLF. `protocol` is a keyword of RFC 3848 or RFC 6531 4.3."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._date = email.utils.formatdate(second)
        literal = f"IPv6:{peer}" if ":" in peer else peer
        return (
            f"Received: from {helo} ([{literal}])\r\n"
            f"\tby {self._by} with {protocol} id {message_id};\r\n"
            f"\t{self._date}\r\n"
        ).encode()
