"""The help of every command: its examples and its link; and the scripts for completion."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from relay import cli
from tests.docs import pages
from tests.docs.test_commands import known, subparsers
from tests.support import need

WORDS = ["", *(f" {name}" for name, *_ in cli.COMMANDS), *(name[7:] for name in known())]
NAMES = sorted({f"presend{words}" for words in WORDS})


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the help of a command."""
    with pytest.raises(SystemExit):
        cli.main([*name.split()[1:], "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_examples_and_a_link(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(name, capsys)
    assert "\nexamples:\n  " in said
    link = said.splitlines()[-1]
    page, _, anchor = link.removeprefix(f"{cli.PROJECT_URL}/blob/main/").partition("#")
    assert (pages.ROOT / page).is_file()
    assert not anchor or anchor in pages.anchors(pages.ROOT / page)
    assert bool(anchor) == (name in known())


def test_the_link_is_that_of_the_package() -> None:
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]
    assert cli.PROJECT_URL in project.get("urls", {"Repository": cli.PROJECT_URL}).values()


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_can_be_parsed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = shown(name, capsys).split("\nexamples:\n")[1].split("\n\n")[0]
    calls = re.findall(r"presend ([a-z][^|>)\n]*)", examples.replace("\\\n", " "))
    assert calls
    for call in calls:
        words = shlex.split(call)
        if words[-1] != "--help":
            assert cli.parser_for(words).parse_args(words).command == words[0]


def completed(script: Path, shell: str, line: str) -> set[str]:
    """Return what a shell offers at the end of a line."""
    need.program(shell)
    if shell == "fish":
        typed = f"source {script}; complete -C {shlex.quote(line)}"
    else:
        words = line.split(" ")
        typed = (
            f"source {script}; COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}; "
            '_shtab_presend; printf "%s\\n" "${COMPREPLY[@]}"'
        )
    done = subprocess.run(
        [shell, "-c", typed], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return {entry.partition("\t")[0].strip() for entry in done.stdout.splitlines()} - {""}


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A completion script, written by the command."""
    with (tmp_path / "script").open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "relay", "completion", request.param],
            stdout=file,
            check=True,
            timeout=60,
        )
    return tmp_path / "script"


@pytest.mark.parametrize(
    ("script", "shell"), [("bash", "bash"), ("fish", "fish")], indirect=["script"]
)
def test_completion(script: Path, shell: str) -> None:
    assert {name for name, *_ in cli.COMMANDS} <= completed(script, shell, "presend ")
    actions = {name.split()[-1] for name in known() if name.startswith("presend suppress")}
    assert actions <= completed(script, shell, "presend suppress ")
    assert completed(script, shell, "presend serve --d") == {"--dev"}
    assert "--force" in completed(script, shell, "presend suppress export --")
    assert completed(script, shell, "presend completion f") == {"fish"}


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_completion_in_zsh(script: Path) -> None:
    need.program("zsh")
    assert script.read_text().startswith("#compdef presend\n")
    subprocess.run(["zsh", "-n", str(script)], check=True, timeout=60)
    for name in subparsers(cli.parser_for((), whole=True)):
        assert f"\n    {name}:" in script.read_text()


def test_no_other_command_imports_what_completion_needs() -> None:
    code = "import sys, relay.commands.serve, relay.app; print('shtab' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "False\n"
