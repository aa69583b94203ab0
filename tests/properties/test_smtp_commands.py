"""The command parser and line reader: any octets give a result or a reply, never another error."""

import contextlib
import re
from functools import partial
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.envelope import Mail, Rcpt
from relay.smtp.server import commands
from relay.smtp.server.auth import _header_name
from relay.smtp.server.commands import BadCommand, Input

_WORDS = st.sampled_from(
    [
        *b"MAIL RCPT DATA BDAT FROM:<a@b.example> TO:<c@d.example> TO:< FROM:<> SIZE=5".split(),
        *b"SIZE= BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x NOTIFY=NEVER ORCPT=rfc822;a".split(),
        *b"AUTH=<> LAST @a,@b: < > 0 \xc3\xa4 \xff".split(),
        *(b'TO:<"a>b"@c.example>', b'"', b"\\", b" ", b"\r\n", b"\n", b"\r", b"\0", b"9" * 30),
    ]
)
RCPT = partial(commands.parse_rcpt, utf8=False)
LINES = st.lists(_WORDS | st.binary(max_size=8), max_size=12).map(b" ".join)


@given(LINES)
def test_any_octets_parse_or_are_refused(line: bytes) -> None:
    """Each parser returns its type or raises BadCommand, for any input."""
    for parse in (commands.parse_mail, RCPT, commands.parse_bdat):
        with contextlib.suppress(BadCommand):
            parse(line)


@given(
    st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]{1,30}\.example", fullmatch=True),
    st.sampled_from([b"", b" SIZE=123", b" size=123 BODY=8BITMIME", b" RET=FULL ENVID=abc"]),
)
def test_a_good_path_comes_out_as_it_went_in(address: str, params: bytes) -> None:
    """Paths and parameters are returned unchanged; DSN parameters octet for octet."""
    mail = commands.parse_mail(b"FROM:<" + address.encode() + b">" + params)
    assert mail == Mail(
        address,
        123 if b"123" in params else 0,
        eight_bit=b"BODY" in params,
        smtputf8=False,
        dsn=params if b"RET" in params else b"",
    )
    assert RCPT(b"TO:<" + address.encode() + b">") == Rcpt(address, b"")


@given(st.lists(st.sampled_from(b'" @ , : > < \\ a . \xc3\xa4 \xff'.split())).map(b"".join))
def test_to_in_small_letters_reads_the_same(path: bytes) -> None:
    """The case of the keyword changes neither the recipient nor the error."""
    found: list[str] = []
    for keyword in (b"TO", b"to"):
        try:
            found.append(repr(RCPT(keyword + b":<" + path + b">")))
        except BadCommand as bad:
            found.append(str(bad.reply))
    assert found[0] == found[1]


@given(st.lists(LINES, max_size=8), st.lists(st.integers(0, 300), max_size=10))
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], places: list[int]) -> None:
    """The same lines and errors result, however the octets are split."""
    stream = b"\r\n".join(lines) + b"\r\n"
    edges = sorted({p % (len(stream) + 1) for p in places} | {0, len(stream)})
    whole, pieces = Input(), Input()
    whole.feed(stream)
    expected = read(whole)
    got: list[bytes | str] = []
    for start, stop in pairwise(edges):
        pieces.feed(stream[start:stop])
        got += read(pieces)
    assert got == expected
    assert not any(isinstance(line, bytes) and re.search(rb"[\r\n\0]", line) for line in got)


def read(source: Input) -> list[bytes | str]:
    """Read all complete lines; a line that is refused is returned as its reply."""
    found: list[bytes | str] = []
    while True:
        try:
            line = source.line()
        except BadCommand as bad:
            found.append(str(bad.reply))
            continue
        if line is None:
            return found
        found.append(line)


SHOWN = re.compile(rb"( [A-Za-z]+=[!-<>-~]+)*")
"""Parameters of keyword and value in the octets of an esmtp-value (RFC 5321 4.1.2)."""


@given(
    st.sampled_from([b"RET=", b"ENVID=", b"NOTIFY=", b"ORCPT=", b"ORCPT=rfc822;", b"AUTH="]),
    st.binary(min_size=1, max_size=6)
    | st.sampled_from([b"NEVER", b"a+0Ab", b"a+2Bb", b"a+2bb", b"SUCCESS,DELAY", b"x;y", b"FULL"]),
)
def test_only_shown_octets_are_passed_on(keyword: bytes, value: bytes) -> None:
    """What goes upstream holds no control and no 8-bit octet, also not after decoding of xtext."""
    for parse in (lambda line: commands.parse_mail(b"FROM:" + line), to):
        with contextlib.suppress(BadCommand):
            passed = parse(b"<a@b.example> " + keyword + value).dsn
            assert SHOWN.fullmatch(passed), passed
            decoded = re.sub(rb"\+(..)", lambda it: bytes.fromhex(it[1].decode()), passed)
            assert b"\n" not in decoded
            assert b"\r" not in decoded


def to(line: bytes) -> Rcpt:
    """Parse a path and its parameters as those of a RCPT."""
    return RCPT(b"TO:" + line)


@given(st.binary(max_size=300).filter(bytes.strip))
def test_a_name_in_ehlo_is_fit_for_a_header(argument: bytes) -> None:
    name = _header_name(argument)
    assert 0 < len(name) <= 255
    assert re.fullmatch(r"[A-Za-z0-9._:\[\]?-]+", name, re.ASCII)
