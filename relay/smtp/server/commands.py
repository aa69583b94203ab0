"""Command lines: how they are found in what the client sends, and parsed (RFC 5321 4.1.1).

Invariant, held by a property test: any octets give a command or a `BadCommand`, nothing else.
"""

from __future__ import annotations

import re
from typing import Final

from relay.reply import TABLE, Reply
from relay.smtp.envelope import Mail, Rcpt

SHORTEST: Final = 512  # octets, CRLF included: RFC 5321 4.5.3.1.4
# What extensions add: SIZE 26 (RFC 1870), 8BITMIME 17 (RFC 6152), SMTPUTF8 10 (RFC 6531),
# AUTH= 500 (RFC 4954 5), DSN 500 for each of MAIL and RCPT (RFC 3461 4).
_LIMITS: Final = {
    b"MAIL": SHORTEST + 26 + 17 + 10 + 500 + 500,
    b"RCPT": SHORTEST + 500,
    b"AUTH": 12288,  # RFC 4954 4
}
LONGEST: Final = 12288
_NUL: Final = 0  # a number: to look for `b"\0"` in octets takes eight times as long
_BACKSLASH, _QUOTE, _CLOSE = b'\\">'

# RFC 3461 4: xtext. What it encodes has to be printable ASCII (4.2, 4.4), a tab included, since it
# is written into the fields of a delivery status notification.
_XTEXT: Final = rb"(?:[!-*,-<>-~]|\+(?:09|[2-6][0-9A-F]|7[0-9A-E]))"
_is_xtext = re.compile(_XTEXT + b"+").fullmatch
_is_orcpt = re.compile(rb"[A-Za-z0-9!#$%&'*/?^_`{|}~.-]+;" + _XTEXT + b"*").fullmatch
_is_value = re.compile(rb"[!-<>-~\x80-\xff]+").fullmatch  # RFC 5321 4.1.2, RFC 6531 3.3
_NOTIFY: Final = frozenset((b"SUCCESS", b"FAILURE", b"DELAY"))  # RFC 3461 4.1


def limit(line: bytes) -> int:
    """Return the most octets a line may have, CRLF included, by its verb."""
    return _LIMITS.get(line[:4].upper(), SHORTEST)


class BadCommand(Exception):  # noqa: N818 - it carries the reply, it is not a fault of ours
    """A command that the client must not send; `reply` is the answer."""

    def __init__(self, reply: Reply) -> None:
        """`reply` goes to the client unchanged."""
        super().__init__(str(reply))
        self.reply = reply


class Input:
    """What the client sent and nobody has read yet; its owner bounds it by pausing the socket."""

    __slots__ = ("_octets", "_position", "_skipping", "left", "longest")

    def __init__(self) -> None:
        """Start empty."""
        self.left = 0
        """Number of unread octets."""
        self.longest = 0
        """Limit in octets of a line that is no command; 0 for commands, whose verb says it."""
        self._octets = b""
        self._position = 0
        self._skipping = False

    def feed(self, octets: bytes) -> None:
        """Append what arrived."""
        if self.left:
            octets = self._octets[self._position :] + octets
        self._octets = octets
        self._position = 0
        self.left = len(octets)

    def take(self) -> bytes:
        """Return all unread octets."""
        octets = self._octets[self._position :] if self._position else self._octets
        self.clear()
        return octets

    def clear(self) -> None:
        """Discard all unread octets."""
        self._octets = b""
        self._position = self.left = 0

    def line(self) -> bytes | None:
        """Return the next line without its CRLF, or None if it is not complete yet.

        Raises BadCommand for a line that is too long or does not end in CR LF (RFC 5321 2.3.8); the
        reading position is then behind that line.
        """
        start = self._position
        end = self._octets.find(b"\n", start)
        if end < 0:
            if self.left > LONGEST:
                self.clear()
                self._skipping = True
            return None
        self._position = end + 1
        line = self._octets[start : end + 1]
        length = len(line)
        self.left -= length
        if self._skipping:
            self._skipping = False
            raise BadCommand(TABLE["LINE_TOO_LONG"])
        if length > SHORTEST and length > (self.longest or limit(line)):
            raise BadCommand(TABLE["LINE_TOO_LONG"])
        if length == 1 or line.find(b"\r") != length - 2 or _NUL in line:
            raise BadCommand(TABLE["BAD_LINE_END"])
        return line[:-2]

    def next_is(self, verb: bytes) -> bool:
        """Whether the next line is complete and begins with `verb`, in any case of letters."""
        if not self.left:
            return False
        start = self._position
        if self._octets[start : start + len(verb)].upper() != verb:
            return False
        return self._octets.find(b"\n", start) >= 0

    def mark(self) -> int:
        """Return the reading position, for `back`."""
        return self._position

    def back(self, mark: int) -> None:
        """Move the reading position back to `mark`."""
        self.left += self._position - mark
        self._position = mark


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
            case b"ENVID" if len(value) <= 100 and _is_xtext(value):  # noqa: PLR2004 - RFC 3461 4.4
                dsn += b" " + raw
            case b"AUTH" if _is_value(value):
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
            case b"NOTIFY" if _is_notify(value.upper()):
                dsn += b" " + raw
            case b"ORCPT" if len(value) <= 500 and _is_original(value, utf8=utf8):  # noqa: PLR2004 - RFC 3461 4.2
                dsn += b" " + raw
            case b"NOTIFY" | b"ORCPT":
                raise BadCommand(TABLE["BAD_ARGUMENT"])
            case _:
                raise BadCommand(TABLE["BAD_PARAMETER"])
    return Rcpt(path, dsn)


def _is_notify(value: bytes) -> bool:
    """Whether `value`, in upper case, is NEVER or a list of occasions (RFC 3461 4.1)."""
    return value == b"NEVER" or _NOTIFY.issuperset(value.split(b","))


def _is_original(value: bytes, *, utf8: bool) -> bool:
    """Whether `value` is a type, a semicolon, and an original recipient (RFC 3461 4.2).

    With SMTPUTF8 an address of type utf-8 may be written in UTF-8 (RFC 6533 3).
    """
    if value.isascii():
        return _is_orcpt(value) is not None
    kind, _, address = value.partition(b";")
    if not utf8 or kind.lower() != b"utf-8" or b"=" in address or b"+" in address:
        return False
    try:
        return address.decode().isprintable()
    except UnicodeDecodeError:
        return False


def parse_group(rest: bytes, behind: Input, *, utf8: bool, most: int) -> tuple[list[Rcpt], bool]:
    """Parse what follows "RCPT ", and the good RCPTs that arrived right behind it, `most` in all.

    Returns them, and whether DATA stands behind them; what was parsed is then read from `behind`.
    Raises BadCommand for the first RCPT only: a later bad one is left to be read by itself.
    """
    group = [parse_rcpt(rest, utf8=utf8)]
    while len(group) < most and behind.next_is(b"RCPT "):
        mark = behind.mark()
        try:
            line = behind.line()
            assert line is not None  # noqa: S101 - `next_is` saw its end
            group.append(parse_rcpt(line[5:], utf8=utf8))
        except BadCommand:
            behind.back(mark)
            break
    data = behind.next_is(b"DATA\r\n")
    if data:
        behind.line()
    return group, data


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
