"""An upstream that takes every message and forgets it, but knows no recipient called `gone`."""

import asyncio
import signal

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, Envelope, Session


class ForgetfulSink(Sink):
    """Refuses one local part as an ESP refuses an unknown user."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Answer RCPT."""
        if address.startswith("gone@"):
            return "550 5.1.1 No such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"


async def main() -> None:
    """Serve until the pod is stopped."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(ForgetfulSink(), hostname="sink.example", enable_SMTPUTF8=True, loop=loop),
        "",
        2525,
    )
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)  # process 1 has no default for it
    async with server:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
