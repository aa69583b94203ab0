"""deploy/k8s/check: the Jobs that judge a list in shards, and merge the results."""

import subprocess
import sys
from pathlib import Path

from relay.cli import parser_for
from tests.deploy.manifests import Object, one, pod_of


def arguments(job: Object) -> list[str]:
    """Return the arguments of the one container of a Job."""
    pod = pod_of(job)
    assert pod is not None
    (container,) = pod["spec"]["containers"]
    words: list[str] = container["args"]
    return words


def test_every_shard_has_one_pod() -> None:
    job = one("check", "Job")
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"]
    for index in range(spec["completions"]):
        words = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in arguments(job)]
        args = parser_for(words).parse_args(words)
        assert args.shard == (index, spec["completions"])
        assert args.output.startswith("/data/")


def test_the_jobs_judge_and_merge_a_list(tmp_path: Path) -> None:
    """The commands of both Jobs, run in a directory in place of the volume."""
    addresses = [f"u{number % 50}@example.com" for number in range(60)]
    (tmp_path / "list.csv").write_text("\n".join(addresses))
    job = one("check", "Job")
    for index in range(job["spec"]["completions"]):
        words = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in arguments(job)]
        assert run(tmp_path, [*words, "--no-dns"]) == 0
    assert run(tmp_path, arguments(one("check-merge", "Job"))) == 0
    assert len((tmp_path / "verdicts.merged").read_text().splitlines()) == 60
    assert (tmp_path / "verdicts.merged").read_text().count('"duplicate"') == 10
    assert (tmp_path / "report.html").exists()


def run(folder: Path, words: list[str]) -> int:
    """Run presend with a folder as /data; return the exit code."""
    return subprocess.run(
        [sys.executable, "-m", "relay", *(word.replace("/data", str(folder)) for word in words)],
        env={"PRESEND_STORE": "memory:"},
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode
