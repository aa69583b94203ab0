"""Every block of commands on the pages runs as printed, or needs what no test has.

A block is run by bash in a copy of a clone's top directory, in the environment of a reader: nothing
is set but PATH, HOME and LANG. Only the ports of the development relay are translated, since
a test listens on ports that the system picks.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.manifests import kubectl
from tests.docs import pages
from tests.support import need
from tests.support.make import environment as make_environment
from tests.support.make import make

BIN = Path(sys.executable).parent
CHECKER = doctest.OutputChecker()
NEEDS = {
    "docker": "a container engine",
    "docker-compose": "a container engine",
    "helm": "a cluster",
    "kind": "a cluster",
    "kubectl": "a cluster",
    "make": "minutes; its dry run is tried instead",
    "minikube": "a cluster",
    "oc": "a cluster",
    "podman": "a container engine",
}
"""Programs whose commands no test runs, with what each needs."""

NOT_RUN = {"SECURITY.md": 1, "commands.md": 1, "start.md": 1}
"""Number of blocks marked `<!-- not run: REASON -->`. A new one has to be entered here."""

_PROGRAM = re.compile(rf"(?:^|[|;&(]|\bdo\b|\$\()\s*({'|'.join(NEEDS)})\s", re.MULTILINE)
_KUSTOMIZATION = re.compile(r"(?:-k|kustomize) (deploy/[\w./-]+)")
_PATH = re.compile(r"`(deploy/[\w./-]+)`")


def needs(block: pages.Transcript) -> str:
    """Return the program of NEEDS that a block calls, or ""."""
    found = _PROGRAM.search(block.text)
    return found[1] if found else ""


def name(block: pages.Transcript) -> str:
    """Name a block in the output of pytest."""
    return f"{block.page}:{block.line}"


BLOCKS = [
    block
    for page in pages.pages()
    for block in pages.transcripts(page)
    if block.language or needs(block) or shutil.which(block.text.split()[0])
]
"""All blocks of commands; an indented block is one if it begins with the name of a program."""

TRIED = [block for block in BLOCKS if block.mark.startswith("run")]
PAGES = sorted({block.page for block in TRIED})


def test_the_readme_shows_a_message_being_sent() -> None:
    assert any(block.page == "README.md" and block.mark == "run: dev" for block in TRIED)


def test_every_block_is_run_or_says_why_not() -> None:
    rest = [block for block in BLOCKS if block not in TRIED and not needs(block)]
    assert not [name(block) for block in rest if not block.mark.startswith("not run: ")]
    found = [block.page for block in rest]
    assert {page: found.count(page) for page in found} == NOT_RUN


def test_no_block_is_run_that_needs_what_no_test_has() -> None:
    assert not [name(block) for block in TRIED if needs(block)]


@pytest.mark.parametrize("block", [it for it in BLOCKS if it not in TRIED], ids=name)
def test_commands_that_are_not_run_are_correct_bash(block: pages.Transcript) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", [it for it in BLOCKS if needs(it) == "make"], ids=name)
def test_make_has_the_targets(block: pages.Transcript) -> None:
    for line in block.text.splitlines():
        done = subprocess.run(
            ["bash", "-c", re.sub("^make", "make --dry-run", line)],
            cwd=pages.ROOT,
            env=make_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path",
    sorted({path for page in pages.pages() for path in _KUSTOMIZATION.findall(page.read_text())}),
)
def test_kustomize_builds_what_the_pages_apply(path: str) -> None:
    done = subprocess.run(
        [kubectl(), "kustomize", pages.ROOT / path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_manifests_that_the_pages_name_exist() -> None:
    named = {path for page in pages.pages() for path in _PATH.findall(page.read_text())}
    assert not [path for path in sorted(named) if not (pages.ROOT / path).exists()]


def test_a_block_is_run_without_hidden_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRESEND_STORE", "memory:")
    monkeypatch.setenv("PYTHONPATH", str(pages.ROOT))
    own = {name for name in environment(tmp_path) if not name.startswith("COVERAGE_")}
    assert own == {"PATH", "HOME", "LANG"}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", [it for it in TRIED if it.mark == "run: PyPI"], ids=name)
def test_commands_that_install_packages(block: pages.Transcript, tmp_path: Path) -> None:
    run(block, clone(tmp_path / "clone"), {}, timeout=240)


@pytest.mark.parametrize("page", PAGES)
def test_commands_give_what_the_page_shows(page: str, tmp_path: Path) -> None:
    blocks = [it for it in TRIED if it.page == page and it.mark != "run: PyPI"]
    with ExitStack() as stack:
        ports: Mapping[str, str] = {}
        if any(block.mark == "run: dev" for block in blocks):
            ports = stack.enter_context(demonstration_relay(clone(tmp_path / "relay")))
        for block in blocks:
            run(block, clone(tmp_path / str(block.line)), ports)


def clone(directory: Path) -> Path:
    """Make a directory with what a clone and `make` put into its top directory, but not `var`."""
    directory.mkdir()
    for path in pages.ROOT.iterdir():
        if path.name not in {".git", ".venv", "var"}:
            (directory / path.name).symlink_to(path)
    (directory / ".venv").symlink_to(BIN.parent)
    return directory


def environment(directory: Path) -> dict[str, str]:
    """The environment of a reader; coverage needs its own variables in addition."""
    path = [it for it in os.environ["PATH"].split(":") if Path(it) != BIN]
    env = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**env, "PATH": ":".join(path), "HOME": str(directory), "LANG": "C.UTF-8"}


def run(
    block: pages.Transcript, cwd: Path, ports: Mapping[str, str], *, timeout: float = 60
) -> None:
    """Type a block's commands into one shell; `...` in the output shown stands for anything."""
    if re.search(r"\bcurl\b", block.text):
        need.program("curl")
    outputs = [
        (cwd.parent / f"{cwd.name}.{step}.out", cwd.parent / f"{cwd.name}.{step}.err")
        for step in range(len(block.steps))
    ]
    script = "\n".join(
        f"{{ {translate(command, ports)}\n}} >{out} 2>{err}"
        for (command, _), (out, err) in zip(block.steps, outputs, strict=True)
    )
    subprocess.run(
        ["bash", "-c", script],
        cwd=cwd,
        env=environment(cwd),
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )
    for (command, shown), pair in zip(block.steps, outputs, strict=True):
        said = "".join(file.read_text() for file in pair)  # results, then diagnostics
        want, got = shown.rstrip() + "\n", said.rstrip() + "\n"
        assert CHECKER.check_output(want, got, doctest.ELLIPSIS), (
            f"{name(block)}: $ {command}\nshown:\n{want}\ngot:\n{got}"
        )


def translate(command: str, ports: Mapping[str, str]) -> str:
    """Put the ports that the system picked where the page has the usual ones."""
    for usual, picked in ports.items():
        command = command.replace(usual, picked)
    return command


@contextmanager
def demonstration_relay(cwd: Path) -> Iterator[dict[str, str]]:
    """Run what `make run` runs, on ports of the system's choice; yield usual port -> port."""
    command = make("--dry-run", "run", directory=cwd).splitlines()[-1].removeprefix("exec ")
    process = subprocess.Popen(
        command.split(),
        cwd=cwd,
        env={
            **environment(cwd),
            "PRESEND_LISTEN": "127.0.0.1:0",
            "PRESEND_HTTP_LISTEN": "127.0.0.1:0",
        },
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield listening(process)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def listening(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Read the log until it says where the relay listens."""
    log = []
    for line in process.stderr or ():
        log.append(line)
        found = re.search(r" listening .* smtp=127\.0\.0\.1:(\d+) http=127\.0\.0\.1:(\d+) ", line)
        if found:
            return {"2525": found[1], "9100": found[2]}
    raise AssertionError("the relay did not start:\n" + "".join(log))
