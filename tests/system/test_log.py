"""The log of the real process: a reader that is slow or stops, and descriptors that are closed."""

import contextlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.presend import Start, environment
from tests.support.upstream import Upstream
from tests.support.wire import Client

DOMAIN = ".".join(["a" * 60] * 4)
"""A long domain makes long lines."""
RECIPIENTS = 100
MESSAGES = 100


def test_a_log_that_nobody_reads_loses_recipients_not_messages_and_counts_them(
    start: Start, upstream: Upstream
) -> None:
    """The burst has 10,000 lines of recipients, more than the writer holds, and 100 of messages."""
    presend = start(upstream, TRUSTED_DOMAINS=f"{DOMAIN},app.example")
    before = presend.rss()
    presend.reading.clear()
    to = [f"a{number}@{DOMAIN}" for number in range(RECIPIENTS)]
    with Client.greeted(presend.smtp_port) as client:
        for _ in range(MESSAGES):
            assert client.transact(to=to).code == 250
    total = RECIPIENTS * MESSAGES
    assert presend.metric("presend_recipients_total") == total
    assert presend.metric("presend_messages_total", result="relayed") == MESSAGES
    dropped = presend.metric("presend_log_dropped_total")
    assert 0 < dropped < total
    assert presend.rss() - before < 32 << 20
    presend.reading.set()
    presend.wait_for_event("log_dropped")  # there is room again for what is logged at the stop
    presend.stop()
    kinds = [line["event"] for line in presend.events]
    assert kinds.count("message") == MESSAGES
    assert kinds.count("recipient") == total - dropped
    assert [it["lines"] for it in presend.events if it["event"] == "log_dropped"] == [dropped]


def open_file(pid: int, descriptor: int | str) -> Path:
    """Return what a descriptor of a process refers to."""
    return Path(f"/proc/{pid}/fd/{descriptor}").readlink()


def listening(pid: int) -> int:
    """Return the port of a process on 127.0.0.1; 0 when it does not listen yet."""
    # Linux, Documentation/networking/proc_net_tcp.rst: local address, state 0A, inode
    listeners = re.findall(
        r": 0100007F:(\w{4}) \w+:\w+ 0A (?:\S+ +){5}(\d+) ", Path("/proc/net/tcp").read_text()
    )
    files = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed in the meantime
            files.append(str(open_file(pid, each.name)))
    found = [int(port, 16) for port, inode in listeners if f"socket:[{inode}]" in files]
    return found[0] if found else 0


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_serve_with_closed_descriptors(upstream: Upstream, tmp_path: Path, closed: str) -> None:
    """No file and no socket may get the number of a standard stream."""
    settings = {
        "PRESEND_UPSTREAM": upstream.url(),
        "PRESEND_LISTEN": "127.0.0.1:0",
        "PRESEND_HTTP_LISTEN": "127.0.0.2:0",
        "PRESEND_TRUSTED_DOMAINS": "example.com,app.example",
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "relay", "serve"],
        cwd=tmp_path,
        env=environment(tmp_path, settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: listening(process.pid) > 0, "presend listens")
        with Client.greeted(listening(process.pid)) as client:
            assert client.transact().code == 250
            files = [str(open_file(process.pid, number)) for number in range(3)]
    finally:
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Traceback" not in out + err
    assert all(file.startswith(("pipe:", "/dev/null")) for file in files)
    store = sqlite3.connect(tmp_path / "presend.db")
    assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store.close()


@pytest.mark.parametrize(
    ("words", "closed", "code"),
    [
        ("check -", "0<&-", 1),
        ("check list", "1>&-", 1),
        ("check list", "2>&-", 0),
        ("check --help", "1>&-", 1),
        ("suppress list", "1>&-", 0),  # the list is empty
        ("config", "0<&-", 0),
        ("config", "0<&- 1>&- 2>&-", 1),
        ("nonsense", "2>&-", 2),
    ],
)
def test_commands_with_closed_descriptors(
    tmp_path: Path, words: str, closed: str, code: int
) -> None:
    (tmp_path / "list").write_text("ann@example.com\n")
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f'exec "$@" {closed}',
            "sh",
            sys.executable,
            "-m",
            "relay",
            *words.split(),
        ],
        cwd=tmp_path,
        env=environment(
            tmp_path,
            {"PRESEND_TRUSTED_DOMAINS": "example.com", "PRESEND_UPSTREAM": "smtp://127.0.0.1:1"},
        ),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stdout + done.stderr
    assert b"Exception" not in done.stdout + done.stderr
    assert done.returncode == code
