"""Parts of a list, for `--shard` and `--state`: where in a file the rows begin.

A row belongs to the part in which its first octet lies. Line ends inside quotes begin no row, so
whether a line does depends on all that precedes it: the file is walked from its beginning, in large
blocks where there are no quotes. This also gives the numbers of the rows. Only regular files in an
encoding that extends ASCII can be walked; gzip and UTF-16 cannot.
"""

import csv
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, NamedTuple

from relay.commands.check.source import Group, Layout, ListError, Source, Span
from relay.commands.tables import MAX_LENGTH

BLOCK: Final = 1 << 20
"""Octets that are read at once."""
_LONGEST: Final = 4 * MAX_LENGTH
"""Octets of a line: a character has at most four."""
STEP: Final = 4 << 20
"""Octets of a list after which an interrupted run can go on."""
_NOT_ASCII: Final = (b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff")
"""The beginnings of gzip and of UTF-16."""


class Place(NamedTuple):
    """Where a row begins."""

    offset: int
    row: int
    """Its number, from 1."""


class Walk:
    """Walks the rows of a file."""

    def __init__(
        self, descriptor: int, column: str | None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Find the layout. `say` is told which column was found. Raises ListError."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ListError("--shard and --state need a regular file")
        if os.pread(descriptor, 2, 0) in _NOT_ASCII:
            raise ListError("--shard and --state need a file that is neither gzip nor UTF-16")
        self.size = status.st_size
        self.better = ""
        """See `Source.better`."""
        self._descriptor = descriptor
        source = Source(descriptor, column, say)
        self.layout: Layout = source.find_layout() or Layout("", 0, [], "", bom=False)
        self.better = source.better
        self.body = self._after_header()
        """The first row that is not the header."""

    def _after_header(self) -> Place:
        """Return where the rows begin after the header and a line such as `sep=;`."""
        place = Place(0, 1)
        for counts in [False] * bool(self.layout.separator) + [True] * bool(self.layout.header):
            blank = True
            while blank and place.offset < self.size:
                begin = place
                place = self.next(begin, begin.offset + 1)
                blank = not self._cells(begin.offset, place.offset)
            if not counts:
                place = Place(place.offset, place.row - 1)
        return place

    def _cells(self, start: int, end: int) -> bool:
        """Return whether a row has a cell that is not empty."""
        octets = os.pread(self._descriptor, min(end - start, MAX_LENGTH), start)
        text = octets.decode("utf-8-sig", errors="surrogateescape")
        return any(any(map(str.strip, row)) for row in csv.reader(
            text.splitlines(keepends=True), delimiter=self.layout.delimiter
        ))  # fmt: skip

    def shard(self, index: int, number: int) -> Span:
        """Return one of `number` parts, counted from 0."""
        begin = self.next(self.body, self.size * index // number)
        end = self.next(begin, self.size * (index + 1) // number)
        return Span(begin.offset, end.offset, begin.row, self.layout)

    def next(self, start: Place, until: int) -> Place:
        """Return the first row that begins at `until` or later; the end of the file if none does.

        A row begins at `start`.
        """
        position, row = start
        blocks = self._blocks(position)
        quoting = bool(self.layout.delimiter)
        for block in blocks:
            if position + len(block) <= until and not (quoting and b'"' in block):
                position += len(block)
                row += _lines(block)
                continue
            lines = iter(block.splitlines(keepends=True))
            while position < until and (line := next(lines, b"")):
                position += len(line)
                row += 1
                if quoting and b'"' in line:
                    reading = _Row(line, lines, blocks)
                    reading.finish(self.layout.delimiter)
                    position += reading.more
                    lines = reading.lines
            if position >= until:
                break
        return Place(position, row)

    def _blocks(self, offset: int) -> Iterator[bytes]:
        """Yield the file from an offset on, in blocks of whole lines. Raises ListError."""
        rest = b""
        while block := os.pread(self._descriptor, BLOCK, offset):
            offset += len(block)
            block = rest + block
            # a CR at the end may be the first half of a line end
            cut = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
            if not cut and len(block) > _LONGEST:
                raise ListError(f"no end of line in {len(block):,} octets")
            rest = block[cut:]
            if cut:
                yield block[:cut]
        if rest:
            yield rest


class _Row:
    """The rest of a row whose first line has a quote; it may go on in the lines that follow."""

    def __init__(self, first: bytes, lines: Iterator[bytes], blocks: Iterator[bytes]) -> None:
        self.more = 0
        """Octets of its further lines."""
        self.lines = lines
        self._first = first
        self._blocks = blocks

    def finish(self, delimiter: str) -> None:
        """Take the lines of the row; `lines` are then those that follow."""
        try:
            next(csv.reader(self._supply(), delimiter=delimiter), None)
        except csv.Error:
            return  # too long: whoever reads this part says so

    def _supply(self) -> Iterator[str]:
        yield _text(self._first)
        while True:
            for line in self.lines:
                self.more += len(line)
                yield _text(line)
            block = next(self._blocks, None)
            if block is None:
                return
            self.lines = iter(block.splitlines(keepends=True))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode(errors="surrogateescape") + "\n"


def _lines(block: bytes) -> int:
    """Return the number of lines; the last one may have no end."""
    ends = block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
    return ends + (not block.endswith((b"\n", b"\r")))


class SpanSource:
    """The rows of a part of a list, with places at which an interrupted run can go on."""

    def __init__(self, descriptor: int, walk: Walk, span: Span) -> None:
        """Read a part of a file."""
        self.layout: Layout | None = walk.layout
        self.better = walk.better
        self._descriptor = descriptor
        self._walk = walk
        self._span = span

    async def groups(self) -> AsyncIterator[Group]:
        """Yield the rows in order, and a group without rows at each place to go on from."""
        place = Place(self._span.start, self._span.row)
        while place.offset < self._span.end:
            after = self._walk.next(place, min(place.offset + STEP, self._span.end))
            end = min(after.offset, self._span.end)
            source = Source(
                self._descriptor, None, span=Span(place.offset, end, place.row, self._span.layout)
            )
            async for group in source.groups():
                yield group
            place = after
            yield Group([], [], [], {}, [], end, place)
