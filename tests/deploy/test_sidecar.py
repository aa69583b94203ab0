"""Tests of components/sidecar, which adds presend to the workloads of a kustomization."""

import re
from pathlib import Path

import pytest
import yaml

from relay.settings import ServeSettings, load_settings
from tests.deploy.manifests import (
    BUILDS,
    DEPLOY,
    HERE,
    Object,
    containers,
    kustomize,
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
        first, second = pod["spec"]["initContainers"][:2]
        assert first["name"] == "suppressions", f"{kind}: presend must not start without the list"
        assert "restartPolicy" not in first
        assert second["name"] == "presend", (
            f"{kind}: the application's init containers may send mail"
        )
        assert second["restartPolicy"] == "Always"
        assert pod["metadata"]["labels"]["presend.io/component"] == "sidecar"
    shop = found["Deployment"]
    assert shop is not None
    names = [item["name"] for item in containers(shop)]
    assert names == ["suppressions", "presend", "migrate", "presend-exporter", "shop"]
    exporter = shop["spec"]["initContainers"][3]
    assert exporter["image"] == "registry.example/exporter:2.0", "a name that only begins alike"
    assert {volume["name"] for volume in shop["spec"]["volumes"]} == {
        "pictures",
        "presend-data",
        "presend-list-configmap",
        "presend-list-secret",
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


@pytest.fixture
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a user's kustomization, with one application of each kind."""
    folder = tmp_path_factory.mktemp("user")
    applications = HERE / "kustomize/applications/applications.yaml"
    (folder / "applications.yaml").write_text(applications.read_text(encoding="utf-8"), "utf-8")
    return folder


def build(folder: Path, component: str, rest: str) -> dict[str, Object]:
    """Return the objects by kind and name; `rest` is what the user writes after the component."""
    components = "../" * len(folder.parts) + str(DEPLOY.relative_to("/")) + "/components"
    (folder / "kustomization.yaml").write_text(
        f"resources: [applications.yaml]\ncomponents: [{components}/{component}]\n{rest}", "utf-8"
    )
    return {
        f"{item['kind']} {re.sub('-[0-9a-z]{10}$', '', item['metadata']['name'])}": item
        for item in yaml.safe_load_all(kustomize(folder))
    }


def setting(name: str, value: str) -> str:
    """Return a user's patch of the ConfigMap `presend`, as docs/kubernetes.md shows it."""
    return f"""
patches:
  - patch: |-
      apiVersion: v1
      kind: ConfigMap
      metadata: {{name: presend}}
      data: {{{name}: "{value}"}}
"""


def test_a_user_may_change_image_and_settings_in_his_own_kustomization(user: Path) -> None:
    found = build(
        user,
        "sidecar",
        "images: [{name: presend, newName: registry.example/mail/presend}]"
        + setting("PRESEND_UPSTREAM", "smtp+starttls://smtp.example.com:587"),
    )
    pod = pod_of(found["CronJob nightly"])
    assert pod is not None
    for container in pod["spec"]["initContainers"]:
        assert container["image"] == "registry.example/mail/presend:0.1.0"
        reference = container["envFrom"][0]["configMapRef"]
        assert reference["name"] == found["ConfigMap presend"]["metadata"]["name"]
    assert found["ConfigMap presend"]["data"]["PRESEND_UPSTREAM"].startswith("smtp+starttls://")


def test_a_user_may_pin_the_image_by_its_digest(user: Path) -> None:
    digest = "sha256:" + "0" * 64
    found = build(user, "sidecar", f"images: [{{name: presend, digest: '{digest}'}}]")
    pod = pod_of(found["Deployment shop"])
    assert pod is not None
    assert [item["image"] for item in pod["spec"]["initContainers"][:2]] == [
        f"presend@{digest}"
    ] * 2


def test_a_changed_setting_rolls_out_and_a_roll_back_restores_it(user: Path) -> None:
    one = build(user, "sidecar", setting("PRESEND_GRACE", "30"))
    other = build(user, "sidecar", setting("PRESEND_GRACE", "40"))
    again = build(user, "sidecar", setting("PRESEND_GRACE", "30"))
    assert one["Deployment shop"] != other["Deployment shop"]
    assert one == again


def test_a_changed_upstream_or_list_rolls_out_where_it_is_generated(user: Path) -> None:
    def shop(upstream: str, password: str, entries: str) -> Object:
        return build(
            user,
            "sidecar",
            f"""
configMapGenerator:
  - {{name: presend-upstream, literals: [PRESEND_UPSTREAM={upstream}]}}
  - {{name: presend-suppressions, literals: [list={entries}]}}
secretGenerator:
  - {{name: presend-upstream, literals: [upstream-password={password}]}}
""",
        )["Deployment shop"]

    first = shop("smtp://a:25", "one", "left@example.com")
    assert first == shop("smtp://a:25", "one", "left@example.com")
    assert first != shop("smtp://b:25", "one", "left@example.com")
    assert first != shop("smtp://a:25", "two", "left@example.com")
    assert first != shop("smtp://a:25", "one", "right@example.com")


def test_a_job_can_be_applied_again_after_a_setting_has_changed(user: Path) -> None:
    """Kubernetes refuses any change of a Job's template."""
    one, other = (
        build(user, "sidecar-job", setting("PRESEND_GRACE", value)) for value in ("30", "40")
    )
    assert one["ConfigMap presend"]["metadata"] == other["ConfigMap presend"]["metadata"]
    assert one["ConfigMap presend"]["data"] != other["ConfigMap presend"]["data"]
    assert one["Job once"] == other["Job once"]
    hashed = build(user, "sidecar", setting("PRESEND_GRACE", "40"))
    assert hashed["ConfigMap presend"]["data"] == other["ConfigMap presend"]["data"]
    assert hashed["Job once"] != other["Job once"]


def test_a_user_may_patch_a_workload_after_the_component(user: Path) -> None:
    found = build(
        user,
        "sidecar",
        """
patches:
  - patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: shop}
      spec:
        template:
          spec:
            initContainers:
              - name: suppressions
                volumeMounts: [{name: lists, mountPath: /lists}]
            volumes:
              - {name: lists, persistentVolumeClaim: {claimName: lists, readOnly: true}}
""",
    )
    pod = pod_of(found["Deployment shop"])
    assert pod is not None
    names = [item["name"] for item in pod["spec"]["initContainers"]]
    assert names == ["suppressions", "presend", "migrate", "presend-exporter"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 90, "a number, not a string"
    mounts = [mount["name"] for mount in pod["spec"]["initContainers"][0]["volumeMounts"]]
    assert {"lists", "presend-data"} <= set(mounts)
