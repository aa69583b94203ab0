"""Reading of lists and CSV files, shared by `check` and `suppress import`; no I/O but `read_lines`.

Octets go into a `LineReader` and complete lines come out; the lines of a CSV go into a `RowReader`
and complete rows come out. Both hold one incomplete line or row of bounded length, so memory does
not grow with the file, and neither waits for the file: that is the caller's part.

    text        UTF-8 with or without a byte order mark, UTF-16 with one; any kind of line end
    delimiter   of `,` `;` tab `|` the one that the first line has most of, or what a first line
                such as `sep=;` names, as spreadsheets write it
    quotes      RFC 4180, also around line ends
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

CHUNK: Final = 32_768
"""Octets to read at once: some thousand addresses."""
MAX_LENGTH: Final = 65_536
"""Characters in a line, or in a row of a CSV."""
DELIMITERS: Final = ",;\t|"

_SEPARATOR: Final = re.compile(r'\s*"?sep=([^\w"\r\n])"?\s*', re.IGNORECASE)
_MAX_SHOWN: Final = 80
_BOM_LENGTH: Final = 2
"""Octets of a byte order mark of UTF-16."""


class TableError(ValueError):
    """A line cannot be used; the message has its number, its beginning and the fault."""

    def __init__(self, line: int, text: str, fault: object) -> None:
        text = text.strip()
        shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
        super().__init__(f"line {line}: {shown!r}: {fault}")
        self.line = line


class Row(NamedTuple):
    """A row of a CSV."""

    line: int
    """The number, from 1, of the line in which the row begins."""
    cells: list[str]

    def error(self, fault: object) -> TableError:
        """Return an exception for this row."""
        return TableError(self.line, ",".join(self.cells), fault)


class LineReader:
    """Splits octets into lines. Octets that are not UTF-8 become lone surrogates."""

    def __init__(self) -> None:
        self.number = 0
        """Lines returned so far."""
        self._start = b""
        self._decoder: io.IncrementalNewlineDecoder | None = None
        self._rest = ""

    def feed(self, octets: bytes, *, final: bool = False) -> list[str]:
        """Return the lines that are complete, without line ends. Raises TableError.

        With `final`, the octets are the last ones, and a line without an end is complete too.
        """
        if self._decoder is None:
            octets = self._start + octets
            if len(octets) < _BOM_LENGTH and not final:
                self._start = octets
                return []
            self._decoder = io.IncrementalNewlineDecoder(_decoder(octets), translate=True)
        lines = (self._rest + self._decoder.decode(octets, final)).split("\n")
        self._rest = lines.pop()
        self.number += len(lines)
        if len(self._rest) > MAX_LENGTH:
            fault = f"too long: no end of line in {MAX_LENGTH:,} characters"
            raise TableError(self.number + 1, self._rest, fault)
        if final and self._rest:
            lines.append(self._rest)
            self.number += 1
        return lines


class RowReader:
    """Splits lines into rows of cells. `strict` refuses quotes that RFC 4180 does not allow."""

    def __init__(self, *, strict: bool = False, line: int = 1) -> None:
        """Begin at the line of this number."""
        self._strict = strict
        self._delimiter = ""
        self._line = line
        self._open: list[str] = []
        """The lines so far of a row that is not complete."""

    def feed(self, lines: Sequence[str]) -> Iterator[Row]:
        """Yield the rows that are complete, without rows of empty cells. Raises TableError."""
        supply = _Supply([*self._open, *lines])
        if not self._delimiter and not self._find_delimiter(supply):
            self._line += len(lines)
            return
        begin = supply.given
        rows = csv.reader(supply, delimiter=self._delimiter, strict=self._strict)
        try:
            for cells in rows:
                if supply.ended:
                    break
                if any(cells):
                    yield Row(self._line + begin, cells)
                begin = supply.given
        except csv.Error as error:
            if not supply.ended:
                raise TableError(self._line + begin, supply.lines[begin], error) from None
        self._line += begin
        self._open = supply.lines[begin:]
        if sum(map(len, self._open)) > MAX_LENGTH:
            self.close()

    def close(self) -> None:
        """Raise TableError if a quote is still open."""
        if self._open:
            raise TableError(self._line, self._open[0], "a quote that is never closed")

    def _find_delimiter(self, supply: "_Supply") -> bool:
        """Find the delimiter in the first line that is not blank; False if all lines are."""
        for number, line in enumerate(supply.lines):
            if line.strip():
                separator = _SEPARATOR.fullmatch(line)
                self._delimiter = separator[1] if separator else max(DELIMITERS, key=line.count)
                supply.given = number + bool(separator)
                return True
        return False


class _Supply:
    """Lines for a csv.reader, which asks for more than there are only inside an open quote."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.given = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        for line in self.lines[self.given :]:
            self.given += 1
            yield f"{line}\n"
        self.ended = True


def is_separator(line: str) -> bool:
    """Return whether a first line only names the delimiter, as `sep=;` does."""
    return _SEPARATOR.fullmatch(line) is not None


def split_header(line: str) -> list[str]:
    """Return the names of the columns, in lower case, if this line is the header of a CSV.

    A `|` may be part of an address, so it is a delimiter only in a line without `@`.
    """
    delimiter = max(DELIMITERS if "@" not in line else ",;\t", key=line.count)
    return [cell.strip().casefold() for cell in next(csv.reader([line], delimiter=delimiter))]


def find_column(row: Row, column: str) -> tuple[int, bool]:
    """Find a column by its name in a header, or by its number from 1.

    Returns the index of the column, and whether it was found by its name. Raises TableError.
    """
    header = [cell.strip() for cell in row.cells]
    names = [name.casefold() for name in header]
    name = column.strip().casefold()
    if name in names:
        return names.index(name), True
    if name.isdecimal() and 0 < int(name) <= len(header):
        return int(name) - 1, False
    raise row.error(f"there is no column {column!r}; there are: {', '.join(header)}")


def read_lines(file: BinaryIO) -> Iterator[list[str]]:
    """Yield the lines of a file, some thousand at once; waits for the file. Raises TableError."""
    lines = LineReader()
    octets = b" "
    while octets:
        octets = file.read(CHUNK)
        yield lines.feed(octets, final=not octets)


def _decoder(first: bytes) -> codecs.IncrementalDecoder:
    """Return the decoder for a file that begins with these octets."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return codecs.getincrementaldecoder("utf-16")(errors="replace")
    return codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape")
