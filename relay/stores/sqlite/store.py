"""The suppression store in an SQLite file, in WAL mode: one process writes while others read."""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from relay.stores.precedence import in_force, last_day, specificity
from relay.stores.protocol import ImportResult, StoreError
from relay.stores.sqlite.place import (
    Identity,
    discard_log,
    identity,
    log_header,
    log_of,
)
from relay.stores.sqlite.reader import PATIENCE, Reader
from relay.stores.sqlite.rows import REASONS, Row, from_row, reason_number, to_row
from relay.stores.sqlite.schema import (
    COLUMNS,
    check_store_file,
    explain,
    open_reader,
    open_writer,
)
from relay.stores.sqlite.staging import Staging
from validators.address import Address
from validators.suppression import (
    ALL,
    Kind,
    StoreUnavailable,
    Suppression,
    SuppressionReason,
    key,
)

_logger = logging.getLogger(__name__)

_BATCH: Final = 100
"""Rows added by one statement in an import, which takes half the time of one statement a row."""


def _upsert(rows: int) -> str:
    values = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
    return f"""
INSERT INTO suppression ({COLUMNS}) VALUES {values}
ON CONFLICT (key, scope) DO UPDATE SET reason = excluded.reason, source = excluded.source,
    created = excluded.created, expires = excluded.expires
WHERE suppression.expires IS NOT NULL
    AND (excluded.expires IS NULL OR excluded.expires > suppression.expires)
"""  # noqa: S608 - constants


_UPSERT: Final = _upsert(1)
_UPSERT_BATCH: Final = _upsert(_BATCH)
_PURGE: Final = """
DELETE FROM suppression WHERE (key, scope) IN (
    SELECT key, scope FROM suppression WHERE expires <= ? LIMIT 10000)
"""
_CHECKPOINTS: Final = 10
_CHECKPOINT_PAUSE: Final = 0.1
"""Seconds. Readers renew their read transaction several times a second."""


class SqliteStore:
    """A store in a file. Used by one thread; any number of processes may share the file."""

    find: Callable[[Sequence[Address]], Sequence[Suppression | None]]
    """Return the entry in force for each address (see `LookupStore`)."""

    def __init__(
        self,
        path: Path,
        *,
        campaign: str,
        clock: Callable[[], float] = time.time,
        patience: float = 30.0,
    ) -> None:
        """Open the file, or make it. Raises StoreError.

        `patience` is how long a change waits for another process's change, in seconds.
        """
        self._path = path
        self._campaign = campaign
        self._clock = clock
        self._patience = patience
        self._changed = False
        self._writer = open_writer(path, patience=patience)
        self._file = identity(path)
        """The file that was last in use, as it was at the last refresh."""
        self._log_in_use = b""
        """The header of a former file's log that another process used at the last refresh."""
        self._lost = False
        """No file is in use: there is none at the path, or none that can be used."""
        try:
            self._reader = Reader(path, campaign=campaign, clock=clock)
        except StoreError:
            self._writer.close()
            raise
        self.find = self._reader.find
        self.refresh()

    def lookup(self, address: Address) -> list[Suppression]:
        """Return every entry in force that holds for an address."""
        return sorted(self._reader.matches(address), key=specificity)

    def add(self, entries: Iterable[Suppression]) -> int:
        """Add a few entries (see `AdminStore.add`); `import_entries` is for many."""
        rows = [to_row(entry) for entry in entries]
        with self._transaction() as connection:
            return _put(connection, rows)

    def remove(self, kind: Kind, value: str, scope: str | None = None) -> int:
        """Remove an entry (see `AdminStore.remove`)."""
        with self._transaction() as connection:
            return connection.execute(
                "DELETE FROM suppression WHERE key = ? AND scope = ifnull(?, scope)",
                (key(kind, value), scope),
            ).rowcount

    def import_entries(
        self,
        entries: Iterable[Suppression],
        *,
        merged: Callable[[float], None] | None = None,
    ) -> ImportResult:
        """Add all entries or none (see `AdminStore.import_entries`).

        The source is read to its end before the store is locked.
        """
        try:
            with Staging(self._path.parent) as staging:
                for entry in _read(entries):
                    staging.put(to_row(entry))
                return self._merge(staging, merged)
        except _SourceError as failed:  # a name of its own: mypyc gives a name one type
            raise failed.cause from None
        except OSError as error:
            raise StoreError(
                f"The import needs room beside the suppression store {self._path}: "
                f"{error.strerror or error}. Make room and import again; nothing was changed."
            ) from error

    def _merge(self, staging: Staging, merged: Callable[[float], None] | None) -> ImportResult:
        done = changed = 0
        with self._transaction() as connection:
            before = _total(connection)
            for rows in staging.buckets():
                changed += _put(connection, rows)
                done += len(rows)
                if merged is not None:
                    merged(done / staging.total)
            added = _total(connection) - before
        self._checkpoint()
        return ImportResult(done, added, changed - added)

    def entries(
        self, *, scope: str | None = None, reason: SuppressionReason | None = None
    ) -> Iterator[Suppression]:
        """Stream the entries in force (see `AdminStore.entries`), over a connection of its own."""
        self.refresh()
        now = self._clock()
        number = None if reason is None else reason_number(reason)
        try:
            with contextlib.closing(open_reader(self._path, patience=1.0)) as connection:
                for row in connection.execute(
                    f"SELECT {COLUMNS} FROM suppression "  # noqa: S608 - a constant
                    "WHERE scope = ifnull(?, scope) AND reason = ifnull(?, reason)",
                    (scope, number),
                ):
                    entry = from_row(row)
                    if in_force(entry, now):
                        yield entry
        except (StoreError, sqlite3.Error) as error:
            raise self._unavailable(error) from error

    def counts(self) -> Mapping[SuppressionReason, int]:
        """Return how many entries `find` may return, by reason."""
        if self._lost:
            raise StoreUnavailable(self._reader.fault or "")
        try:
            rows = self._reader.connection.execute(
                "SELECT reason, sum(number) FROM tally WHERE scope IN (?, ?) "
                "AND (day = 0 OR day >= ?) AND number > 0 GROUP BY reason",
                (ALL, self._campaign, last_day(self._clock())),
            ).fetchall()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        return {REASONS[reason]: number for reason, number in rows}

    def healthy(self) -> str | None:
        """Return why the store cannot answer, or None."""
        if self._reader.fault is None and not self._in_place():
            return _gone(self._path)
        return self._reader.fault

    def refresh(self) -> None:
        """Make changes by other processes visible, also that the file was replaced or removed."""
        found = identity(self._path)
        if not self._lost and found is not None and found.same_file(self._file):
            self._file = found
            self._reader.refresh()
        else:
            self._reopen(found)

    def _in_place(self) -> bool:
        """Whether the file that is in use is the one at the path."""
        found = identity(self._path)
        return found is not None and found.same_file(self._file)

    def _reopen(self, found: Identity | None) -> None:
        """Open the file that is at the path now, in place of the one that was there before.

        Nothing is created here: a file that is not there, or is empty, is a fault and not an
        empty list. It reads and waits no more than a start does, as it runs in the event loop.
        """
        fault = self._reader.fault
        # Both first: two files in use at one path would share, and spoil, the -wal and -shm files.
        self._reader.lose(fault or _gone(self._path))
        self._writer.close()
        self._lost = True
        try:
            self._open_again(found)
        except (StoreError, sqlite3.Error, OSError) as error:
            self._writer.close()
            self._reader.lose(str(error))
            if str(error) != fault:
                _logger.error("%s", error)  # noqa: TRY400 - the sentence says all
            return
        self._lost, self._file = False, found
        self._reader.refresh()
        _logger.warning(
            "The suppression store %s was replaced: the file that is there now is in use",
            self._path,
        )

    def _open_again(self, found: Identity | None) -> None:
        """Open the file at the path. Raises StoreError, sqlite3.Error and OSError."""
        if found is None:
            raise StoreError(_gone(self._path))
        if found != self._file:  # else it is back, and so is its log
            check_store_file(self._path)
            self._leave_log()
        self._writer = open_writer(self._path, patience=PATIENCE, create=False)
        self._writer.execute(f"PRAGMA busy_timeout = {round(self._patience * 1000)}")
        self._reader.open()

    def _leave_log(self) -> None:
        """Remove the write-ahead log if it is still the one of the former file. Raises StoreError.

        A process that has changed the new file meanwhile, and has ended, has left no log.
        """
        header, log = log_header(self._path), identity(log_of(self._path))
        if not header or log is None or not log.same_file(self._reader.log):
            return
        if self._log_in_use not in (b"", header):
            return  # it was made by those who used the former one: an inode's number returns
        if not discard_log(self._path):
            self._log_in_use = header
            raise StoreError(
                f"The suppression store {self._path} was replaced, and another process uses the "
                "write-ahead log of the former file. It is waited for; if it stays, end it."
            )
        self._log_in_use = b""

    def close(self) -> None:
        """Close the file.

        Changes are moved from the write-ahead log into the file: a log that is left beside a file
        which an operator then replaces would be taken for the log of the new one.
        """
        if self._changed and not self._lost:
            self._checkpoint()
        self._reader.connection.close()
        self._writer.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block in a write transaction, and undo it if it raises. Raises StoreError."""
        self.refresh()
        if self._lost:
            raise StoreError(self._reader.fault)
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._changed = True
            try:
                connection.execute(_PURGE, (self._clock(),))
                connection.execute("DELETE FROM tally WHERE number = 0")
                yield connection
                connection.execute("COMMIT")
                self._check_place()
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(explain(self._path, error)) from error
        finally:
            self.refresh()

    def _check_place(self) -> None:
        """Raise StoreError if the file that was just written is not at the path any more."""
        if not self._in_place():
            raise StoreError(
                f"{_gone(self._path)} The change went to the former file: make it again."
            )

    def _checkpoint(self) -> None:
        """Move a large write-ahead log into the file, since look-ups in the log are slower."""
        with contextlib.suppress(sqlite3.Error):
            for _ in range(_CHECKPOINTS):
                _, size, moved = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if size == moved:
                    return
                self.refresh()
                time.sleep(_CHECKPOINT_PAUSE)

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, sqlite3.Error):
            return StoreUnavailable(explain(self._path, error))
        return StoreUnavailable(str(error))


def _gone(path: Path) -> str:
    return f"The suppression store {path} was removed or replaced."


def _put(connection: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Add rows; return how many are new or last longer."""
    whole = len(rows) - len(rows) % _BATCH
    changed = 0
    for start in range(0, whole, _BATCH):
        values = tuple(chain.from_iterable(rows[start : start + _BATCH]))
        changed += connection.execute(_UPSERT_BATCH, values).rowcount
    for row in rows[whole:]:
        changed += connection.execute(_UPSERT, row).rowcount
    return changed


def _total(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT ifnull(sum(number), 0) FROM tally").fetchone()[0])


class _SourceError(Exception):
    """The source of an import failed with an OSError, which is none of the store's."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _read(entries: Iterable[Suppression]) -> Iterator[Suppression]:
    """Yield the entries of a source; tell its OSErrors from those of the store."""
    try:
        yield from entries
    except OSError as error:
        raise _SourceError(error) from error
