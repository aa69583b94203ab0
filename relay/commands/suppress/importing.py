"""The import of one list into the store, with a progress bar on a terminal."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, Protocol, cast

from relay.commands.suppress.lists import Given, read_list
from relay.commands.tables import Source
from relay.stores import BlockingStore, ImportResult
from validators.suppression import Suppression

_PROGRESS_ROWS: Final = 2000
"""Rows between two updates of the progress bar."""


def import_file(
    file: Source,
    name: str,
    store: BlockingStore,
    given: Given,
    now: float,
    *,
    column: str | None = None,
    size: int | None = None,
    most: int | None = None,
) -> ImportResult:
    """Import the whole list or nothing of it. Raises TableError and StoreError.

    `size` is the length of a file that can tell its position, and None for any other source;
    `most` limits the octets that packed octets unpack to.
    """
    with contextlib.closing(_Progress(name, size)) as progress:
        entries = read_list(file, given, now=now, column=column, name=name, most=most)
        return store.import_entries(progress.watch(entries, file), merged=progress.merged)


def line(name: str, result: ImportResult) -> str:
    """Return what an import did, as a line of text."""
    return (
        f"{name}: {result.read} read, {result.added} added, {result.renewed} last longer, "
        f"{result.unchanged} already on the list"
    )


class _Positioned(Protocol):
    def tell(self) -> int: ...


class _Progress:
    """A bar on a terminal, first for reading the file, then for merging it into the store."""

    def __init__(self, name: str, size: int | None) -> None:
        from tqdm import tqdm

        self._new = partial(tqdm, file=sys.stderr, disable=None, leave=False)
        self._seekable = size is not None
        self._bar = self._new(total=size, unit="B", unit_scale=True, desc=f"reading {name}")
        self._merging = False

    def watch(self, entries: Iterable[Suppression], file: Source) -> Iterator[Suppression]:
        """Yield the entries, and show how much of the file has been read for them."""
        for number, entry in enumerate(entries):
            if self._seekable and number % _PROGRESS_ROWS == 0:
                self._move(cast("_Positioned", file).tell())
            yield entry

    def merged(self, part: float) -> None:
        """Show which part (0 to 1) of the entries is in the store."""
        if not self._merging:
            self._bar.close()
            self._bar = self._new(total=100, unit="%", desc="merging")
            self._merging = True
        self._move(round(part * 100))

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _move(self, place: int) -> None:
        self._bar.update(place - self._bar.n)
