"""podman with its own storage and configuration, and pods converted from the manifests."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.manifests import Object, containers, objects, one, pod_of, relay

CONFIGURATION = """\
[containers]
default_ulimits = []
default_sysctls = ["net.ipv4.ip_unprivileged_port_start=0"]  # `kube play` passes over a pod's own
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


class Podman:
    """The podman program, with its storage and configuration in one directory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "containers.conf").write_text(CONFIGURATION, encoding="utf-8")
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder), encoding="utf-8")
        self.environment = os.environ | {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def __call__(self, *words: str | Path, stdin: str = "") -> str:
        """Run one podman command. Raises AssertionError with its output if it fails."""
        done = subprocess.run(
            ["podman", *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"podman {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def logs(self, name: str) -> str:
        """Return the stdout and stderr of a container."""
        done = subprocess.run(
            ["podman", "logs", name],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        return done.stdout

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """Return the output of `podman inspect` for an image or a container."""
        found: list[dict[str, Any]] = json.loads(self(kind, "inspect", name))
        return found[0]


def pod(build: str, deployment: str, settings: dict[str, str]) -> str:
    """Return a Deployment's pod as YAML for `podman kube play`.

    What podman 4.3 lacks is removed: sidecars (presend becomes an ordinary container), probes,
    ports in a pod without a network, and Secrets.
    """
    template = pod_of(one(build, "Deployment", deployment))
    assert template is not None
    spec, presend = template["spec"], relay(template)
    spec["initContainers"].remove(presend)
    spec["containers"].insert(0, presend)
    spec["restartPolicy"] = "Never"
    for field in ("restartPolicy", "ports", *PROBES):
        presend.pop(field)
    secret = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in secret]
    for container in containers(template):
        container["image"] = f"localhost/{container['image']}"
        mounts = container["volumeMounts"]
        mounts[:] = [mount for mount in mounts if mount["name"] not in secret]
        if "envFrom" in container:
            container["envFrom"] = [container["envFrom"][0]]
    maps = list(_config_maps(build, template))
    for item in maps:
        if item["metadata"]["name"] == presend["envFrom"][0]["configMapRef"]["name"]:
            item["data"] |= settings
    meta = {"name": deployment, "labels": template["metadata"]["labels"]}
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    return yaml.safe_dump_all([*maps, whole])


def _config_maps(build: str, template: Object) -> list[Object]:
    used = {volume.get("configMap", {}).get("name") for volume in template["spec"]["volumes"]}
    used |= {source["configMapRef"]["name"] for source in relay(template)["envFrom"]}
    found = [item for item in objects(build) if item["kind"] == "ConfigMap"]
    maps = [item for item in found if item["metadata"]["name"] in used]
    for item in maps:
        del item["metadata"]["namespace"]
    return maps
