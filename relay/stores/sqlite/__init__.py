"""Suppressions in an SQLite file: embedded, shared by the processes of one machine."""

from relay.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
