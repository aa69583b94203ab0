"""An upstream that accepts and discards every message, but refuses the local part `gone`."""

import asyncio
import signal

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, Envelope, Session


class ForgetfulSink(Sink):
    """Discards messages; refuses one local part with the reply of an ESP to an unknown user."""

    async def handle_RCPT(  # noqa: N802 - the name is given by aiosmtpd
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
    loop.add_signal_handler(signal.SIGTERM, stopped.set)  # PID 1 has no default action for SIGTERM
    async with server:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
