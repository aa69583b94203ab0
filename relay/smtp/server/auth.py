"""AUTH towards the application (RFC 4954): aiosmtpd holds the dialogue, the session the socket.

aiosmtpd knows the mechanisms PLAIN and LOGIN, their challenges and what may go wrong in them. Its
own command loop is not used; see docs/decisions/listener.md.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from relay.reply import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

MECHANISMS: Final = ("PLAIN", "LOGIN")
_LINE_LIMIT: Final = 12288  # RFC 4954 4

_REPLIES: Final = {
    b"235": "AUTHENTICATED",
    b"501": "AUTH_ABORTED",
    b"503": "BAD_SEQUENCE",
    b"504": "BAD_MECHANISM",
    b"535": "AUTH_FAILED",
}

for _name in ("mail.log", "mail.debug"):
    logging.getLogger(_name).setLevel(logging.ERROR)  # aiosmtpd narrates every line it sees


class Credentials:
    """The one account that clients may use."""

    __slots__ = ("_password", "_username")

    def __init__(self, username: str, password: str) -> None:
        """Keep both as octets."""
        self._username = username.encode()
        self._password = password.encode()

    def match(self, username: bytes, password: bytes) -> bool:
        """Compare in a time that does not tell how much was right."""
        same_name = hmac.compare_digest(username, self._username)
        same_password = hmac.compare_digest(password, self._password)
        return same_name and same_password


class Dialogue(SMTP):
    """One AUTH command, from its arguments to its last reply."""

    AuthLoginUsernameChallenge = (
        "Username:"  # the words that clients know (draft-murchison-sasl-login)
    )
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, credentials: Credentials, write: Callable[[bytes], None]) -> None:
        """`write` sends a complete reply to the client."""
        super().__init__(
            self,
            hostname="presend",
            loop=asyncio.get_running_loop(),
            auth_require_tls=False,  # the session has looked at that already
            authenticator=self._decide,
        )
        self._credentials = credentials
        self._write = write
        self._lines = asyncio.StreamReader(limit=_LINE_LIMIT)
        self._reader = self._lines
        self.session = self._create_session()
        self.session.extended_smtp = True
        self.envelope = self._create_envelope()

    async def authenticate(self, argument: str) -> bool:
        """Run the dialogue; every reply, the last included, has been written when it returns."""
        mechanism, space, initial = argument.partition(" ")
        assert self.session is not None  # noqa: S101
        try:
            await self.smtp_AUTH(mechanism.upper() + space + initial)
        except ValueError:  # an over-long line: StreamReader's limit
            self._write(TABLE["LINE_TOO_LONG"].wire)
        return bool(self.session.authenticated)

    def feed(self, octets: bytes) -> None:
        """Take what the client sends while the dialogue runs."""
        self._lines.feed_data(octets)

    def hang_up(self) -> None:
        """End the dialogue: the client is gone."""
        self._lines.feed_eof()

    async def push(self, status: Any) -> None:  # noqa: ANN401 - aiosmtpd's signature
        """Send a challenge as it is, any other reply as the table of replies words it."""
        octets = status.encode("ascii") if isinstance(status, str) else bytes(status)
        name = _REPLIES.get(octets[:3])
        self._write(TABLE[name].wire if name is not None else octets + b"\r\n")

    async def check_helo_needed(self, helo: str = "HELO") -> bool:  # noqa: ARG002
        """Say no: the session has looked at that already."""
        return False

    def _decide(self, *args: Any) -> AuthResult:  # noqa: ANN401 - aiosmtpd's signature
        data = args[-1]
        good = isinstance(data, LoginPassword) and self._credentials.match(
            data.login, data.password
        )
        return AuthResult(success=good, handled=False)
