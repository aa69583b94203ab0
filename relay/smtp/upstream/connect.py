"""Opens upstream connections: aiosmtplib does TLS, EHLO, STARTTLS and AUTH.

aiosmtplib can have one command in flight and has no pool, so after the handshake its transport is
handed to `connection.Connection` by `transport.set_protocol`.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import aiohappyeyeballs
import aiosmtplib

from relay.observe.events import Stage
from relay.reply import FOR_GOOD, REFUSED
from relay.settings.endpoints import Upstream
from relay.settings.groups import UpstreamTimeouts
from relay.smtp.upstream.connection import Connection, Features
from relay.smtp.write_buffer import WriteBuffer

_LONGEST_REASON: Final = 300  # characters


class HandshakeError(Exception):
    """No connection: `stage` says how far it came, `code` is the upstream's reply code or 0.

    `certificate` is true where the upstream's certificate was the reason, `refused` where the
    upstream did not want this connection, be it by a reply or by closing it.
    """

    def __init__(
        self,
        stage: Stage,
        text: str,
        code: int = 0,
        *,
        certificate: bool = False,
        refused: bool = False,
    ) -> None:
        """`text` is for people and holds no secret."""
        super().__init__(f"{stage}: {text}")
        self.stage: Stage = stage
        self.text = text
        self.code = code
        self.certificate = certificate
        self.refused = refused


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
                raise _explained(progress[0], error, self._secrets()) from error
            raise
        return self._take_over(client)

    async def _handshake(self, client: aiosmtplib.SMTP, progress: list[Stage]) -> None:
        sock = await self._dial()
        progress[0] = "banner"
        await client.connect(sock=sock)
        _check_surplus(client, "banner")
        progress[0] = "ehlo"
        await client.ehlo()
        _check_surplus(client, "ehlo")
        if self._upstream.scheme == "smtp+starttls":
            progress[0] = "starttls"
            await client.starttls()
            progress[0] = "ehlo"
            await client.ehlo()
            _check_surplus(client, "ehlo")
        if self._upstream.user is not None and self._upstream.password is not None:
            progress[0] = "auth"
            await client.login(self._upstream.user, self._upstream.password.get_secret_value())
            _check_surplus(client, "auth")

    def _secrets(self) -> tuple[str, ...]:
        """Return what the upstream may repeat of AUTH PLAIN and LOGIN (RFC 4616)."""
        upstream = self._upstream
        if upstream.password is None:
            return ()
        password = upstream.password.get_secret_value()
        plain = f"\0{upstream.user}\0{password}"
        return *(base64.b64encode(it.encode()).decode() for it in (plain, password)), password

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


def _check_surplus(client: aiosmtplib.SMTP, stage: Stage) -> None:
    """Raise HandshakeError if more came than the reply: it would answer the next command.

    aiosmtplib keeps such octets, and has no public way to ask for them.
    """
    surplus = bytes(client.protocol._buffer) if client.protocol is not None else b""  # noqa: SLF001
    if surplus:
        busy = surplus.startswith(b"421")
        raise HandshakeError(stage, "unasked reply", 421 if busy else 0, refused=busy)


def _explained(stage: Stage, error: Exception, secrets: Sequence[str]) -> HandshakeError:
    """Return the stage and the cause of a failed handshake; the text holds no secret."""
    cause = error.__cause__ or error
    text: BaseException | str = cause
    match error:
        case HandshakeError():
            return error
        case aiosmtplib.SMTPResponseException() if error.code > 0:
            greeting = isinstance(error, aiosmtplib.SMTPConnectResponseError)
            return _replied("banner" if greeting else stage, error, secrets)
        case aiosmtplib.SMTPResponseException():
            text = error.message
        case TimeoutError():
            text = "timed out"
        case aiosmtplib.SMTPConnectError() if isinstance(cause, OSError) and not isinstance(
            cause, aiosmtplib.SMTPException
        ):
            stage = "connect"
        case aiosmtplib.SMTPConnectError():
            stage, text = "banner", error
    return HandshakeError(
        stage,
        _reason(text, secrets),
        certificate=isinstance(cause, ssl.SSLCertVerificationError),
        refused=isinstance(cause, ConnectionError) and stage != "auth",
    )


def _replied(
    stage: Stage, error: aiosmtplib.SMTPResponseException, secrets: Sequence[str]
) -> HandshakeError:
    """Return what a reply says that ended the handshake.

    5yz to STARTTLS or AUTH tells about the settings, and not about the number of connections.
    """
    code = error.code
    refused = REFUSED <= code < FOR_GOOD or (code >= FOR_GOOD and stage in {"banner", "ehlo"})
    text = _reason(f"upstream said {code} {error.message}", secrets)
    return HandshakeError(stage, text, code, refused=refused)


def _reason(error: BaseException | str, secrets: Sequence[str]) -> str:
    """Return `error` as one bounded line: an upstream's words may be long, or hold anything."""
    text = str(error) or type(error).__name__
    for secret in secrets:
        text = text.replace(secret, "********")
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST_REASON]
