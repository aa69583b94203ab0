"""Parquet files, which the extra `parquet` reads."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay import cli

pytestmark = pytest.mark.may_block("the command reads files")


@pytest.fixture(autouse=True)
def _store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESEND_STORE", "memory:")


def written(path: Path, rows: int = 3, **columns: list[object]) -> Path:
    """Write a file of some columns."""
    table = pa.table(columns or {"id": list(range(rows)), "mail": ["ann@example.com"] * rows})
    write: Any = pq.write_table
    write(table, path, row_group_size=1000)
    return path


def test_the_column_of_addresses_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path / "list.parquet",
        id=[1, 2, 3, 4],
        name=["Ann", 'O"Neill, Bob', "Eve\nLine", None],
        contact=["ann@example.com", "a..b@example.com", "Eve <eve@example.com>", None],
    )
    assert cli.main(["check", "--no-dns", str(path)]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(each["address"], each["row"], each["verdict"]) for each in lines] == [
        ("ann@example.com", 2, "accept"),
        ("a..b@example.com", 3, "reject"),
        ("eve@example.com", 4, "accept"),
    ]
    assert "contact" in err


def test_the_rows_are_written_by_verdict(tmp_path: Path) -> None:
    path = written(tmp_path / "list.parquet", email=["ann@example.com", "x"], age=[30, 40])
    good = tmp_path / "good.csv"
    assert cli.main(["check", "--no-dns", "--accepted", str(good), str(path)]) == 0
    assert good.read_text().splitlines()[:2] == [
        "email,age,verdict,reason,risk,suggestion",
        "ann@example.com,30,accept,,0.018,",
    ]


def test_many_rows_and_a_reader_that_ends_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "list.parquet", rows=20_000)
    assert cli.main(["check", "--no-dns", str(path)]) == 0
    assert capsys.readouterr().out.count("\n") == 20_000


@pytest.mark.parametrize("damage", ["short", "middle"])
def test_a_damaged_file_is_no_shorter_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = written(tmp_path / "list.parquet", mail=[f"ann{n}@example.com" for n in range(20_000)])
    octets = bytearray(path.read_bytes())
    if damage == "short":
        octets = octets[:-20]
    else:
        middle = len(octets) // 2
        octets[middle : middle + 2000] = bytes(2000)
    path.write_bytes(octets)
    assert cli.main(["check", "--no-dns", str(path)]) == 1
    assert "the Parquet file cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--shard", "0/2"], ["--state", "state"]])
def test_parts_of_a_parquet_file_are_not_judged(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "list.parquet")
    assert cli.main(["check", "--no-dns", *option, str(path)]) == 1
    assert "regular file" in capsys.readouterr().err


def test_without_pyarrow_the_user_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "list.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(["check", "--no-dns", str(path)]) == 1
    assert "install presend[parquet]" in capsys.readouterr().err
