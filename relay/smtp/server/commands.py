"""The command parser: one line of octets in, a typed command or a reply out (RFC 5321 4.1.1).

Invariant, held by a property test: any octets give a command or a `BadCommand`, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from relay.reply import TABLE, Reply

SHORTEST: Final = 512  # octets, CRLF included: RFC 5321 4.5.3.1.4
# What extensions add: SIZE 26 (RFC 1870), 8BITMIME 17 (RFC 6152), SMTPUTF8 10 (RFC 6531),
# AUTH= 500 (RFC 4954 5), DSN 500 for each of MAIL and RCPT (RFC 3461 4).
_LIMITS: Final = {
    b"MAIL": SHORTEST + 26 + 17 + 10 + 500 + 500,
    b"RCPT": SHORTEST + 500,
    b"AUTH": 12288,  # RFC 4954 4
}
LONGEST: Final = 12288
_BACKSLASH, _QUOTE, _CLOSE = b'\\">'


def limit(line: bytes) -> int:
    """Return the most octets a line may have, CRLF included, by its verb."""
    return _LIMITS.get(line[:4].upper(), SHORTEST)


class BadCommand(Exception):  # noqa: N818 - it carries the reply, it is not a fault of ours
    """The client's mistake; `reply` is what to answer."""

    def __init__(self, reply: Reply) -> None:
        """`reply` goes to the client as it is."""
        super().__init__(str(reply))
        self.reply = reply


class Mail(NamedTuple):
    """MAIL FROM (RFC 5321 4.1.1.2). `path` is "" for the null sender."""

    path: str
    size: int
    eight_bit: bool
    smtputf8: bool
    dsn: bytes  # RET and ENVID as given, each with a space in front


@dataclass(init=False, slots=True)
class Rcpt:
    """RCPT TO (RFC 5321 4.1.1.3). `dsn` holds NOTIFY and ORCPT as given. Treat as immutable."""

    path: str
    dsn: bytes

    def __init__(self, path: str, dsn: bytes) -> None:
        """Written out, since a generated one is not compiled."""
        self.path = path
        self.dsn = dsn


def parse_mail(rest: bytes) -> Mail:
    """Parse what follows "MAIL ".

    Raises BadCommand.
    """
    path, params = _path(rest, b"FROM:")
    if not params:
        return Mail(path, 0, eight_bit=False, smtputf8=False, dsn=b"")
    size, eight_bit, smtputf8, dsn = 0, False, False, b""
    for key, value, raw in _params(params):
        match key:
            case b"SIZE" if value.isdigit() and len(value) <= 20:  # noqa: PLR2004 - RFC 1870 4
                size = int(value)
            case b"BODY" if value.upper() in {b"7BIT", b"8BITMIME"}:
                eight_bit = value.upper() == b"8BITMIME"
            case b"SMTPUTF8" if not value:
                smtputf8 = True
            case b"RET" if value.upper() in {b"FULL", b"HDRS"}:
                dsn += b" " + raw
            case b"ENVID" if 0 < len(value) <= 100:  # noqa: PLR2004 - RFC 3461 4.4
                dsn += b" " + raw
            case b"AUTH" if value:
                pass  # RFC 4954 5: not trusted, so not passed on
            case b"SIZE" | b"BODY" | b"SMTPUTF8" | b"RET" | b"ENVID" | b"AUTH":
                raise BadCommand(TABLE["BAD_ARGUMENT"])
            case _:
                raise BadCommand(TABLE["BAD_PARAMETER"])
    return Mail(path, size, eight_bit, smtputf8, dsn)


def parse_rcpt(rest: bytes, *, utf8: bool) -> Rcpt:
    """Parse what follows "RCPT "; `utf8` tells whether MAIL had SMTPUTF8 (RFC 6531 3.3).

    Raises BadCommand.
    """
    path, params = _path(rest, b"TO:")
    if not utf8 and not path.isascii():
        raise BadCommand(TABLE["BAD_RECIPIENT"].because("needs SMTPUTF8"))
    if not params:
        return Rcpt(path, b"")
    dsn = b""
    for key, value, raw in _params(params):
        match key:
            case b"NOTIFY" if value:
                dsn += b" " + raw
            case b"ORCPT" if 0 < len(value) <= 500:  # noqa: PLR2004 - RFC 3461 4.2
                dsn += b" " + raw
            case b"NOTIFY" | b"ORCPT":
                raise BadCommand(TABLE["BAD_ARGUMENT"])
            case _:
                raise BadCommand(TABLE["BAD_PARAMETER"])
    return Rcpt(path, dsn)


def parse_bdat(rest: bytes) -> tuple[int, bool]:
    """Parse what follows "BDAT ": the chunk's octets, and whether it is the last (RFC 3030 2).

    Raises BadCommand.
    """
    words = rest.upper().split()
    if not words or not words[0].isdigit() or len(words[0]) > 19:  # noqa: PLR2004 - fits 64 bits
        raise BadCommand(TABLE["BAD_ARGUMENT"])
    if words[1:] not in ([], [b"LAST"]):
        raise BadCommand(TABLE["BAD_ARGUMENT"])
    return int(words[0]), len(words) > 1


def _path(rest: bytes, keyword: bytes) -> tuple[str, bytes]:
    """Return the path without brackets and source route, and the parameters after it."""
    n = len(keyword)
    if rest[:n] != keyword and rest[:n].upper() != keyword:
        raise BadCommand(TABLE["BAD_ARGUMENT"])
    start = n + 1
    if rest[n:start] != b"<":
        rest = rest[:n] + rest[n:].lstrip(b" ")  # "FROM: <" is common, and harmless
        if rest[n:start] != b"<":
            raise BadCommand(TABLE["BAD_ARGUMENT"])
    end = rest.find(b">", start)
    if end > 0 and _QUOTE in rest[start:end]:
        end = _end_of_quoted(rest, start)
    if end < 0:
        raise BadCommand(TABLE["BAD_ARGUMENT"])
    path = rest[start:end]
    params = rest[end + 1 :]
    if params and not params.startswith(b" "):
        raise BadCommand(TABLE["BAD_ARGUMENT"])
    if path[:1] == b"@":  # source route: accepted and ignored (RFC 5321 4.1.1.3, app. C)
        _, colon, after = path.partition(b":")
        path = after if colon else path
    try:
        return path.decode(), params
    except UnicodeDecodeError:
        raise BadCommand(TABLE["BAD_ARGUMENT"]) from None


def _end_of_quoted(rest: bytes, start: int) -> int:
    """Find the ">" that closes a path with a quoted local part, or -1 (RFC 5321 4.1.2)."""
    quoted = escaped = False
    for i in range(start, len(rest)):
        c = rest[i]
        if escaped:
            escaped = False
        elif quoted and c == _BACKSLASH:
            escaped = True
        elif c == _QUOTE:
            quoted = not quoted
        elif c == _CLOSE and not quoted:
            return i
    return -1


def _params(params: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Split ESMTP parameters into keyword, value and the octets as given; each at most once."""
    found: dict[bytes, tuple[bytes, bytes, bytes]] = {}
    for raw in params.split():
        keyword, equals, value = raw.partition(b"=")
        key = keyword.upper()
        if key in found or (equals and not value):
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        found[key] = (key, value, raw)
    return list(found.values())
