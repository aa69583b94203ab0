"""Look-ups in the file, one for each group of recipients, and how most of them avoid the file.

A read transaction is held open between refreshes, so that a look-up takes no file lock. Kinds of
entries that neither the campaign nor scope `all` has are not looked up. Of kinds other than
addresses that have few entries, all keys are kept in memory, and only a key that is among them is
looked up in the file. For addresses there is a Bloom filter: see `bloom_filter`.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from relay.stores.precedence import in_force, specificity
from relay.stores.sqlite.bloom_filter import AddressFilter
from relay.stores.sqlite.place import Identity, identity, log_of
from relay.stores.sqlite.rows import KINDS, Row, from_row
from relay.stores.sqlite.schema import COLUMNS, explain, open_reader, probe
from validators.address import Address
from validators.suppression import (
    ALL,
    Kind,
    StoreUnavailable,
    Suppression,
    keys_for,
)

_MAX_KEYS: Final = 256
"""Most keys in one query."""
_FEW: Final = 4096
"""Most entries of kinds other than addresses for which the keys are kept in memory."""
_RENEWAL: Final = 4096
"""Look-ups after which the read transaction is renewed, for a caller that never refreshes."""
PATIENCE: Final = 0.05
"""Seconds. In WAL mode a reader waits only for a recovery after another process's crash."""


class Reader:
    """Look-ups in the file at `path`, as `campaign` sees it."""

    def __init__(self, path: Path, *, campaign: str, clock: Callable[[], float]) -> None:
        """Open the file for reading. Raises StoreError. Call `refresh` before the first lookup."""
        self._path = path
        self.fault: str | None = None
        """Why look-ups fail; None if they do not."""
        self.log: Identity | None = None
        """The write-ahead log of the file."""
        self._campaign = campaign
        self._scopes = (ALL, campaign)
        self._clock = clock
        self._kinds: frozenset[Kind] = frozenset()
        self._hashed: frozenset[Kind] = frozenset()
        self._rare: frozenset[Kind] = frozenset()
        self._rare_keys: frozenset[bytes] = frozenset()
        self._filter = AddressFilter()
        self._addresses = 0
        self._version: int | None = None
        self._lookups = 0
        self.open()

    def open(self) -> None:
        """Open the file that is at the path now. Raises StoreError. Call `refresh` then."""
        self.connection = open_reader(self._path, patience=PATIENCE)
        self._cursor = self.connection.cursor()
        self._version = None
        self._filter.reset()
        self.fault = None

    def find(self, group: Sequence[Address]) -> list[Suppression | None]:
        """Return the entry in force for each address, the most specific one. StoreUnavailable."""
        if self.fault is not None:
            raise StoreUnavailable(self.fault)
        keys = [self._keys(address) for address in group]
        flat = keys[0] if len(keys) == 1 else [single for several in keys for single in several]
        rows = self._rows(flat)
        if not rows:
            return [None] * len(group)
        found = self._by_key(rows)
        return [
            min(
                (entry for single in several for entry in found.get(single, ())),
                key=specificity,
                default=None,
            )
            for several in keys
        ]

    def lose(self, fault: str) -> None:
        """Close the file; look-ups fail with this sentence until `open` and `refresh`."""
        self.connection.close()
        self.fault = fault

    def _broken(self, error: sqlite3.Error) -> StoreUnavailable:
        """Store a fault, which every look-up raises until `refresh` finds the file readable."""
        self.fault = explain(self._path, error)
        return StoreUnavailable(self.fault)

    def _keys(self, address: Address) -> list[bytes]:
        """Return the keys to look up in the file; none for an address that cannot be listed."""
        kinds = self._kinds
        listed = self._filter.complete
        if listed is not None and address.canonical not in listed:
            kinds = self._hashed
        keys = keys_for(address, kinds) if kinds else []
        if self._rare:
            keys += self._rare_keys.intersection(keys_for(address, self._rare))
        return keys

    def matches(self, address: Address) -> Iterator[Suppression]:
        """Yield the entries in force for one address, of every scope. Raises StoreUnavailable."""
        if self.fault is not None:
            raise StoreUnavailable(self.fault)
        for single in keys_for(address):
            try:
                rows = self.connection.execute(_ANYWHERE, (single,)).fetchall()
            except sqlite3.Error as error:
                raise self._broken(error) from error
            for entries in self._by_key(rows).values():
                yield from entries

    def refresh(self) -> None:
        """Renew the read transaction; if the file was changed, read again which kinds it has."""
        connection = self.connection
        try:
            if connection.in_transaction:
                connection.execute("COMMIT")
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            connection.execute("BEGIN")
            if version != self._version or self.fault is not None:
                if self.fault is not None:
                    probe(connection)
                self._read_kinds()
                self._version, self.fault = version, None
                self.log = identity(log_of(self._path))
            else:
                self._filter.advance(connection, self._addresses)
        except sqlite3.Error as error:
            self.fault = explain(self._path, error)

    def _read_kinds(self) -> None:
        """Read which kinds have entries, and the keys of kinds that have few."""
        rows = self.connection.execute(
            "SELECT kind, sum(number) FROM tally WHERE scope IN (?, ?) GROUP BY kind", self._scopes
        )
        numbers = {KINDS[kind]: number for kind, number in rows if number > 0}
        rare = frozenset(numbers) - {Kind.ADDRESS}
        if sum(numbers[kind] for kind in rare) > _FEW:
            rare = frozenset()
        keys = self.connection.execute(
            "SELECT key FROM suppression WHERE kind != 0 AND scope IN (?, ?) LIMIT ?",
            (*self._scopes, _FEW if rare else 0),
        )
        self._filter.reset()
        ((self._addresses,),) = self.connection.execute(
            "SELECT ifnull(sum(number), 0) FROM tally WHERE kind = 0"
        )
        self._rare_keys = frozenset(key for (key,) in keys)
        self._rare = rare
        self._kinds = frozenset(numbers) - rare
        self._hashed = self._kinds - {Kind.ADDRESS}

    def _rows(self, keys: list[bytes]) -> list[Row]:
        """Return the campaign's rows for `keys`, by one query, or by none if there is no key."""
        if not keys:
            return []
        self._lookups += 1
        if self._lookups % _RENEWAL == 0:
            self.refresh()
        try:
            if len(keys) == 1:
                rows = self._cursor.execute(_ANYWHERE, (keys[0],)).fetchall()
                return [row for row in rows if row[1] in self._scopes] if rows else rows
            rows = []
            for start in range(0, len(keys), _MAX_KEYS):
                some = keys[start : start + _MAX_KEYS]
                # The number of keys is rounded up to a power of two by repeating the last key,
                # so that few statements have to be prepared.
                size = 1 << (len(some) - 1).bit_length()
                some += some[-1:] * (size - len(some))
                rows += self.connection.execute(_select_many(size), (*some, self._campaign))
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return rows

    def _by_key(self, rows: list[Row]) -> dict[bytes, list[Suppression]]:
        now = self._clock()
        found: dict[bytes, list[Suppression]] = {}
        for row in rows:
            entry = from_row(row)
            if in_force(entry, now):
                found.setdefault(row[0], []).append(entry)
        return found


_ANYWHERE: Final = f"SELECT {COLUMNS} FROM suppression WHERE key = ?"  # noqa: S608 - constants


def _select_many(size: int) -> str:
    return _MANY[size.bit_length() - 1]


def _many(size: int) -> str:
    keys = ", ".join(["(?)"] * size)
    return (
        f"SELECT {COLUMNS} FROM (VALUES {keys}) AS wanted "  # noqa: S608 - constants
        f"CROSS JOIN suppression ON key = wanted.column1 AND +scope IN ('{ALL}', ?)"
    )


_MANY: Final = tuple(_many(1 << power) for power in range(_MAX_KEYS.bit_length()))
