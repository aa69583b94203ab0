"""The list that `presend check` judges: an address a line, or a column of a table."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final

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

_SHOWN: Final = 5
"""Lines without an address that are named."""


class ListError(Exception):
    """The list cannot be read; the message is for the person who named it."""


class Source:
    """The addresses of an open file. `position` tells how many octets of it were read."""

    def __init__(
        self, descriptor: int, column: str | None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Read from a file descriptor; `column` is a name, or a number from 1.

        `say` is told which column was found without being named.
        """
        self.position = 0
        self.blank = 0
        """Rows that have no address."""
        self.first_blank: list[int] = []
        """The numbers of the lines in which the first of them begin."""
        self.better = ""
        """Another column that looks right while this one does not; see `Column`."""
        self._descriptor = descriptor
        self._column = column
        self._say = say
        self._lines = LineReader()
        self._rows: RowReader | None = None
        self._index: int | None = None
        self._begun = False
        self._held: list[str] = []
        """Lines by which it is not decided yet whether the list is a table."""
        self._sample: list[Row] = []
        """Rows by which the column is not decided yet."""

    async def groups(self) -> AsyncIterator[list[str]]:
        """Yield the addresses in order, without blank ones; ListError if that ends early.

        Octets that are not UTF-8 become lone surrogates, which no valid address contains.
        """
        unpacker = Unpacker()
        try:
            async for chunk in _chunks(self._descriptor):
                self.position += len(chunk)
                for piece in unpacker.feed(chunk):
                    if group := self._addresses(self._lines.feed(piece)):
                        yield group
            for piece in unpacker.close():
                if group := self._addresses(self._lines.feed(piece)):
                    yield group
            if group := self._addresses(self._lines.feed(b"", final=True), final=True):
                yield group
        except TableError as error:
            raise ListError(str(error)) from None

    def _addresses(self, lines: list[str], *, final: bool = False) -> list[str]:
        """Return the addresses in these lines; `final` if they are the last ones."""
        if not self._begun:
            self._held += lines
            if not self._begin(final=final):
                return []
            lines, self._held = self._held, []
        if self._rows is None:
            return [address for line in lines if (address := line.strip())]
        found = list(self._of_rows(self._rows.feed(lines), final=False))
        if final:
            self._rows.close()
            found += self._of_rows((), final=True)
        return found

    def _begin(self, *, final: bool) -> bool:
        """Tell a table from a plain list by the lines held; False if there have to be more."""
        while self._held and not self._held[0].strip():
            del self._held[0]
        if not self._held:
            return False
        table = self._column is not None or is_table(self._held, final=final)
        if table is None:
            return False
        self._begun = True
        if table:
            self._rows = RowReader(line=self._lines.number - len(self._held) + 1)
        return True

    def _of_rows(self, rows: Sequence[Row] | Iterator[Row], *, final: bool) -> Iterator[str]:
        """Yield the addresses of these rows, and of those of the sample once it is complete."""
        for row in rows:
            if self._index is not None:
                yield from self._cell(row, self._index)
                continue
            self._sample.append(row)
            if len(self._sample) >= SAMPLE:
                yield from self._of_sample()
        if final and self._sample and self._index is None:
            yield from self._of_sample()

    def _of_sample(self) -> Iterator[str]:
        column = find_column(self._sample, self._column)
        self._index, self.better = column.place, column.better
        if column.why:
            self._say(column.why)
        for row in self._sample[column.header :]:
            yield from self._cell(row, column.place)
        self._sample = []

    def _cell(self, row: Row, index: int) -> Iterator[str]:
        address = row.cells[index].strip() if index < len(row.cells) else ""
        if address:
            yield address
            return
        self.blank += 1
        if len(self.first_blank) < _SHOWN:
            self.first_blank.append(row.line)


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
