"""Standard streams that are closed, full or read no more: no command ends with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.relay.test_exit_codes import CALLS
from tests.support.presend import environment

HELPS = [f"{name} --help" for name in ("presend", *CALLS)]
CLOSED = [
    *("0<&-", "1>&-", "2>&-", "1>/dev/full", "2>/dev/full"),
    *(
        pytest.param(closed, marks=pytest.mark.slow)
        for closed in ("0<&- 1>&- 2>&-", "1>/dev/full 2>/dev/full", "1>&0", "2>&0")
    ),
]


def calls() -> list[str]:
    """Every command, with arguments with which it ends, and every help."""
    found = [" ".join((name, *call.works)) for name, call in CALLS.items()]
    return [*found, "presend check -", "presend suppress import -", "presend nonsense",
            "presend --version", "presend suppress load", *HELPS[:3]]  # fmt: skip


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("call", calls())
def test_no_traceback(call: str, closed: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("ann@example.com\n")
    words = call.format(list="list").split()[1:]
    settings = {"PRESEND_LISTEN": "192.0.2.1:1"}  # so that serve ends: not an address of this host
    settings |= {"PRESEND_UPSTREAM": "smtp://127.0.0.1:1", "PRESEND_HTTP_LISTEN": "127.0.0.1:0"}
    settings |= {"PRESEND_ALLOW_CLIENTS": "10.0.0.0/8"}
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "relay",
         *words],
        cwd=tmp_path,
        env=environment(tmp_path, settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said
    assert done.returncode in {0, 1, 2}
    if "1>" not in closed and "0<" not in closed:
        plain = 2 if "nonsense" in call else 1 if call == "presend serve" else 0
        assert done.returncode == plain  # lost diagnostics change nothing


@pytest.mark.parametrize(
    "words", ["check --no-dns list", "suppress list", "suppress export", "config", "--help"]
)
def test_a_reader_that_has_read_enough(words: str, tmp_path: Path) -> None:
    """As with `presend check list | head -1`: the command ends at once, and says nothing."""
    (tmp_path / "list").write_text("ann@example.com\n" * 50_000)
    env = environment(tmp_path, {"PRESEND_UPSTREAM": "smtp://127.0.0.1:1"})
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        child = subprocess.Popen(
            [sys.executable, "-m", "relay", *words.split()],
            cwd=tmp_path,
            env=env,
            stdout=write,
            stderr=subprocess.PIPE,
        )
        os.close(write)
        reader.readline()
    _, said = child.communicate(timeout=60)
    assert child.returncode == 0
    assert b"Traceback" not in said
    assert b"rror" not in said
