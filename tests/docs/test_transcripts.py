"""What the pages show in a terminal is what a terminal shows."""

import doctest
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs import pages
from tests.support import need

BIN = Path(sys.executable).parent
CHECKER = doctest.OutputChecker()
WITH_TRANSCRIPTS = [page for page in pages.pages() if any(pages.transcripts(page))]


def test_the_readme_shows_a_message_being_sent() -> None:
    assert any(block.needs == "dev" for block in pages.transcripts(pages.ROOT / "README.md"))


@pytest.mark.parametrize("page", WITH_TRANSCRIPTS, ids=lambda page: page.name)
def test_commands_give_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    blocks = list(pages.transcripts(page))
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(pages.ROOT)}
    env["PRESEND_STORE"] = f"sqlite://{tmp_path}/presend.db"
    (tmp_path / ".venv").symlink_to(BIN.parent)
    if any(block.needs == "dev" for block in blocks):
        with demonstration_relay(tmp_path, env) as ports:
            run(blocks, tmp_path, env, ports)
    else:
        run(blocks, tmp_path, env, {})


def run(
    blocks: list[pages.Transcript], cwd: Path, env: Mapping[str, str], ports: Mapping[str, str]
) -> None:
    """Type each command in turn; `...` in the output shown stands for anything."""
    for block in blocks:
        for command, shown in block.steps:
            if command.startswith("curl "):
                need.program("curl")
            done = subprocess.run(
                ["bash", "-c", translate(command, ports)],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            said = done.stdout + done.stderr  # results, then words: the order on a terminal
            want, got = shown.rstrip() + "\n", said.rstrip() + "\n"
            options = doctest.ELLIPSIS
            assert CHECKER.check_output(want, got, options), (
                f"{block.page}:{block.line}: $ {command}\nshown:\n{want}\ngot:\n{got}"
            )


def translate(command: str, ports: Mapping[str, str]) -> str:
    """Put the ports that the system picked where the page has the usual ones."""
    for usual, picked in ports.items():
        command = command.replace(usual, picked)
    return command


@contextmanager
def demonstration_relay(cwd: Path, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run `presend serve --dev` on ports of the system's choice; yield usual port -> port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "relay", "serve", "--dev"],
        cwd=cwd,
        env={
            **env,
            "PRESEND_LISTEN": "127.0.0.1:0",
            "PRESEND_HTTP_LISTEN": "127.0.0.1:0",
            "PRESEND_LOG__FORMAT": "json",
        },
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield ports(process)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def ports(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Read the log until it says where the relay listens."""
    log = []
    for line in process.stderr or ():
        log.append(line)
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "listening":
            return {
                "2525": event["smtp"][0].rpartition(":")[2],
                "9100": event["http"][0].rpartition(":")[2],
            }
    raise AssertionError("the relay did not start:\n" + "".join(log))
