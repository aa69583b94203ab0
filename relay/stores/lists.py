"""Suppression lists in files: plain lists and CSV, read row by row and written back.

    plain   one entry a line: an address, a domain (or @domain), or a hex digest
    CSV     a header that names its columns, or one column named by the user; see `Columns`

A reader yields entries or raises `BadRow` at the first line it cannot use. Memory is bounded
whatever the file holds.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, TextIO

from relay.stores.texts import (
    SOURCE_LIMIT,
    parse_entry,
    parse_reason,
    parse_scope,
    parse_source,
    parse_time,
    write_time,
)
from validators.suppression import (
    ALL,
    Kind,
    Suppression,
    SuppressionReason,
    normalize,
)

FIELDS: Final = ("kind", "value", "scope", "reason", "source", "created", "expires")
"""Header of the CSV that `write_csv` writes."""

_LONGEST_LINE: Final = 65_536
_SHOWN: Final = 80
_COLUMNS: Final = (
    ("address", Kind.ADDRESS),
    ("email", Kind.ADDRESS),
    ("sha256", Kind.SHA256),
    ("md5", Kind.MD5),
    ("domain", Kind.DOMAIN),
)
"""Columns an entry may stand in. The first one filled in counts: in a file with `email` and
`domain`, the domain only describes the address and must not be suppressed as a whole."""


class BadRow(ValueError):  # noqa: N818 - it names the row, not a fault of the program
    """A line of a list cannot be used; the message has its number, its text and why."""

    def __init__(self, line: int, text: str, fault: object) -> None:
        text = text.strip()
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        super().__init__(f"line {line}: {shown!r}: {fault}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Given:
    """What the user said of every entry; None leaves it to the file, else to the default."""

    scope: str | None = None
    reason: SuppressionReason | None = None
    source: str | None = None
    expires: float | None = None
    fallback: str = ""
    """The source where neither user nor file names one."""


def read_list(
    file: BinaryIO, given: Given, *, now: float, column: str | None = None, name: str = ""
) -> Iterator[Suppression]:
    """Read a plain list or a CSV, told apart by the first line; the text is UTF-8.

    What is `given` beats the columns of the file; `name` is the source where neither says one.
    Raises BadRow.
    """
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        return
    given = replace(given, fallback=_printable(name))
    numbered = _again(first, lines)
    if column is None and not _is_header(first):
        yield from _read_plain(numbered, given, now)
    else:
        yield from _read_csv(numbered, given, now, column)


def write_csv(file: TextIO, entries: Iterable[Suppression]) -> int:
    """Write entries as a CSV that `read_list` takes back; return how many."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(FIELDS)
    written = 0
    for entry in entries:
        expires = "" if entry.expires is None else write_time(entry.expires)
        created = write_time(entry.created)
        writer.writerow((
            entry.kind, entry.value, entry.scope, entry.reason, entry.source, created, expires,
        ))  # fmt: skip
        written += 1
    return written


def _printable(name: str) -> str:
    return "".join(mark if mark.isprintable() else "?" for mark in name)[:SOURCE_LIMIT]


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(file: BinaryIO) -> Iterator[str]:
    """Go through the lines; BadRow for one that never ends, or is not UTF-8."""
    number = 0
    while True:
        number += 1
        octets = file.readline(_LONGEST_LINE)
        if not octets:
            return
        if len(octets) == _LONGEST_LINE:
            raise BadRow(number, octets[: _SHOWN * 4].decode(errors="replace"), "too long")
        try:
            line = octets.decode()
        except UnicodeDecodeError:
            raise BadRow(number, octets.decode(errors="replace"), "not UTF-8") from None
        yield line.removeprefix("\ufeff") if number == 1 else line


def _read_plain(lines: Iterator[str], given: Given, now: float) -> Iterator[Suppression]:
    scope, source = given.scope or ALL, given.source
    if source is None:
        source = given.fallback
    reason, expires = given.reason or SuppressionReason.IMPORT, given.expires
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        try:
            kind, value = parse_entry(text)
        except ValueError as error:
            raise BadRow(number, text, error) from None
        yield Suppression(kind, value, scope, reason, source, now, expires)


def _names(line: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([line], delimiter=_delimiter(line)))]


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _is_header(line: str) -> bool:
    """Whether a first line is one of a CSV: several columns, or the name of a single one."""
    known = {name for name, _ in _COLUMNS}
    return any(mark in line for mark in ",;\t") or line.strip().strip('"').lower() in known


class Columns:
    """Where in a row of a CSV things stand.

    An entry stands in `address`, `email`, `sha256`, `md5` or `domain` (the first one filled in),
    in the column the user named, or in `kind` and `value`, as `write_csv` writes. `scope` (or
    `campaign`), `reason`, `source` and `expires` are optional; `created` counts beside `kind`.
    """

    def __init__(self, header: Sequence[str], column: str | None) -> None:
        """Take the header's names, lower case. ValueError if no entry can stand there."""
        places = {name: place for place, name in reversed(list(enumerate(header)))}
        self._entry: Callable[[Sequence[str]], tuple[Kind, str]]
        self.width = len(header)
        self.scope = places.get("scope", places.get("campaign"))
        self.reason, self.source = places.get("reason"), places.get("source")
        self.expires, self.created = places.get("expires"), None
        if column is not None:
            if column.strip().lower() not in places:
                raise ValueError(f"there is no column {column!r}; there are: {', '.join(header)}")
            self._entry = self._one(places[column.strip().lower()])
        elif {"kind", "value"} <= places.keys():
            self.created = places.get("created")
            self._entry = self._typed(places["kind"], places["value"])
        else:
            found = [(places[name], kind) for name, kind in _COLUMNS if name in places]
            if not found:
                raise ValueError(
                    "no column is named address, email, domain, sha256 or md5; name one with "
                    f"--column; there are: {', '.join(header)}"
                )
            self._entry = self._first(found)

    def entry(self, row: Sequence[str]) -> tuple[Kind, str]:
        """Find kind and value in a row; ValueError says what is wrong."""
        return self._entry(row)

    @staticmethod
    def _one(place: int) -> Callable[[Sequence[str]], tuple[Kind, str]]:
        return lambda row: parse_entry(row[place])

    @staticmethod
    def _typed(kind: int, value: int) -> Callable[[Sequence[str]], tuple[Kind, str]]:
        def entry(row: Sequence[str]) -> tuple[Kind, str]:
            name = row[kind].strip().lower()
            if name not in Kind.__members__.values():
                raise ValueError(f"{name!r} is no kind: {', '.join(Kind)}")
            return Kind(name), normalize(Kind(name), row[value])

        return entry

    @staticmethod
    def _first(
        places: Sequence[tuple[int, Kind]],
    ) -> Callable[[Sequence[str]], tuple[Kind, str]]:
        def entry(row: Sequence[str]) -> tuple[Kind, str]:
            for place, kind in places:
                text = row[place].strip()
                if text:
                    plain = text.removeprefix("@") if kind is Kind.DOMAIN else text
                    return kind, normalize(kind, plain)
            raise ValueError("no entry in this row")

        return entry


def _read_csv(
    lines: Iterator[str], given: Given, now: float, column: str | None
) -> Iterator[Suppression]:
    first = next(lines)
    try:
        columns = Columns(_names(first), column)
    except (ValueError, csv.Error) as error:
        raise BadRow(1, first.strip(), error) from None
    rows = csv.reader(lines, delimiter=_delimiter(first), strict=True)
    while True:
        row: list[str] = []
        try:
            row = next(rows)
            if not any(row):
                continue
            yield _entry(columns, row, given, now)
        except StopIteration:
            return
        except BadRow:
            raise
        except (ValueError, csv.Error) as error:
            raise BadRow(rows.line_num + 1, ",".join(row), error) from None


def _entry(columns: Columns, row: Sequence[str], given: Given, now: float) -> Suppression:
    def cell(place: int | None) -> str:
        return "" if place is None else row[place].strip()

    if len(row) != columns.width:
        raise ValueError(f"{len(row)} columns; the header has {columns.width}")
    kind, value = columns.entry(row)
    scope, reason = given.scope, given.reason
    source, expires, created = given.source, given.expires, now
    if scope is None:
        scope = parse_scope(cell(columns.scope)) if cell(columns.scope) else ALL
    if reason is None:
        text = cell(columns.reason)
        reason = parse_reason(text) if text else SuppressionReason.IMPORT
    if source is None:
        source = parse_source(cell(columns.source)) or given.fallback
    if expires is None and cell(columns.expires):
        expires = parse_time(cell(columns.expires), now)
    if cell(columns.created):
        created = parse_time(cell(columns.created), now)
    return Suppression(kind, value, scope, reason, source, created, expires)
