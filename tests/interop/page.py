"""The page: its tables are made from the results, and the results are kept beside it as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.presend import ROOT

PAGE = ROOT / "docs" / "interoperability.md"
RESULTS = ROOT / "docs" / "interoperability.json"

Table = Sequence[tuple[str, str]]
"""The columns after name and version: the cell's name, and the heading."""

CLIENT_TABLES: Mapping[str, Table] = {
    "clients": (
        ("used_as", "used as"),
        ("content", "content, three recipients"),
        ("login", "STARTTLS and AUTH"),
        ("extensions", "extensions used"),
        ("utf8", "recipient in UTF-8"),
        ("limited", "upstream without 8BITMIME and SMTPUTF8"),
    ),
    "partial": (("partial", "who gets the message"), ("partial_seen", "the application sees")),
    "deferred": (("deferred_seen", "the application sees"), ("deferred", "tries again")),
    "refused": (("refused_seen", "the application sees"), ("refused", "tries again")),
    "between": (("between_seen", "the application sees"), ("between", "tries again")),
}
UPSTREAM_TABLES: Mapping[str, Table] = {
    "upstreams": (
        ("known", "known recipients, 8-bit content"),
        ("used", "extensions that presend uses"),
        ("tls", "TLS"),
        ("utf8", "recipient in UTF-8"),
        ("big", "8 MiB"),
        ("reuse", "20 messages of 20 clients"),
    ),
    "replies": (
        ("unknown", "RCPT of an unknown recipient, as the client sees it"),
        ("final", "final reply, as the client sees it"),
    ),
}


@dataclass(slots=True)
class Row:
    """The result of one client or upstream."""

    version: str = ""
    not_tried: str = ""  # the reason
    cells: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Results:
    """All results, by name."""

    clients: dict[str, Row] = field(default_factory=dict)
    upstreams: dict[str, Row] = field(default_factory=dict)
    system: str = ""


def load(path: Path = RESULTS) -> Results:
    """Read the results of earlier runs; empty if there are none."""
    if not path.exists():
        return Results()
    read = json.loads(path.read_text())
    rows = {
        kind: {name: Row(**row) for name, row in read[kind].items()}
        for kind in ("clients", "upstreams")
    }
    return Results(**rows, system=read["system"])


def save(results: Results, path: Path = RESULTS) -> None:
    """Write the results."""
    path.write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False) + "\n")


def table(rows: Mapping[str, Row], columns: Table, *, first: str, names: Sequence[str]) -> str:
    """Return a Markdown table with a line for each name."""
    heads = (first, "version", *(heading for _, heading in columns))
    lines = [_line(heads), _line(["---"] * len(heads))]
    for name in names:
        row = rows.get(name, Row(not_tried="no result yet"))
        cells = [row.cells.get(key, "") for key, _ in columns]
        if row.not_tried:
            cells[0] = f"not tried: {row.not_tried}"
        lines.append(_line([name, row.version, *cells]))
    return "\n".join(lines)


def updated(text: str, results: Results, clients: Sequence[str], upstreams: Sequence[str]) -> str:
    """Return the page with all its tables made anew."""
    for name, columns in CLIENT_TABLES.items():
        made = table(results.clients, columns, first="client", names=clients)
        text = _replaced(text, name, made)
    for name, columns in UPSTREAM_TABLES.items():
        made = table(results.upstreams, columns, first="upstream", names=upstreams)
        text = _replaced(text, name, made)
    return _replaced(text, "system", results.system)


def _replaced(text: str, name: str, made: str) -> str:
    start = f"<!-- made: {name} -->"
    head, mark, rest = text.partition(start)
    if not mark:
        raise ValueError(f"the page has no {start}")
    _, end, tail = rest.partition("<!-- end -->")
    return f"{head}{start}\n\n{made}\n\n{end}{tail}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
