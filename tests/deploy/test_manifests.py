"""Tests of deploy/k8s: schemas, Pod Security `restricted`, snapshots, and valid settings."""

import copy
import re

import kubernetes_validate
import pytest

from relay.settings import ServeSettings, load_settings
from tests.deploy import pod_security
from tests.deploy.manifests import (
    BUILDS,
    CUSTOM,
    DEPLOY,
    HERE,
    SHIPPED,
    containers,
    label,
    objects,
    one,
    pod_of,
    pods,
    relay,
    relays,
    settings_of,
    snapshot,
    snapshot_file,
)

OURS = {"presend", "suppressions"}
"""The containers that the manifests add to a workload."""

VERSIONS = [f"1.{minor}" for minor in range(29, 38)]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_pass_the_strict_schemas(version: str) -> None:
    found = {str(item): item for build in BUILDS for item in objects(build)}
    for item in found.values():
        if not item["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(item, version, strict=True)


def test_the_schemas_refuse_an_unknown_field() -> None:
    service = one("campaign-x", "Service")
    service["spec"]["adress"] = "192.0.2.1"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, "1.36", strict=True)


@pytest.mark.parametrize("build", BUILDS)
def test_a_build_is_as_it_was_reviewed(build: str) -> None:
    assert snapshot(build) == snapshot_file(build).read_text(encoding="utf-8"), (
        "run `python -m tests.deploy.manifests`, read the difference, commit it"
    )


def test_replacements_name_one_kind_each() -> None:
    """With a regular expression there, kubectl 1.29 leaves the containers empty."""
    found = 0
    for path in DEPLOY.rglob("*.yaml"):
        for kind in re.findall(r"select: \{kind: ([^,}]+)", path.read_text(encoding="utf-8")):
            found += 1
            assert kind.isalpha(), f"{path}: {kind}"
    assert found


def test_every_kustomization_is_built_here() -> None:
    entries = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in (DEPLOY, HERE)
        for path in folder.rglob("kustomization.yaml")
    )
    for path in DEPLOY.rglob("kustomization.yaml"):
        named = re.search(rf"- \S*\b{path.parent.name}$", entries, re.MULTILINE)
        assert path.parent in BUILDS.values() or named, f"nothing builds {path.parent}"


def test_pods_pass_pod_security_restricted() -> None:
    found = {
        f"{name.partition(':')[0]}: {problem}"
        for name, pod in pods()
        for problem in pod_security.violations(pod)
    }
    assert found == {"host-network: hostNetwork"}


def test_pod_security_sees_what_is_wrong() -> None:
    pod = pod_of(one("campaign-x", "Deployment"))
    assert pod is not None
    spoilt = copy.deepcopy(pod)
    spoilt["spec"]["hostNetwork"] = True
    relay(spoilt)["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
    assert len(list(pod_security.violations(spoilt))) == 3


def test_namespaces_hold_their_pods_to_restricted() -> None:
    for build in ("campaign-x", "campaign-y", "quickstart"):
        for item in objects(build):
            if item["kind"] == "Namespace":
                assert (
                    item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
                )


def test_images_have_an_explicit_tag() -> None:
    for name, pod in pods():
        for container in containers(pod):
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            assert tag, f"{name}: {container['image']}"
            assert tag != "latest", f"{name}: {container['image']}"


def test_config_maps_hold_no_secrets() -> None:
    for build in BUILDS:
        for item in objects(build):
            if build in SHIPPED:
                assert item["kind"] != "Secret", f"{label(item)}: a secret in the repository"
            if item["kind"] == "ConfigMap":
                for key, value in item["data"].items():
                    secret = re.search(r"(?i)(password|secret|token)(?!_FILE$)", key)
                    assert not secret, f"{label(item)}: {key}"
                    assert not re.search(r"://[^/\s@]+:[^/\s@]+@", value), f"{label(item)}: {key}"


def test_a_relay_is_probed_confined_and_given_time_to_drain() -> None:
    different = {"host-network", "openshift", "openshift-campaign"}  # tested in test_variants.py
    for name, pod in relays(*(BUILDS.keys() - different)):
        container, spec = relay(pod), pod["spec"]
        assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}, name
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}, name
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}, (
            name
        )
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"smtp": 25, "metrics": 9100}, name
        sysctls = {item["name"]: item["value"] for item in spec["securityContext"]["sysctls"]}
        assert sysctls == {"net.ipv4.ip_unprivileged_port_start": "0"}, name
        assert container["securityContext"]["runAsUser"] == 65532, name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert "sizeLimit" in volumes[mounts["/var/lib/presend"]]["emptyDir"], name
        assert "secret" in volumes[mounts["/etc/presend/secrets"]], name
        environment = {item["name"]: item for item in container["env"]}
        campaign = environment["CAMPAIGN_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert campaign == "metadata.labels['presend.io/campaign']", name
        assert pod["metadata"]["labels"]["presend.io/campaign"], name


def test_presend_accepts_the_settings() -> None:
    for name, pod in relays("campaign-x", "campaign-y", "quickstart"):
        settings = load_settings(ServeSettings, environ=settings_of(name, pod))
        assert settings.campaign_id == pod["metadata"]["labels"]["presend.io/campaign"], name


def test_the_grace_of_the_pod_covers_the_drain() -> None:
    for name, pod in relays():
        environment = settings_of(name, pod) | {"PRESEND_UPSTREAM": "smtp://smarthost:25"}
        environment.pop("PRESEND_UPSTREAM_PASSWORD_FILE", None)  # a file in the pod
        settings = load_settings(ServeSettings, environ=environment)
        stop = relay(pod).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        before = int(stop[-1]) if stop else 30  # a sidecar waits for the application
        whole = pod["spec"]["terminationGracePeriodSeconds"]
        assert whole >= before + settings.grace + settings.last_scrape, name


def test_containers_say_why_they_failed() -> None:
    """`kubectl describe pod` shows the end of the log of a container that left no message."""
    for name, pod in pods():
        for container in containers(pod):
            if name.partition(":")[0] in SHIPPED or container["name"] in OURS:
                policy = container["terminationMessagePolicy"]
                assert policy == "FallbackToLogsOnError", f"{name}: {container['name']}"


@pytest.mark.parametrize("build", BUILDS)
def test_references_lead_somewhere(build: str) -> None:
    names = {(item["kind"], item["metadata"]["name"]) for item in objects(build)}
    for item in objects(build):
        pod = pod_of(item)
        if pod is None:
            continue
        declared = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        for container in containers(pod):
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= declared, label(item)
        for volume in pod["spec"].get("volumes", []):
            source = volume.get("configMap", {"optional": True})
            optional = source.get("optional")
            assert optional or ("ConfigMap", source["name"]) in names, label(item)
        account = pod["spec"].get("serviceAccountName")
        assert account is None or ("ServiceAccount", account) in names, label(item)
