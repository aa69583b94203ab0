"""The command line: its messages, its exit codes, and imports it must avoid."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from relay import cli
from relay.settings import MASK, ServeSettings, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("PRESEND_") or name == "CAMPAIGN_ID":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PRESEND_STORE", f"sqlite://{tmp_path}/presend.db")


def ended(*words: str) -> int:
    """Run a command that ends inside the parser; return its exit code."""
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    return int(str(caught.value.code))


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--help") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("serve", "check", "suppress", "config", "Exit codes"))


def test_help_lists_the_commands_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert {command.group for command in cli.COMMANDS} <= set(cli.GROUPS)
    assert ended("--help") == 0
    said = capsys.readouterr().out
    listed = [
        next(line for line in said.splitlines() if line.startswith(f"  {name} "))
        for name in ("serve", "config", "check", "suppress")
    ]
    headings = [said.index(f"{cli.GROUPS[group]}:") for group in ("run", "judge", "keep")]
    assert headings == sorted(headings)
    assert [said.index(line) for line in listed] == sorted(map(said.index, listed))
    assert cli.GROUPS["guard"] not in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--version") == 0
    assert capsys.readouterr().out.startswith("presend ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: COMMAND"),
        (["serv"], "there is no 'serv'; did you mean serve?"),
        (["xyzzy"], "there are serve, check, suppress, config, completion"),
        (["suppress"], "required: ACTION"),
        (["suppress", "ad"], "did you mean add?"),
        (["suppress", "add"], "entry"),
        (["serve", "--devv"], "unrecognized arguments: --devv; did you mean --dev?"),
        (["serve", "--dve"], "presend serve: unrecognized arguments: --dve; did you mean --dev?"),
        (["suppress", "list", "--resaon=x"], "did you mean --reason?"),
        (["serve", "--colour"], "unrecognized arguments: --colour\n"),
        (["completion", "cmd"], "there is no 'cmd'; there are bash, zsh, fish"),
        (["suppress", "add", "a@b@c"], "'a@b@c': "),
        (["suppress", "add", "a@example.com", "--reason", "spite"], "hard_bounce, complaint"),
        (["suppress", "add", "a@example.com", "--expires", "1999-01-01"], "a time to come"),
        (["suppress", "add", "a@example.com", "--expires", "soon"], "such as 90d"),
        (["suppress", "add", "a@example.com", "--campaign", "a b"], "is no campaign"),
        (["suppress", "list", "--store", "nosql://x"], "sqlite:///PATH"),
        (["suppress", "lookup", "example.com"], "'example.com': "),
    ],
)
def test_wrong_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(*words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage: presend" in error


def test_wrong_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRESEND_GRACE", "soon")
    for words in (["config"], ["suppress", "list"], ["serve"], ["serve", "--dev"]):
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert error.startswith("presend: settings are wrong:\n  PRESEND_GRACE = 'soon': ")


def test_serve_without_an_upstream(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve"]) == 2
    assert "PRESEND_UPSTREAM: needed" in capsys.readouterr().err


def test_a_store_that_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRESEND_STORE", "sqlite:///nowhere/presend.db")
    assert cli.main(["suppress", "list"]) == 1
    assert "there is no directory /nowhere" in capsys.readouterr().err


def test_config_prints_a_file_that_can_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "presend.toml"
    file.write_text('[limits]\nidle = 7\n[role]\nallow = ["a\\u007f\\"b"]\n')
    monkeypatch.setenv("PRESEND_CONFIG", str(file))
    monkeypatch.setenv("PRESEND_UPSTREAM", "smtps://news@corp.example@h.example,smtp://[::1]")
    monkeypatch.setenv("PRESEND_UPSTREAM_PASSWORD", "hunter2")
    monkeypatch.setenv("PRESEND_POLICY__NULL_MX", "observe")
    before = load_settings(ServeSettings)
    assert cli.main(["config"]) == 0
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    assert f'# upstream_password = "{MASK}"  # environment, PRESEND_UPSTREAM_PASSWORD' in printed
    assert "idle = 7.0  # file" in printed
    assert 'null_mx = "observe"  # environment, PRESEND_POLICY__NULL_MX' in printed
    assert 'no_domain = "reject"  # default' in printed
    assert "# ca_file is not set" in printed
    assert tomllib.loads(printed)["grace"] == 30.0
    file.write_text(printed)
    monkeypatch.delenv("PRESEND_UPSTREAM")
    monkeypatch.delenv("PRESEND_POLICY__NULL_MX")
    after = load_settings(ServeSettings)
    assert after.policy.items() >= before.policy.items()
    assert after.model_copy(update={"policy": {}}) == before.model_copy(update={"policy": {}})


def run(
    *words: str, close_output: bool = False, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run presend as a child process."""
    read, write = os.pipe()
    if close_output:
        os.close(read)
    with os.fdopen(write, "wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "relay", *words],
            stdin=subprocess.DEVNULL,
            stdout=output if close_output else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environ},
            check=False,
            timeout=60,
        )
    if not close_output:
        os.close(read)
    return done


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, relay.cli\n"
        "try: relay.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,  # coverage would import sqlite3 itself
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    heavy = {"asyncio", "pydantic", "aiohttp", "aiosmtpd", "sqlite3", "email_validator", "tqdm"}
    assert heavy & set(done.stderr.split()) == set()


def test_a_reader_that_goes_away_is_no_error() -> None:
    assert run("suppress", "add", *(f"user{number}@example.com" for number in range(3000))
               ).returncode == 0  # fmt: skip
    done = run("suppress", "list", close_output=True)
    assert done.stderr == b""
    assert done.returncode == 0


def test_an_interrupt_ends_quietly(tmp_path: Path) -> None:
    pipe = tmp_path / "list"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-m", "relay", "suppress", "import", str(pipe)], stderr=subprocess.PIPE
    ) as child:
        with pipe.open("wb") as writer:  # blocks until the command opens the pipe
            writer.write(b"ann@example.com\n" * 10)
            writer.flush()
            child.send_signal(signal.SIGINT)
            assert child.wait(30) == 130
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert run("suppress", "list").stdout == b""
