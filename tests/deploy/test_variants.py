"""Tests of the optional components, and of what the quickstart and the monitoring create."""

import pytest

from relay.settings import ServeSettings, load_settings
from tests.deploy.manifests import (
    COMPOSED,
    Object,
    label,
    objects,
    one,
    pods,
    relay,
    relays,
    settings_of,
)

OURS = ("suppressions", "presend")


def ours(pod: Object) -> list[Object]:
    """Return the containers of presend, in the order in which they start."""
    spec = pod["spec"]
    every = spec.get("initContainers", []) + spec["containers"]
    return [container for container in every if container["name"] in OURS]


@pytest.mark.parametrize("build", ["openshift", "openshift-campaign"])
def test_openshift_chooses_the_user_of_presend(build: str) -> None:
    found = [pod for _, pod in relays(build)]
    assert found
    for pod in found:
        for container in ours(pod):
            context = container["securityContext"]
            assert not {"runAsUser", "runAsGroup"} & context.keys()
            assert context["runAsNonRoot"] is True


def test_openshift_resolves_names_and_collects_metrics_in_its_own_namespaces() -> None:
    policy = one("openshift-campaign", "NetworkPolicy", "dns-x")
    (rule,) = policy["spec"]["egress"]
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "openshift-dns"
    }
    assert {port["port"] for port in rule["ports"]} == {5353}
    scraped = str(one("openshift-campaign", "NetworkPolicy", "email-sender-x"))
    assert "openshift-user-workload-monitoring" in scraped


@pytest.mark.parametrize("build", COMPOSED)
def test_a_component_leaves_the_list_to_be_loaded_before_presend_starts(build: str) -> None:
    for name, pod in relays(build):
        assert [item["name"] for item in ours(pod)] == list(OURS), name


def test_host_network_has_ports_that_need_no_privilege_and_collide_with_no_other() -> None:
    found = list(relays("host-network"))
    assert len(found) == 4
    for name, pod in found:
        spec = pod["spec"]
        assert spec["hostNetwork"] is True, name
        assert spec["dnsPolicy"] == "ClusterFirstWithHostNet", name
        assert not spec["securityContext"].get("sysctls"), "refused together with hostNetwork"
        upstream = {"PRESEND_UPSTREAM": "smtp://smarthost:25"}
        settings = load_settings(ServeSettings, environ=settings_of(name, pod) | upstream)
        ports = {port["name"]: port["containerPort"] for port in relay(pod)["ports"]}
        assert {endpoint.port for endpoint in settings.listen} == {ports["smtp"]}
        assert {endpoint.port for endpoint in settings.http_listen} == {ports["metrics"]}
        assert all(endpoint.loopback for endpoint in settings.listen)
        assert min(ports.values()) > 1023
        assert 9100 not in ports.values(), "node_exporter's"


def test_the_demonstration_changes_no_namespace_but_its_own() -> None:
    """`kubectl delete -k` deletes what `apply -k` took over."""
    for item in objects("quickstart"):
        meta = item["metadata"]
        if "namespace" in meta:
            assert meta["namespace"] in {"presend-demo", "presend-monitoring"}, label(item)
        else:
            assert meta["name"].startswith("presend-"), label(item)
    binding = one("quickstart", "ClusterRoleBinding")
    assert binding["subjects"][0]["namespace"] == "presend-monitoring"


@pytest.mark.parametrize("build", ["monitoring", "operator"])
def test_monitoring_needs_no_namespace_and_takes_any(build: str) -> None:
    for item in objects(build):
        assert item["kind"] != "Namespace"
        assert "namespace" not in item["metadata"], label(item)


def test_a_pod_monitor_finds_every_relay_by_its_label() -> None:
    (expression,) = one("operator", "PodMonitor")["spec"]["selector"]["matchExpressions"]
    assert expression["operator"] == "In"
    with_relay = dict(relays())
    for name, pod in pods():
        value = pod["metadata"].get("labels", {}).get(expression["key"])
        assert (value in expression["values"]) == (name in with_relay), name


def test_runbooks_of_a_user_replace_the_address_and_nothing_else() -> None:
    shipped, own = (
        one(build, "ConfigMap", "presend-rules")["data"]
        for build in ("monitoring", "monitoring-own")
    )
    changed = {name for name in shipped if shipped[name] != own[name]}
    assert changed == {"runbooks.yaml"}
    assert "url: https://wiki.shop.example/presend\n" in own["runbooks.yaml"]


def test_a_list_comes_from_a_config_map_a_secret_or_a_url() -> None:
    for name, pod in relays("campaign-x", "sidecar"):
        (loader,) = (item for item in ours(pod) if item["name"] == "suppressions")
        assert loader["args"] == ["suppress", "load"], name
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in loader["volumeMounts"]}
        places = settings_of(name, pod)["PRESEND_SUPPRESSIONS__SOURCES"].split(",")
        configmap, secret = (mounts[place.removesuffix("/")] for place in places)
        assert configmap["configMap"] == {"name": "presend-suppressions", "optional": True}, name
        assert secret["secret"]["secretName"] == "presend-suppressions", name
        assert secret["secret"]["optional"] is True, name
        same = ("image", "env", "envFrom", "resources", "securityContext")
        presend = relay(pod)
        assert {key: loader[key] for key in same} == {key: presend[key] for key in same}, name
        store = {mount["mountPath"]: mount["name"] for mount in presend["volumeMounts"]}
        assert mounts["/var/lib/presend"]["name"] == store["/var/lib/presend"], name
    data = one("suppressions-url", "ConfigMap", _hashed("suppressions-url", "presend-x"))["data"]
    assert data["PRESEND_SUPPRESSIONS__SOURCES"].startswith("https://")


def _hashed(build: str, name: str) -> str:
    names: list[str] = [
        item["metadata"]["name"] for item in objects(build) if item["kind"] == "ConfigMap"
    ]
    (found,) = (full for full in names if full.startswith(name) and len(full) == len(name) + 11)
    return found
