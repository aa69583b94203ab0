"""docs/start.md: its files build, its kubectl commands parse, and its application prints that."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.manifests import kubectl
from tests.docs import pages
from tests.support.presend import Presend, command

PAGE = pages.DOCS / "start.md"
SETTINGS = {"PRESEND_TRUSTED_DOMAINS": "", "PRESEND_LOG__FORMAT": "json"}
URL = "https://github.com/presend/presend//"
FILES = dict(
    re.findall(
        r"^<!-- file: (\S+) -->\n```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
)
KUBECTL = """#!/bin/sh
# Does what needs no cluster, and nothing else.
case " $* " in
*" create "*) exec {kubectl} "$@" --dry-run=client -o name ;;
*" -k . "*) exec {kubectl} kustomize . ;;
esac
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """The directory `first-campaign` with the files of the page, beside a clone."""
    (tmp_path / "presend").symlink_to(pages.ROOT)
    directory = tmp_path / "first-campaign"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(re.sub(rf"{URL}(\S+)\?ref=\S+", r"../presend/\1", text))
    return directory


def built(directory: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [kubectl(), "kustomize", directory], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [*yaml.safe_load_all(done.stdout)]


def job(directory: Path) -> dict[str, Any]:
    return next(item for item in built(directory) if item["kind"] == "Job")


def test_the_component_of_the_page_is_that_of_the_clone() -> None:
    component = re.search(rf"{URL}(\S+)\?ref=v(\S+)", FILES["kustomization.yaml"])
    assert component
    assert (pages.ROOT / component[1] / "kustomization.yaml").exists()
    assert f"newTag: {component[2]}\n" in FILES["kustomization.yaml"]


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_the_objects_pass_the_strict_schemas(campaign: Path, version: str) -> None:
    for item in built(campaign):
        kubernetes_validate.validate(item, version, strict=True)


def test_the_job_gets_the_sidecar_its_settings_and_the_campaign(campaign: Path) -> None:
    template = job(campaign)["spec"]["template"]
    assert template["metadata"]["labels"]["presend.io/campaign"] == "spring-sale"
    sidecar = next(it for it in template["spec"]["initContainers"] if it["name"] == "presend")
    assert sidecar["image"] == "presend:0.1.0"
    names = [source["configMapRef"]["name"] for source in sidecar["envFrom"]]
    settings = next(
        it
        for it in built(campaign)
        if it["kind"] == "ConfigMap" and it["metadata"]["name"] in names
    )
    assert settings["data"]["PRESEND_SUPPRESSIONS__REQUIRED"] == "1"
    assert "presend-upstream" in names


def test_the_commands_are_accepted(campaign: Path, tmp_path: Path) -> None:
    """Commands that need a cluster or a container engine do nothing here."""
    fakes = tmp_path / "bin"
    fakes.mkdir()
    (fakes / "kubectl").write_text(KUBECTL.format(kubectl=kubectl()))
    for name in ("docker", "kind"):
        (fakes / name).write_text("#!/bin/sh\n")
    for path in fakes.iterdir():
        path.chmod(0o755)
    blocks = [it for it in pages.transcripts(PAGE) if not it.mark.startswith("not run")]
    script = "\n".join(it.text for it in blocks).replace("mkdir first-campaign\n", "")
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{fakes}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"namespace/shop", "secret/presend-upstream", "configmap/presend-upstream"} <= set(
        done.stdout.split()
    )
    assert (campaign / "suppressions.csv").read_text().startswith("email,reason\n")


def test_the_application_prints_what_the_page_shows(campaign: Path, tmp_path: Path) -> None:
    """The name server knows a domain for the first recipient; nothing else is replaced."""
    application = job(campaign)["spec"]["template"]["spec"]["containers"][0]
    shown = re.search(
        r"^<!-- output: \w+ -->\n```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert shown
    words = ("suppress", "add", "unsubscribed@example.com")
    assert command(*words, directory=tmp_path, settings=SETTINGS).returncode == 0
    with Presend(tmp_path, SETTINGS, "--dev") as relay:
        script = application["args"][0].replace(
            '"localhost", 25', f'"127.0.0.1", {relay.smtp_port}'
        )
        script = script.replace("you@example.com", "you@good.example.com")
        done = subprocess.run(
            [sys.executable, "-c", script.replace("time.sleep(600)", "")],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    got = done.stdout.replace("you@good.example.com", "you@example.com")
    assert doctest.OutputChecker().check_output(shown[1], got, doctest.ELLIPSIS), got
