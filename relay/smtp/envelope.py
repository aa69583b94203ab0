"""The envelope of a message: what MAIL and RCPT said (RFC 5321 2.3.1).

The server's parser makes these values, the transaction keeps them, the upstream's side writes them
again. They stand in a module of their own because all three use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Mail(NamedTuple):
    """MAIL FROM (RFC 5321 4.1.1.2)."""

    path: str
    """The sender's address, or "" for the null sender."""
    size: int = 0
    """The message's size in octets as the client declared it (RFC 1870); 0 if it did not."""
    eight_bit: bool = False
    """BODY=8BITMIME was given (RFC 6152)."""
    smtputf8: bool = False
    """SMTPUTF8 was given (RFC 6531)."""
    dsn: bytes = b""
    """RET and ENVID as given, each with a space in front (RFC 3461)."""


@dataclass(init=False, slots=True)
class Rcpt:
    """RCPT TO (RFC 5321 4.1.1.3). Treat as immutable.

    One is made for each recipient: its constructor is written out so that mypyc compiles it
    (docs/decisions/compiled.md).
    """

    path: str
    """The recipient's address as given."""
    dsn: bytes
    """NOTIFY and ORCPT as given, each with a space in front (RFC 3461)."""

    def __init__(self, path: str, dsn: bytes = b"") -> None:
        """Take both parts."""
        self.path = path
        self.dsn = dsn
