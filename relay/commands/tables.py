"""Reading of lists and CSV files, shared by `check` and `suppress import`; no I/O but `read_lines`.

Octets go through an `Unpacker` into a `LineReader` and complete lines come out; the lines of a CSV
go into a `RowReader` and complete rows come out. Each holds a piece of bounded length, so memory
does not grow with the file, and none waits for the file: that is the caller's part. `find_column`
finds the column of the addresses.

    gzip        recognised by its first two octets (RFC 1952)
    text        UTF-8 with or without a byte order mark, UTF-16 with one, or (if `legacy`)
                Windows-1252; any kind of line end
    delimiter   of `,` `;` tab `|` the one that the first line has most of, or what a first line
                such as `sep=;` names, as spreadsheets write it
    quotes      RFC 4180, also around line ends
"""

import codecs
import csv
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from relay.commands.cells import clean

CHUNK: Final = 32_768
"""Octets to read at once: some thousand addresses."""
MAX_LENGTH: Final = 65_536
"""Characters in a line, or in a row of a CSV."""
DELIMITERS: Final = ",;\t|"
ADDRESS_COLUMNS: Final = ("address", "email")
"""Names of columns of addresses, in lower case; the first one that exists counts."""
SAMPLE: Final = 100
"""Rows by which a column of addresses is found."""

_GZIP: Final = b"\x1f\x8b"
_GZIP_ONLY: Final = 16 + zlib.MAX_WBITS
_ADDRESS: Final = re.compile(r"[^\s@<>,;]+@[^\s@<>,;.]+(\.[^\s@<>,;.]+)+\.?")
"""What looks like an address, whether or not it is valid."""
_UNDECODED: Final = re.compile("[\udc80-\udcff]")
"""Octets that are not UTF-8, as `surrogateescape` represents them (PEP 383)."""
_SEPARATOR: Final = re.compile(r'\s*"?sep=([^\w"\r\n])"?\s*', re.IGNORECASE)
_MAX_SHOWN: Final = 80
_BOMS_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BOM_LENGTH: Final = 2
"""Octets of a byte order mark of UTF-16."""


class TableError(ValueError):
    """A line cannot be used; the message has its number, its beginning and the fault.

    Line 0 stands for the file as a whole.
    """

    def __init__(self, line: int, text: str, fault: object) -> None:
        text = text.strip()
        shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
        super().__init__(f"line {line}: {shown!r}: {fault}" if line else str(fault))
        self.line = line


class Row(NamedTuple):
    """A row of a CSV."""

    line: int
    """The number, from 1, of the line in which the row begins."""
    cells: list[str]
    number: int = 0
    """The number of the row, from 1, with all rows before it: the header, and blank ones."""

    def error(self, fault: object) -> TableError:
        """Return an exception for this row."""
        return TableError(self.line, ",".join(self.cells), fault)


class Source(Protocol):
    """What can be read: a file, or what a server sends."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` octets; none at the end."""


class Unpacker:
    """Unpacks gzip; passes on octets that are not packed as they are.

    Returns pieces of some CHUNK octets, whatever a few packed octets unpack to.
    """

    def __init__(self, most: int | None = None) -> None:
        """Unpack at most `most` octets, if that is given."""
        self._most = most
        self._unpacked = 0
        self._start = b""
        self._packed: bool | None = None
        self._gzip = zlib.decompressobj(_GZIP_ONLY)

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """Yield the pieces. Raises TableError for what cannot be unpacked."""
        if self._packed is None:
            octets = self._start + octets
            if len(octets) < len(_GZIP) and _GZIP.startswith(octets):
                self._start = octets
                return
            self._packed = octets.startswith(_GZIP)
        if not self._packed:
            yield octets
            return
        while octets:
            if self._gzip.eof:  # one member may follow another (RFC 1952 2.2), or padding
                octets = octets.lstrip(b"\0")
                if not octets:
                    return
                self._gzip = zlib.decompressobj(_GZIP_ONLY)
            yield self._unpack(octets)
            octets = self._gzip.unconsumed_tail or self._gzip.unused_data

    def close(self) -> Iterator[bytes]:
        """Yield the rest. Raises TableError if the packed octets end early."""
        if self._packed is None:
            yield self._start
        while self._packed and not self._gzip.eof:
            piece = self._unpack(b"")
            if not piece and not self._gzip.eof:
                raise TableError(0, "", "gzip that ends early")
            yield piece

    def _unpack(self, octets: bytes) -> bytes:
        try:
            piece = self._gzip.decompress(octets, CHUNK)
        except zlib.error as error:
            raise TableError(0, "", f"gzip that cannot be unpacked ({error})") from None
        self._unpacked += len(piece)
        if self._most is not None and self._unpacked > self._most:
            raise TableError(0, "", f"gzip that unpacks to more than {self._most:,} octets")
        return piece


class LineReader:
    """Splits octets into lines. Octets that are not UTF-8 become lone surrogates.

    With `legacy`, a line that is not UTF-8 is Windows-1252, unless octets are no text.
    """

    def __init__(self, *, legacy: bool = False) -> None:
        self.number = 0
        """Lines returned so far."""
        self.first_legacy = 0
        """The first line that was read as Windows-1252; 0 if there was none."""
        self.bom = False
        """Whether there is a byte order mark."""
        self.utf16 = False
        self._legacy = legacy
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
            self.utf16 = octets.startswith(_BOMS_UTF16)
            self.bom = self.utf16 or octets.startswith(codecs.BOM_UTF8)
        self._legacy = self._legacy and (self.utf16 or b"\0" not in octets)
        text = self._rest + self._decoder.decode(octets, final)
        lines = text.split("\n")
        if final and lines[-1]:
            lines.append("")
        if self._legacy and _UNDECODED.search(text):
            lines[:-1] = [self._redecoded(n, line) for n, line in enumerate(lines[:-1], 1)]
        self._rest = lines.pop()
        self.number += len(lines)
        if len(self._rest) > MAX_LENGTH:
            fault = f"too long: no end of line in {MAX_LENGTH:,} characters"
            raise TableError(self.number + 1, self._rest, fault)
        return lines

    def _redecoded(self, place: int, line: str) -> str:
        if not _UNDECODED.search(line):
            return line
        try:
            text = line.encode(errors="surrogateescape").decode("cp1252")
        except UnicodeDecodeError:
            return line
        self.first_legacy = self.first_legacy or self.number + place
        return text


class RowReader:
    """Splits lines into rows of cells. `strict` refuses quotes that RFC 4180 does not allow."""

    def __init__(
        self, *, strict: bool = False, line: int = 1, blank: bool = False, delimiter: str = ""
    ) -> None:
        """Begin at the line of this number; `blank` keeps rows of empty cells."""
        self.delimiter = delimiter
        self.separator = ""
        """A first line such as `sep=;`, which is no row."""
        self.number = line - 1
        """Rows so far, of which a blank line is one; a row may have several lines."""
        self._strict = strict
        self._blank = blank
        self._line = line
        self._open: list[str] = []
        """The lines so far of a row that is not complete."""

    def feed(self, lines: Sequence[str]) -> Iterator[Row]:
        """Yield the rows that are complete, without rows of empty cells. Raises TableError."""
        supply = _Supply([*self._open, *lines])
        if not self.delimiter and not self._find_delimiter(supply):
            self._line += len(lines)
            self.number += len(lines)
            return
        begin = supply.given
        rows = csv.reader(supply, delimiter=self.delimiter, strict=self._strict)
        try:
            for cells in rows:
                if supply.ended:
                    break
                self.number += 1
                if any(cells) or (self._blank and cells):
                    yield Row(self._line + begin, cells, self.number)
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
                self.separator = line if separator else ""
                self.delimiter = separator[1] if separator else max(DELIMITERS, key=line.count)
                supply.given = number + bool(separator)
                self.number += number
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
    return [
        cell.strip().casefold() for cell in next(csv.reader([line], delimiter=_delimiter_of(line)))
    ]


def _delimiter_of(line: str) -> str:
    return max(DELIMITERS if "@" not in line else ",;\t", key=line.count)


class Column(NamedTuple):
    """The column of the addresses."""

    place: int
    """Its index in a row."""
    header: bool
    """Whether the first row is a header, and not an address to be judged."""
    why: str
    """How it was found, for people; empty if the user named it."""
    better: str
    """Another column that holds addresses, while this one holds none in the sample; or empty."""


def is_table(lines: Sequence[str], *, final: bool) -> bool | None:
    """Return whether a list that begins with these lines has columns; the first one is not blank.

    It has if the first line is a header that names a column of addresses, or if the first line and
    at least half of the first SAMPLE have a delimiter. Returns None if it takes more lines to know,
    unless these are the `final` ones.
    """
    names = split_header(lines[0])
    if is_separator(lines[0]) or not set(ADDRESS_COLUMNS).isdisjoint(names):
        return True
    if len(names) == 1:
        return False
    sample = [line for line in lines[:SAMPLE] if line.strip()]
    if len(lines) < SAMPLE and not final:
        return None
    delimiter = _delimiter_of(lines[0])
    return 2 * sum(delimiter in line for line in sample) >= len(sample)


def find_column(rows: Sequence[Row], named: str | None = None) -> Column:
    """Find the column of the addresses by the first rows of a table, at most SAMPLE of them.

    The user may name it, by its name or its number from 1. Otherwise it is the one that a header
    names (ADDRESS_COLUMNS), unless none of its cells looks like an address and those of another do;
    and without such a header the one with most cells that look like addresses. Raises TableError.
    """
    first = rows[0]
    header = [cell.strip() for cell in first.cells]
    names = [name.casefold() for name in header]
    alike = [_addresses_in(rows, index) for index in range(len(header))]
    most = max(range(len(header)), key=alike.__getitem__)
    if named is not None:
        index, by_name = find_named(first, named)
        better = _label(header, most) if alike[most] and not alike[index] else ""
        return Column(index, by_name or "@" not in header[index], "", better)
    known = [names.index(name) for name in ADDRESS_COLUMNS if name in names]
    for index in known:
        if alike[index] or not alike[most]:
            return Column(
                index, header=True, why=f"{_label(header, index)}, by its name", better=""
            )
    if not alike[most]:
        wanted = " or ".join(ADDRESS_COLUMNS)
        fault = f"no column is named {wanted}, and none holds addresses; name one with --column"
        raise first.error(f"{fault}; there are: {', '.join(header)}")
    is_header = not any("@" in cell for cell in header)
    shown = _label(header, most) if is_header else f"column {most + 1}"
    why = f"{shown}: {alike[most]} of the first {len(rows) - is_header} rows have an address there"
    others = [index + 1 for index, number in enumerate(alike) if number == alike[most]][1:]
    if others:
        why += f", and as many in column {others[0]}; --column names another"
    return Column(most, is_header, why, "")


def find_named(row: Row, column: str) -> tuple[int, bool]:
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


def _addresses_in(rows: Sequence[Row], index: int) -> int:
    """Return how many cells of a column look like an address."""
    cells = (clean(row.cells[index]).address for row in rows if index < len(row.cells))
    return sum(_ADDRESS.fullmatch(cell) is not None for cell in cells)


def _label(header: Sequence[str], index: int) -> str:
    return f"column {index + 1} ({header[index]})"


def read_lines(file: Source, most: int | None = None) -> Iterator[list[str]]:
    """Yield the lines of a file, some thousand at once; waits for the file. Raises TableError.

    `most` limits what packed octets unpack to.
    """
    lines, unpacker = LineReader(), Unpacker(most)
    while octets := file.read(CHUNK):
        for piece in unpacker.feed(octets):
            yield lines.feed(piece)
    for piece in unpacker.close():
        yield lines.feed(piece)
    yield lines.feed(b"", final=True)


def _decoder(first: bytes) -> codecs.IncrementalDecoder:
    """Return the decoder for a file that begins with these octets."""
    if first.startswith(_BOMS_UTF16):
        return codecs.getincrementaldecoder("utf-16")(errors="replace")
    return codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape")
