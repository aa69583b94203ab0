"""The files of `--accepted`, `--rejected` and `--review`, and duplicates."""

import csv
import json
from pathlib import Path

import pytest

from relay.commands.check.mailboxes import Mailboxes
from relay.settings import Settings
from tests.support.checking import Check

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

LIST = (
    "id;Name;E-Mail;note\n"
    '1;"Bell; Ann";ann@example.com;"two\nlines"\n'
    "2;Bob;bob@gmial.com;\n"
    "3;Carl;postmaster@example.com;x\n"
    "4;Ann;Ann@Example.com;y\n"
    "5;Dora;;z\n"
    "6;Eve;=1+1@gmial.com;=2\n"
)
ADDED = ["verdict", "reason", "risk", "suggestion"]


def files(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / f"{name}.csv" for name in ("accepted", "rejected", "review")}


def options(wanted: dict[str, Path]) -> list[str]:
    return [word for name, path in wanted.items() for word in (f"--{name}", str(path))]


def rows(path: Path, delimiter: str = ";") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def test_rows_keep_their_columns_and_get_four(check: Check, tmp_path: Path) -> None:
    wanted = files(tmp_path)
    assert check(LIST.encode(), *options(wanted)) == 0
    header = ["id", "Name", "E-Mail", "note", *ADDED]
    assert rows(wanted["accepted"]) == [
        header,
        ["1", "Bell; Ann", "ann@example.com", "two\nlines", "accept", "", "0.018", ""],
        ["4", "Ann", "Ann@Example.com", "y", "accept", "", "0.018", ""],
    ]
    assert rows(wanted["rejected"]) == [
        header,
        ["3", "Carl", "postmaster@example.com", "x", "reject", "role_account", "0.269", ""],
        ["5", "Dora", "", "z", "", "no_address", "", ""],
    ]
    review = rows(wanted["review"])
    assert review[0] == header
    assert [(row[0], row[4], row[7]) for row in review[1:]] == [
        ("2", "accept", "bob@gmail.com"),
        ("6", "accept", "'=1+1@gmail.com"),
    ]
    assert all(row[5].startswith("typo_") for row in review[1:])
    assert review[2][3] == "=2"  # what was there is as it was
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in wanted.values()}


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("separator", ["", "sep=;\n"])
def test_the_byte_order_mark_and_the_separator_are_kept(
    check: Check, tmp_path: Path, bom: bytes, separator: str
) -> None:
    good = tmp_path / "good.csv"
    assert check(bom + f"{separator}{LIST}".encode(), "--accepted", str(good)) == 0
    written = good.read_bytes()
    assert written.startswith(bom + separator.replace("\n", "\r\n").encode() + b"id;Name;")
    assert written.count(b"\xef\xbb\xbf") == bool(bom)


def test_a_plain_list(check: Check, tmp_path: Path) -> None:
    wanted = files(tmp_path)
    assert check(b"ann@example.com\nabuse@example.com\n", *options(wanted)) == 0
    assert rows(wanted["accepted"], ",") == [["ann@example.com", "accept", "", "0.018", ""]]
    assert [row[0] for row in rows(wanted["rejected"], ",")] == ["abuse@example.com"]
    assert rows(wanted["review"]) == []


def test_columns_of_the_same_name_are_told_apart(check: Check, tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    assert check(b"email,Risk\nann@example.com,high\n", "--accepted", str(good)) == 0
    assert rows(good, ",")[0] == [
        "email",
        "Risk",
        "verdict",
        "reason",
        "presend_risk",
        "suggestion",
    ]


def test_short_rows_are_padded(check: Check, tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    assert check(b"email,a,b\nann@example.com\nbob@example.com,1,2\n", "--accepted", str(good)) == 0
    assert {len(row) for row in rows(good, ",")} == {7}


def test_files_are_not_overwritten_unasked(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wanted = files(tmp_path)
    wanted["rejected"].write_text("mine")
    assert check(LIST.encode(), *options(wanted)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{wanted['rejected']} exists: --force overwrites it" in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["rejected.csv"]
    assert wanted["rejected"].read_text() == "mine"
    assert check(LIST.encode(), *options(wanted), "--force") == 0
    assert rows(wanted["rejected"])[1][0] == "3"


def test_a_list_that_fails_leaves_no_files(check: Check, tmp_path: Path) -> None:
    wanted = files(tmp_path)
    assert check(b'email\nann@example.com\n"never closed\n', *options(wanted)) == 1
    assert list(tmp_path.iterdir()) == []


def test_one_file_for_two_kinds_is_refused(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    same = str(tmp_path / "all.csv")
    assert check(LIST.encode(), "--accepted", same, "--rejected", same) == 1
    assert "the same file twice" in capsys.readouterr().err


def test_duplicates_are_by_mailbox(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = tmp_path / "good.csv"
    same = ["a.nn@gmail.com", "ANN+x@googlemail.com", "ann@gmail.com"]
    others = ["a.nn@example.com", "ann@example.com"]
    addresses = [same[0], *others, *[f"u{n}@example.com" for n in range(5000)], *same[1:]]
    assert check("\n".join(addresses).encode(), "--dedupe", "--accepted", str(good)) == 0
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [
        line["address"]
        for line in lines
        if "duplicate" in {finding["reason"] for finding in line["findings"]}
    ] == same[1:]
    assert "duplicate          2" in shown.err
    assert "2 duplicates left out" in shown.err
    assert [row[0] for row in rows(good, ",")] == addresses[:-2]


def test_a_rejected_row_does_not_make_a_later_one_a_duplicate(check: Check, tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    text = b"ann+spamtrap@gmail.com\nann@gmail.com\n"
    given = Settings(store="memory:", policy={"tagged": "reject"})
    assert check(text, "--dedupe", "--accepted", str(good), given=given) == 0
    assert [row[0] for row in rows(good, ",")] == ["ann@gmail.com"]


def test_the_policy_for_duplicates(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    text = b"ann@example.com\nann@example.com\n"
    for action, verdict in (("reject", "reject"), ("defer", "defer"), ("off", "accept")):
        assert check(text, given=Settings(store="memory:", policy={"duplicate": action})) == 0
        last = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert last["verdict"] == verdict
        assert bool(last["findings"]) == (action != "off")


def test_many_mailboxes_in_bounded_memory() -> None:
    import tracemalloc

    mailboxes = Mailboxes()
    number = 100_000
    tracemalloc.start()
    for start in range(0, number, 1000):
        group = [f"u{n}@example.com" for n in range(start, start + 1000)]
        assert mailboxes.repeated(group) == []
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 48 * number + 50_000
    assert peak < 72 * number + 500_000
    assert len(mailboxes) == number
    assert mailboxes.repeated(["u5@example.com", "", "new@example.com", "new@example.com"]) == [
        0,
        3,
    ]
    again = Mailboxes()
    again.restore(b"".join(mailboxes.digests()))
    assert len(again) == number + 1
    assert again.repeated(["u99999@example.com", "other@example.com"]) == [0]
