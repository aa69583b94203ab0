"""What people have: the lists that `presend check` reads, and that no row passes in silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay.commands.cells import clean
from tests.support.checking import Check

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

ANN, BOB = "ann@example.com", "bob@example.com"


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "written",
    [
        "Ann <ann@example.com>",
        '"Bell, Ann" <ann@example.com>',
        "<ann@example.com>",
        "mailto:ann@example.com",
        "MAILTO:ann@example.com?subject=Hello%20there",
        "<mailto:ann@example.com>",
        "ann@example.com;",
        "ann@example.com,",
        ";ann@example.com;;",
        "'ann@example.com'",
        '"ann@example.com"',
        'ann@example.com"',
        "\u201cann@example.com\u201d",
        "\u00a0ann@example.com\u00a0",
        "\ufeffann@example.com\u200b",
        "  ann@example.com\t",
        'mailto:"ann@example.com";',
    ],
)
def test_an_address_is_taken_out_of_what_surrounds_it(written: str) -> None:
    assert clean(written).address == ANN
    assert bool(clean(written).note) == (written.strip() != ANN)


@pytest.mark.parametrize(
    "written",
    [
        '"a b"@example.com',
        "o'brien@example.com",
        "a+b@example.com",
        "a|b@example.com",
        "Ann ann@example.com",
        "ann@example.com; bob@example.com",
        "Ann <ann@example.com>, Bob <bob@example.com>",
        "nobody",
        "a\ud800b",
    ],
)
def test_what_is_or_is_not_an_address_stays_as_it_is(written: str) -> None:
    assert clean(written) == (written, "")


@pytest.mark.parametrize("written", ["", "  ", "\u00a0", ";", '""', ",;,", "\u200b"])
def test_a_blank_cell(written: str) -> None:
    assert clean(written).address == ""


@pytest.mark.parametrize(
    "cell", ["Ann <ann@example.com>", "mailto:ann@example.com", " ann@example.com;"]
)
@pytest.mark.parametrize(
    "table", ["{}\n", "{},1\nbob@example.com,2\n", "n,x\n1,{}\n2,bob@example.com\n"]
)
def test_a_row_has_a_verdict_and_a_note(
    check: Check, capsys: pytest.CaptureFixture[str], cell: str, table: str
) -> None:
    assert check(table.format(cell).encode()) == 0
    first, *others = said(capsys)
    assert (first["address"], first["verdict"]) == (ANN, "accept")
    if "note" in first:
        assert cell.strip() in first["note"]
        assert list(first)[-1] == "note"
    assert all("note" not in other for other in others)


def test_windows_1252(check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("Name;E-Mail\nJürgen „Öl“ €;ann@example.com\n".encode("cp1252"))
    good = tmp_path / "good.csv"
    assert check(path, "--accepted", str(good)) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["address"] == ANN
    assert "line 2 is not UTF-8: read as Windows-1252" in shown.err
    assert "Jürgen „Öl“ €;ann@example.com;accept" in good.read_text("utf-8")


def test_utf_8_stays_utf_8(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("Name;E-Mail\nJürgen;jürgen@example.com\n".encode()) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["address"] == "jürgen@example.com"
    assert "1252" not in shown.err


def test_rows_are_numbered_as_a_spreadsheet_numbers_them(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        'name,email\nAnn,ann@example.com\n"two\nlines",bob@example.com\n\n,\n'
        "Carl,carl@example.com\n"
    )
    assert check(text.encode()) == 0
    assert [(line["address"], line["row"]) for line in said(capsys)] == [
        (ANN, 2), (BOB, 3), ("carl@example.com", 6),
    ]  # fmt: skip
    assert check(f"\n{ANN}\n\n{BOB}\n".encode()) == 0
    assert [line["row"] for line in said(capsys)] == [2, 4]
    assert check(f"sep=;\nemail;x\n{ANN};1\n".encode()) == 0
    assert [line["row"] for line in said(capsys)] == [2]


def test_rows_of_empty_cells_are_told(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(f"email,x\n,\n{ANN},1\n ; ,2\n".encode()) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert " ".join(shown.err.split()).endswith("no address 2 not judged: line 2, 4")


def test_one_address(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(Path("ann@gmial.com")) == 0
    (line,) = said(capsys)
    assert line["suggestion"] == "ann@gmail.com"
    assert list(line) == [
        "address", "verdict", "reason", "detail", "findings", "row", "risk", "suggestion",
        "provider",
    ]  # fmt: skip
    assert 0 < line["risk"] < 1


def test_a_file_with_an_at_sign_is_a_file(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "list@monday"
    path.write_text(f"{ANN}\n{BOB}\n")
    assert check(path) == 0
    assert len(said(capsys)) == 2
    assert check(path, str(path)) == 2


def test_any_cell_has_an_address_or_none() -> None:
    from hypothesis import given
    from hypothesis import strategies as st

    @given(st.text(st.sampled_from("<>\"';, a@.:?\u00a0\u200bmailto"), max_size=30))
    def holds(text: str) -> None:
        found = clean(text)
        assert clean(found.address).address == found.address

    holds()
