"""The status page: one HTML document with its style inside, no script and no outside asset.

Every value is escaped; the content security policy allows nothing but the one style.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from relay.http.status import Status, UpstreamStatus

REFRESH: Final = 5
"""Seconds after which the browser asks again."""

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --page: #f6f8fa;
  --card: #fff; --good: #1a7f37; --wait: #9a6700; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #30363d;
  --page: #0d1117; --card: #161b22; --good: #3fb950; --wait: #d29922; --bad: #f85149; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 64rem; margin: 0 auto; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
* + h2 { margin-top: 1rem; }
main { display: grid; gap: 1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: 1rem; overflow-x: auto; }
.wide { grid-column: 1 / -1; }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line); }
th { font-weight: 400; overflow-wrap: break-word; }
td { vertical-align: top; }
tr:first-child > * { border-top: 0; }
.n { text-align: right; padding-right: 0; font-variant-numeric: tabular-nums; }
.n + .n { padding-left: .75rem; }
.soft, footer { color: var(--soft); }
.good { color: var(--good); } .wait { color: var(--wait); } .bad { color: var(--bad); }
.state { font-weight: 600; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: .5rem; margin: .5rem 0 .75rem; border-radius: .25rem; }
rect.good { fill: var(--good); } rect.wait { fill: var(--wait); } rect.bad { fill: var(--bad); }
footer { margin-top: 1rem; font-size: .875rem; }
a { color: inherit; }
"""

_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every response."""

_TONES: Final = {"accept": "good", "defer": "wait", "reject": "bad"}


def render(status: Status) -> str:
    """Return the page."""
    state, tone = _state(status)
    title = escape(status.campaign)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH}">
<title>{title}: {state} - presend</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{title}</h1><span class="state {tone}">{state}</span></header>
<main>
{_troubles(status)}
{_recipients(status)}
{_messages(status)}
{_upstreams(status.upstreams)}
{_dns(status)}
{_suppressions(status)}
</main>
<footer><p>presend {escape(status.version)}, up {_duration(status.uptime)} · refreshed every
{REFRESH} s · <a href="/metrics">metrics</a> · <a href="/readyz">readiness</a></p></footer>
</body>
</html>
"""


def _state(status: Status) -> tuple[str, str]:
    if status.draining:
        return "draining", "wait"
    if status.reasons:
        return "not ready", "bad"
    return "accepting", "good"


def _troubles(status: Status) -> str:
    if not status.reasons:
        return ""
    lines = "".join(f"<p>{escape(reason)}</p>" for reason in status.reasons)
    return f'<section class="wide"><h2 class="bad">Not ready</h2>{lines}</section>'


def _recipients(status: Status) -> str:
    total = sum(status.verdicts.values())
    rows = "".join(
        f'<tr><th scope="row" class="{_TONES.get(verdict, "soft")}">{escape(verdict)}</th>'
        f"<td>{'' if reason == 'none' else escape(reason)}</td>"
        f'{_number(n)}<td class="n soft">{_share(n, total)}</td></tr>'
        for (verdict, reason), n in sorted(status.verdicts.items(), key=_most_first)
    )
    body = f"{_bar(status)}{_table(rows)}" if rows else _nothing("No recipient yet.")
    observed = _counts(status.observed)
    if observed:
        body += f"<h2>Observed only (shadow mode)</h2>{_table(observed)}"
    return _section(f"Recipients: {total:,}", body)


def _bar(status: Status) -> str:
    """Draw the shares of the verdicts; SVG, since the policy forbids style attributes."""
    totals = dict.fromkeys(("accept", "defer", "reject"), 0)
    for (verdict, _), n in status.verdicts.items():
        totals[verdict] = totals.get(verdict, 0) + n
    scale = 100 / (sum(totals.values()) or 1)
    bars, x = "", 0.0
    for verdict, n in totals.items():
        tone = _TONES.get(verdict, "soft")
        bars += f'<rect class="{tone}" x="{x:.2f}" width="{n * scale:.2f}" height="4"/>'
        x += n * scale
    return f'<svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>'


def _messages(status: Status) -> str:
    rows = _counts(status.messages)
    sessions = f'<p class="soft">SMTP sessions open: {status.sessions:,}</p>'
    body = (_table(rows) if rows else _nothing("No message yet.")) + sessions
    return _section(f"Messages: {sum(status.messages.values()):,}", body)


def _upstreams(upstreams: Iterable[UpstreamStatus]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(upstream.address)}'
        f'<br><span class="soft">{escape(upstream.scheme)}</span></th><td>{_readiness(upstream)}'
        f'<br><span class="soft">{upstream.busy:,} busy, {upstream.idle:,} idle, '
        f"{upstream.connecting:,} connecting</span></td></tr>"
        for upstream in upstreams
    )
    return _section("Upstreams, in order of failover", _table(rows), wide=True)


def _readiness(upstream: UpstreamStatus) -> str:
    if upstream.backoff > 0:
        return f'<span class="bad">backing off, {upstream.backoff:.0f} s left</span>'
    return '<span class="good">ready</span>'


def _dns(status: Status) -> str:
    counts = {
        "from the cache": status.dns_hits,
        "looked up": status.dns_misses,
        "joined a lookup under way": status.dns_shared,
    }
    return _section(f"Mail routes asked for: {sum(counts.values()):,}", _table(_counts(counts)))


def _suppressions(status: Status) -> str:
    rows = _counts(status.suppressions)
    trouble = status.store_trouble
    health = (
        '<span class="good">working</span>'
        if trouble is None
        else f'<span class="bad">{escape(trouble)}</span>'
    )
    body = _table(rows) if rows else _nothing("The list is empty.")
    store = f'<p><span class="soft">{escape(status.store)}</span> {health}</p>'
    return _section(f"Suppressions: {sum(status.suppressions.values()):,}", body + store)


def _most_first(item: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    key, n = item
    return -n, key


def _counts(counts: Mapping[str, int]) -> str:
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_number(n)}</tr>' for name, n in counts.items()
    )


def _section(title: str, body: str, *, wide: bool = False) -> str:
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{body}</section>"


def _table(rows: str) -> str:
    return f"<table><tbody>{rows}</tbody></table>"


def _number(n: int) -> str:
    return f'<td class="n">{n:,}</td>'


def _share(n: int, total: int) -> str:
    return f"{n / total:.1%}" if n * 1000 >= total else "&lt;0.1%"


def _nothing(text: str) -> str:
    return f'<p class="soft">{text}</p>'


def _duration(seconds: float) -> str:
    """Write the two largest units, such as `3 d 4 h`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{n} {unit}" for n, unit in parts if n][:2]
    return " ".join(shown) or "0 s"
