"""The files in .github and the metadata of the package."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import pages

BIN = Path(sys.executable).parent
GITHUB = pages.ROOT / ".github"
PROJECT: dict[str, Any] = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())
SCHEMAS = {
    "workflows/ci.yml": "github-workflows",
    "workflows/release.yml": "github-workflows",
    "dependabot.yml": "dependabot",
    "ISSUE_TEMPLATE/bug.yml": "github-issue-forms",
    "ISSUE_TEMPLATE/config.yml": "github-issue-config",
}
PYTHONS = [
    name.rpartition(" ")[2]
    for name in PROJECT["project"]["classifiers"]
    if name.startswith("Programming Language :: Python :: 3.")
]


def ran(*words: str | Path) -> str:
    """Run a program of the environment; return its output, or fail with it."""
    done = subprocess.run(
        [BIN / words[0], *words[1:]], cwd=pages.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def jobs(workflow: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GITHUB / "workflows" / workflow).read_text())["jobs"]
    return found


def scripts() -> Iterator[tuple[str, str]]:
    """Yield the scripts of all steps, with the expressions of the workflow taken out."""
    for workflow in sorted(GITHUB.glob("workflows/*.yml")):
        for job in jobs(workflow.name).values():
            for step in job["steps"]:
                if "run" in step:
                    yield workflow.name, step["run"]


def test_every_file_has_a_schema() -> None:
    found = {str(path.relative_to(GITHUB)) for path in GITHUB.rglob("*.yml")}
    assert found == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema(name: str) -> None:
    schema = f"vendor.{SCHEMAS[name]}"
    ran("check-jsonschema", "--builtin-schema", schema, GITHUB / name)


def test_workflows_are_pinned_and_have_the_least_permissions() -> None:
    ran("zizmor", "--offline", "--quiet", "--no-progress", GITHUB)


def test_workflows_set_no_permissions_but_those_of_each_job() -> None:
    for path in GITHUB.glob("workflows/*.yml"):
        assert yaml.safe_load(path.read_text())["permissions"] == {}
    granted = {
        f"{workflow.stem}/{name}": {
            what for what, level in job["permissions"].items() if level == "write"
        }
        for workflow in GITHUB.glob("workflows/*.yml")
        for name, job in jobs(workflow.name).items()
    }
    assert {job: what for job, what in granted.items() if what} == {
        "release/image": {"packages", "id-token"},
        "release/publish": {"id-token"},
    }


@pytest.mark.parametrize(("workflow", "script"), [*scripts()])
def test_scripts_run_what_exists(workflow: str, script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for path in re.findall(r"(?:^|[\s(])(\.(?:ci|venv)/[\w/.-]+)", script):
        assert (pages.ROOT / path).exists() or (BIN.parent.parent / path).exists(), workflow


def test_ci_runs_on_the_supported_pythons() -> None:
    assert jobs("ci.yml")["check"]["strategy"]["matrix"]["python"] == PYTHONS


def test_wheels_are_compiled_for_the_supported_pythons() -> None:
    wheels = PROJECT["tool"]["cibuildwheel"]
    assert wheels["build"].split() == [f"cp{python.replace('.', '')}-*" for python in PYTHONS]
    assert wheels["environment"] == {"HATCH_BUILD_HOOKS_ENABLE": "1"}
    subprocess.run(["bash", "-n"], input=wheels["test-command"], text=True, check=True)


def test_the_image_has_an_sbom_provenance_and_a_signature_of_its_digest() -> None:
    steps = jobs("release.yml")["image"]["steps"]
    push = next(step for step in steps if step.get("id") == "push")["with"]
    assert push["platforms"] == "linux/amd64,linux/arm64"
    assert (push["sbom"], push["provenance"], push["push"]) == (True, "mode=max", True)
    assert steps[-1]["run"] == 'cosign sign --yes "$IMAGE@$DIGEST"'
    assert steps[-1]["env"]["DIGEST"] == "${{ steps.push.outputs.digest }}"


def test_the_version_of_the_tag_is_compared_with_that_of_the_project() -> None:
    assert ran("uv", "version", "--short").strip() == PROJECT["project"]["version"]


def test_urls_of_the_project() -> None:
    urls = PROJECT["project"]["urls"]
    assert {"Homepage", "Documentation", "Changelog", "Issues", "Security"} == set(urls)
    assert all(url.startswith("https://github.com/presend/presend") for url in urls.values())
    for name in ("Documentation", "Changelog"):
        assert (pages.ROOT / urls[name].rpartition("/main/")[2]).exists()
