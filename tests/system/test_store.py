"""The suppression store while serve runs on it: changes, a full disk, a broken file."""

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.presend import Presend, Start, command
from tests.support.upstream import Upstream
from tests.support.wire import Client


def verdict(client: Client, recipient: str) -> int:
    """The code of RCPT in a transaction of its own."""
    assert client.cmd("MAIL FROM:<news@app.example>").code == 250
    code = client.cmd(f"RCPT TO:<{recipient}>").code
    assert client.cmd("RSET").code == 250
    return code


def until(client: Client, recipient: str, code: int) -> None:
    """Repeat RCPT until it gets this code: a change takes effect within a second."""
    eventually(lambda: verdict(client, recipient) == code, f"{code} for {recipient}")


def ok(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that must have succeeded."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_suppression_takes_effect_while_serve_runs(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    with Client.greeted(presend.smtp_port) as client:
        assert verdict(client, "Gone@example.com") == 250
        ok(presend.command("suppress", "add", "gone@example.com", "--reason", "hard_bounce"))
        until(client, "Gone@example.com", 550)
        client.cmd("MAIL FROM:<news@app.example>")
        reply = client.cmd("RCPT TO:<gone@example.com>")
        assert (reply.code, reply.enhanced) == (550, "5.7.1")
        assert "suppressed" in reply.text
        client.cmd("RSET")
        assert verdict(client, "other@example.com") == 250
        assert presend.metric("presend_suppression_entries", reason="hard_bounce") == 1
        ok(presend.command("suppress", "remove", "gone@example.com"))
        until(client, "gone@example.com", 250)


def test_domains_and_hashes(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    sha256 = hashlib.sha256(b"ann@example.com").hexdigest()
    md5 = hashlib.md5(b"bob@example.com").hexdigest()  # noqa: S324 - hashed lists use MD5
    for entry in ("example.net", sha256, md5):
        ok(presend.command("suppress", "add", entry))
    with Client.greeted(presend.smtp_port) as client:
        for hit in ("anyone@example.net", "Ann@Example.com", "bob@example.com"):
            until(client, hit, 550)
        assert verdict(client, "eve@example.com") == 250


def test_another_campaigns_suppression_is_not_ours(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    ok(presend.command("suppress", "add", "ann@example.com", "--scope", "another"))
    ok(presend.command("suppress", "add", "bob@example.com"))
    with Client.greeted(presend.smtp_port) as client:
        until(client, "bob@example.com", 550)
        assert verdict(client, "ann@example.com") == 250


def test_suppressions_survive_sigkill(start: Start, upstream: Upstream, tmp_path: Path) -> None:
    presend = start(upstream)
    ok(presend.command("suppress", "add", "gone@example.com"))
    presend.kill()
    again = start(upstream, directory=tmp_path)
    with Client.greeted(again.smtp_port) as client:
        assert verdict(client, "gone@example.com") == 550


def serve(directory: Path, upstream: Upstream, **settings: str) -> tuple[int, str]:
    """Run `serve` where it must not start; return exit code and stderr."""
    given = {f"PRESEND_{name}": value for name, value in settings.items()}
    given |= {"PRESEND_UPSTREAM": upstream.url(), "PRESEND_LISTEN": "127.0.0.1:0"}
    done = command("serve", directory=directory, settings=given)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "content",
    [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000, os.urandom(4096)],
    ids=["text", "header-only", "random"],
)
def test_a_corrupted_file_stops_the_start(
    tmp_path: Path, upstream: Upstream, content: bytes
) -> None:
    (tmp_path / "presend.db").write_bytes(content)
    code, said = serve(tmp_path, upstream)
    assert code == 1
    assert "presend.db" in said
    assert "Traceback" not in said
    assert (tmp_path / "presend.db").read_bytes()[: len(content)] == content


def test_a_directory_that_is_not_there_stops_the_start(tmp_path: Path, upstream: Upstream) -> None:
    code, said = serve(tmp_path, upstream, STORE=f"sqlite://{tmp_path}/missing/presend.db")
    if code != 1:  # report the log instead of the exit code
        pytest.fail(said)
    assert "presend.db" in said
    assert "Traceback" not in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Fill the file system."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError:
            pass


def test_a_full_disk_stops_the_start(small_disk: Path, upstream: Upstream) -> None:
    fill(small_disk)
    code, said = serve(small_disk, upstream)
    assert code == 1
    assert "presend.db" in said
    assert "Traceback" not in said


def test_a_disk_that_fills_up_at_run_time(
    start: Start, upstream: Upstream, small_disk: Path
) -> None:
    presend = start(upstream, directory=small_disk)
    ok(presend.command("suppress", "add", "gone@example.com"))
    with Client.greeted(presend.smtp_port) as client:
        until(client, "gone@example.com", 550)
        fill(small_disk)
        lines = "".join(f"user{it}@example.com\n" for it in range(20_000))
        done = presend.command("suppress", "import", "-", stdin=lines)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "presend.db" in done.stderr
        assert verdict(client, "gone@example.com") in {550, 451}
        # All or nothing: no row of the failed import counts.
        assert verdict(client, "user1@example.com") in {250, 451}


@pytest.fixture
def filled(start: Start, upstream: Upstream) -> Presend:
    """A presend with more suppressions than fit into SQLite's cache."""
    presend = start(upstream)
    lines = "".join(f"user{it}@example.com\n" for it in range(60_000))
    ok(presend.command("suppress", "import", "-", stdin=lines))
    with Client.greeted(presend.smtp_port) as client:
        until(client, "user1@example.com", 550)
    return presend


@pytest.mark.parametrize("how", ["overwritten", "truncated"])
def test_a_file_that_breaks_at_run_time_never_lets_a_suppressed_address_through(
    filled: Presend, how: str
) -> None:
    path = filled.directory / "presend.db"
    done = filled.command("suppress", "lookup", "user5@example.com")  # also checkpoints the WAL
    assert done.returncode == 0
    for file in (path, path.with_name("presend.db-wal")):
        if not file.exists():
            continue
        size = file.stat().st_size
        with file.open("r+b") as stream:
            if how == "truncated":
                stream.truncate(0)
            else:
                stream.write(b"\xa5" * size)
    with Client.greeted(filled.smtp_port) as client:
        client.cmd("MAIL FROM:<news@app.example>")
        codes = [client.cmd(f"RCPT TO:<user{it}@example.com>").code for it in range(0, 60_000, 600)]
        assert set(codes) <= {550, 451}, codes
        assert 451 in codes, "the damage was never met"
        assert client.cmd("RSET").code == 250
    assert filled.metric("presend_store_errors_total") >= 1
    status, body = filled.get("/readyz")
    assert status == 503
    assert json.loads(body)["reasons"]
    assert filled.get("/livez")[0] == 200


def test_a_broken_store_may_be_passed_over_if_the_operator_says_so(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream, ON_STORE_FAILURE="accept")
    lines = "".join(f"user{it}@example.com\n" for it in range(60_000))
    ok(presend.command("suppress", "import", "-", stdin=lines))
    path = presend.directory / "presend.db"
    with Client.greeted(presend.smtp_port) as client:
        until(client, "user1@example.com", 550)
        for file in (path, path.with_name("presend.db-wal")):
            if file.exists():
                os.truncate(file, 0)
        client.cmd("MAIL FROM:<news@app.example>")
        codes = [client.cmd(f"RCPT TO:<user{it}@example.com>").code for it in range(0, 60_000, 600)]
        assert set(codes) <= {550, 250}, codes
        assert 250 in codes


def other_store(presend: Presend, *entries: str, name: str = "new.db") -> Path:
    """Make another store beside the one in use; return its file."""
    path = presend.directory / name
    ok(presend.command("suppress", "add", *entries, "--store", f"sqlite://{path}"))
    return path


def said_of_the_store(presend: Presend) -> list[str]:
    """The log lines about a file that was replaced, removed or damaged."""
    return [
        str(event["message"])
        for event in presend.events
        if str(event.get("message", "")).startswith(("The suppression store", "The file"))
    ]


def not_ready(presend: Presend) -> str:
    """Wait until the relay is not ready; return the reasons."""
    eventually(lambda: presend.get("/readyz")[0] == 503, "not ready")
    assert presend.get("/livez")[0] == 200
    assert presend.get("/")[0] == 200
    return presend.get("/readyz")[1]


def intact(path: Path) -> None:
    """Assert that the database is well-formed, and has no entry that it lost or made up."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ((tally, rows),) = connection.execute(
            "SELECT (SELECT sum(number) FROM tally), (SELECT count(*) FROM suppression)"
        )
        assert tally == rows


@pytest.mark.parametrize("at_once", [True, False])
def test_a_file_that_takes_the_stores_place_is_read(
    start: Start,
    upstream: Upstream,
    at_once: bool,  # noqa: FBT001
) -> None:
    """`suppress add` writes the new file; the relay used to read the old one, and accept."""
    presend = start(upstream)
    path = presend.directory / "presend.db"
    ok(presend.command("suppress", "add", "old@example.com", "kept@example.com"))
    with Client.greeted(presend.smtp_port) as client:
        until(client, "old@example.com", 550)
        other_store(presend, "new@example.com", "kept@example.com").replace(path)
        if not at_once:
            until(client, "new@example.com", 550)
        ok(presend.command("suppress", "add", "added@example.com"))
        until(client, "added@example.com", 550)
        until(client, "new@example.com", 550)
        assert verdict(client, "old@example.com") == 250
        assert verdict(client, "kept@example.com") == 550
        ok(presend.command("suppress", "remove", "added@example.com"))
        until(client, "added@example.com", 250)
    assert presend.get("/readyz")[0] == 200
    *waited, last = said_of_the_store(presend)
    assert "was replaced: the file that is there now is in use" in last
    assert all("another process uses the write-ahead log" in line for line in waited)
    assert len(waited) <= 1
    presend.stop()
    intact(path)


def test_a_file_that_takes_the_place_while_the_log_holds_changes(
    start: Start, upstream: Upstream
) -> None:
    """The old write-ahead log is not read into the new file."""
    presend = start(upstream)
    path = presend.directory / "presend.db"
    new = other_store(presend, "new@example.com")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        insert = (
            "INSERT INTO suppression SELECT randomblob(16), 'all', 0, 4, 'x' || value, '', 0, NULL "
            "FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n "
            "WHERE value < 2000) SELECT value FROM n)"
        )
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute(insert)
        with Client.greeted(presend.smtp_port) as client:
            eventually(
                lambda: presend.metric("presend_suppression_entries") == 2000, "the entries count"
            )
            writer.close()
            assert path.with_name("presend.db-wal").stat().st_size > 50_000
            new.replace(path)
            until(client, "new@example.com", 550)
    assert presend.metric("presend_suppression_entries") == 1
    presend.stop()
    intact(path)


@pytest.mark.parametrize("what", ["removed", "garbage", "empty", "another program's"])
def test_a_store_that_is_gone_defers_until_it_comes_back(
    start: Start, upstream: Upstream, what: str
) -> None:
    presend = start(upstream)
    path = presend.directory / "presend.db"
    ok(presend.command("suppress", "add", "gone@example.com"))
    with Client.greeted(presend.smtp_port) as client:
        until(client, "gone@example.com", 550)
        bad = presend.directory / "bad.db"
        match what:
            case "removed":
                path.rename(presend.directory / "aside.db")
            case "garbage":
                bad.write_bytes(b"this is no database" * 1000)
            case "empty":
                bad.touch()
            case _:
                with contextlib.closing(sqlite3.connect(bad)) as connection:
                    connection.execute("CREATE TABLE moz_places (url)")
        if bad.exists():
            (presend.directory / "aside.db").hardlink_to(path)
            before = bad.read_bytes()
            bad.replace(path)
        until(client, "ann@example.com", 451)
        assert verdict(client, "gone@example.com") == 451
        assert "presend.db" in not_ready(presend)
        failures = presend.metric("presend_store_errors_total")
        assert failures >= 1
        eventually(lambda: verdict(client, "ann@example.com") == 451, "still deferred")
        if bad.exists() or what != "removed":
            assert path.read_bytes() == before, "the file is not ours to change"
        (presend.directory / "aside.db").replace(path)
        until(client, "ann@example.com", 250)
        assert verdict(client, "gone@example.com") == 550
    assert presend.get("/readyz")[0] == 200
    lines = said_of_the_store(presend)
    assert len(lines) <= 3, lines  # one for the fault, not one for each look at the file
    assert "was replaced: the file" in lines[-1]


def test_a_change_of_a_store_that_was_removed_begins_a_new_one(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream)
    path = presend.directory / "presend.db"
    with Client.greeted(presend.smtp_port) as client:
        path.unlink()
        until(client, "ann@example.com", 451)
        ok(presend.command("suppress", "add", "gone@example.com"))
        until(client, "ann@example.com", 250)
        assert verdict(client, "gone@example.com") == 550


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_files_of_a_store_are_its_owners(
    tmp_path: Path, upstream: Upstream, umask: int
) -> None:
    old = os.umask(umask)
    try:
        presend = Presend(tmp_path, {"PRESEND_UPSTREAM": upstream.url()})
    finally:
        os.umask(old)
    with presend:
        ok(presend.command("suppress", "add", "gone@example.com"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("presend.db*")}
    assert modes == dict.fromkeys(("presend.db", "presend.db-wal", "presend.db-shm"), 0o600)


@pytest.mark.parametrize(
    ("before", "after"), [(0o644, 0o600), (0o666, 0o660), (0o660, 0o660), (0o640, 0o600)]
)
def test_a_store_that_was_open_to_others_is_closed_to_them(
    start: Start, upstream: Upstream, before: int, after: int
) -> None:
    presend = start(upstream)
    path = presend.directory / "presend.db"
    presend.stop()
    path.chmod(before)
    start(upstream)
    assert path.stat().st_mode & 0o777 == after


def test_the_maildir_of_dev_is_its_owners(tmp_path: Path) -> None:
    settings = {"XDG_STATE_HOME": str(tmp_path), "PRESEND_LISTEN": "127.0.0.1:0"}
    settings |= {"PRESEND_HTTP_LISTEN": "127.0.0.1:0", "PRESEND_STORE": ""}
    settings |= {
        "PRESEND_TRUSTED_DOMAINS": "example.com,app.example",
        "PRESEND_LOG__FORMAT": "json",
    }
    old = os.umask(0)
    try:
        presend = Presend(tmp_path, settings, "--dev")
    finally:
        os.umask(old)
    with presend:
        with Client.greeted(presend.smtp_port) as client:
            assert client.transact().code == 250
        found = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "presend").rglob("*")}
    assert any(path.parent.name == "new" for path in found)
    for path, mode in found.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_list_that_is_lost_is_not_taken_for_an_empty_one(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream, SUPPRESSIONS__REQUIRED="2")
    status, body = presend.get("/readyz")
    assert status == 503
    assert "PRESEND_SUPPRESSIONS__REQUIRED is 2" in body
    assert presend.get("/livez")[0] == 200
    assert presend.metric("presend_suppressions_required") == 2
    with Client.greeted(presend.smtp_port) as client:
        client.cmd("MAIL FROM:<news@app.example>")
        reply = client.cmd("RCPT TO:<ann@example.com>")
        assert (reply.code, reply.enhanced) == (451, "4.3.0")
        client.cmd("RSET")
        ok(presend.command("suppress", "add", "ann@example.com", "bob@example.com"))
        until(client, "eve@example.com", 250)
        assert verdict(client, "ann@example.com") == 550
        assert presend.get("/readyz")[0] == 200
        ok(presend.command("suppress", "remove", "ann@example.com"))
        until(client, "eve@example.com", 451)
    assert not upstream.accepted
