"""`presend check`: its input formats, its output and the order of the output."""

import asyncio
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from relay.commands.check.report import line
from relay.commands.check.source import Source
from relay.commands.tables import CHUNK, MAX_LENGTH
from tests.support.checking import Check, checker
from validators.pipeline import Judgement
from validators.verdict import ACCEPT

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the command without DNS by default."""
    return checker(monkeypatch)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_object_a_line_in_order(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(b"ann@example.com\nabuse@example.com\na..b@example.com\n") == 0
    lines = said(capsys)
    syntax = "There are two periods in a row before the @-sign."
    assert lines == [
        {
            "address": "ann@example.com",
            "verdict": "accept",
            "reason": None,
            "detail": "",
            "findings": [],
            "row": 1,
            "risk": 0.018,
            "suggestion": None,
            "provider": "other",
        },
        {
            "address": "abuse@example.com",
            "verdict": "reject",
            "reason": "role_account",
            "detail": "abuse",
            "findings": [{"reason": "role_account", "action": "reject", "detail": "abuse"}],
            "row": 2,
            "risk": 0.269,
            "suggestion": None,
            "provider": "other",
        },
        {
            "address": "a..b@example.com",
            "verdict": "reject",
            "reason": "syntax",
            "detail": syntax,
            "findings": [{"reason": "syntax", "action": "reject", "detail": syntax}],
            "row": 3,
            "risk": 0.982,
            "suggestion": None,
            "provider": "other",
        },
    ]


@pytest.mark.parametrize(
    "octets",
    [
        b"ann@example.com\nbob@example.com",
        b"ann@example.com\r\nbob@example.com\r\n",
        b"ann@example.com\rbob@example.com\r",
        b"\xef\xbb\xbfann@example.com\n\n  \n\tbob@example.com  \n",
        "\ufeffann@example.com\nbob@example.com\n".encode("utf-16-le"),
    ],
)
def test_line_ends_blank_lines_and_byte_order_marks(
    check: Check, capsys: pytest.CaptureFixture[str], octets: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "list"
    path.write_bytes(octets)
    for source in (octets, path):
        assert check(source) == 0
        assert [line["address"] for line in said(capsys)] == ["ann@example.com", "bob@example.com"]


def test_octets_that_are_no_text_are_no_address(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(b"\xff\xfeann@example.com"[::-1] + b"\nb\xfcb@example.com\n\x00\n") == 0
    assert [line["reason"] for line in said(capsys)] == ["syntax"] * 3


@pytest.mark.parametrize(
    "address",
    ['"a b"@example.com', "jos\u00e9@example.com", "ann@b\u00fccher.example", "a\\b@example.com",
     "ann@example.com\x1b[31m", "\u2028@example.com"],
)  # fmt: skip
def test_any_address_is_json(
    check: Check, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert check(f"x@example.com\n{address}\n".encode()) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out.splitlines()[1])["address"] == address.strip()


@pytest.mark.parametrize("text", ["a\\b", 'a"b', "a\x00b", "a\x7fb", "a\ud800b", "\u00e9", ""])
def test_what_is_let_through_is_json_too(text: str) -> None:
    accepted = line(Judgement(text, None, ACCEPT))
    assert accepted.isascii()
    assert json.loads(accepted)["address"] == text


@pytest.mark.parametrize("column", ["mail", "MAIL", "2"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_column(
    check: Check, capsys: pytest.CaptureFixture[str], column: str, delimiter: str
) -> None:
    rows = [
        ["name", " Mail ", "note"],
        ['"Ann ""A"" Bell"', "ann@example.com", '"two\nlines"'],
        ["short"],
        ["nobody", "", "x"],
        ['Carl 5" pipe', "", 'a "quoted" word'],
        ["Bob", ' "bob@example.com"'.strip(), "y"],
    ]
    text = "".join(f"{delimiter.join(row)}\r\n" for row in rows)
    assert check(text.encode(), "--column", column) == 0
    assert [line["address"] for line in said(capsys)] == ["ann@example.com", "bob@example.com"]


def test_a_numbered_column_needs_no_header(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(b"Ann,ann@example.com\nBob,bob@example.com\n", "--column", "2") == 0
    assert [line["address"] for line in said(capsys)] == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize(
    ("octets", "column", "fault"),
    [
        (b"name,email\nann,ann@example.com\n", "mail", "no column 'mail'; there are: name, email"),
        (b"name,email\n", "3", "no column '3'"),
        (b"name,email\n", "0", "no column '0'"),
        (b'email\nann@example.com\n"bob@example.com\n', "email", "a quote that is never closed"),
        (b'email\n"' + b"x\n" * MAX_LENGTH, "email", "a quote that is never closed"),
        (b"x" * (MAX_LENGTH + CHUNK), None, "no end of line"),
    ],
)
def test_a_list_that_cannot_be_read(
    check: Check,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    octets: bytes,
    column: str | None,
    fault: str,
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(octets)
    assert check(path, *(["--column", column] if column else [])) == 1
    err = capsys.readouterr().err
    assert str(path) in err
    assert fault in err


def test_a_file_that_is_not_there(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert check(tmp_path / "nowhere") == 1
    assert check(tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"presend: {tmp_path / 'nowhere'}: No such file or directory",
        f"presend: {tmp_path}: Is a directory",
    ]


def test_an_empty_list(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(b"") == 0
    assert check(b"\n\n") == 0
    assert capsys.readouterr().out == ""


def test_the_summary(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(b"ann@example.com\n" * 3 + b"abuse@example.com\n" * 2 + b"a..b@example.com\n") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("6 addresses in ")
    assert [line.split() for line in lines[1:]] == [
        ["accept", "3"],
        ["defer", "0"],
        ["reject", "3", "role_account", "2,", "syntax", "1"],
        ["duplicate", "2", "the", "mailbox", "is", "in", "an", "earlier", "row"],
    ]


def test_no_bar_without_a_terminal(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check(b"ann@example.com\n")
    assert "checking" not in capsys.readouterr().err


def test_a_bar_on_a_terminal(check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            """Return True."""
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    path = tmp_path / "list"
    path.write_bytes(b"ann@example.com\n" * 100)
    assert check(path) == 0
    assert check(b"ann@example.com\n" * 100) == 0
    assert "1.60k/1.60k" in terminal.getvalue()
    assert "100 addresses" in terminal.getvalue()


def test_many_groups_keep_their_order(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    addresses = [f"ann{n}@d{n % 977}.example" for n in range(20_000)]
    path = tmp_path / "list"
    path.write_text("\n".join(addresses))
    assert path.stat().st_size > 10 * CHUNK
    assert check(path) == 0
    assert [line["address"] for line in said(capsys)] == addresses


ROWS = "1,Ann,ann@example.com\n2,Bob,bob@example.com\n3,Carl,a..b@example.com\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"id,name,email\n{ROWS}", "column 3 (email), by its name"),
        (f"id,name,Address\n{ROWS}", "column 3 (Address), by its name"),
        (
            f"id,name,kontakt\n{ROWS}",
            "column 3 (kontakt): 3 of the first 3 rows have an address there",
        ),
        (ROWS, "column 3: 3 of the first 3 rows have an address there"),
        (
            "email,address,kontakt\n" + ROWS.replace("1,Ann", "-,1 High St"),
            "column 3 (kontakt): 3 of the first 3 rows have an address there",
        ),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_column_is_found_and_told(
    check: Check, capsys: pytest.CaptureFixture[str], text: str, why: str, delimiter: str
) -> None:
    if text == ROWS and delimiter == "|":
        return  # a bar may be part of an address: test_a_bar_in_an_address_makes_no_table
    assert check(text.replace(",", delimiter).encode()) == 0
    shown = capsys.readouterr()
    addresses = [json.loads(line)["address"] for line in shown.out.splitlines()]
    assert addresses == ["ann@example.com", "bob@example.com", "a..b@example.com"]
    assert shown.err.startswith(f"presend: standard input: {why}\n")


def test_two_columns_of_addresses_are_told(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(b"from,to\nme@example.org,ann@example.com\n") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["address"] == "me@example.org"
    assert "and as many in column 2; --column names another" in shown.err


def test_a_table_without_addresses_is_refused(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(b"name,phone\nAnn,123\nBob,456\n") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "none holds addresses; name one with --column; there are: name, phone" in shown.err


def test_a_plain_list_with_a_comma_in_it_is_no_table(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = ["a,b@example.com", *(f"user{n}@example.com" for n in range(500))]
    assert check("\n".join(addresses).encode()) == 0
    assert [line["address"] for line in said(capsys)] == addresses


def test_an_address_alone_is_judged_before_the_list_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin:
        os.write(writer, b"ann@example.com\n")
        source = Source(stdin.fileno(), None)

        async def first() -> list[str]:
            return (await anext(source.groups())).texts

        assert asyncio.run(first()) == ["ann@example.com"]
    os.close(writer)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("id,email\n1,ann@example.com\n2,bob@example.com\n", ["--column", "id"],
         "2 of 2 rows hold none. column 2 (email) holds addresses: name it with --column"),
        ("".join(f"Ann ann{n}@example.com\n" for n in range(5)), [], "5 of 5 rows hold none"),
        ("one\ntwo\nthree\n", [], "3 of 3 rows hold none"),
        ("x,email\n" + "1,\n" * 9 + "2,ann@example.com\n", [], "9 of 10 rows hold none"),
    ],
)  # fmt: skip
def test_hardly_a_list_of_addresses(
    check: Check, capsys: pytest.CaptureFixture[str], text: str, words: list[str], said: str
) -> None:
    assert check(text.encode(), *words) == 1
    error = capsys.readouterr().err
    assert "presend: standard input: this is hardly a list of addresses: " in error
    assert said in error


@pytest.mark.parametrize(
    "text",
    [
        "nobody\n",
        "one\ntwo\n",
        "a..b@example.com\n@example.com\na@b@example.com\n.@example.com\n",
        "a..b@example.com\n" * 8 + "ann@example.com\n" * 2,
        "email\n",
        "",
    ],
)
def test_a_few_bad_addresses_are_a_list(check: Check, text: str) -> None:
    assert check(text.encode()) == 0


def test_rows_without_an_address_are_told(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    text = "name,email\nAnn,ann@example.com\nshort\nBob,\n" + "Carl,carl@example.com\n" * 20
    assert check(text.encode()) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 21
    last = " ".join(shown.err.splitlines()[-1].split())
    assert last == "no address 2 not judged: line 3, 4"
    assert check((text + "Dan,  \n" * 4).encode()) == 0
    assert " line 3, 4, 25, 26, 27, ...\n" in capsys.readouterr().err


@pytest.mark.parametrize("length", [1, 100, 100_000])
def test_a_packed_list(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path, length: int
) -> None:
    addresses = [f"ann{n}@example.com" for n in range(length)]
    packed = gzip.compress("\n".join(addresses).encode())
    half = "\n".join(addresses[: length // 2]) + "\n"
    rest = "\n".join(addresses[length // 2 :])
    members = gzip.compress(half.encode()) + gzip.compress(rest.encode()) + b"\0" * 512
    path = tmp_path / "list.csv"  # recognised by its octets, not by its name
    for octets in (packed, members):
        path.write_bytes(octets)
        for source in (path, octets):
            assert check(source) == 0
            assert [line["address"] for line in said(capsys)] == addresses


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (gzip.compress(b"ann@example.com\n" * 9)[:-9], "gzip that ends early"),
        (b"\x1f\x8b", "gzip that ends early"),
        (b"\x1f\x8bann@example.com", "gzip that cannot be unpacked"),
        (gzip.compress(b"ann@example.com\n") + b"bob@example.com\n", "gzip that cannot be"),
        (gzip.compress(bytes(50_000_000)), "no end of line in 65,536 characters"),
    ],
)
def test_a_packed_list_that_cannot_be_read(
    check: Check, capsys: pytest.CaptureFixture[str], octets: bytes, fault: str
) -> None:
    assert check(octets) == 1
    assert fault in capsys.readouterr().err
