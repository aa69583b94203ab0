"""The dashboards as data: their panels and Prometheus queries."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.deploy.manifests import DEPLOY

FILES = sorted((DEPLOY / "monitoring/dashboards").glob("*.json"))
NAMES = [path.stem for path in FILES]


class Query(NamedTuple):
    """One query of a panel, with its variables substituted."""

    panel: dict[str, Any]
    expression: str
    legend: str


def load(name: str) -> dict[str, Any]:
    """Return a dashboard as parsed JSON."""
    path = DEPLOY / "monitoring/dashboards" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels(name: str) -> Iterator[dict[str, Any]]:
    """Yield the panels other than rows, in reading order."""
    yield from (panel for panel in load(name)["panels"] if panel["type"] != "row")


def queries(name: str, *, campaign: str, rate_interval: str) -> Iterator[Query]:
    """Yield every query as Grafana would send it."""
    for panel in panels(name):
        yield from panel_queries(panel, campaign=campaign, rate_interval=rate_interval)


def panel_queries(panel: dict[str, Any], *, campaign: str, rate_interval: str) -> Iterator[Query]:
    """Yield the queries of one panel."""
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", rate_interval)
        yield Query(panel, expression.replace("$campaign", campaign), target["legendFormat"])
