"""Tests of the rules: promtool, firing and quiet cases for each alert, and runbooks."""

import itertools
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from relay.settings import every_setting
from tests.deploy.dashboards import NAMES, panels
from tests.deploy.manifests import DEPLOY, HERE, ROOT
from tests.support import need

RULES = sorted((DEPLOY / "monitoring/rules").glob("*.yaml"))
CASES = (HERE / "alerts.test.yaml", HERE / "alerts-week.test.yaml")
RUNBOOKS = ROOT / "docs/runbooks"
ALERTS = {
    rule["alert"]: rule
    for path in RULES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
ADDRESS = '{{ with query "presend:runbooks" }}{{ . | first | label "url" }}{{ end }}'
"""The address of the runbooks, which rules/runbooks.yaml sets."""

SECTIONS = ["What it means", "Look", "Do"]


def promtool(*words: str | Path, folder: Path = HERE) -> str:
    done = subprocess.run(
        [need.program("promtool"), *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_rules() -> None:
    promtool("check", "rules", "--lint-fatal", *RULES)


def test_alerts_fire_when_they_should_and_are_quiet_when_not() -> None:
    promtool("test", "rules", *CASES)


def test_every_alert_has_a_case_each_way() -> None:
    found: dict[str, set[str]] = {}
    cases = [yaml.safe_load(path.read_text(encoding="utf-8"))["tests"] for path in CASES]
    for case in itertools.chain(*cases):
        way, alert = re.match(r"(fires|quiet): (\w+); ", case["name"]).groups()  # type: ignore[union-attr]
        found.setdefault(alert, set()).add(way)
        first = case["promql_expr_test"][0]
        assert "ALERTS" in first["expr"], case["name"]
        named = any(f'alertname="{alert}"' in item["labels"] for item in first["exp_samples"])
        assert named == (way == "fires"), case["name"]
    assert found == {alert: {"fires", "quiet"} for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_why_and_where_its_threshold_is_from(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "threshold", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == ADDRESS + f"/{alert}.md"


def test_every_runbook_url_follows_the_one_setting(tmp_path: Path) -> None:
    """Each alert is replaced by one that always fires, and the address by a user's."""
    rules = yaml.safe_load((DEPLOY / "monitoring/rules/runbooks.yaml").read_text(encoding="utf-8"))
    rules["groups"][0]["rules"][0]["labels"]["url"] = "https://wiki.shop.example/presend"
    alerts = [
        {
            "alert": name,
            "expr": "vector(1)",
            "annotations": {"runbook_url": rule["annotations"]["runbook_url"]},
        }
        for name, rule in ALERTS.items()
    ]
    rules["groups"].append({"name": "always", "rules": alerts})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    expected = [
        {
            "alertname": name,
            "eval_time": "5m",
            "exp_alerts": [
                {"exp_annotations": {"runbook_url": f"https://wiki.shop.example/presend/{name}.md"}}
            ],
        }
        for name in ALERTS
    ]
    case = {"interval": "1m", "alert_rule_test": expected}
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [case]}
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    promtool("test", "rules", "case.yaml", folder=tmp_path)


def test_there_is_a_runbook_for_every_alert_and_no_other() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_can_be_followed(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    titles = {panel["title"] for name in NAMES for panel in panels(name)}
    assert set(re.findall(r"\*\*([^*]+)\*\*", text)) <= titles, "a panel that no dashboard has"
    assert set(re.findall(r"\]\((\w+)\.md\)", text)) <= set(ALERTS)
    settings = {setting.env for setting in every_setting()}
    assert set(re.findall(r"\bPRESEND_\w+", text)) <= settings, "a setting that presend lacks"


def test_the_operator_takes_the_rules_as_the_documentation_says() -> None:
    """docs/kubernetes.md builds a PrometheusRule from the same file by indenting it."""
    text = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```sh\n(for .*?)\| kubectl apply[^\n]*\n```", text, re.DOTALL)
    done = subprocess.run(
        ["sh", "-euc", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    made = list(yaml.safe_load_all(done.stdout))
    assert [item["kind"] for item in made] == ["PrometheusRule"] * len(RULES)
    for item, path in zip(made, RULES, strict=True):
        assert item["metadata"]["name"] == f"presend-{path.stem}"
        assert item["spec"] == yaml.safe_load(path.read_text(encoding="utf-8"))
