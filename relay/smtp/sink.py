"""The embedded upstream of `presend serve --dev`: an aiosmtpd server that writes to a Maildir."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

_OTHERS: Final = 0o077


@contextlib.contextmanager
def _private() -> Iterator[None]:
    """Make files in the block that only their owner may read."""
    umask = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(umask)


class _Mailbox(Mailbox):
    """A Maildir that only its owner may read, whatever the umask is."""

    def __init__(self, mail_dir: Path) -> None:
        """Make the Maildir if it does not exist."""
        with _private():
            super().__init__(mail_dir)
        mail_dir.chmod(0o700)

    def handle_message(self, message: Message) -> None:
        """Write a message. Nothing else runs meanwhile that could make a file."""
        with _private():
            super().handle_message(message)


class Sink:
    """An SMTP server on 127.0.0.1 without limits or authentication, for development only."""

    def __init__(self, maildir: Path) -> None:
        """Take the directory of the Maildir, which is created if it does not exist."""
        self._maildir = maildir
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen on a free port and return it."""
        loop = asyncio.get_running_loop()
        mailbox = _Mailbox(self._maildir)

        def serve() -> SMTP:
            return SMTP(
                mailbox,
                hostname="sink.presend",
                ident="presend sink",
                enable_SMTPUTF8=True,
                data_size_limit=None,
                loop=loop,
            )

        self._server = await loop.create_server(serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening; connections that are open are not closed."""
        if self._server is not None:
            self._server.close()
