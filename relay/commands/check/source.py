"""The list that `presend check` judges: an address a line, or a column of a table."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

from relay.commands.cells import clean, unusual
from relay.commands.tables import (
    CHUNK,
    SAMPLE,
    LineReader,
    Row,
    RowReader,
    TableError,
    Unpacker,
    find_column,
    is_table,
)


class ListError(Exception):
    """The list cannot be read; the message is for the person who named it."""


class Layout(NamedTuple):
    """How a list is written: what its first rows tell about all others."""

    delimiter: str
    """Of a table; empty for a plain list."""
    place: int
    """The index of the column of addresses."""
    header: list[str]
    """The cells of the header; empty if there is none."""
    separator: str
    """A first line such as `sep=;`, or empty."""
    bom: bool
    """Whether the list begins with a byte order mark."""


class Span(NamedTuple):
    """A part of a regular file that is not packed; it begins and ends where a row does."""

    start: int
    """Its first octet."""
    end: int
    row: int
    """The number of its first row, from 1."""
    layout: Layout


class Group(NamedTuple):
    """Some rows of the list, in order."""

    texts: list[str]
    """The addresses."""
    numbers: list[int]
    """The number of each address's row, from 1."""
    cells: list[list[str]]
    """The cells of each address's row; a plain list has one cell a row."""
    notes: dict[int, str]
    """By position in `texts`: what was left out around an address, for people."""
    blank: list[Row]
    """Rows without an address."""
    position: int
    """Octets of the list up to the end of what was read for the group."""
    place: tuple[int, int] | None = None
    """If the group ends where an interrupted run can go on: the next row's octet and number."""


class Source:
    """The rows of an open file. `position` tells how many octets of it were read."""

    def __init__(
        self,
        descriptor: int,
        column: str | None,
        say: Callable[[str], None] = lambda _: None,
        span: Span | None = None,
    ) -> None:
        """Read from a file descriptor; `column` is a name, or a number from 1.

        `say` is told which column was found without being named. `span` limits what is read.
        """
        self.position = span.start if span else 0
        self.better = ""
        """Another column that looks right while this one does not; see `Column`."""
        self.layout: Layout | None = span.layout if span else None
        """Known once the first group has been read."""
        self._descriptor = descriptor
        self._column = column
        self._say = say
        self._span = span
        self._lines = LineReader(legacy=True)
        self._rows: RowReader | None = None
        self._row = span.row if span else 1
        """The number of the next row of a plain list."""
        self._held: list[str] = []
        """Lines by which it is not decided yet whether the list is a table."""
        self._sample: list[Row] = []
        """Rows by which the column is not decided yet."""
        self._told_legacy = False
        if span and span.layout.delimiter:
            self._rows = RowReader(line=span.row, blank=True, delimiter=span.layout.delimiter)

    def find_layout(self) -> Layout | None:
        """Read the beginning of a regular file, and return how it is written; None if it is empty.

        Raises ListError. The source is of no use afterwards.
        """
        offset = 0
        try:
            while self.layout is None:
                chunk = os.pread(self._descriptor, CHUNK, offset)
                offset += len(chunk)
                self._group(self._lines.feed(chunk, final=not chunk), final=not chunk)
                if not chunk:
                    break
        except (TableError, OSError) as error:
            raise ListError(str(error)) from None
        return self.layout

    async def groups(self) -> AsyncIterator[Group]:
        """Yield the rows in order; ListError if that ends early.

        Octets that are no text become lone surrogates, which no valid address contains.
        """
        unpacker = Unpacker()
        end = self._span.end if self._span else None
        try:
            async for chunk in _chunks(self._descriptor, self.position, end):
                self.position += len(chunk)
                for piece in unpacker.feed(chunk):
                    if group := self._group(self._lines.feed(piece)):
                        yield group
            for piece in unpacker.close():
                if group := self._group(self._lines.feed(piece)):
                    yield group
            if group := self._group(self._lines.feed(b"", final=True), final=True):
                yield group
        except TableError as error:
            raise ListError(str(error)) from None

    def _group(self, lines: list[str], *, final: bool = False) -> Group | None:
        """Return what is in these lines; `final` if they are the last ones."""
        if self._lines.first_legacy and not self._told_legacy:
            self._told_legacy = True
            self._say(f"line {self._lines.first_legacy} is not UTF-8: read as Windows-1252")
        if self.layout is None and self._rows is None:
            self._held += lines
            if not self._begin(final=final):
                return None
            lines, self._held = self._held, []
        group = Group([], [], [], {}, [], self.position)
        if self._rows is None:
            self._add_lines(group, lines)
        else:
            self._add_rows(group, self._rows.feed(lines))
            if final:
                self._rows.close()
                if self._sample and self.layout is None:
                    self._add_rows(group, self._sampled())
        if group.texts and unusual(group.texts):
            self._clean(group)
        return group if group.texts or group.blank else None

    def _begin(self, *, final: bool) -> bool:
        """Decide whether the list is a table; return whether that is known."""
        while self._held and not self._held[0].strip():
            del self._held[0]
            self._row += 1
        if not self._held:
            return False
        table = self._column is not None or is_table(self._held, final=final)
        if table is None:
            return False
        if table:
            self._rows = RowReader(line=self._row, blank=True)
        else:
            self.layout = Layout("", 0, [], "", self._lines.bom)
        return True

    def _add_lines(self, group: Group, lines: list[str]) -> None:
        """Add the lines of a plain list, but not blank ones."""
        row = self._row
        self._row += len(lines)
        group.texts.extend(line.strip() for line in lines)
        if all(group.texts):
            group.numbers.extend(range(row, self._row))
            group.cells.extend([line] for line in lines)
            return
        found = [(n, line) for n, line in enumerate(lines, row) if line.strip()]
        group.texts[:] = [line.strip() for _, line in found]
        group.numbers.extend(n for n, _ in found)
        group.cells.extend([line] for _, line in found)

    def _add_rows(self, group: Group, rows: Iterable[Row]) -> None:
        """Add these rows, and those of the sample once it is complete."""
        for row in rows:
            if self.layout is None:
                if not self._sample and not any(map(str.strip, row.cells)):
                    continue  # before the header
                self._sample.append(row)
                if len(self._sample) >= SAMPLE:
                    self._add_rows(group, self._sampled())
                continue
            place = self.layout.place
            text = row.cells[place].strip() if place < len(row.cells) else ""
            if text:
                group.texts.append(text)
                group.numbers.append(row.number)
                group.cells.append(row.cells)
            else:
                group.blank.append(row)

    def _sampled(self) -> list[Row]:
        """Find the column of addresses; return the rows of the sample, without the header."""
        rows, self._sample = self._sample, []
        column = find_column(rows, self._column)
        self.better = column.better
        if column.why:
            self._say(column.why)
        header = rows[0].cells if column.header else []
        reader = self._rows
        assert reader is not None  # noqa: S101 - for the type checker
        self.layout = Layout(
            reader.delimiter, column.place, header, reader.separator, self._lines.bom
        )
        return rows[column.header :]

    def _clean(self, group: Group) -> None:
        """Take the addresses out of what surrounds them."""
        found = [clean(text) for text in group.texts]
        kept = [n for n, cell in enumerate(found) if cell.address]
        if len(kept) < len(found):
            group.blank.extend(
                Row(group.numbers[n], group.cells[n], group.numbers[n])
                for n, cell in enumerate(found)
                if not cell.address
            )
            group.blank.sort(key=lambda row: row.number)
            group.numbers[:] = [group.numbers[n] for n in kept]
            group.cells[:] = [group.cells[n] for n in kept]
        group.texts[:] = [found[n].address for n in kept]
        group.notes.update((place, found[n].note) for place, n in enumerate(kept) if found[n].note)


async def _chunks(descriptor: int, start: int, end: int | None) -> AsyncIterator[bytes]:
    """Yield the content of a file; waits for a pipe or a terminal without blocking the loop.

    With `end`, the file is a regular one, of which the octets from `start` to `end` are read.
    """
    waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
    if end is not None:
        os.lseek(descriptor, start, os.SEEK_SET)
    while end is None or start < end:
        if waits:
            waits = await _readable(descriptor)
        else:
            await asyncio.sleep(0)
        try:
            chunk = os.read(descriptor, CHUNK if end is None else min(CHUNK, end - start))
        except OSError as error:
            raise ListError(error.strerror or str(error)) from error
        if not chunk:
            return
        start += len(chunk)
        yield chunk


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _readable(descriptor: int) -> bool:
    """Wait until there is something to read; False if this file cannot be waited for."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    try:
        loop.add_reader(descriptor, _set, ready)
    except PermissionError:  # epoll takes no regular file and no /dev/null: reading never waits
        return False
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return True
