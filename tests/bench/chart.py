"""A bar chart as SVG, readable on light and dark pages, without a plotting library."""

from collections.abc import Mapping
from html import escape

from tests.bench.loads import Rates

WIDTH, LABEL, VALUE = 760, 130, 90
BAR, GAP, TITLE = 18, 5, 34

STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
rect { fill: #8c959f }
rect.presend { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  rect { fill: #6e7681 }
  rect.presend { fill: #58a6ff }
}
"""


def panel(rates: Rates, name: str, top: int) -> tuple[list[str], int]:
    """Draw one load below y = `top`; return the elements and the y of the end."""
    medians = {path: rates.median(path) for path in rates.rounds}
    most = max(medians.values())
    title = escape(f"{name}: {rates.title} ({rates.unit})")
    drawn = [f'<text class="title" x="0" y="{top + 20}">{title}</text>']
    y = top + TITLE
    for path, value in medians.items():
        length = max(1.0, value / most * (WIDTH - LABEL - VALUE))
        kind = ' class="presend"' if path == "presend" else ""
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        drawn += [
            f'<text x="0" y="{y + 14}">{escape(path)}</text>',
            f'<rect{kind} x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{y + 14}">{text}</text>',
        ]
        y += BAR + GAP
    return drawn, y


def svg(measured: Mapping[str, Rates]) -> str:
    """Return the chart: one panel for each load, each with its own scale."""
    elements: list[str] = []
    y = 0
    for name, rates in measured.items():
        if rates.rounds:
            drawn, y = panel(rates, name, y)
            elements += drawn
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + GAP}" '
        f'width="{WIDTH}" role="img" aria-label="Messages a second on each path">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *elements, "</svg>", ""])
