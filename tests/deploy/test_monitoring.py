"""Prometheus scrapes relays under load: every panel and every rule must have data."""

import html
import math
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import promql_parser
import pytest

from tests.deploy import pictures
from tests.deploy.dashboards import NAMES, Query, panels, queries
from tests.deploy.manifests import ROOT
from tests.deploy.test_rules import ALERTS
from tests.deploy.watched import BAD, GOOD, Watched, watched
from tests.support.eventually import eventually

pytestmark = pytest.mark.slow
RATE_INTERVAL = "10s"  # ten scrapes
DECIDING = {"and", "or", "unless", "==", "!=", "<", "<=", ">", ">="}
"""Operators that leave nothing where there is nothing to be alarmed about, or join such tests."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run the relays and Prometheus, and wait until every recording rule can have data."""
    with watched(tmp_path_factory.mktemp("watched")) as running:
        eventually(
            lambda: has_data(running, f'campaign:presend_refused:ratio30m{{campaign="{BAD}"}}'),
            "the recording rules have data",
        )
        yield running


def has_data(world: Watched, expression: str) -> bool:
    found = world.prometheus.query(expression)
    return any(not math.isnan(value) for series in found for _, value in series.samples)


def operands(expression: Any) -> Iterator[str]:  # noqa: ANN401 - a tree of promql-parser's
    """Yield the operands of an alert's comparisons, which must always have data."""
    match expression:
        case promql_parser.BinaryExpr() if str(expression.op) in DECIDING:
            yield from operands(expression.lhs)
            yield from operands(expression.rhs)
        case promql_parser.ParenExpr():
            yield from operands(expression.expr)
        case promql_parser.Call() if expression.prettify().startswith("absent("):
            yield from (argument.prettify() for argument in expression.args)
        case promql_parser.NumberLiteral():
            return
        case _:
            # The test has no data from half an hour ago, so such offsets are removed.
            yield expression.prettify().replace(" offset 30m", "")


PANELS = [
    pytest.param(query, id=f"{name}: {query.panel['title']} {number}")
    for name in NAMES
    for number, query in enumerate(queries(name, campaign=BAD, rate_interval=RATE_INTERVAL))
]


@pytest.mark.parametrize("query", PANELS)
def test_a_panel_has_data(world: Watched, query: Query) -> None:
    eventually(lambda: has_data(world, query.expression), query.expression)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_data_to_judge_by(world: Watched, alert: str) -> None:
    parts = list(operands(promql_parser.parse(ALERTS[alert]["expr"])))
    assert parts
    for part in parts:
        eventually(lambda part=part: has_data(world, part), part)  # type: ignore[misc]


def test_rules_are_healthy_and_recording_rules_record(world: Watched) -> None:
    def healthy() -> bool:
        return all(rule["health"] == "ok" for rule in world.prometheus.rules())

    eventually(healthy, "every rule has been evaluated without an error")
    for rule in world.prometheus.rules():
        if rule["type"] == "recording":
            eventually(lambda rule=rule: has_data(world, rule["name"]), rule["name"])  # type: ignore[misc]


def test_alerts_tell_the_bad_campaign_from_the_good_one(world: Watched) -> None:
    expected = {
        "PresendRefusedRecipients",
        "PresendUnknownUsers",
        "PresendSuppressedRecipients",
        "PresendDnsFailing",
    }

    def alerted(campaign: str) -> set[str]:
        found = world.prometheus.query(f'ALERTS{{campaign="{campaign}"}}')
        return {series.labels["alertname"] for series in found}

    eventually(lambda: alerted(BAD) == expected, "the bad campaign's alerts are pending")
    assert alerted(GOOD) == set()
    pages = {
        alert["annotations"]["runbook_url"]
        for rule in world.prometheus.rules()
        for alert in rule.get("alerts", [])
        if alert["labels"].get("campaign") == BAD
    }
    assert pages == {
        f"https://github.com/presend/presend/blob/main/docs/runbooks/{name}.md" for name in expected
    }
    assert not world.prometheus.query('ALERTS{alertname="PresendMetricsAbsent"}')


def test_campaign_labels_are_the_relays_own(world: Watched) -> None:
    for metric in ("up", "presend_build_info", "presend_recipients_total", "presend_sessions"):
        found = {series.labels["campaign"] for series in world.prometheus.query(metric)}
        assert found == {GOOD, BAD}, metric
    assert not world.prometheus.query('{__name__=~"presend_.+", exported_campaign!=""}')
    assert len(world.prometheus.query("up")) == 2, "only the container presend is scraped"


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_the_dashboard_can_be_drawn(world: Watched, name: str) -> None:
    campaign = ".*" if name == "campaigns" else BAD
    eventually(
        lambda: all(
            has_data(world, query.expression)
            for query in queries(name, campaign=campaign, rate_interval=RATE_INTERVAL)
        ),
        "every panel has data",
    )
    (now,) = (series.samples[0][1] for series in world.prometheus.query("time()"))
    drawn = pictures.picture(
        name, world.prometheus, (now - 5, now), campaign=campaign, rate_interval=RATE_INTERVAL
    )
    for panel in panels(name):
        assert f">{html.escape(panel['title'])}<" in drawn
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - it is our own
    committed = ROOT / f"docs/images/dashboard-{name}.svg"
    titles = re.findall(r'font-size="13"[^>]*font-weight="500">([^<]+)<', committed.read_text())
    assert titles == [html.escape(panel["title"]) for panel in panels(name)], (
        "draw the pictures anew: python -m tests.deploy.pictures 6"
    )
