"""The one header that presend adds: Received (RFC 5321 4.4)."""

from __future__ import annotations

import email.utils
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Trace:
    """Writes Received headers; the date is formatted once a second."""

    __slots__ = ("_by", "_date", "_now", "_second")

    def __init__(self, hostname: str, now: Callable[[], float]) -> None:
        """`now` gives Unix seconds."""
        self._by = hostname
        self._now = now
        self._second = -1
        self._date = ""

    def received(self, helo: str, peer: str, protocol: str, message_id: str) -> bytes:
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


def protocol(*, esmtp: bool, utf8: bool, tls: bool, auth: bool) -> str:
    """Return the transmission type for Received: SMTP, ESMTPSA, UTF8SMTPS, ..."""
    if not esmtp:
        return "SMTP"
    return ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if tls else "") + ("A" if auth else "")


def helo_name(argument: bytes) -> str:
    """Return the name a client gave in EHLO, fit for a header: RFC 5321 4.1.3 octets, bounded."""
    text = argument.decode("ascii", "replace")[:255]
    return "".join(c if c.isalnum() or c in "-._:[]" else "?" for c in text if c.isprintable())
