"""Tests of the NetworkPolicies, with both campaigns in one cluster."""

import re

import pytest

from tests.deploy.manifests import objects, one, pod_of
from tests.deploy.network_policy import Peer, passes


def _labels(build: str) -> dict[str, str]:
    pod = pod_of(one(build, "Deployment"))
    assert pod is not None
    labels: dict[str, str] = pod["metadata"]["labels"]
    return labels


def _client(campaign: str) -> dict[str, str]:
    return {"presend.io/client": "true", "presend.io/campaign": campaign}


POLICIES = [
    item
    for build in ("campaign-x", "campaign-y")
    for item in objects(build)
    if item["kind"] == "NetworkPolicy"
]
PEERS = {
    "relay x": Peer("10.42.0.10", "campaign-x", _labels("campaign-x")),
    "relay x2": Peer("10.42.0.11", "campaign-x", _labels("campaign-x")),
    "client x": Peer("10.42.0.12", "campaign-x", _client("campaign-x")),
    "stray x": Peer("10.42.0.13", "campaign-x", {"app": "something"}),
    "relay y": Peer("10.42.1.10", "campaign-y", _labels("campaign-y")),
    "client y": Peer("10.42.1.12", "campaign-y", _client("campaign-y")),
    "impostor": Peer("10.42.2.10", "elsewhere", _client("campaign-x")),
    "prometheus": Peer("10.42.3.10", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "our prometheus": Peer(
        "10.42.3.20", "presend-monitoring", {"app.kubernetes.io/name": "prometheus"}
    ),
    "dns": Peer("10.42.4.10", "kube-system", {"k8s-app": "kube-dns"}),
    "kube pod": Peer("10.42.4.11", "kube-system", {"k8s-app": "metrics-server"}),
    "upstream": Peer("203.0.113.25"),
    "partner": Peer("198.51.100.7"),
    "internet": Peer("93.184.216.34"),
    "metadata": Peer("169.254.169.254"),
    "lists": Peer("192.0.2.80"),
}
MUST_PASS = """
    client x   -> relay x    tcp 25     a campaign's own client sends
    client y   -> relay y    tcp 25
    partner    -> relay x    tcp 25     a client outside, by the load balancer
    prometheus -> relay x    tcp 9100   metrics
    prometheus -> relay y    tcp 9100
    our prometheus -> relay x tcp 9100  the quickstart's
    relay x    -> upstream   tcp 587    mail
    relay y    -> upstream   tcp 587
    relay x    -> dns        udp 53     recipients' domains
    relay x    -> dns        tcp 53     long answers
    client x   -> dns        udp 53     the Service's name
"""
MUST_NOT_PASS = """
    client y   -> relay x    tcp 25     another campaign's client
    client x   -> relay y    tcp 25
    impostor   -> relay x    tcp 25     the right labels in the wrong namespace
    stray x    -> relay x    tcp 25     no client, though in the namespace
    relay x    -> relay y    tcp 25
    relay x    -> relay x2   tcp 25
    internet   -> relay x    tcp 25     it would be an open relay
    prometheus -> relay x    tcp 25     metrics only
    client x   -> relay x    tcp 9100   metrics are not for clients
    partner    -> relay x    tcp 9100
    kube pod   -> relay x    tcp 9100
    client x   -> upstream   tcp 587    around presend
    client x   -> internet   tcp 443
    relay x    -> internet   tcp 25     straight to a mailbox provider
    relay x    -> internet   tcp 443
    relay x    -> upstream   tcp 25     another port of the upstream
    relay x    -> lists      tcp 443    only with components/suppressions-url
    relay x    -> metadata   tcp 80     the cloud's credentials
    relay x    -> kube pod   tcp 443
    relay x    -> dns        tcp 443
    relay x    -> prometheus tcp 9090
    stray x    -> internet   tcp 443    default deny
    impostor   -> stray x    tcp 80     likewise, inwards
    relay x    -> internet   udp 53     DNS past the cluster's own
"""


def _rows(table: str) -> list[tuple[str, str, str, int]]:
    rows = []
    for line in table.strip().splitlines():
        source, _, rest = line.partition("->")
        target, protocol, port = re.fullmatch(r"(.+?) +(tcp|udp) (\d+)\b.*", rest.strip()).groups()  # type: ignore[union-attr]
        rows.append((source.strip(), target, protocol.upper(), int(port)))
    return rows


@pytest.mark.parametrize(("source", "target", "protocol", "port"), _rows(MUST_PASS))
def test_passes(source: str, target: str, protocol: str, port: int) -> None:
    assert passes(POLICIES, PEERS[source], PEERS[target], protocol, port)


@pytest.mark.parametrize(("source", "target", "protocol", "port"), _rows(MUST_NOT_PASS))
def test_does_not_pass(source: str, target: str, protocol: str, port: int) -> None:
    assert not passes(POLICIES, PEERS[source], PEERS[target], protocol, port)


def test_without_policies_everything_passes() -> None:
    for table in (MUST_PASS, MUST_NOT_PASS):
        for source, target, protocol, port in _rows(table):
            assert passes([], PEERS[source], PEERS[target], protocol, port)


def test_every_policy_is_needed() -> None:
    """Removing any policy changes at least one row of the tables above."""
    for policy in POLICIES:
        rest = [item for item in POLICIES if item is not policy]
        wrong = [
            row
            for table, wanted in ((MUST_PASS, True), (MUST_NOT_PASS, False))
            for source, target, *row in _rows(table)
            if passes(rest, PEERS[source], PEERS[target], *row) is not wanted  # type: ignore[arg-type]
        ]
        needed = policy["metadata"]["name"]
        assert wrong or needed.endswith("-y"), f"{needed} changes nothing"


def test_a_list_is_fetched_from_its_server_where_that_is_configured() -> None:
    policies = [item for item in objects("suppressions-url") if item["kind"] == "NetworkPolicy"]
    relay, lists = PEERS["relay x"], PEERS["lists"]
    assert passes(policies, relay, lists, "TCP", 443)
    assert not passes(policies, relay, lists, "TCP", 80)
    assert not passes(policies, PEERS["client x"], lists, "TCP", 443)
    assert not passes(policies, relay, PEERS["internet"], "TCP", 443)


def test_only_prometheus_reads_the_metrics_of_a_sidecar() -> None:
    policies = [item for item in objects("metrics-policy") if item["kind"] == "NetworkPolicy"]
    found = [pod_of(item) for item in objects("metrics-policy")]
    pods = [
        Peer("10.42.5.10", "shop", pod["metadata"]["labels"]) for pod in found if pod is not None
    ]
    assert len(pods) == 4
    for pod in pods:
        for name, peer in PEERS.items():
            allowed = name in {"prometheus", "our prometheus"}
            assert passes(policies, peer, pod, "TCP", 9100) is allowed, name
            for port in (80, 443, 9099, 9101, 65535):
                assert passes(policies, peer, pod, "TCP", port), "the application's own ports"
        assert passes(policies, pod, PEERS["upstream"], "TCP", 587)


def test_the_metrics_policy_can_be_kept_from_opening_other_ports() -> None:
    """docs/kubernetes.md removes the second rule where the namespace denies by default."""
    (policy,) = (item for item in objects("metrics-policy") if item["kind"] == "NetworkPolicy")
    del policy["spec"]["ingress"][1]
    pod = Peer("10.42.5.10", "shop", policy["spec"]["podSelector"]["matchLabels"])
    assert passes([policy], PEERS["prometheus"], pod, "TCP", 9100)
    assert not passes([policy], PEERS["internet"], pod, "TCP", 80)
