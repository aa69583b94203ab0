"""`presend check`: its input formats, its output and the order of the output."""

import argparse
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.commands.check import add_arguments, run
from relay.commands.check.report import line
from relay.commands.tables import CHUNK, MAX_LENGTH
from relay.settings import Settings
from validators.pipeline import Judgement
from validators.verdict import ACCEPT

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

Check = Callable[..., int]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the command on a file or on octets as standard input; without DNS by default."""
    settings = Settings(store="memory:", role={"allow": []})

    def checked(source: Path | bytes, *words: str, dns: bool = False) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        name = "-" if isinstance(source, bytes) else str(source)
        args = parser.parse_args([name, *words, *([] if dns else ["--no-dns"])])
        if isinstance(source, Path):
            return run(args, settings)
        reader, writer = os.pipe()
        feeder = threading.Thread(target=_feed, args=(writer, source))
        feeder.start()
        with os.fdopen(reader) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            try:
                return run(args, settings)
            finally:
                feeder.join()

    return checked


def _feed(writer: int, octets: bytes) -> None:
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(octets)


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
        },
        {
            "address": "abuse@example.com",
            "verdict": "reject",
            "reason": "role_account",
            "detail": "abuse",
            "findings": [{"reason": "role_account", "action": "reject", "detail": "abuse"}],
        },
        {
            "address": "a..b@example.com",
            "verdict": "reject",
            "reason": "syntax",
            "detail": syntax,
            "findings": [{"reason": "syntax", "action": "reject", "detail": syntax}],
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
     "<ann@example.com>", "ann@example.com\x1b[31m", "\u2028@example.com"],
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
    assert check(path, *(["--column", column] if column else [])) == 2
    err = capsys.readouterr().err
    assert str(path) in err
    assert fault in err


def test_a_file_that_is_not_there(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert check(tmp_path / "nowhere") == 2
    assert check(tmp_path) == 2
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
