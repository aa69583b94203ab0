"""Evaluates NetworkPolicies as the Kubernetes documentation describes.

https://kubernetes.io/docs/concepts/services-networking/network-policies/: a pod that no policy
selects for a direction is not restricted in that direction; a selected pod may do what any of its
policies allows; and a connection must be allowed at both ends.
"""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from tests.deploy.manifests import Object


class Peer(NamedTuple):
    """One end of a connection: a pod, or (with no labels at all) a host outside the cluster."""

    address: str
    namespace: str = ""
    labels: dict[str, str] | None = None


def passes(
    policies: Sequence[Object], source: Peer, target: Peer, protocol: str, port: int
) -> bool:
    """Return whether the policies allow `source` to connect to a port of `target`."""
    return _open(policies, "Egress", source, target, protocol, port) and _open(
        policies, "Ingress", target, source, protocol, port
    )


def _open(
    policies: Sequence[Object], direction: str, own: Peer, other: Peer, protocol: str, port: int
) -> bool:
    if own.labels is None:
        return True
    selecting = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == own.namespace
        and direction in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], own.labels)
    ]
    return not selecting or any(
        _allows(rule, direction, own, other, protocol, port)
        for spec in selecting
        for rule in spec.get(direction.lower(), [])
    )


def _allows(rule: Object, direction: str, own: Peer, other: Peer, protocol: str, port: int) -> bool:
    peers = rule.get("to" if direction == "Egress" else "from")
    ports = rule.get("ports")
    return (ports is None or any(_is_port(item, protocol, port) for item in ports)) and (
        peers is None or any(_is_peer(item, own, other) for item in peers)
    )


def _is_port(item: Object, protocol: str, port: int) -> bool:
    if item.get("protocol", "TCP") != protocol:
        return False
    if "port" not in item:
        return True
    first: int = item["port"]
    last: int = item.get("endPort", first)
    return first <= port <= last


def _is_peer(item: Object, own: Peer, other: Peer) -> bool:
    if "ipBlock" in item:
        address = ipaddress.ip_address(other.address)
        block = item["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(exception) for exception in block.get("except", [])
        )
    if other.labels is None:
        return False
    if "namespaceSelector" in item:
        # Kubernetes itself puts this label on every namespace.
        names = {"kubernetes.io/metadata.name": other.namespace}
        near = _selects(item["namespaceSelector"], names)
    else:
        near = own.namespace == other.namespace
    return near and _selects(item.get("podSelector", {}), other.labels)


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    return all(_matches(expression, labels) for expression in selector.get("matchExpressions", []))


def _matches(expression: Object, labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case unknown:
            raise ValueError(unknown)
