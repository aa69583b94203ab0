"""The embedded upstream of `presend serve --dev`: aiosmtpd, writing what it gets into a Maildir."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from pathlib import Path


class Sink:
    """Listens on loopback, on a port the system picks; for a developer's machine only."""

    def __init__(self, maildir: Path) -> None:
        """`maildir` is made where it does not exist."""
        self._maildir = maildir
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port."""
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(self._maildir)

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
        """Stop listening."""
        if self._server is not None:
            self._server.close()
