"""Rows of an import, gathered in a temporary file so that any number fits into bounded memory.

Keys are evenly spread digests. Rows are put into buckets by the first octet of their key, so that
each bucket is small enough to be sorted in memory, and all buckets together come out in key order:
the order in which SQLite writes each page of the table once.

SQLite could gather and sort the rows itself. Measured with a million rows, and another process that
reads and writes meanwhile (total time; longest wait of the other process to write, which never
waits to read):

    this module                                            5.2 s    3.0 s
    a TEMP table, and INSERT ... SELECT ... ORDER BY key   5.6 s    2.4 s
    an attached database, partitioned by the key          14.6 s    3.9 s
    no staging: rows inserted in the order of the source  15.0 s   14.9 s

The TEMP table needs a directory for temporary files outside the store's own. A pod with a read-only
root file system has none, and SQLite offers no supported way to choose one.
"""

import marshal
import operator
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from relay.stores.sqlite.rows import Row

_BUCKETS: Final = 256
_IN_MEMORY: Final = 65_536
"""Rows held in memory before they are written to the file."""

_KEY: Final = operator.itemgetter(0)


class Staging:
    """A temporary file of rows beside the store; it has no name, so a crash leaves nothing.

    Every method raises OSError when the disk is full.
    """

    def __init__(self, directory: Path) -> None:
        """Make the file in `directory`, on the disk that has to hold the rows anyway."""
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by __exit__
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(_BUCKETS)]
        self._rows: list[list[Row]] = [[] for _ in range(_BUCKETS)]
        self._held = 0
        self.total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def put(self, row: Row) -> None:
        """Add one row."""
        self._rows[row[0][0]].append(row)
        self.total += 1
        self._held += 1
        if self._held >= _IN_MEMORY:
            self._write_out()

    def buckets(self) -> Iterator[list[Row]]:
        """Yield all rows in key order, a bucket at a time."""
        for number in range(_BUCKETS):
            rows = self._rows[number]
            for offset, length in self._pieces[number]:
                self._file.seek(offset)
                rows.extend(marshal.loads(self._file.read(length)))  # noqa: S302
            self._rows[number] = []
            rows.sort(key=_KEY)
            if rows:
                yield rows

    def _write_out(self) -> None:
        self._file.seek(0, 2)
        offset = self._file.tell()
        for number, rows in enumerate(self._rows):
            if rows:
                piece = marshal.dumps(rows)
                self._file.write(piece)
                self._pieces[number].append((offset, len(piece)))
                offset += len(piece)
                self._rows[number] = []
        self._held = 0
