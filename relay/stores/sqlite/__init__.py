"""Suppressions in an SQLite file: embedded, shared by the processes of one machine."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from relay.stores.protocol import Store
from relay.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "open_url"]


def open_url(url: str, campaign: str, clock: Callable[[], float]) -> Store:
    """Open or make the file of `sqlite:///PATH`; PATH may be percent-encoded. StoreError."""
    path = Path(unquote(url.removeprefix("sqlite://")))
    return SqliteStore(path, campaign=campaign, clock=clock)
