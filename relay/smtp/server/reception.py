"""Content of one message on its way through, by DATA or in BDAT chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.reply import AnyReply
    from relay.smtp.server.content import ChunkScanner, DataScanner
    from relay.smtp.transaction import Transaction

_PATIENCE: Final = 1 << 24  # octets, and as many as the largest message, that may follow a fault


class Reception:
    """Feeds a transaction from a scanner. At the first fault the upstream is dropped.

    A message at fault is read to its end all the same: only there does the client read a reply.
    """

    __slots__ = ("_head", "_left", "_scanner", "_tail", "_tx")

    def __init__(
        self, tx: Transaction | None, scanner: DataScanner | ChunkScanner, head: bytes, limit: int
    ) -> None:
        """`head` goes in front of the content; `limit` is the largest message in octets.

        Without `tx` the scanner has its fault already: the content is only read.
        """
        self._tx = tx
        self._scanner = scanner
        self._head = head
        self._tail = b""
        self._left = 2 * limit + _PATIENCE

    @property
    def fault(self) -> AnyReply | None:
        """What to answer at the end in place of the upstream's reply."""
        return self._scanner.fault

    @property
    def endless(self) -> bool:
        """Whether a message at fault goes on for longer than a client may be listened to."""
        return self._left <= 0

    @property
    def last(self) -> bool:
        """Whether the end that `feed` found is that of the message, not of a chunk."""
        return self._scanner.last

    def feed(self, octets: bytes) -> bytes | None:
        """Pass on what arrived; return what follows the end of message or chunk, None before it."""
        scanner, tx = self._scanner, self._tx
        content, rest = scanner.feed(octets)
        if scanner.fault is not None:
            self._left -= len(octets)
            if tx is not None:
                tx.size = scanner.size
                tx.refuse(scanner.fault)
        elif tx is not None:
            tx.size = scanner.size
            if self._head and (content or rest is not None):
                content, self._head = self._head + content, b""
            if rest is not None and scanner.last:
                self._tail = content
            elif content:
                tx.content(content)
        return rest

    def end(self, sent: Callable[[AnyReply], None]) -> None:
        """Send the end of the message; `sent` gets the upstream's final reply."""
        assert self._tx is not None  # noqa: S101 - only content without a fault has an end
        self._tx.end(self._tail, sent)
