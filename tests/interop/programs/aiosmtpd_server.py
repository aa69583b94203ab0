"""An upstream on aiosmtpd: arguments are port, directory, certificate and key."""

import asyncio
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

KNOWN = {"ann@example.com", "bob@example.com", "j\u00f6rg@example.com"}


class Handler:
    """Stores each message in a file of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.count = 0

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd looks for
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the known recipients."""
        del server, session, options
        if address not in KNOWN:
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - likewise
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Store the content."""
        del server, session
        self.count += 1
        content = envelope.original_content or b""
        await asyncio.to_thread((self.directory / f"message-{self.count}").write_bytes, content)
        return f"250 2.0.0 Stored as message-{self.count}"


async def main() -> None:
    """Serve until the process is ended."""
    port, directory, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = Handler(Path(directory))

    def session() -> SMTP:
        return SMTP(handler, tls_context=context, enable_SMTPUTF8=True, data_size_limit=20_000_000)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
