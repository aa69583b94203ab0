"""Parts of a list: every row is in exactly one, wherever the borders are."""

import asyncio
import os
from itertools import chain, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.commands.check import spans
from relay.commands.check.source import ListError, Source, Span
from relay.commands.check.spans import SpanSource, Walk

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

Rows = list[tuple[int, str, tuple[str, ...]]]

LISTS = {
    "plain": b"ann@example.com\n\nbob@example.com\ncarl@example.com",
    "CR LF": b"ann@example.com\r\nbob@example.com\r\n\r\ncarl@example.com\r\n",
    "CR": b"ann@example.com\rbob@example.com\r\rcarl@example.com\r",
    "table": b"name,email\nAnn,ann@example.com\nBob,bob@example.com\n,\n\nCarl,carl@example.com\n",
    "no header": b"Ann,ann@example.com\nBob,bob@example.com\nCarl,carl@example.com",
    "quotes": (
        b'name,email,x\r\n"Ann ""A"", \r\nBell",ann@example.com,"1\n2"\r\n'
        b'Bob 5" pipe,bob@example.com,""\r\n"\n\n",carl@example.com,"a"b\n'
    ),
    "separator and mark": (
        b'\xef\xbb\xbf\nsep=;\n\n;;\nname;email\n"An;n";ann@example.com\n"B\nob";bob@example.com\n'
    ),
    "Windows-1252": b"name;email\n\xd6l;ann@example.com\n\xc4;bob@example.com\n",
    "blank": b"\n\n",
    "empty": b"",
    "header only": b"name,email\n",
}


def whole(path: Path) -> Rows:
    """Return the rows of a list that is read at once."""
    with path.open("rb") as file:
        return asyncio.run(collected(Source(file.fileno(), None)))


def parts(path: Path, number: int) -> list[Rows]:
    """Return the rows of each part."""
    with path.open("rb") as file:
        walk = Walk(file.fileno(), None)
        shares = [walk.shard(index, number) for index in range(number)]
        assert all(one.end == other.start for one, other in pairwise(shares))
        return [asyncio.run(collected(SpanSource(file.fileno(), walk, span))) for span in shares]


async def collected(source: Source | SpanSource) -> Rows:
    found: Rows = []
    async for group in source.groups():
        found += zip(group.numbers, group.texts, map(tuple, group.cells), strict=True)
        found += [(row.number, "", tuple(row.cells)) for row in group.blank]
    return sorted(found)


@pytest.mark.parametrize("name", LISTS)
def test_every_border_of_a_small_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(LISTS[name])
    expected = whole(path)
    with path.open("rb") as file:
        walk = Walk(file.fileno(), None)
        for border in range(path.stat().st_size + 1):
            middle = walk.next(walk.body, border)
            assert middle.offset >= border or middle.offset == walk.size
            ends = (walk.body.offset, middle.offset, walk.size)
            rows: Rows = []
            for (start, end), row in zip(pairwise(ends), (walk.body.row, middle.row), strict=True):
                span = Span(start, end, row, walk.layout)
                rows += asyncio.run(collected(SpanSource(file.fileno(), walk, span)))
            assert sorted(rows) == expected, border
    for size in (1, 3, 1000):
        monkeypatch.setattr(spans, "STEP", size)
        for number in (1, 2, 3, 8, 50):
            assert list(chain.from_iterable(parts(path, number))) == expected, (size, number)


@pytest.mark.parametrize("name", ["quotes", "plain", "CR LF", "table"])
@pytest.mark.parametrize("block", [1, 2, 5, 16])
def test_the_size_of_blocks_changes_nothing(
    name: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(LISTS[name])
    expected = parts(path, 4)
    monkeypatch.setattr(spans, "BLOCK", block)
    monkeypatch.setattr(spans, "_LONGEST", 1000)
    assert parts(path, 4) == expected


def test_a_row_is_in_the_part_in_which_its_first_octet_lies(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"a@b.example\n" * 4)  # 12 octets each, 48 in all
    assert [[row[0] for row in part] for part in parts(path, 4)] == [[1], [2], [3], [4]]
    assert [[row[0] for row in part] for part in parts(path, 3)] == [[1, 2], [3], [4]]


@given(
    st.lists(
        st.sampled_from(['"', ",", "\n", "\r\n", "\r", "a@b.example", "x", '""', '"y"']),
        max_size=40,
    ),
    st.integers(1, 9),
)  # fmt: skip
@settings(max_examples=300)
def test_any_list_is_the_sum_of_its_parts(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], number: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(b"name,email\n1,z@b.example\n" + "".join(pieces).encode())
    try:
        expected = whole(path)
    except ListError:
        with pytest.raises(ListError):
            parts(path, number)
        return
    assert list(chain.from_iterable(parts(path, number))) == expected


def test_what_cannot_be_divided(tmp_path: Path) -> None:
    for octets in (b"\x1f\x8b123", "\ufeffann@example.com\n".encode("utf-16-le")):
        path = tmp_path / "list"
        path.write_bytes(octets)
        with path.open("rb") as file, pytest.raises(ListError, match="neither gzip nor UTF-16"):
            Walk(file.fileno(), None)
    reader, writer = os.pipe()
    with pytest.raises(ListError, match="regular file"):
        Walk(reader, None)
    os.close(reader)
    os.close(writer)
