"""Tests of campaign/: the isolation of each campaign, and its addresses."""

import re

import pytest

from tests.deploy.manifests import (
    containers,
    label,
    objects,
    one,
    pod_of,
    relay,
    snapshot,
)

CAMPAIGNS = ("campaign-x", "campaign-y")


def test_campaigns_differ_only_in_name_id_address_and_limits() -> None:
    allowed = re.compile(
        r"(name|namespace|serviceAccountName|priorityClassName|presend\.io/campaign)"
        r": \S+-[xy](-\w{10})?"
        r"|loadBalancerIP: 192\.0\.2\.\d+"
        r"|PRESEND_(LIMITS|POOL)__\w+: '\d+'"
        r"|pods: '\d+'"
    )
    changed = [line for line in snapshot("campaign-y").splitlines() if line[0] in "+-"]
    assert changed
    for line in changed:
        assert allowed.fullmatch(line[1:].strip().removeprefix("- ")), line


@pytest.mark.parametrize("build", CAMPAIGNS)
def test_a_campaign_is_a_set_of_its_own(build: str) -> None:
    assert one(build, "Service")["metadata"]["name"] == f"email-sender-service-{build[-1]}"
    assert one(build, "Service")["spec"]["ports"][0]["port"] == 25
    deployment = one(build, "Deployment")
    pod = pod_of(deployment)
    assert pod is not None
    labels = pod["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        one(build, "Service")["spec"]["selector"],
        one(build, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
        assert selector["presend.io/campaign"] == build
    assert "replicas" not in deployment["spec"], "each apply would undo what has scaled it"
    scaler = one(build, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaler["minReplicas"] == 2
    assert scaler["metrics"][0]["containerResource"]["container"] == "presend"
    priority = one(build, "PriorityClass")
    assert priority["metadata"]["name"].endswith(build[-2:]), "the next campaign has another"
    assert pod["spec"]["priorityClassName"] == priority["metadata"]["name"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    account = one(build, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]
    for item in objects(build):
        if item["kind"] == "PriorityClass":
            continue
        namespace = item["metadata"].get("namespace", item["metadata"]["name"])
        assert namespace == build, label(item)


@pytest.mark.parametrize("build", CAMPAIGNS)
def test_relays_are_spread_over_zones_and_nodes(build: str) -> None:
    pod = pod_of(one(build, "Deployment"))
    assert pod is not None
    spread = pod["spec"]["topologySpreadConstraints"]
    keys = [constraint["topologyKey"] for constraint in spread]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for constraint in spread:
        assert constraint["matchLabelKeys"] == ["pod-template-hash"], (
            "not the old pods of a rollout"
        )
        assert (
            constraint["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        )


def test_the_upstream_rolls_out_and_comes_back_with_a_roll_back() -> None:
    """Its ConfigMap has a hash of the content in its name, and the pods refer to that name."""
    found = [item for item in objects("campaign-x") if item["kind"] == "ConfigMap"]
    (name,) = (
        item["metadata"]["name"] for item in found if item["data"].keys() == {"PRESEND_UPSTREAM"}
    )
    assert re.fullmatch(r"presend-upstream-x-\w{10}", name)
    pod = pod_of(one("campaign-x", "Deployment"))
    assert pod is not None
    for container in containers(pod):
        assert container["envFrom"][1]["configMapRef"]["name"] == name


@pytest.mark.parametrize("build", CAMPAIGNS)
def test_the_quota_leaves_room_for_a_rollout(build: str) -> None:
    hard = one(build, "ResourceQuota")["spec"]["hard"]
    deployment = one(build, "Deployment")
    most = (
        one(build, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
        + deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    )
    pod = pod_of(deployment)
    assert pod is not None
    assert int(hard["pods"]) > most
    for kind in ("requests", "limits"):
        for resource, amount in relay(pod)["resources"][kind].items():
            assert _amount(amount) * most < _amount(hard[f"{kind}.{resource}"]), resource


def _amount(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(m|Mi|Gi)?", text).groups()  # type: ignore[union-attr]
    return int(number) * {None: 1, "m": 0.001, "Mi": 2**20, "Gi": 2**30}[unit]


def test_addresses_of_a_campaign() -> None:
    service = one("campaign-x", "Service")["spec"]
    assert service["type"] == "LoadBalancer"
    assert service["externalTrafficPolicy"] == "Local"
    (outside,) = service["loadBalancerSourceRanges"]
    policy = one("campaign-x", "NetworkPolicy", "outside-clients-x")
    assert policy["spec"]["ingress"][0]["from"][0]["ipBlock"]["cidr"] == outside
    (clients,) = (
        item["data"]["PRESEND_ALLOW_CLIENTS"]
        for item in objects("campaign-x")
        if item["kind"] == "ConfigMap" and "PRESEND_ALLOW_CLIENTS" in item["data"]
    )
    assert outside in clients.split(",")

    cilium = one("egress-cilium", "CiliumEgressGatewayPolicy")
    selector = cilium["spec"]["selectors"][0]["podSelector"]["matchLabels"]
    assert selector["io.kubernetes.pod.namespace"] == "campaign-x"
    assert "namespace" not in cilium["metadata"], "it belongs to the cluster"

    calico = pod_of(one("egress-calico", "Deployment"))
    assert calico is not None
    pool = one("egress-calico", "IPPool")["metadata"]["name"]
    assert calico["metadata"]["annotations"]["cni.projectcalico.org/ipv4pools"] == f'["{pool}"]'

    aws = pod_of(one("egress-aws", "Deployment"))
    assert aws is not None
    assert aws["spec"]["nodeSelector"] == {"presend.io/egress": "campaign-x"}
    assert aws["spec"]["tolerations"][0]["value"] == "campaign-x"

    fqdn = one("upstream-fqdn-cilium", "CiliumNetworkPolicy")
    assert fqdn["metadata"]["namespace"] == "campaign-x"
