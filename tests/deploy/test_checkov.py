"""Runs checkov on the manifests. Each accepted finding is listed with the reason."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import built

CHECKOV = "checkov==3.3.30"
BUILDS = ("campaign-x", "quickstart")  # not the sidecar's examples of users' workloads
EVERYWHERE = ""
KNOWN = {
    ("CKV_K8S_11", EVERYWHERE): "no CPU limit: a throttled relay makes its application wait",
    ("CKV_K8S_15", EVERYWHERE): "an explicit tag need not be pulled at every start",
    ("CKV_K8S_43", EVERYWHERE): "the digest is the user's, who builds the image; images: takes one",
    ("CKV_K8S_29", "Deployment."): "the security context is the container's, not the pod's",
    (
        "CKV_K8S_40",
        "Deployment.presend-monitoring.grafana",
    ): "user 472 is the one in Grafana's image",
    ("CKV_K8S_38", "Deployment.presend-monitoring.prometheus"): "it asks the API server for pods",
    ("CKV_K8S_8", "Deployment.presend-demo."): "a demonstration's loop has nothing to ask",
    ("CKV_K8S_9", "Deployment.presend-demo."): "likewise; presend's own readiness is the pod's",
}


def failed(folder: Path) -> set[tuple[str, str]]:
    """Return (check, resource) for every failed check."""
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [
            *(uv, "tool", "run", "--python", sys.executable, "--from", CHECKOV, "checkov"),
            *("--directory", folder, "--framework", "kubernetes", "--output", "json"),
            *("--compact", "--quiet", "--skip-download"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    return {(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_checkov_finds_nothing_but_what_is_known(tmp_path: Path) -> None:
    for build in BUILDS:
        (tmp_path / f"{build}.yaml").write_text(built(build), encoding="utf-8")
    found = failed(tmp_path)
    unknown = {
        (check, resource)
        for check, resource in found
        if not any(check == known and resource.startswith(where) for known, where in KNOWN)
    }
    assert unknown == set()
    for known, where in KNOWN:
        gone = f"{known} {where} is found no more: take it off the list"
        assert any(known == check and resource.startswith(where) for check, resource in found), gone
