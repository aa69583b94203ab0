"""Who the client says it is: HELO or EHLO, and what it has proved by TLS and AUTH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay import reply as replies
from relay.reply import TABLE
from relay.smtp.server.commands import BadCommand
from relay.smtp.server.trace import helo_name, protocol

if TYPE_CHECKING:
    from relay.smtp.server.conversation import Wire
    from relay.smtp.server.rules import Rules


class Greeting:
    """One client's name and rights."""

    __slots__ = ("_rules", "_wire", "authenticated", "esmtp", "name")

    def __init__(self, rules: Rules, wire: Wire) -> None:
        """Know nothing yet."""
        self.name = ""
        self.esmtp = False
        self.authenticated = False
        self._rules = rules
        self._wire = wire

    def helo(self, argument: bytes) -> bytes:
        """Take HELO; return the reply. Raises BadCommand."""
        self._take(argument, esmtp=False)
        return replies.ehlo(self._rules.hostname, ())

    def ehlo(self, argument: bytes) -> bytes:
        """Take EHLO; return the reply with what is offered. Raises BadCommand."""
        self._take(argument, esmtp=True)
        return self._rules.ehlo(tls=self._wire.tls, loopback=self._wire.loopback)

    def _take(self, argument: bytes, *, esmtp: bool) -> None:
        name = argument.strip()
        if not name:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        self.name = helo_name(name)
        self.esmtp = esmtp

    def check_mail(self) -> None:
        """Raise BadCommand if MAIL needs TLS or AUTH first (RFC 3207 4, RFC 4954 6)."""
        if self._rules.tls_required and not self._wire.tls:
            raise BadCommand(TABLE["TLS_NEEDED"])
        if self._rules.credentials is not None and not self.authenticated:
            raise BadCommand(TABLE["AUTH_NEEDED"])

    def check_auth(self, argument: bytes) -> None:
        """Raise BadCommand if AUTH cannot begin now (RFC 4954 4)."""
        wire = self._wire
        if self._rules.credentials is None:
            raise BadCommand(TABLE["NOT_IMPLEMENTED"])
        if self.authenticated or not self.esmtp:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        if not self._rules.offers_auth(tls=wire.tls, loopback=wire.loopback):
            raise BadCommand(TABLE["AUTH_NEEDS_TLS"])
        if not argument.isascii() or not argument.strip():
            raise BadCommand(TABLE["BAD_ARGUMENT"])

    def check_starttls(self, argument: bytes) -> None:
        """Raise BadCommand if TLS cannot begin now (RFC 3207 4)."""
        if argument:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        if self._wire.tls:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        if self._rules.tls is None:
            raise BadCommand(TABLE["NOT_IMPLEMENTED"])

    def forget(self) -> None:
        """Begin anew: nothing said in clear counts once TLS stands (RFC 3207 4.2)."""
        self.name = ""
        self.esmtp = False
        self.authenticated = False

    def received(self, message_id: str, *, utf8: bool) -> bytes:
        """Return the Received header for a message of this client."""
        kind = protocol(esmtp=self.esmtp, utf8=utf8, tls=self._wire.tls, auth=self.authenticated)
        return self._rules.trace.received(self.name, self._wire.peer, kind, message_id)
