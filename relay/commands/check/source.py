"""A list of addresses, read piece by piece: a line each, or a column of a CSV."""

import asyncio
import codecs
import csv
import os
import stat
from collections.abc import AsyncIterator, Iterator
from typing import Final

CHUNK: Final = 32_768
"""Octets read at once: some thousand addresses."""
LONGEST: Final = 65_536
"""Characters of a line, or of a row of a CSV: what is longer is no list of addresses."""
DELIMITERS: Final = ",;\t|"


class ListError(Exception):
    """The list cannot be read; the message is for the person who named it."""


class Source:
    """The addresses of an open file. `position` tells how many octets of it were read."""

    def __init__(self, descriptor: int, column: str | None) -> None:
        """Read from a file descriptor; `column` is a name, a number from 1, or None for lines."""
        self.position = 0
        self._descriptor = descriptor
        self._lines = _Lines() if column is None else _Rows(column)

    async def groups(self) -> AsyncIterator[list[str]]:
        """Yield the addresses in order, without blank ones; ListError if that ends early.

        What is not UTF-8 comes as lone surrogates, and so is no valid address.
        """
        decoder: codecs.IncrementalDecoder | None = None
        async for chunk in _chunks(self._descriptor):
            self.position += len(chunk)
            decoder = decoder or _decoder(chunk)
            group = list(self._lines.feed(decoder.decode(chunk)))
            if group:
                yield group
        if decoder is not None:
            group = list(self._lines.feed(decoder.decode(b"", final=True) + "\n"))
            self._lines.close()
            if group:
                yield group


class _Lines:
    """An address a line."""

    def __init__(self) -> None:
        self._rest = ""
        self._number = 0

    def feed(self, text: str) -> Iterator[str]:
        """Yield the addresses that are complete."""
        for line in self._complete(text):
            address = line.strip()
            if address:
                yield address

    def close(self) -> None:
        """Complain if the list ends in the middle of something."""

    def _complete(self, text: str) -> list[str]:
        """Return the complete lines, and keep the rest."""
        lines = (self._rest + text).replace("\r", "\n").split("\n")
        self._rest = lines.pop()
        self._number += len(lines)
        if len(self._rest) > LONGEST:
            raise ListError(f"after line {self._number}: no end of line in {LONGEST:,} characters")
        return lines


class _Rows(_Lines):
    """A column of a CSV (RFC 4180), with the delimiter that its first line has most of."""

    def __init__(self, column: str) -> None:
        super().__init__()
        self._column = column
        self._place: int | None = None
        self._delimiter = ""
        self._open: list[str] = []
        """The lines so far of a row that goes on inside quotes."""

    def feed(self, text: str) -> Iterator[str]:
        """Yield the addresses of the rows that are complete."""
        lines = _Supply([*self._open, *self._complete(text)])
        self._open = []
        self._delimiter = self._delimiter or _delimiter(lines.lines)
        if not self._delimiter:
            return
        begin = 0
        for cells in csv.reader(lines, delimiter=self._delimiter):
            if lines.ended:
                self._keep(lines.lines[begin:])
                return
            begin = lines.given
            if cells and (self._place is not None or not self._is_header(cells)):
                place = self._place or 0
                address = cells[place].strip() if len(cells) > place else ""
                if address:
                    yield address

    def close(self) -> None:
        """Complain of a quote that is open."""
        if self._open:
            raise ListError(f"before line {self._number}: a quote that is never closed")

    def _keep(self, lines: list[str]) -> None:
        self._open = lines
        if sum(map(len, lines)) > LONGEST:
            self.close()

    def _is_header(self, cells: list[str]) -> bool:
        """Find the column by the first row, and tell whether that is a header."""
        header = [cell.strip() for cell in cells]
        names = [name.casefold() for name in header]
        if self._column.casefold() in names:
            self._place = names.index(self._column.casefold())
            return True
        if self._column.isdecimal() and 0 < int(self._column) <= len(header):
            self._place = int(self._column) - 1
            return "@" not in header[self._place]
        raise ListError(f"no column {self._column!r}; there are: {', '.join(header)}")


class _Supply:
    """Lines for a csv.reader, which asks for one too many only inside an open quote."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.given = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.given += 1
            yield line
        self.ended = True


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter of a CSV that begins with these lines; nothing if they are blank."""
    first = next((line for line in lines if line.strip()), None)
    return "" if first is None else max(DELIMITERS, key=first.count)


def _decoder(first: bytes) -> codecs.IncrementalDecoder:
    """Return the decoder for a file that begins so."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return codecs.getincrementaldecoder("utf-16")(errors="replace")
    return codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape")


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    """Yield what a file holds; waits for a pipe or a terminal without blocking the loop."""
    waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
    while True:
        if waits:
            waits = await _readable(descriptor)
        else:
            await asyncio.sleep(0)
        try:
            chunk = os.read(descriptor, CHUNK)
        except OSError as error:
            raise ListError(error.strerror or str(error)) from error
        if not chunk:
            return
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
