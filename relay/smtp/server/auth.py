"""Who the client is: its name, and what it has proved by TLS and AUTH. No I/O.

AUTH (RFC 4954) offers SASL PLAIN (RFC 4616) and LOGIN. LOGIN has no RFC; its challenges are those
of draft-murchison-sasl-login, which clients expect.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from relay.reply import TABLE, Reply, challenge
from relay.settings.clients import Credentials
from relay.smtp.server.commands import BadCommand

if TYPE_CHECKING:
    from relay.smtp.server.connection import Connection
    from relay.smtp.server.server import Server

_logger = logging.getLogger(__name__)

MECHANISMS: Final = ("PLAIN", "LOGIN")
_USERNAME: Final = base64.b64encode(b"Username:")
_PASSWORD: Final = base64.b64encode(b"Password:")
_CANCEL: Final = b"*"
_NEEDED: Final = {"tls": "TLS_NEEDED", "auth": "AUTH_NEEDED"}
_no_name_octet = re.compile(rb"[^A-Za-z0-9._:\[\]-]").sub
_EMPTY: Final = b"="  # an initial response of no octets (RFC 4954 4)


def exchange(credentials: Credentials, argument: bytes) -> Generator[bytes, bytes | None, Reply]:
    """Run one AUTH command: yields challenges, takes the client's lines, returns the last reply.

    `argument` is what follows the verb: the mechanism and perhaps an initial response. Challenges
    are in base64; the caller adds the code. AUTHENTICATED is the only reply that lets a client in.
    """
    mechanism, _, initial = argument.strip().partition(b" ")
    initial = initial.strip()
    name = mechanism.upper()
    try:
        if name == b"PLAIN":
            message = _initial(initial) if initial else _octets((yield b""))
            _identity, username, password = message.split(b"\0")
        elif name == b"LOGIN":
            username = _initial(initial) if initial else _octets((yield _USERNAME))
            password = _octets((yield _PASSWORD))
        else:
            return TABLE["BAD_MECHANISM"]
    except ValueError:
        return TABLE["AUTH_ABORTED"]
    return TABLE["AUTHENTICATED" if credentials.match(username, password) else "AUTH_FAILED"]


def _initial(response: bytes) -> bytes:
    """Decode an initial response; ValueError if it is no base64."""
    return b"" if response == _EMPTY else _octets(response)


def _octets(line: bytes | None) -> bytes:
    """Decode a response; ValueError if it is no base64, or cancels the exchange."""
    if not line:
        return b""
    if line == _CANCEL:
        raise ValueError
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise ValueError from error


class Client:
    """One client's name and rights."""

    __slots__ = ("_connection", "_exchange", "_server", "authenticated", "esmtp", "name")

    def __init__(self, server: Server, connection: Connection) -> None:
        """Know nothing yet; `connection` tells whether TLS is in use."""
        self.name = ""
        """The name given in EHLO or HELO, fit for a header."""
        self.esmtp = False
        self.authenticated = False
        self._server = server
        self._connection = connection
        self._exchange: Generator[bytes, bytes | None, Reply] | None = None

    def greet(self, argument: bytes, *, esmtp: bool) -> None:
        """Take the argument of EHLO (`esmtp`) or HELO. Raises BadCommand."""
        name = argument.strip()
        if not name:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        self.name = _header_name(name)
        self.esmtp = esmtp

    def check_mail(self) -> None:
        """Raise BadCommand if MAIL needs TLS or AUTH first (RFC 3207 4, RFC 4954 6)."""
        need = self._server.access.needs(tls=self._connection.tls, authenticated=self.authenticated)
        if need is not None:
            raise BadCommand(TABLE[_NEEDED[need]])

    def check_starttls(self, argument: bytes) -> None:
        """Raise BadCommand if TLS cannot begin now (RFC 3207 4)."""
        if argument:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        if self._connection.tls:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        if self._server.tls is None:
            raise BadCommand(TABLE["NOT_IMPLEMENTED"])

    def check_auth(self, argument: bytes) -> float | None:
        """Return the seconds that AUTH has to wait; None if it is refused.

        Raises BadCommand if AUTH cannot begin now (RFC 4954 4).
        """
        if self._server.access.credentials is None:
            raise BadCommand(TABLE["NOT_IMPLEMENTED"])
        if self.authenticated or not self.esmtp:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        if not self._server.offers_auth(self._connection):
            raise BadCommand(TABLE["AUTH_NEEDS_TLS"])
        if not argument.strip():
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        wait = self._server.guesses.wait(self._connection.peer)
        if wait is None:
            self._server.metrics.authenticated("refused")
        return wait

    def begin_auth(self, argument: bytes) -> bytes | Reply:
        """Take an AUTH command; return a challenge as it is sent, or the last reply."""
        credentials = self._server.access.credentials
        assert credentials is not None  # noqa: S101 - `check_auth` has seen them
        self._exchange = exchange(credentials, argument)
        return self.respond(None)

    def respond(self, line: bytes | None) -> bytes | Reply:
        """Take the client's response; return the next challenge, or the last reply."""
        assert self._exchange is not None  # noqa: S101 - the session is in state AUTH
        try:
            return challenge(self._exchange.send(line))
        except StopIteration as end:
            reply: Reply = end.value
        self._exchange = None
        self.authenticated = reply is TABLE["AUTHENTICATED"]
        return reply

    def note_attempt(self, reply: Reply) -> None:
        """Count an attempt that ended; log and remember it if the password was wrong."""
        server, peer = self._server, self._connection.peer
        if self.authenticated:
            server.metrics.authenticated("accepted")
        elif reply is TABLE["AUTH_FAILED"]:
            server.metrics.authenticated("failed")
            server.guesses.failed(peer)
            _logger.warning("Client %s failed to authenticate", peer)

    def forget(self) -> None:
        """Start again: nothing said in clear counts once TLS is in use (RFC 3207 4.2)."""
        self.name = ""
        self.esmtp = False
        self.authenticated = False

    def received(self, message_id: str, *, utf8: bool) -> bytes:
        """Return the Received header for a message of this client."""
        connection = self._connection
        kind = "SMTP"  # RFC 3848, RFC 6531 4.3
        if self.esmtp:
            kind = "UTF8SMTP" if utf8 else "ESMTP"
            kind += ("S" if connection.tls else "") + ("A" if self.authenticated else "")
        return self._server.received.header(self.name, connection.peer, kind, message_id)


def _header_name(argument: bytes) -> str:
    """Return the name a client gave in EHLO, fit for a header: bounded, and in ASCII.

    An octet that neither a domain nor an address literal has (RFC 5321 4.1.2, 4.1.3) is shown as a
    question mark.
    """
    return _no_name_octet(b"?", argument[:255]).decode("ascii")
