"""Pictures of the dashboards, drawn as SVG from the results of their queries.

`python -m tests.deploy.pictures MINUTES` runs two campaigns for that long, with upstream faults in
the middle, and writes docs/images/dashboard-*.svg.
"""

import contextlib
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.deploy import drawing
from tests.deploy.dashboards import NAMES, load, panel_queries
from tests.deploy.drawing import Box, Line
from tests.deploy.manifests import ROOT
from tests.deploy.prometheus import Prometheus, Series
from tests.deploy.units import shown

COLUMN, ROW, GAP = 60, 34, 6  # pixels of Grafana's grid
HEAD = 46
_POINTS = 120


def picture(
    name: str,
    prometheus: Prometheus,
    span: tuple[float, float],
    *,
    campaign: str,
    rate_interval: str,
) -> str:
    """Return a dashboard as SVG for the time from `span[0]` to `span[1]` (unix seconds)."""
    dashboard = load(name)
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    width, height = 24 * COLUMN + GAP, HEAD + bottom * ROW + GAP
    chosen = "all campaigns" if campaign == ".*" else campaign
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size} ',
        'font-family="Inter, Helvetica, Arial, sans-serif">',
        f'<rect {size} fill="{drawing.BACKGROUND}"/>',
        drawing.text(16, 29, dashboard["title"], size=18, weight=600),
        drawing.text(width - 16, 29, f"Campaign: {chosen}", anchor="end", size=13),
    ]
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        box = Box(
            place["x"] * COLUMN + GAP,
            HEAD + place["y"] * ROW,
            place["w"] * COLUMN - GAP,
            place["h"] * ROW - GAP,
        )
        if panel["type"] == "row":
            parts.append(drawing.text(box.x + 6, box.y + 21, panel["title"], size=14, weight=600))
            continue
        queries = list(panel_queries(panel, campaign=campaign, rate_interval=rate_interval))
        if panel["type"] == "table":
            found = [prometheus.query(query.expression) for query in queries]
            parts.append(_table(box, panel, found))
            continue
        step = (span[1] - span[0]) / _POINTS
        lines = [
            Line(_legend(query.legend, series), series.samples)
            for query in queries
            for series in prometheus.query_range(query.expression, *span, step)
        ]
        assert lines, f"{name}: {panel['title']} is empty"
        draw = drawing.stat if panel["type"] == "stat" else drawing.timeseries
        parts.append(draw(box, panel, lines, span))
    return "".join([*parts, "</svg>\n"])


def _legend(pattern: str, series: Series) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: series.labels.get(found[1], ""), pattern)


def _table(box: Box, panel: dict[str, Any], found: list[list[Series]]) -> str:
    """Apply the transformations and overrides of a panel: merge, rename, sort, colour."""
    names = panel["transformations"][1]["options"]["renameByName"]
    columns = [names[f"Value #{target['refId']}"] for target in panel["targets"]]
    overrides = {
        item["matcher"]["options"]: {entry["id"]: entry["value"] for entry in item["properties"]}
        for item in panel["fieldConfig"]["overrides"]
    }
    rows: dict[str, dict[str, float]] = {}
    for column, result in zip(columns, found, strict=True):
        for series in result:
            rows.setdefault(series.labels["campaign"], {})[column] = series.samples[0][1]
    (order,) = panel["options"]["sortBy"]
    by = order["displayName"]
    worst_first = sorted(rows.items(), key=lambda row: row[1].get(by, 0), reverse=order["desc"])
    cells = []
    for campaign, values in worst_first:
        row = [(campaign, "")]
        for column in columns:
            settings, value = overrides[column], values.get(column, float("nan"))
            steps = settings.get("thresholds", {}).get("steps")
            fill = drawing.colour(value, steps) if steps else ""
            row.append((shown(value, settings["unit"]), fill))
        cells.append(row)
    return drawing.table(box, panel["title"], [names["campaign"], *columns], cells)


@contextlib.contextmanager
def _intermittent_faults(upstream: Any, seconds: float) -> Iterator[None]:  # noqa: ANN401 - the rig's
    """Drop the upstream's connections at intervals during the middle third of the time."""
    over = threading.Event()

    def run() -> None:
        over.wait(seconds / 3)
        for _ in range(int(seconds / 3)):
            if over.wait(1):
                return
            upstream.drop(reset=True)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main(minutes: float) -> None:
    """Run the campaigns and write the pictures."""
    from tests.deploy.watched import BAD, watched

    seconds = minutes * 60
    with tempfile.TemporaryDirectory() as folder, watched(Path(folder)) as world:
        with _intermittent_faults(world.upstream, seconds):
            threading.Event().wait(seconds)
        now = time.time()
        for name in NAMES:
            campaign = ".*" if name == "campaigns" else BAD
            span = (now - seconds + 10, now - 1)
            drawn = picture(name, world.prometheus, span, campaign=campaign, rate_interval="15s")
            (ROOT / f"docs/images/dashboard-{name}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(float(sys.argv[1]))
