"""Opens upstream connections: aiosmtplib does TLS, EHLO, STARTTLS and AUTH.

aiosmtplib can have one command in flight and has no pool, so after the handshake its transport is
handed to `connection.Connection` by `transport.set_protocol`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Final, cast

import aiohappyeyeballs
import aiosmtplib

from relay.observe.events import Stage
from relay.settings.endpoints import Upstream
from relay.settings.groups import UpstreamTimeouts
from relay.smtp.upstream.connection import Connection, Features
from relay.smtp.write_buffer import WriteBuffer


class HandshakeError(Exception):
    """No connection: `stage` says how far it came, `code` is the upstream's reply code or 0.

    `certificate` is true where the upstream's certificate was the reason.
    """

    def __init__(
        self, stage: Stage, text: str, code: int = 0, *, certificate: bool = False
    ) -> None:
        """`text` is for people and holds no secret."""
        super().__init__(f"{stage}: {text}")
        self.stage: Stage = stage
        self.text = text
        self.code = code
        self.certificate = certificate


def tls_context(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """Return the one context for all upstream connections; certificates are checked by default."""
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Connector:
    """Opens connections to one upstream."""

    __slots__ = ("_clock", "_context", "_helo", "_timeouts", "_upstream", "_write_buffer", "name")

    def __init__(
        self,
        upstream: Upstream,
        *,
        helo: str,
        context: ssl.SSLContext,
        timeouts: UpstreamTimeouts,
        clock: Callable[[], float],
        write_buffer: WriteBuffer,
    ) -> None:
        """`helo` is presend's name in EHLO; `timeouts.connect` limits the whole handshake."""
        self.name: Final = f"{upstream.host}:{upstream.port}"
        self._upstream = upstream
        self._helo = helo
        self._context = context
        self._timeouts = timeouts
        self._clock = clock
        self._write_buffer = write_buffer

    async def open(self) -> Connection:
        """Return a connection that is ready for MAIL.

        Raises HandshakeError.
        """
        progress: list[Stage] = ["connect"]
        client = aiosmtplib.SMTP(
            hostname=self._upstream.host,
            local_hostname=self._helo,
            timeout=None,  # one limit for the whole, below
            use_tls=self._upstream.scheme == "smtps",
            start_tls=False,  # never opportunistic: STARTTLS is asked for below, or not at all
            tls_context=self._context,
        )
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._handshake(client, progress)
        except BaseException as error:
            client.close()
            if isinstance(error, Exception):
                raise _explained(progress[0], error) from error
            raise
        return self._take_over(client)

    async def _handshake(self, client: aiosmtplib.SMTP, progress: list[Stage]) -> None:
        sock = await self._dial()
        progress[0] = "banner"
        await client.connect(sock=sock)
        progress[0] = "ehlo"
        await client.ehlo()
        if self._upstream.scheme == "smtp+starttls":
            progress[0] = "starttls"
            await client.starttls()
            progress[0] = "ehlo"
            await client.ehlo()
        if self._upstream.user is not None and self._upstream.password is not None:
            progress[0] = "auth"
            await client.login(self._upstream.user, self._upstream.password.get_secret_value())

    async def _dial(self) -> socket.socket:
        """Connect to the first address that answers (RFC 8305)."""
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(
            self._upstream.host, self._upstream.port, type=socket.SOCK_STREAM
        )
        return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=0.25)

    def _take_over(self, client: aiosmtplib.SMTP) -> Connection:
        offered = _features(client.esmtp_extensions)
        if client.transport is None:  # closed between the last reply and now
            raise HandshakeError("ehlo", "upstream closed the connection")
        transport = cast("asyncio.Transport", client.transport)
        connection = Connection(
            self.name,
            transport,
            offered,
            timeouts=self._timeouts,
            clock=self._clock,
            write_buffer=self._write_buffer,
        )
        transport.set_protocol(connection)
        client.protocol = client.transport = None
        return connection


def _features(extensions: Mapping[str, str]) -> Features:
    limits = dict(
        part.split("=", 1) for part in extensions.get("limits", "").upper().split() if "=" in part
    )
    return Features(
        pipelining="pipelining" in extensions,
        size="size" in extensions,
        eight_bit="8bitmime" in extensions,
        smtputf8="smtputf8" in extensions,
        dsn="dsn" in extensions,
        messages=_number(limits.get("MAILMAX")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) <= 6 else 0  # noqa: PLR2004 - RFC 9422 4


def _explained(stage: Stage, error: Exception) -> HandshakeError:
    """Return the stage and the cause of a failed handshake; the text holds no secret."""
    cause = error.__cause__ or error
    certificate = isinstance(cause, ssl.SSLCertVerificationError)
    match error:
        case TimeoutError():
            return HandshakeError(stage, "timed out")
        case aiosmtplib.SMTPConnectResponseError():
            return HandshakeError(
                "banner", f"upstream said {error.code} {error.message}", error.code
            )
        case aiosmtplib.SMTPResponseException() if error.code > 0:
            return HandshakeError(stage, f"upstream said {error.code} {error.message}", error.code)
        case aiosmtplib.SMTPConnectError() if isinstance(cause, OSError) and not isinstance(
            cause, aiosmtplib.SMTPException
        ):
            return HandshakeError("connect", _reason(cause), certificate=certificate)
        case aiosmtplib.SMTPConnectError():
            return HandshakeError("banner", _reason(error))
        case _:
            return HandshakeError(stage, _reason(cause), certificate=certificate)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
