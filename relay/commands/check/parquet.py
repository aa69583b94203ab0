"""Parquet files, read as a table with a header (the extra `parquet` installs pyarrow)."""

import contextlib
import csv
import io
import os
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from relay.commands.check.source import ListError

MAGIC: Final = b"PAR1"
"""The first octets of a Parquet file."""
_ROWS: Final = 4096
"""Rows that are in memory at a time, besides a row group's packed columns."""


def is_parquet(descriptor: int) -> bool:
    """Return whether an open file is a Parquet file; False for a pipe."""
    try:
        return os.pread(descriptor, len(MAGIC), 0) == MAGIC
    except OSError:  # what is no regular file has no positions
        return False


@contextlib.contextmanager
def as_table(descriptor: int) -> Iterator[int]:
    """Yield a descriptor from which the file is read as comma-separated text in UTF-8.

    A thread writes the text into a pipe as fast as it is read. Raises ListError, at the end if the
    file breaks off: what was read until then is a part of the list.
    """
    with os.fdopen(os.dup(descriptor), "rb") as octets:
        file = _open(octets)
        reader, writer = os.pipe()
        faults: list[str] = []

        def write() -> None:
            with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb") as pipe:
                for text in _texts(file, faults):
                    pipe.write(text.encode(errors="surrogateescape"))

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield reader
        finally:
            os.close(reader)  # ends the thread, if it still writes
            thread.join()
    if faults:
        raise ListError(f"the Parquet file cannot be read to its end: {faults[0]}")


def _open(octets: BinaryIO) -> Any:  # noqa: ANN401 - pyarrow has no types
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ListError(
            "this is a Parquet file: install presend[parquet] to read it, or export it as CSV"
        ) from None
    open_file: Any = parquet.ParquetFile
    try:
        return open_file(octets)
    except (ArrowException, OSError, ValueError) as error:
        raise ListError(f"the Parquet file cannot be read: {_first_line(error)}") from None


def _texts(file: Any, faults: list[str]) -> Iterator[str]:  # noqa: ANN401 - pyarrow has no types
    """Yield the header, then some rows at a time, as comma-separated text; note a fault."""
    buffer = io.StringIO(newline="")
    rows = csv.writer(buffer)

    def text() -> str:
        written = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return written

    rows.writerow(file.schema_arrow.names)
    yield text()
    batches = file.iter_batches(_ROWS)
    while True:
        try:
            batch = next(batches, None)
        except Exception as error:  # noqa: BLE001 - pyarrow raises its own and many others
            faults.append(_first_line(error))
            return
        if batch is None:
            return
        columns = [column.to_pylist() for column in batch.columns]
        rows.writerows(zip(*columns, strict=True))  # None is an empty cell
        yield text()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
