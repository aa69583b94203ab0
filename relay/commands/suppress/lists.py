"""Suppression lists in files: plain lists and CSV, read row by row, and the CSV of `export`.

    plain   one entry a line: an address, a domain (or @domain), or a hex digest
    CSV     a header that names its columns, or one column named by the user; see `Columns`

Reading yields entries, or raises TableError at the first line that cannot be used. Memory is
bounded whatever the file holds.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TextIO

from relay.commands.suppress.parsing import (
    SOURCE_LIMIT,
    format_time,
    parse_entry,
    parse_reason,
    parse_scope,
    parse_source,
    parse_time,
)
from relay.commands.tables import (
    Row,
    RowReader,
    Source,
    TableError,
    find_named,
    is_separator,
    read_lines,
    split_header,
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

_COLUMNS: Final = (
    ("address", Kind.ADDRESS),
    ("email", Kind.ADDRESS),
    ("sha256", Kind.SHA256),
    ("md5", Kind.MD5),
    ("domain", Kind.DOMAIN),
)
"""Columns an entry may stand in. The first one filled in counts: in a file with `email` and
`domain`, the domain only describes the address and must not be suppressed as a whole."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the user said of every entry; None leaves it to the file, or else to the default."""

    scope: str | None = None
    reason: SuppressionReason | None = None
    source: str | None = None
    expires: float | None = None
    fallback: str = ""
    """The source if neither the user nor the file names one."""


def read_list(
    file: Source,
    given: Given,
    *,
    now: float,
    column: str | None = None,
    name: str = "",
    most: int | None = None,
) -> Iterator[Suppression]:
    """Read a plain list or a CSV, told apart by the first line that is not blank.

    `given` wins over the columns of the file. `column` is the name, or the number from 1, of the
    column of a CSV in which the entries are. `name` is the source if neither says one. `most`
    limits the octets that packed octets unpack to. Raises TableError.
    """
    given = replace(given, fallback=_printable(name))
    rows: RowReader | None = None
    columns: Columns | None = None
    begun = False
    number = 1
    for lines in read_lines(file, most):
        first = next((line for line in lines if line.strip()), None)
        if first is not None and not begun:
            begun = True
            if column is not None or _is_csv(first):
                rows = RowReader(strict=True, line=number)
        _refuse_undecoded(lines, number)
        if rows is None:
            yield from _read_plain(lines, number, given, now)
        else:
            for row in rows.feed(lines):
                if columns is None:
                    columns, header = Columns.of(row, column)
                    if header:
                        continue
                yield _entry(columns, row, given, now)
        number += len(lines)
    if rows is not None:
        rows.close()


def write_csv(file: TextIO, entries: Iterable[Suppression]) -> int:
    """Write entries as a CSV that `read_list` reads; return how many."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(FIELDS)
    written = 0
    for entry in entries:
        expires = "" if entry.expires is None else format_time(entry.expires)
        created = format_time(entry.created)
        writer.writerow((
            entry.kind, entry.value, entry.scope, entry.reason, entry.source, created, expires,
        ))  # fmt: skip
        written += 1
    return written


def _printable(name: str) -> str:
    return "".join(mark if mark.isprintable() else "?" for mark in name)[:SOURCE_LIMIT]


def _refuse_undecoded(lines: Sequence[str], number: int) -> None:
    """Raise TableError for a line that is not UTF-8; `number` is that of the first line."""
    for line in lines:
        if not line.isascii():
            try:
                line.encode()
            except UnicodeEncodeError:
                text = line.encode(errors="surrogateescape").decode(errors="replace")
                raise TableError(number, text, "not UTF-8") from None
        number += 1


def _read_plain(
    lines: Sequence[str], number: int, given: Given, now: float
) -> Iterator[Suppression]:
    scope, source = given.scope or ALL, given.source
    if source is None:
        source = given.fallback
    reason, expires = given.reason or SuppressionReason.IMPORT, given.expires
    for place, line in enumerate(lines):
        text = line.strip()
        if not text:
            continue
        try:
            kind, value = parse_entry(text)
        except ValueError as error:
            raise TableError(number + place, text, error) from None
        yield Suppression(kind, value, scope, reason, source, now, expires)


def _is_csv(line: str) -> bool:
    """Whether a first line is one of a CSV: several columns, or the name of a single one."""
    names = split_header(line.strip())
    return is_separator(line) or len(names) > 1 or names[0] in {name for name, _ in _COLUMNS}


class Columns:
    """The columns of a CSV: where in a row each part of an entry is.

    The entry itself is in `address`, `email`, `sha256`, `md5` or `domain` (the first one that is
    filled in), or in the column that the user named, or in `kind` and `value`, as `write_csv`
    writes it. `scope` (or `campaign`), `reason`, `source` and `expires` are optional; `created` is
    read beside `kind`.
    """

    def __init__(self, header: Sequence[str], width: int) -> None:
        """Take the names of the columns, in lower case; none without a header."""
        places = {name: place for place, name in reversed(list(enumerate(header)))}
        self._entry: Callable[[Sequence[str]], tuple[Kind, str]]
        self.width = width
        self.scope = places.get("scope", places.get("campaign"))
        self.reason, self.source = places.get("reason"), places.get("source")
        self.expires = places.get("expires")
        self.created: int | None = None
        self._places = places

    @classmethod
    def of(cls, first: Row, column: str | None) -> tuple["Columns", bool]:
        """Find the columns by the first row; return them, and whether the row is a header.

        Raises TableError if no column can hold an entry.
        """
        header = [cell.strip().lower() for cell in first.cells]
        columns = cls(header, len(header))
        places = columns._places
        if column is not None:
            place, named = find_named(first, column)
            if not named and _is_entry(first.cells[place]):
                columns, header = cls((), len(header)), []
            columns._entry = cls._one(place)
        elif {"kind", "value"} <= places.keys():
            columns.created = places.get("created")
            columns._entry = cls._typed(places["kind"], places["value"])
        else:
            found = [(places[name], kind) for name, kind in _COLUMNS if name in places]
            if not found:
                raise first.error(
                    "no column is named address, email, domain, sha256 or md5; name one with "
                    f"--column; there are: {', '.join(header)}"
                )
            columns._entry = cls._first(found)
        return columns, bool(header)

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


def _is_entry(cell: str) -> bool:
    """Whether a cell of a first row is an entry rather than the name of a column."""
    try:
        kind, _ = parse_entry(cell)
    except ValueError:
        return False
    return kind is not Kind.DOMAIN or "." in cell or cell.startswith("@")


def _entry(columns: Columns, row: Row, given: Given, now: float) -> Suppression:
    """Make an entry of a row. Raises TableError."""
    try:
        return _parse_row(columns, row.cells, given, now)
    except ValueError as error:
        raise row.error(error) from None


def _parse_row(columns: Columns, row: Sequence[str], given: Given, now: float) -> Suppression:
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
