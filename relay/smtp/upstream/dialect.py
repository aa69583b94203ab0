"""What is said to an upstream, by what its EHLO offered, and what it may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relay.reply import INTERMEDIATE, REFUSED, UpstreamReply

if TYPE_CHECKING:
    from relay.observe.events import Stage
    from relay.smtp.server.commands import Mail, Rcpt
    from relay.smtp.upstream.connection import Features

GO: Final = 354
"""Start mail input (RFC 5321 4.2.3)."""


def mail_line(mail: Mail, features: Features) -> bytes:
    """MAIL with the parameters that the upstream knows; others are left out.

    DSN parameters end where the next server does not offer DSN (RFC 3461 5.2.2). BODY ends where it
    does not offer 8BITMIME, and the content goes on unchanged: see docs/decisions/eight-bit.md.
    """
    line = b"MAIL FROM:<%b>" % mail.path.encode()
    if mail.size and features.size:
        line += b" SIZE=%d" % mail.size
    if mail.eight_bit and features.eight_bit:
        line += b" BODY=8BITMIME"
    if mail.smtputf8:
        line += b" SMTPUTF8"
    if mail.dsn and features.dsn:
        line += mail.dsn
    return line + b"\r\n"


def rcpt_line(rcpt: Rcpt, features: Features) -> bytes:
    """RCPT, with NOTIFY and ORCPT where the upstream offers DSN (RFC 3461 5.2.2)."""
    if rcpt.dsn and features.dsn:
        return b"RCPT TO:<%b>%b\r\n" % (rcpt.path.encode(), rcpt.dsn)
    return b"RCPT TO:<%b>\r\n" % rcpt.path.encode()


def fits(stage: Stage, code: int) -> bool:
    """Whether `code` is an answer that `stage` can have: RFC 5321 4.3.2."""
    if code >= REFUSED:
        return True
    if stage == "data":
        return code == GO
    return code < INTERMEDIATE and stage != "body"  # 250 before the end would be a lie


def enhanced(reply: UpstreamReply) -> str:
    """Return the enhanced status code of a refusal, else ""."""
    return reply.enhanced if reply.code >= REFUSED else ""
