"""Every reply the relay can give, in one table (RFC 5321 4.2, RFC 2034, RFC 3463).

Nothing outside this module writes a reply code. A `Reply` is its own wire form; the class digit
of the enhanced status code is derived from the code, so the two cannot disagree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from validators.verdict import Defer, Reason, Reject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERMEDIATE: Final = 300
"""Replies below this code say yes (RFC 5321 4.2.1)."""
REFUSED: Final = 400
"""Replies from this code on say no, for now (4yz) or for good (5yz)."""
FOR_GOOD: Final = 500
"""Replies from this code on say no for good."""

_TEXT_LIMIT: Final = 460  # a reply line holds 512 octets at most (RFC 5321 4.5.3.1.5)


class Reply:
    """One SMTP reply.

    `code` is the three-digit code, `enhanced` the enhanced status code or "", `text` the words,
    `wire` the octets that go to the client, CRLF included.
    """

    __slots__ = ("code", "enhanced", "text", "wire")

    def __init__(self, code: int, detail: str, text: str) -> None:
        """`detail` is subject and detail of the enhanced code ("1.3"), or "" where none goes."""
        self.code = code
        self.enhanced = f"{code // 100}.{detail}" if detail else ""
        self.text = _printable(text)
        self.wire = f"{code} {self.enhanced and self.enhanced + ' '}{self.text}\r\n".encode()

    def because(self, text: str) -> Reply:
        """Return the same reply with `text` after its own words."""
        return Reply(self.code, self.enhanced[2:], f"{self.text}: {text}")

    def __str__(self) -> str:
        """Return the reply as it reads on the wire, without CRLF."""
        return self.wire[:-2].decode("utf-8", "replace")

    def __repr__(self) -> str:
        """Return the same."""
        return str(self)


class UpstreamReply:
    """A reply of the upstream, as it is passed on (`from_upstream`).

    `wire` holds every line with its CRLF; `code` and `enhanced` are read from the last line.
    """

    __slots__ = ("code", "wire")

    def __init__(self, code: int, wire: bytes) -> None:
        """Keep `wire`, the complete reply."""
        self.code = code
        self.wire = wire

    @property
    def enhanced(self) -> str:
        """The enhanced status code of the last line, or "" where it has none (RFC 2034)."""
        line = self.wire[self.wire.rfind(b"\n", 0, -2) + 1 :]
        word = line[4:].split(None, 1)[:1]
        parts = word[0].split(b".") if word else []
        if len(parts) == 3 and all(p.isdigit() and len(p) < 4 for p in parts):  # noqa: PLR2004
            return word[0].decode()
        return ""

    @property
    def text(self) -> str:
        """The words of all lines, without codes, joined by a space."""
        lines = self.wire.decode("utf-8", "replace").splitlines()
        return " ".join(line[4:] for line in lines)

    def __str__(self) -> str:
        """Return the reply as it reads, without the last CRLF."""
        return self.wire.decode("utf-8", "replace").rstrip()


AnyReply: TypeAlias = Reply | UpstreamReply
"""What a command can be answered with."""

_LINE_LIMIT: Final = 506  # octets: 512 less code, separator and CRLF (RFC 5321 4.5.3.1.5)
_MOST_LINES: Final = 32  # lines of an upstream's reply that are passed on
FIT: Final = re.compile(rb"\d{3}(?: [\t -~]{0,506})?\r\n")
"""A reply of one line that may be passed on as it is (RFC 5321 4.2)."""
_CODED: Final = re.compile(rb"[2-5]\d\d(?:[ \t\r-]|$)")


def from_upstream(code: bytes, octets: bytes, *, utf8: bool) -> UpstreamReply:
    """Return a reply of the upstream in the form in which the client may see it.

    `code` is the code of its last line, `octets` all lines with their line ends. What breaks RFC
    5321 4.2 is repaired: control octets become spaces, a line is cut at 512 octets, every line gets
    the last line's code and CRLF, and only the first 31 lines and the last one are kept. Non-ASCII
    octets become "?" unless `utf8`, which says that the client's MAIL had SMTPUTF8 (RFC 6531
    3.7.4.2), and the text is UTF-8. A reply that needs no repair is kept octet for octet.
    """
    if FIT.fullmatch(octets) is not None:
        return UpstreamReply(int(code), octets)
    lines = octets[:-1].split(b"\n")
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], lines[-1]]
    texts = [_fit(line[4:] if _CODED.match(line) else line, utf8=utf8) for line in lines]
    first = b"".join(b"%b-%b\r\n" % (code, text) for text in texts[:-1])
    return UpstreamReply(int(code), b"%b%b %b\r\n" % (first, code, texts[-1]))


def _fit(line: bytes, *, utf8: bool) -> bytes:
    """Return the text of one line without what a client must not get."""
    line = line.removesuffix(b"\r")
    try:
        text = line.decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:
        text = line.decode("ascii", "replace").replace("\ufffd", "?")
    plain = "".join(c if c.isprintable() or c == "\t" else " " for c in text)
    return plain.encode()[:_LINE_LIMIT].decode("utf-8", "ignore").encode()


def _printable(text: str) -> str:
    """Return `text` as one line of printable ASCII that fits into a reply."""
    if text.isascii() and text.isprintable() and len(text) <= _TEXT_LIMIT:
        return text
    plain = text.encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in plain)[:_TEXT_LIMIT]


TABLE: Final[Mapping[str, Reply]] = {
    "HELP": Reply(214, "0.0", "See RFC 5321"),
    "STARTTLS_READY": Reply(220, "0.0", "Ready to start TLS"),
    "BYE": Reply(221, "0.0", "Bye"),
    "AUTHENTICATED": Reply(235, "7.0", "Authentication successful"),
    "OK": Reply(250, "0.0", "OK"),
    "SENDER_OK": Reply(250, "1.0", "Sender OK"),
    "RECIPIENT_OK": Reply(250, "1.5", "Recipient OK"),
    "CHUNK_OK": Reply(250, "0.0", "Chunk received"),
    "CANNOT_VERIFY": Reply(252, "5.0", "Cannot verify, send some mail and see"),
    "START_MAIL": Reply(354, "", "Start mail input; end with <CRLF>.<CRLF>"),
    "DRAINING": Reply(421, "3.2", "Shutting down, try again"),
    "TOO_MANY_CONNECTIONS": Reply(421, "3.2", "Too many connections, try again"),
    "IDLE": Reply(421, "4.2", "Idle too long, closing"),
    "TOO_SLOW": Reply(421, "4.2", "Sent too slowly, closing"),
    "NO_ROOM": Reply(421, "3.1", "Too much mail at once, try again"),
    "TOO_MANY_LOGINS": Reply(421, "7.0", "Too many failed attempts to authenticate, try again"),
    "TOO_MANY_BAD_COMMANDS": Reply(421, "7.0", "Too many bad commands, closing"),
    "OUR_FAULT": Reply(451, "3.0", "Local trouble, try again"),
    "STORE_UNAVAILABLE": Reply(451, "3.0", "Suppression list not available, try again"),
    "DNS_UNAVAILABLE": Reply(451, "4.3", "DNS gave no answer, try again"),
    "UPSTREAM_UNREACHABLE": Reply(451, "4.1", "Upstream not reachable"),
    "UPSTREAM_LOST": Reply(451, "4.2", "Upstream dropped us"),
    "POLICY_DEFER": Reply(451, "7.1", "Deferred by policy"),
    "RISK_DEFER": Reply(451, "7.1", "Deferred, the risk is too high"),
    "SMTPUTF8_LATER": Reply(451, "6.7", "Upstream in use does not offer SMTPUTF8, try again"),
    "LIMITED": Reply(451, "7.1", "Sending is limited at the moment, try again later"),
    "TOO_MANY_RECIPIENTS": Reply(452, "5.3", "Too many recipients"),
    "BAD_COMMAND": Reply(500, "5.2", "Command not recognised"),
    "LINE_TOO_LONG": Reply(500, "5.2", "Line too long"),
    "BAD_LINE_END": Reply(500, "5.2", "Lines end with CR LF, and hold neither alone nor NUL"),
    "BAD_ARGUMENT": Reply(501, "5.4", "Syntax error in the arguments"),
    "AUTH_ABORTED": Reply(501, "7.0", "Authentication aborted or not understood"),
    "NOT_IMPLEMENTED": Reply(502, "5.1", "Command not implemented"),
    "BAD_SEQUENCE": Reply(503, "5.1", "Bad sequence of commands"),
    "BAD_MECHANISM": Reply(504, "5.4", "Authentication mechanism not supported"),
    "AUTH_NEEDED": Reply(530, "7.0", "Authentication needed"),
    "TLS_NEEDED": Reply(530, "7.0", "Issue STARTTLS first"),
    "AUTH_FAILED": Reply(535, "7.8", "Authentication failed"),
    "AUTH_NEEDS_TLS": Reply(538, "7.11", "Encryption needed for authentication"),
    "BAD_LINE_ENDS": Reply(550, "5.2", "Message holds a bare CR, a bare LF or NUL"),
    "NO_DOMAIN": Reply(550, "1.2", "Recipient domain does not exist"),
    "NO_MAIL_HOST": Reply(550, "1.2", "Recipient domain has no mail host"),
    "UNROUTABLE": Reply(550, "4.4", "Recipient domain has no routable mail host"),
    "POLICY_REFUSAL": Reply(550, "7.1", "Refused by policy"),
    "RISK": Reply(550, "7.1", "Refused, the risk is too high"),
    "SENDER_NULL_MX": Reply(550, "7.27", "Sender domain accepts no mail"),
    "TOO_LARGE": Reply(552, "3.4", "Message too large"),
    "BAD_RECIPIENT": Reply(553, "1.3", "Bad recipient address syntax"),
    "BAD_SENDER": Reply(553, "1.7", "Bad sender address syntax"),
    "NO_SMTPUTF8": Reply(553, "6.7", "Upstream does not offer SMTPUTF8"),
    "NO_VALID_RECIPIENTS": Reply(554, "5.1", "No valid recipients"),
    "MAIL_LOOP": Reply(554, "4.6", "Mail loop: too many Received headers"),
    "CLIENT_REFUSED": Reply(554, "7.1", "Client network not allowed"),
    "BAD_PARAMETER": Reply(555, "5.4", "Parameter not recognised"),
    "NULL_MX": Reply(556, "1.10", "Recipient domain accepts no mail"),
}

_REJECTED: Final = {reason: TABLE[reason.row.reply] for reason in Reason}
_DEFERRED: Final = {reason: TABLE[reason.row.deferral] for reason in Reason}
_REJECTED_SENDER: Final = {
    reason: TABLE[reason.row.sender_reply or "POLICY_REFUSAL"] for reason in Reason
}


def banner(hostname: str) -> bytes:
    """Return the greeting of `hostname` (RFC 5321 4.2, 4.3.1)."""
    return f"220 {hostname} ESMTP presend\r\n".encode()


def ehlo(hostname: str, keywords: Sequence[str]) -> bytes:
    """Return the reply to EHLO, one line a keyword, or to HELO without any (RFC 5321 4.1.1.1)."""
    lines = [hostname, *keywords]
    last = len(lines) - 1
    return "".join(
        f"250{'-' if i < last else ' '}{line}\r\n" for i, line in enumerate(lines)
    ).encode()


def challenge(octets: bytes) -> bytes:
    """Return a challenge of AUTH, already in base64 (RFC 4954 4)."""
    return b"334 %b\r\n" % octets


def for_recipient(verdict: Reject | Defer, message_id: str) -> Reply:
    """Return the reply to RCPT that `verdict` leads to, with its reason and the message's id."""
    return _refusal(verdict, _REJECTED, message_id)


def for_sender(verdict: Reject | Defer, message_id: str) -> Reply:
    """Return the reply to MAIL that `verdict` on the sender leads to."""
    return _refusal(verdict, _REJECTED_SENDER, message_id)


def _refusal(verdict: Reject | Defer, rejected: Mapping[Reason, Reply], message_id: str) -> Reply:
    match verdict:
        case Reject(reason=reason, detail=detail):
            reply = rejected[reason]
        case Defer(reason=reason, detail=detail):
            reply = _DEFERRED[reason]
    if reason is Reason.CHECK_FAILED:
        detail = ""  # a fault of our own: no detail on the wire
    said = f"{reason.value} ({detail})" if detail else reason.value
    return reply.because(f"{said} [{message_id}]")
