"""The database file: its tables, how it is opened and checked, and messages for its faults.

Opening takes the same time for ten million entries as for none, because the checks read a bounded
part of the file.
"""

import sqlite3
from pathlib import Path
from typing import Final

from relay.stores.protocol import StoreError
from relay.stores.sqlite.place import application_of, check_place, make_file, restrict

VERSION: Final = 1
_APPLICATION: Final = 0x70726573
"""`pres`: marks the file as a suppression store (PRAGMA application_id)."""

COLUMNS: Final = "key, scope, kind, reason, value, source, created, expires"

# The day is `relay.stores.precedence.last_day` in SQL.
_CAME: Final = """
INSERT INTO tally
VALUES (NEW.scope, NEW.kind, NEW.reason, ifnull(CAST(NEW.expires / 86400 AS INTEGER) + 1, 0), 1)
ON CONFLICT DO UPDATE SET number = number + 1;
"""
_WENT: Final = """
UPDATE tally SET number = number - 1
WHERE scope = OLD.scope AND kind = OLD.kind AND reason = OLD.reason
    AND day = ifnull(CAST(OLD.expires / 86400 AS INTEGER) + 1, 0);
"""
_SCHEMA: Final = f"""
CREATE TABLE suppression (
    key BLOB NOT NULL,        -- 16 octets, validators.suppression.key
    scope TEXT NOT NULL,      -- 'all' or a campaign's id
    kind INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    value NOT NULL,           -- text; a digest as octets
    source TEXT NOT NULL,
    created REAL NOT NULL,    -- Unix seconds
    expires REAL,             -- Unix seconds; NULL: never
    PRIMARY KEY (key, scope)
) WITHOUT ROWID;
CREATE INDEX suppression_expires ON suppression (expires) WHERE expires IS NOT NULL;
CREATE INDEX suppression_kind ON suppression (kind) WHERE kind != 0;
CREATE TABLE tally (
    scope TEXT NOT NULL,
    kind INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    day INTEGER NOT NULL,     -- 0: never expires
    number INTEGER NOT NULL,
    PRIMARY KEY (scope, kind, reason, day)
) WITHOUT ROWID;
CREATE TRIGGER suppression_came AFTER INSERT ON suppression BEGIN {_CAME} END;
CREATE TRIGGER suppression_went AFTER DELETE ON suppression BEGIN {_WENT} END;
CREATE TRIGGER suppression_changed AFTER UPDATE ON suppression BEGIN {_WENT} {_CAME} END;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
"""

_PROBES: Final = 16
_WAL_LIMIT: Final = 64 * 2**20
"""Octets of the write-ahead log that stay on disk once its content is in the database file."""


def open_writer(path: Path, *, patience: float, create: bool = True) -> sqlite3.Connection:
    """Open the file for reading and writing, and check it. Raises StoreError.

    `patience` is how long to wait for another process's write, in seconds. With `create`, a file
    is made if there is none, and the tables in it if it is empty.
    """
    check_place(path)
    if create:
        make_file(path)
    connection = None
    try:
        address = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)
        _check_owner(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        # Writes are few, and an unsubscribe that was confirmed must outlive a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        # Statements with triggers need some temporary space. A pod with a read-only root file
        # system has no directory for it, and every statement here is small.
        connection.execute("PRAGMA temp_store = MEMORY")
        if create and not _is_ours(connection):
            _create(connection)
            # Another process knows a new file by its header, and not by the log beside it.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        probe(connection)
        restrict(path)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise StoreError(explain(path, error)) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection


def check_store_file(path: Path) -> None:
    """Raise StoreError if the file, which nobody has open, is no suppression store by its header.

    The log of a former file would make one of a file that is none.
    """
    if application_of(path) != _APPLICATION:
        raise StoreError(
            f"The suppression store {path} is damaged, or is none. Restore it from a copy, or move "
            "it away and start again."
        )


def open_reader(path: Path, *, patience: float) -> sqlite3.Connection:
    """Open the file for reading only. Raises StoreError."""
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError(explain(path, error)) from error


def probe(connection: sqlite3.Connection) -> None:
    """Read a bounded part of every table; sqlite3.Error if the file is damaged there."""
    connection.execute("SELECT sum(number) FROM tally").fetchone()
    for end in ("expires", "expires DESC"):
        query = f"SELECT 1 FROM suppression WHERE expires IS NOT NULL ORDER BY {end} LIMIT 1"  # noqa: S608
        connection.execute(query).fetchone()
    for step in range(_PROBES):
        start = bytes((step * 256 // _PROBES,))
        connection.execute(
            "SELECT value FROM suppression WHERE key >= ? ORDER BY key LIMIT 1", (start,)
        ).fetchone()


def explain(path: Path, error: sqlite3.Error) -> str:
    """Return a sentence on what is wrong with the file, and what to do about it."""
    name = getattr(error, "sqlite_errorname", "") or str(error)
    fault = f"The suppression store {path}"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or isinstance(error, ValueError):
        return (
            f"{fault} is damaged ({error}). Restore it from a copy, or move it away and import "
            "the lists again."
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{fault} is being written by another process. Try again when that is done."
    if name == "SQLITE_FULL":
        return f"{fault} cannot grow: its disk is full. Make room and try again."
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return f"{fault} cannot be opened for writing ({error}). Check the owner of its directory."
    if name.startswith("SQLITE_IOERR"):
        return f"{fault} cannot be read or written: disk error {name}. Check its disk."
    return f"{fault} does not answer ({name}: {error})."


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse another program's database, and one of a later presend."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != _APPLICATION and (tables or application or version):
        raise StoreError(
            f"The file {path} is a database of another program. Use another path for the "
            "suppression store."
        )
    if version > VERSION:
        raise StoreError(
            f"The suppression store {path} was made by a later presend (schema {version}; this "
            f"one knows {VERSION}). Update presend, or use another path."
        )


def _is_ours(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_ours(connection):
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _statements(script: str) -> list[str]:
    """Split a script; `executescript` would commit first, and two processes may race to create."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
