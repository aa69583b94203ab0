"""`--shard`, `merge`, `--jobs` and `--state`: however a list is judged, the result is the same."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

SHARDS = 8


def write_list(path: Path, rows: int) -> Path:
    """Write a table with quoted line ends, duplicates, bad and blank rows, and notes."""
    lines = ["id,name,email\r\n"]
    for number in range(rows):
        name = '"two\nlines, and ""quotes"""' if number % 7 == 0 else f"name {number}"
        customer = number % (rows - rows // 10)
        address = f"user{customer}@example{customer % 13}.com"
        if number % 11 == 5:
            address = f"user{number}@gmial.com"
        if number % 17 == 3:
            address = "abuse@example.com"
        if number % 19 == 2:
            address = f"Ann <ann{number}@example.com>"
        if number % 23 == 1:
            address = ""
        lines.append(f"{number},{name},{address}\r\n")
    path.write_text("".join(lines), "utf-8", newline="")
    return path


def presend(*words: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `presend check` without DNS and suppressions."""
    return subprocess.run(
        [sys.executable, "-m", "relay", "check", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PRESEND_STORE": "memory:"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shown(report: Path) -> str:
    """Return a report without the name of the list and the time."""
    text = report.read_text("utf-8")
    return text[text.index("<main>") :]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a single run, in a folder with the list."""
    folder = tmp_path_factory.mktemp("single")
    write_list(folder / "list.csv", 3000)
    done = presend("--no-dns", "--report", "report.html", "list.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "all.jsonl").write_text(done.stdout)
    (folder / "summary").write_text("\n".join(counted(done)))
    return folder


def counted(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the lines of the summary that count, and the decision."""
    lines = done.stderr.splitlines()
    return [line for line in lines if line.startswith(("  ", "hold", "send"))]


def test_eight_shards_are_the_list(single: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for index in range(SHARDS):
        output = results / f"{index}.jsonl"
        words = ("--no-dns", "--shard", f"{index}/{SHARDS}", "--output", output)
        done = presend(*words, single / "list.csv", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert output.exists()
    done = presend("merge", results, "--report", "report.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (single / "all.jsonl").read_text()
    assert "\n".join(counted(done)) == (single / "summary").read_text()
    assert shown(tmp_path / "report.html") == shown(single / "report.html")
    assert "duplicate" in done.stderr
    gate = presend("merge", "--gate", "--output", "merged", results, cwd=tmp_path)
    assert (gate.returncode, gate.stdout) == (3, "")
    assert (tmp_path / "merged").read_text() == done.stdout

    (results / "3.jsonl").rename(tmp_path / "3.jsonl")
    done = presend("merge", results, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "of 8 shards, these are missing: 3" in done.stderr


def test_lines_on_standard_output_can_be_merged(single: Path, tmp_path: Path) -> None:
    files = []
    for index in range(3):
        done = presend("--no-dns", "--shard", f"{index}/3", single / "list.csv", cwd=tmp_path)
        files.append(tmp_path / f"{2 - index}.jsonl")
        files[-1].write_text(done.stdout)
    done = presend("merge", *files, cwd=tmp_path)
    assert done.stdout == (single / "all.jsonl").read_text()
    assert "whether a shard is missing is not known" in done.stderr


def test_what_cannot_be_merged(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"address": "ann@example.com"}\n')
    done = presend("merge", "x.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "x.jsonl: line 1 is none of a result" in done.stderr
    (tmp_path / "empty").mkdir()
    assert "no *.jsonl" in presend("merge", "empty", cwd=tmp_path).stderr


def test_more_shards_than_rows(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("ann@example.com\nbob@example.com\n")
    found = []
    for index in range(9):
        done = presend("--no-dns", "--shard", f"{index}/9", "list.txt", cwd=tmp_path)
        assert done.returncode == 0
        found += [json.loads(line)["address"] for line in done.stdout.splitlines()]
    assert found == ["ann@example.com", "bob@example.com"]
    wrong = presend("--shard", "9/9", "list.txt", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "0/8 to 7/8" in wrong.stderr


def test_several_processes_give_the_same(single: Path, tmp_path: Path) -> None:
    done = presend("--no-dns", "--jobs", 2, single / "list.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (single / "all.jsonl").read_text()


INTERRUPTED = """
import os, signal, sys
from relay.commands.check import spans, state
spans.STEP = {step}
saved = state.State.save
left = [{saves}]
def save(self, *rest):
    saved(self, *rest)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
state.State.save = save
from relay.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("saves", [1, 3])
@pytest.mark.parametrize("to_file", [False, True])
def test_a_run_goes_on_where_it_was_killed(
    single: Path, tmp_path: Path, saves: int, *, to_file: bool
) -> None:
    options = ["--no-dns", "--state", "state", "--accepted", "good.csv", "--dedupe"]
    if to_file:
        options += ["--output", "out.jsonl"]
    words = ["check", *options, str(single / "list.csv")]
    out = tmp_path / "out.jsonl"
    code = -signal.SIGKILL
    runs = 0
    while code == -signal.SIGKILL:
        with (Path(os.devnull) if to_file else out).open("ab") as stdout:
            done = subprocess.run(
                [sys.executable, "-c", INTERRUPTED.format(step=30_000, saves=saves), *words],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PRESEND_STORE": "memory:"},
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        code = done.returncode
        runs += 1
        assert runs < 30
    assert code == 0, done.stderr
    assert runs > 1
    assert out.read_text() == (single / "all.jsonl").read_text()
    assert set((single / "summary").read_text().splitlines()[:6]) <= set(counted(done))
    whole = presend(
        "--no-dns", "--accepted", "whole.csv", "--dedupe", single / "list.csv", cwd=tmp_path
    )
    assert whole.returncode == 0
    assert (tmp_path / "good.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"good.csv", "whole.csv", "out.jsonl"}


def test_a_state_of_another_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("ann@example.com\n")
    (tmp_path / "state").write_text('{"about": {}}')
    done = presend("--no-dns", "--state", "state", "list.txt", cwd=tmp_path)
    assert done.returncode == 1
    assert "remove it to begin again" in done.stderr
