"""The page of `--report`: one HTML document with its style and charts inside, and nothing outside.

The charts are a few rectangles, written as SVG by the template: docs/decisions/dependencies.md says
why no library draws them. Jinja2 escapes every value; the list's owner sees domains as given.
"""

import base64
import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final

from relay import VERSION
from relay.commands.check.counts import VerdictCounts
from relay.commands.check.gate import Decision, expected_bounces
from relay.commands.check.split import REVIEW_RISK
from validators.reasons import Reason

SHOWN: Final = 20
"""Most rows of a table of domains."""
_BINS: Final = 10
_HEIGHT: Final = 105.0
_VERDICTS: Final = ("accept", "defer", "reject")


def render(
    name: str,
    counts: VerdictCounts,
    rates: Mapping[str, float],
    decision: Decision,
    warning: str = "",
    review_risk: float = REVIEW_RISK,
) -> str:
    """Return the page as HTML.

    `name` is the list's; `warning` says why the result is not reliable, if it is not.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = resources.files("relay.commands.check") / "templates"
    style = (folder / "report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda file: (folder / file).read_text("utf-8")),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    numbers = {verdict: counts.verdicts(verdict).total() for verdict in _VERDICTS}
    whole = max(1, counts.total)
    safe = sum(
        n
        for kind, n in counts.kinds.items()
        if kind.verdict == "accept" and kind.risk < review_risk
    )
    return environment.get_template("report.html").render(
        name=_printable(name),
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'",
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=VERSION,
        warning=warning,
        decision=decision,
        percent=_percent,
        total=whole if counts.total else 0,
        safe=safe / whole,
        review_risk=review_risk,
        numbers=numbers,
        shares={verdict: number / whole for verdict, number in numbers.items()},
        duplicates=counts.duplicates,
        cleaned=counts.cleaned,
        blank=counts.blank,
        bounces=[
            ("the whole list", expected_bounces(counts, rates, accepted=False)),
            ("the accepted addresses", expected_bounces(counts, rates, accepted=True)),
        ],
        bins=list(_bins(counts)),
        providers=_providers(counts),
        reasons=list(_reasons(counts)),
        typos=[
            (_printable(given), meant, number)
            for (given, meant), number in sorted(counts.typos.items(), key=_by_number)[:SHOWN]
        ],
        slips=[
            (row, _printable(given), _printable(meant))
            for row, given, meant in sorted(counts.slips)[:SHOWN]
        ],
        domains=[
            (_printable(domain), number)
            for domain, number in sorted(counts.domains.items(), key=_by_number)[:SHOWN]
        ],
    )


def _by_number(item: tuple[Any, int]) -> tuple[int, Any]:
    """Sort by number, the largest first, and then by name: the same for shards and the whole."""
    return -item[1], item[0]


def _printable(text: str) -> str:
    """Return a text that can be encoded; lone surrogates and control characters are replaced."""
    return "".join(mark if mark.isprintable() else "\ufffd" for mark in text)


def _percent(value: float) -> str:
    shown = f"{value * 100:.1f} %"
    return "< 0.1 %" if value > 0 and shown == "0.0 %" else shown


def _bins(counts: VerdictCounts) -> Iterator[dict[str, Any]]:
    """Yield the bars of the histogram."""
    numbers = [0] * _BINS
    for kind, number in counts.kinds.items():
        numbers[min(_BINS - 1, int(kind.risk * _BINS))] += number
    highest = math.log1p(max(numbers, default=0)) or 1.0
    for place, number in enumerate(numbers):
        yield {
            "label": f"{place / _BINS:.1f} to {(place + 1) / _BINS:.1f}:",
            "edge": f"{place / _BINS:.1f}" if place else "0",
            "number": number,
            "short": _short(number),
            "height": _HEIGHT * math.log1p(number) / highest,
        }


def _short(number: int) -> str:
    """Return a number in at most five characters, empty for none."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if number >= size:
            least = 1000 if unit == "k" else size
            return (
                f"{number / least:.1f}{unit}"
                if number < 100 * least
                else f"{number // least}{unit}"
            )
    return str(number) if number else ""


def _providers(counts: VerdictCounts) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for kind, number in counts.kinds.items():
        row = found.setdefault(
            kind.provider, {"name": kind.provider, "total": 0, "defer": 0, "reject": 0}
        )
        row["total"] += number
        if kind.verdict in row:
            row[kind.verdict] += number
    return sorted(found.values(), key=lambda row: (-row["total"], row["name"]))


def _reasons(counts: VerdictCounts) -> Iterator[dict[str, Any]]:
    """Yield the reasons with the number of recipients by action, in the order of the table."""
    found: dict[str, dict[str, int]] = {}
    for kind, number in counts.kinds.items():
        for reason, action in set(kind.findings):
            row = found.setdefault(reason, {"reject": 0, "defer": 0, "observe": 0})
            row[action] += number
    for reason in Reason:
        if reason in found:
            yield {"name": reason.value, "meaning": reason.row.meaning, **found[reason]}
