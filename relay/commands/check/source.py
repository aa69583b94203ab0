"""The list that `presend check` judges: an address a line, or a column of a CSV."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Sequence
from typing import Final

from relay.commands.tables import (
    CHUNK,
    LineReader,
    Row,
    RowReader,
    TableError,
    find_column,
    is_separator,
    split_header,
)

_ADDRESS_COLUMNS: Final = ("address", "email")
"""Columns that are found without being named by the user; the first one that exists counts."""


class ListError(Exception):
    """The list cannot be read; the message is for the person who named it."""


class Source:
    """The addresses of an open file. `position` tells how many octets of it were read."""

    def __init__(self, descriptor: int, column: str | None) -> None:
        """Read from a file descriptor; `column` is a name, or a number from 1.

        Without `column`, the list is a CSV if its first line names a column `address` or `email`,
        and an address a line if not.
        """
        self.position = 0
        self._descriptor = descriptor
        self._column = column
        self._lines = LineReader()
        self._rows: RowReader | None = None
        self._begun = False
        self._index: int | None = None

    async def groups(self) -> AsyncIterator[list[str]]:
        """Yield the addresses in order, without blank ones; ListError if that ends early.

        Octets that are not UTF-8 become lone surrogates, which no valid address contains.
        """
        try:
            async for chunk in _chunks(self._descriptor):
                self.position += len(chunk)
                group = self._addresses(self._lines.feed(chunk))
                if group:
                    yield group
            group = self._addresses(self._lines.feed(b"", final=True))
            if self._rows is not None:
                self._rows.close()
            if group:
                yield group
        except TableError as error:
            raise ListError(str(error)) from None

    def _addresses(self, lines: Sequence[str]) -> list[str]:
        """Return the addresses in these lines."""
        if not self._begun:
            self._begin(lines)
        if self._rows is None:
            return [address for line in lines if (address := line.strip())]
        addresses = []
        for row in self._rows.feed(lines):
            if self._index is None:
                self._index, header = self._find(row)
                if header:
                    continue
            address = row.cells[self._index].strip() if self._index < len(row.cells) else ""
            if address:
                addresses.append(address)
        return addresses

    def _begin(self, lines: Sequence[str]) -> None:
        """Tell a CSV from a plain list by the first line that is not blank."""
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            return
        self._begun = True
        named = self._column is not None or is_separator(first)
        if named or not set(_ADDRESS_COLUMNS).isdisjoint(split_header(first)):
            self._rows = RowReader(line=self._lines.number - len(lines) + 1)

    def _find(self, row: Row) -> tuple[int, bool]:
        """Find the column by the first row; return its index, and whether the row is a header."""
        if self._column is None:
            names = [cell.strip().casefold() for cell in row.cells]
            for name in _ADDRESS_COLUMNS:
                if name in names:
                    return names.index(name), True
            wanted = " or ".join(_ADDRESS_COLUMNS)
            raise row.error(f"no column is named {wanted}; name one with --column")
        index, named = find_column(row, self._column)
        return index, named or "@" not in row.cells[index]


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    """Yield the content of a file; waits for a pipe or a terminal without blocking the loop."""
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
