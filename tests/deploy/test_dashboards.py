"""Tests of the dashboards: Grafana's types, valid PromQL, existing metrics, required fields."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy.dashboards import FILES, NAMES, load, panels, queries
from tests.deploy.manifests import DEPLOY, HERE
from tests.support import need
from tests.support.registered import declarations

SUFFIXES = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
METRICS = {
    metric.name + suffix: set(metric.labels)
    for metric in declarations()
    for suffix in SUFFIXES[metric.kind]
}
TARGET_LABELS = {"job", "campaign", "instance", "namespace", "pod", "le"}
RULES = [
    rule
    for path in sorted((DEPLOY / "monitoring/rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
WIDTH = 24  # of Grafana's grid


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:  # noqa: ANN401 - a tree
    """Yield the vector selectors of a parsed expression."""
    match expression:
        case promql_parser.VectorSelector():
            yield expression
        case promql_parser.MatrixSelector():
            yield expression.vector_selector
        case promql_parser.BinaryExpr():
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case promql_parser.Call():
            for argument in expression.args:
                yield from selectors(argument)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            yield from selectors(expression.expr)


def expressions() -> Iterator[str]:
    """Yield every expression of dashboards and rules."""
    for name in NAMES:
        for query in queries(name, campaign="x", rate_interval="1m"):
            yield query.expression
    for rule in RULES:
        yield rule["expr"]


def test_expressions_ask_for_metrics_and_labels_that_exist() -> None:
    for expression in expressions():
        for selector in selectors(promql_parser.parse(expression)):
            if selector.name in RECORDED or selector.name == "up":
                continue
            assert selector.name in METRICS, expression
            known = METRICS[selector.name] | TARGET_LABELS
            asked = {matcher.name for matcher in selector.matchers.matchers}
            assert asked <= known, f"{asked - known} in {expression}"
            assert "job" in asked, f"another job's metric could be meant: {expression}"


def test_every_metric_is_watched() -> None:
    used = " ".join(expressions())
    unused = {metric.name for metric in declarations() if metric.name not in used}
    assert unused == set()


@pytest.mark.slow
def test_dashboards_have_grafana_s_own_types(tmp_path: Path) -> None:
    npm = need.program("npm")
    for path in (HERE / "grafana").iterdir():
        shutil.copy(path, tmp_path)
    for path in FILES:
        (tmp_path / f"{path.stem}.ts").write_text(
            "import type { Checked } from './dashboard.js';\n"
            f"export const dashboard: Checked = {path.read_text(encoding='utf-8')};\n",
            encoding="utf-8",
        )
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=tmp_path, check=True)
    compiler = tmp_path / "node_modules/.bin/tsc"

    def errors() -> str:
        done = subprocess.run(
            [compiler, "-p", "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert errors() == ""
    spoilt = tmp_path / "campaign.ts"
    spoilt.write_text(spoilt.read_text().replace('"showPoints"', '"showPoint"', 1))
    assert "showPoint" in errors()


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_can_be_found_and_chosen_from(name: str) -> None:
    dashboard = load(name)
    assert dashboard["uid"] == f"presend-{name}"
    assert dashboard["description"]
    assert dashboard["time"]["from"]
    assert dashboard["refresh"]
    variables = {item["name"]: item for item in dashboard["templating"]["list"]}
    assert variables.keys() == {"datasource", "campaign"}
    used = json.dumps(dashboard["panels"])
    assert "$campaign" in used
    assert all(item["label"] for item in variables.values())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_leaves_nothing_unset(name: str) -> None:
    for panel in panels(name):
        title = panel["title"]
        assert panel["description"].endswith("."), title
        assert panel["datasource"]["uid"] == "${datasource}", title
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], title
        assert defaults["thresholds"]["steps"][0]["value"] is None, title
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", title
            if panel["type"] == "timeseries":
                assert target["legendFormat"], title
                assert panel["options"]["legend"]["showLegend"], title
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)), title


@pytest.mark.parametrize("name", NAMES)
def test_a_legend_names_labels_that_the_query_keeps(name: str) -> None:
    for query in queries(name, campaign="x", rate_interval="1m"):
        for label in re.findall(r"{{(\w+)}}", query.legend):
            kept = re.search(rf"\b(sum|max|min) by \([^)]*\b{label}\b", query.expression)
            recorded = label == "campaign" and "campaign:" in query.expression
            plain = not re.match(r"(sum|max|histogram_quantile)\b", query.expression)
            assert kept or recorded or plain, f"{query.panel['title']}: {label}"


@pytest.mark.parametrize("name", NAMES)
def test_panels_neither_overlap_nor_leave_the_grid(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in load(name)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_thresholds_on_the_dashboards_are_those_of_the_alerts() -> None:
    limits = {
        "campaign:presend_refused:ratio30m": 0.05,
        "campaign:presend_unknown_users:ratio30m": 0.02,
        "campaign:presend_suppressed:ratio30m": 0.01,
    }
    alerts = " ".join(rule["expr"] for rule in RULES if "alert" in rule)
    for metric, limit in limits.items():
        assert f"{metric}_low > {limit}" in alerts
        for name in NAMES:
            for panel in panels(name):
                if panel["type"] != "table" and metric in panel["targets"][0]["expr"]:
                    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
                    assert limit in [step["value"] for step in steps], panel["title"]
