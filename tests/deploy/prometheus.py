"""A Prometheus server with the configuration of deploy/k8s, which scrapes running relays."""

import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.deploy.manifests import DEPLOY
from tests.support import need
from tests.support.closing import Closing
from tests.support.eventually import eventually

_WAIT = 20.0  # seconds after which a wait fails


class Series(NamedTuple):
    """One result of a query: its labels, and its samples as (unix seconds, value)."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]


class Prometheus(Closing):
    """The server. `relays` maps each campaign to the HTTP port of its relay."""

    def __init__(self, folder: Path, relays: Mapping[str, int], *, interval: str = "1s") -> None:
        program = need.program("prometheus")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        config = folder / "prometheus.yml"
        _write_rules(folder / "rules")
        config.write_text(
            yaml.safe_dump(_config(relays, interval, folder / "rules")), encoding="utf-8"
        )
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        try:
            eventually(self._ready, "Prometheus is ready")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the server with SIGTERM."""
        self._process.terminate()
        self._process.wait(_WAIT)
        self._log.close()

    def query(self, expression: str) -> list[Series]:
        """Evaluate an expression now. Raises AssertionError with Prometheus's error message."""
        found = self._get("query", {"query": expression})
        if found["resultType"] == "scalar":
            return [Series({}, [_sample(found["result"])])]
        return [Series(item["metric"], [_sample(item["value"])]) for item in found["result"]]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Evaluate an expression every `step` seconds from `start` to `end` (unix seconds)."""
        parameters = {"query": expression, "start": start, "end": end, "step": step}
        found = self._get("query_range", {key: str(value) for key, value in parameters.items()})
        return [
            Series(item["metric"], [_sample(pair) for pair in item["values"]])
            for item in found["result"]
        ]

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule that Prometheus has loaded, with its health."""
        found: list[dict[str, Any]] = [
            rule for group in self._get("rules", {})["groups"] for rule in group["rules"]
        ]
        return found

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_WAIT) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                message = f"{parameters}: {error.read().decode()}"
            raise AssertionError(message) from error

    def _ready(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=_WAIT):
                return True
        except OSError:
            return False


def _sample(pair: tuple[float, str]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _write_rules(folder: Path) -> None:
    """Write the shipped rules, with every group evaluated at the interval of the configuration."""
    folder.mkdir()
    for path in (DEPLOY / "monitoring/rules").glob("*.yaml"):
        rules = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in rules["groups"]:
            group.pop("interval", None)
        (folder / path.name).write_text(yaml.safe_dump(rules), encoding="utf-8")


def _config(relays: Mapping[str, int], interval: str, rules: Path) -> dict[str, Any]:
    """Return the shipped configuration with static targets instead of Kubernetes discovery."""
    config: dict[str, Any] = yaml.safe_load(
        (DEPLOY / "quickstart/monitoring/config/prometheus.yml").read_text(encoding="utf-8")
    )
    assert config.pop("scrape_config_files") == ["/etc/presend/scrape/scrape.yaml"]
    assert config["rule_files"] == ["/etc/presend/rules/*.yaml"]
    config["rule_files"] = [f"{rules}/*.yaml"]
    config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    shipped = yaml.safe_load((DEPLOY / "monitoring/scrape.yaml").read_text(encoding="utf-8"))
    (job,) = shipped["scrape_configs"]
    del job["kubernetes_sd_configs"]
    job["scrape_interval"] = interval
    job["static_configs"] = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {
                "__meta_kubernetes_namespace": campaign,
                "__meta_kubernetes_pod_name": f"{campaign}-0",
                "__meta_kubernetes_pod_phase": "Running",
                "__meta_kubernetes_pod_container_name": container,
                "__meta_kubernetes_pod_container_port_name": "metrics",
                "__meta_kubernetes_pod_label_presend_io_campaign": campaign,
            },
        }
        for campaign, port in relays.items()
        for container in ("presend", "application")  # only the first must be scraped
    ]
    config["scrape_configs"] = [job]
    return config
