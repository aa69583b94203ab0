"""`presend suppress`: listing and changing the suppression list."""

import errno
import hashlib
import json
import os
import pty
import resource
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from relay import cli
from relay.stores import BlockingStore, open_store
from validators.address import Address, parse

SHA256 = hashlib.sha256(b"ann@example.com").hexdigest()
MD5 = hashlib.md5(b"bob@example.com", usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The database that the commands of a test use."""
    for name in os.environ:
        if name.startswith("PRESEND_") or name == "CAMPAIGN_ID":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PRESEND_STORE", f"sqlite://{tmp_path}/presend.db")
    return tmp_path / "presend.db"


Suppress = Callable[..., tuple[int, str, str]]


@pytest.fixture
def suppress(capsys: pytest.CaptureFixture[str]) -> Suppress:
    """Run `presend suppress`; return exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["suppress", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def listed(suppress: Suppress) -> Callable[[], list[str]]:
    """The list, as `kind value scope reason source`."""

    def entries() -> list[str]:
        rows = map(json.loads, suppress("list")[1].splitlines())
        names = ("kind", "value", "scope", "reason", "source")
        return sorted(" ".join(row[name] for name in names) for row in rows)

    return entries


def test_add_lookup_remove(suppress: Suppress) -> None:
    assert suppress("add", "Ann@Example.com", "@example.net", SHA256, MD5, "--reason", "trap") == (
        0,
        "",
        "4 added, 0 already on the list\n",
    )
    assert suppress("add", "ann@example.com")[2] == "0 added, 1 already on the list\n"
    code, out, _ = suppress("lookup", "ann@example.com")
    assert code == 0
    found = json.loads(out)
    assert [(it["kind"], it["reason"], it["scope"]) for it in found] == [
        ("address", "trap", "all"),
        ("sha256", "trap", "all"),
    ]
    assert found[0]["value"] == "ann@example.com"
    assert found[0]["expires"] is None
    assert found[0]["created"].endswith("Z")
    assert suppress("lookup", "carol@example.com")[:2] == (0, "[]\n")
    code, _, said = suppress("remove", "ann@example.com")
    assert (code, said) == (
        0,
        "1 removed\nann@example.com is still suppressed, by its sha256, for all\n",
    )
    assert suppress("remove", SHA256, "example.net")[2] == "2 removed\n"
    assert suppress("remove", "nobody@example.com")[::2] == (0, "0 removed\n")


def test_campaigns_and_expiry(suppress: Suppress, listed: Callable[[], list[str]]) -> None:
    suppress("add", "ann@example.com", "--campaign", "spring", "--source", "ticket 7")
    suppress("add", "bob@example.com", "--scope", "all", "--expires", "90d")
    assert listed() == [
        "address ann@example.com spring manual ticket 7",
        "address bob@example.com all manual command",
    ]
    assert len(suppress("list", "--campaign", "spring")[1].splitlines()) == 1
    assert len(suppress("list", "--reason", "trap")[1].splitlines()) == 0
    (entry,) = json.loads(suppress("lookup", "bob@example.com")[1])
    assert entry["expires"] > entry["created"]
    suppress("remove", "ann@example.com")
    assert len(listed()) == 2
    suppress("remove", "ann@example.com", "--campaign", "spring")
    assert len(listed()) == 1


PLAIN = f"Ann@Example.com\n\n  @example.net  \r\nexample.org\n{SHA256}\n{MD5.upper()}"


def test_a_plain_list(suppress: Suppress, listed: Callable[[], list[str]], tmp_path: Path) -> None:
    file = tmp_path / "old.txt"
    file.write_text(PLAIN, newline="")
    code, out, said = suppress("import", str(file))
    assert (code, out) == (0, "")
    assert said == f"{file}: 5 read, 5 added, 0 last longer, 0 already on the list\n"
    assert listed() == sorted(
        f"{entry} all import {file}"
        for entry in (
            "address ann@example.com",
            "domain example.net",
            "domain example.org",
            f"sha256 {SHA256}",
            f"md5 {MD5}",
        )
    )
    assert "5 read, 0 added, 0 last longer, 5 already" in suppress("import", str(file))[2]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("email\nann@example.com\n", [], ["address ann@example.com all import"]),
        ('"Address"\nann@example.com\n', [], ["address ann@example.com all import"]),
        ("\ufeffemail;name\nann@example.com;Ann\n", [], ["address ann@example.com all import"]),
        ("domain\n@example.net\n", [], ["domain example.net all import"]),
        (f"md5\tx\n{MD5}\t1\n", [], [f"md5 {MD5} all import"]),
        # The domain column belongs to the address: the domain itself must not be suppressed.
        ("domain,email\nexample.com,ann@example.com\n", [], ["address ann@example.com all import"]),
        (
            f"email,sha256,domain\n,{SHA256},\n,,example.net\n",
            [],
            ["domain example.net all import", f"sha256 {SHA256} all import"],
        ),
        (
            "email,reason,campaign\nann@example.com,trap,spring\nbob@example.com,,\n",
            [],
            ["address ann@example.com spring trap", "address bob@example.com all import"],
        ),
        (
            "email,reason\nann@example.com,550 no such user\n",
            ["--reason", "hard_bounce", "--campaign", "spring"],
            ["address ann@example.com spring hard_bounce"],
        ),
        (
            '"Name, given",Mail\n"A, B",ann@example.com\n\n',
            ["--column", "mail"],
            ["address ann@example.com all import"],
        ),
        (
            "kind,value,reason\ndomain,example.net,manual\nmd5," + MD5 + ",trap\n",
            [],
            ["domain example.net all manual", f"md5 {MD5} all trap"],
        ),
    ],
)
def test_csv(
    suppress: Suppress,
    listed: Callable[[], list[str]],
    tmp_path: Path,
    text: str,
    words: list[str],
    expected: list[str],
) -> None:
    file = tmp_path / "list.csv"
    file.write_text(text, encoding="utf-8")
    code, _, said = suppress("import", str(file), "--source", "", *words)
    assert code == 0, said
    assert [line.rstrip() for line in listed()] == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ann@example.com\nbob@@example.com\n", "line 2: 'bob@@example.com': "),
        (b"ann@example.com\nno domain\n", "line 2: 'no domain': "),
        (b"email,x\nann@example.com,1\nbob@example.com\n", "line 3: 'bob@example.com': 1 columns"),
        (b"email,x\nann@example.com,1\n,2\n", "line 3: ',2': no entry in this row"),
        (b"name,x\nann@example.com,1\n", "line 1: 'name,x': no column is named address"),
        (b"email,reason\nann@example.com,spite\n", "'spite' is no reason"),
        (b"email,scope\nann@example.com,a b\n", "'a b' is no campaign"),
        (b"email,expires\nann@example.com,soon\n", "'soon' is no time"),
        (b'email,x\nann@example.com,"1\n', "line 2: "),
        (b"kind,value\nphone,123\n", "'phone' is no kind"),
        (b"kind,value\nsha256,123\n", "hexadecimal digits"),
        (
            b"ann@example.com\n\xff\xfe@example.com\n",
            "line 2: '\ufffd\ufffd@example.com': not UTF-8",
        ),
        (b"ann@example.com\n" + b"x" * 100_000, "too long"),
        (b"ann@example.com\n" + b"x" * 100 + b"@example.com\n", "..."),
    ],
)
def test_a_bad_line_refuses_the_whole_file(
    suppress: Suppress,
    listed: Callable[[], list[str]],
    tmp_path: Path,
    content: bytes,
    said: str,
) -> None:
    file = tmp_path / "bad"
    file.write_bytes(content)
    code, _, error = suppress("import", str(file))
    assert code == 1
    assert error.startswith(f"{file}: line ")
    assert said in error
    assert error.endswith("Nothing of this file was imported.\n")
    assert listed() == []


def test_a_column_that_is_not_there(suppress: Suppress, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("name,mail\nAnn,ann@example.com\n")
    code, _, said = suppress("import", str(file), "--column", "email")
    assert code == 1
    assert "there is no column 'email'; there are: name, mail" in said


def test_each_file_counts_for_itself(
    suppress: Suppress, listed: Callable[[], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "good").write_text("ann@example.com\n")
    (tmp_path / "bad").write_text("bob@example.com\n@@\n")
    (tmp_path / "empty").touch()
    files = [str(tmp_path / name) for name in ("empty", "good", "bad")]
    assert suppress("import", *files)[0] == 1
    assert [line.split()[1] for line in listed()] == ["ann@example.com"]
    assert suppress("import", "/nowhere/list")[0] == 1


def test_export_is_taken_back(
    suppress: Suppress, listed: Callable[[], list[str]], tmp_path: Path, database: Path
) -> None:
    (tmp_path / "list").write_text(PLAIN)
    suppress("import", str(tmp_path / "list"), "--source", 'a "quoted", source')
    suppress("add", "ann@example.com", "--campaign", "spring", "--expires", "7d")
    suppress("add", "jörg@bücher.example", "--reason", "complaint", "--expires", "2090-01-01")
    before = sorted(suppress("list")[1].splitlines())
    assert suppress("export", str(tmp_path / "all.csv"))[2] == "7 written\n"
    again = suppress("import", str(tmp_path / "all.csv"))[2]
    assert "7 read, 0 added, 0 last longer, 7 already" in again
    database.unlink()
    suppress("import", str(tmp_path / "all.csv"))
    assert sorted(suppress("list")[1].splitlines()) == before
    exported = suppress("export", "--campaign", "spring")[1].splitlines()
    assert exported[0] == "kind,value,scope,reason,source,created,expires"
    assert len(exported) == 2
    assert listed()


def test_export_overwrites_nothing_unasked(suppress: Suppress, tmp_path: Path) -> None:
    suppress("add", "ann@example.com")
    file, empty = tmp_path / "list.csv", tmp_path / "empty"
    file.write_text("mine\n")
    empty.touch()
    for existing in (file, empty):
        code, out, said = suppress("export", str(existing))
        assert (code, out) == (1, "")
        assert said == f"presend: {existing} exists: --force overwrites it\n"
    assert file.read_text() == "mine\n"
    assert suppress("export", "--force", str(file))[::2] == (0, "1 written\n")
    assert len(file.read_text().splitlines()) == 2


def test_export_to_what_is_no_file(suppress: Suppress, tmp_path: Path) -> None:
    suppress("add", "ann@example.com")
    assert suppress("export", "/dev/null")[0] == 0
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert suppress("export", str(pipe))[0] == 0
    reader.join(30)
    assert len(read[0].splitlines()) == 2


def test_a_store_whose_directory_is_missing(
    suppress: Suppress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESEND_STORE", "sqlite:///nowhere/presend.db")
    code, _, said = suppress("list")
    assert code == 1
    assert said.endswith(" PRESEND_STORE names the store, or --store another one.\n")


def test_another_store_can_be_named(
    suppress: Suppress, listed: Callable[[], list[str]], tmp_path: Path
) -> None:
    suppress("add", "ann@example.com", "--store", f"sqlite://{tmp_path}/other.db")
    assert listed() == []
    assert suppress("list", "--store", f"sqlite://{tmp_path}/other.db")[1]
    assert suppress("list", "--store", "memory:")[0] == 2


def test_changes_are_seen_by_a_store_that_is_open(suppress: Suppress, database: Path) -> None:
    serving = BlockingStore(open_store(f"sqlite://{database}", campaign="default"))
    ann = parse("ann@example.com")
    assert isinstance(ann, Address)
    suppress("add", "ann@example.com")
    serving.refresh()
    assert [it is not None for it in serving.find([ann])] == [True]
    suppress("remove", "ann@example.com")
    serving.refresh()
    assert serving.find([ann]) == [None]
    serving.close()


def test_a_full_disk_is_told_and_changes_nothing(
    suppress: Suppress, listed: Callable[[], list[str]], tmp_path: Path
) -> None:
    """A limit on the file size simulates a full disk."""
    suppress("add", "ann@example.com")
    (tmp_path / "list").write_text("".join(f"user{n}@example.com\n" for n in range(100_000)))
    limit = 2 * 2**20
    done = subprocess.run(
        [sys.executable, "-m", "relay", "suppress", "import", str(tmp_path / "list")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "presend.db") in done.stderr
    assert [line.split()[1] for line in listed()] == ["ann@example.com"]


def test_a_progress_bar_on_a_terminal_only(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("".join(f"user{number}@example.com\n" for number in range(5000)))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 100))
    done = subprocess.run(
        [sys.executable, "-m", "relay", "suppress", "import", str(file)],
        stderr=theirs,
        check=False,
        timeout=60,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError as error:
        if error.errno != errno.EIO:  # reading a terminal whose other end is closed gives EIO
            raise
    os.close(ours)
    assert done.returncode == 0
    assert b"reading" in shown
    assert b"merging" in shown
    assert b"5000 read, 5000 added" in shown
