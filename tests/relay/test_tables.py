"""The table reader that `check` and `suppress import` share."""

import argparse
import contextlib
import gzip
import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.commands import check, tables
from relay.commands.suppress.lists import Given, read_list
from relay.settings import Settings

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

FOUND = ["ann@example.com", "bob@example.com"]
PLAIN = "ann@example.com\nbob@example.com\n"
CSV = 'name,email\n"Ann, A",ann@example.com\n"Bob\nB",bob@example.com\n'

INPUTS: list[tuple[str, bytes, str | None]] = [
    ("plain", PLAIN.encode(), None),
    ("no last line end", PLAIN.rstrip().encode(), None),
    ("CR LF", PLAIN.replace("\n", "\r\n").encode(), None),
    ("CR", PLAIN.replace("\n", "\r").encode(), None),
    ("blank lines", f"\n  \n{PLAIN}\n\n".encode(), None),
    ("blanks around", PLAIN.replace("@example.com", "@example.com \t").encode(), None),
    ("UTF-8 with a byte order mark", PLAIN.encode("utf-8-sig"), None),
    ("UTF-16, little-endian", f"\ufeff{PLAIN}".encode("utf-16-le"), None),
    ("UTF-16, big-endian", f"\ufeff{PLAIN}".encode("utf-16-be"), None),
    ("CSV", CSV.encode(), "email"),
    ("CSV with CR LF", CSV.replace("\n", "\r\n").encode(), "email"),
    ("CSV, the column found by its name", CSV.encode(), None),
    ("CSV after blank lines", f"\n\n{CSV}".encode(), None),
    ("CSV, the column in other letters", CSV.encode(), " EMAIL "),
    ("CSV, a column by number", CSV.encode(), "2"),
    ("CSV in UTF-16", f"\ufeff{CSV}".encode("utf-16-le"), None),
    ("semicolons", b"name;email\nAnn;ann@example.com\nBob;bob@example.com\n", None),
    ("tabs", b"name\temail\nAnn\tann@example.com\nBob\tbob@example.com\n", None),
    ("bars", b"name|email\nAnn|ann@example.com\nBob|bob@example.com\n", None),
    ("sep=", b"sep=|\nname|email\nAnn,A|ann@example.com\nBob,B,C|bob@example.com\n", None),
    ("sep= in quotes", b'"sep=;"\r\nemail;x\r\nann@example.com;1\r\nbob@example.com;', "email"),
    ("one column", b"Email\nann@example.com\nbob@example.com\n", None),
    ("no header", b"ann@example.com,x\nbob@example.com,y\n", "1"),
    ("packed", gzip.compress(PLAIN.encode()), None),
    ("packed CSV", gzip.compress(CSV.encode()), "email"),
    ("rows of empty cells", b"email,x\n,\nann@example.com,1\n\n,\nbob@example.com,2\n", None),
]  # fmt: skip


def checked(path: Path, column: str | None, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The addresses that `presend check` judges."""
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    words = [str(path), "--no-dns", *(["--column", column] if column else [])]
    assert check.run(parser.parse_args(words), Settings(store="memory:")) == 0
    return [json.loads(line)["address"] for line in capsys.readouterr().out.splitlines()]


def imported(path: Path, column: str | None) -> list[str]:
    """The entries that `presend suppress import` reads."""
    with path.open("rb") as file:
        return [entry.value for entry in read_list(file, Given(), now=0.0, column=column)]


@pytest.mark.parametrize(
    ("octets", "column"), [row[1:] for row in INPUTS], ids=[row[0] for row in INPUTS]
)
@pytest.mark.parametrize("chunk", [1, 7, tables.CHUNK])
def test_both_commands_read_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    octets: bytes,
    column: str | None,
    chunk: int,
) -> None:
    monkeypatch.setattr("relay.commands.tables.CHUNK", chunk)
    monkeypatch.setattr("relay.commands.check.source.CHUNK", chunk)
    path = tmp_path / "list"
    path.write_bytes(octets)
    assert checked(path, column, capsys) == FOUND
    assert imported(path, column) == FOUND


def test_a_bar_in_an_address_makes_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"a|b@example.com\nann@example.com\n")
    assert checked(path, None, capsys) == ["a|b@example.com", "ann@example.com"]
    assert imported(path, None) == ["a|b@example.com", "ann@example.com"]


def test_digests_in_a_table_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(f"{'a' * 32},x\nexample.net,y\n")
    assert imported(path, "1") == ["a" * 32, "example.net"]


@pytest.mark.parametrize(
    ("octets", "line"),
    [
        (b"email,x\r\nann@example.com,1\r\n\r\nbob@@example.com,2\r\n", 4),
        (b'email,x\n"a\nb@example.com",1\n', 2),
        (b'\nemail,x\nann@example.com,"\n\n1"\nbob@example.com,1,2\n', 6),
        (b'email,x\nann@example.com,1\nbob@example.com,"2\n3\n', 3),
        (b'email,x\nann@example.com,"1"2\n', 2),
        (b"email\nann@example.com\n\xff@example.com\n", 3),
    ],
)
def test_a_fault_is_named_by_the_line_in_which_its_row_begins(octets: bytes, line: int) -> None:
    with pytest.raises(tables.TableError) as caught:
        list(read_list(io.BytesIO(octets), Given(), now=0.0))
    assert caught.value.line == line


def unpacked(packed: bytes, cuts: list[int]) -> bytes | str:
    """Return what octets that arrive in pieces unpack to, or the error."""
    unpacker = tables.Unpacker()
    found = b""
    try:
        for piece in pieces(packed, cuts):
            found += b"".join(unpacker.feed(piece))
        return found + b"".join(unpacker.close())
    except tables.TableError as error:
        return str(error)


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=5))
def test_packed_octets_may_come_in_any_pieces(octets: bytes, cuts: list[int]) -> None:
    packed = gzip.compress(octets, mtime=0)
    assert unpacked(packed, cuts) == octets
    assert unpacked(packed[:-1], cuts) == "gzip that ends early"
    if octets[:2] != packed[:2]:
        assert unpacked(octets, cuts) == octets


def test_a_bomb_is_unpacked_in_small_pieces() -> None:
    unpacker = tables.Unpacker()
    packed = gzip.compress(bytes(20_000_000))
    sizes = [len(piece) for piece in (*unpacker.feed(packed), *unpacker.close())]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= tables.CHUNK


@given(
    st.lists(st.lists(st.sampled_from(["", "x", "a@b.example", "email", "a b"]), min_size=1),
             min_size=1),
    st.none() | st.sampled_from(["1", "email"]),
)  # fmt: skip
def test_any_rows_have_a_column_or_an_error(rows: list[list[str]], named: str | None) -> None:
    with contextlib.suppress(tables.TableError):
        found = tables.find_column([tables.Row(1, cells) for cells in rows], named)
        assert 0 <= found.place < len(rows[0])


def pieces(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Split the octets into chunks."""
    for start, end in pairwise([0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]):
        yield octets[start:end]


def rows(octets: bytes, cuts: list[int]) -> list[tables.Row] | str:
    """Return the rows of a CSV that arrives in chunks, or the error."""
    lines, table = tables.LineReader(), tables.RowReader()
    found: list[tables.Row] = []
    try:
        for piece in pieces(octets, cuts):
            found += table.feed(lines.feed(piece))
        found += table.feed(lines.feed(b"", final=True))
        table.close()
    except tables.TableError as error:
        return str(error)
    return found


texts = st.text(st.sampled_from('ab@,;|\t"\r\n =é\ufeff'), max_size=40)


encoded = texts.map(str.encode) | texts.map(lambda text: text.encode("utf-16"))


@given(encoded, st.lists(st.integers(0, 200), max_size=5))
def test_how_the_octets_are_cut_changes_nothing(octets: bytes, cuts: list[int]) -> None:
    assert rows(octets, cuts) == rows(octets, [])


@given(st.binary(max_size=200), st.sampled_from([None, "1", "email"]))
def test_any_octets_are_a_list_or_an_error(octets: bytes, column: str | None) -> None:
    with contextlib.suppress(tables.TableError):
        list(read_list(io.BytesIO(octets), Given(), now=0.0, column=column))
