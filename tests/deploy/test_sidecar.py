"""Tests of components/sidecar, which adds presend to the workloads of a kustomization."""

import subprocess

import pytest
import yaml

from relay.settings import ServeSettings, load_settings
from tests.deploy.manifests import (
    BUILDS,
    DEPLOY,
    HERE,
    containers,
    kubectl,
    objects,
    pod_of,
    relay,
    relays,
    settings_of,
)

WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")


def test_the_sidecar_is_added_to_every_kind_of_workload() -> None:
    found = {item["kind"]: pod_of(item) for item in objects("sidecar")}
    for kind in WORKLOADS:
        pod = found[kind]
        assert pod is not None
        first = pod["spec"]["initContainers"][0]
        assert first["name"] == "presend", (
            f"{kind}: the application's init containers may send mail"
        )
        assert first["restartPolicy"] == "Always"
        assert {item["name"] for item in containers(pod)} > {"presend"}
    shop = found["Deployment"]
    assert shop is not None
    assert [item["name"] for item in containers(shop)] == ["presend", "migrate", "shop"]
    assert {volume["name"] for volume in shop["spec"]["volumes"]} == {
        "pictures",
        "presend-data",
        "presend-secrets",
    }
    jobs = [found["Job"], found["CronJob"]]
    assert all(pod and pod["spec"]["restartPolicy"] == "Never" for pod in jobs)


def test_the_sidecar_is_the_same_in_every_kind() -> None:
    found = [relay(pod) for item in objects("sidecar") if (pod := pod_of(item)) is not None]
    assert len(found) == len(WORKLOADS)
    assert all(container == found[0] for container in found)


def test_the_pattern_itself_never_reaches_a_cluster() -> None:
    assert not [
        item for build in BUILDS for item in objects(build) if item["kind"] == "PodTemplate"
    ]


def test_presend_accepts_the_settings_once_there_is_an_upstream() -> None:
    for name, pod in relays("sidecar"):
        environment = settings_of(name, pod) | {"PRESEND_UPSTREAM": "smtp://smarthost:25"}
        settings = load_settings(ServeSettings, environ=environment)
        assert all(endpoint.loopback for endpoint in settings.listen), name


def test_a_user_may_change_image_and_settings_in_his_own_kustomization(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("user")
    depth = "../" * len(folder.parts)
    applications = (HERE / "kustomize/sidecar/applications.yaml").read_text(encoding="utf-8")
    (folder / "applications.yaml").write_text(applications, encoding="utf-8")
    (folder / "kustomization.yaml").write_text(
        f"""
resources: [applications.yaml]
components:
  - {depth}{DEPLOY.relative_to("/")}/components/sidecar
images:
  - {{name: presend, newName: registry.example/mail/presend}}
patches:
  - patch: |-
      apiVersion: v1
      kind: ConfigMap
      metadata: {{name: presend}}
      data: {{PRESEND_UPSTREAM: "smtp+starttls://smtp.example.com:587"}}
""",
        encoding="utf-8",
    )
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=True
    )
    found = {item["kind"]: item for item in yaml.safe_load_all(done.stdout)}
    pod = pod_of(found["CronJob"])
    assert pod is not None
    assert relay(pod)["image"] == "registry.example/mail/presend:0.1.0"
    assert found["ConfigMap"]["data"]["PRESEND_UPSTREAM"].startswith("smtp+starttls://")
    assert (
        relay(pod)["envFrom"][0]["configMapRef"]["name"] == found["ConfigMap"]["metadata"]["name"]
    )
