"""The suppression store while serve runs on it: changes, a full disk, a broken file."""

import hashlib
import json
import os
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
