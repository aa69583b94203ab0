"""Suppression stores: `open_store` picks one by its URL."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from relay.stores.memory import MemoryStore
from relay.stores.protocol import ImportResult, Store, StoreError
from relay.stores.sqlite import SqliteStore

__all__ = ["ImportResult", "Store", "StoreError", "open_store"]

_SQLITE = "sqlite://"


def open_store(url: str, *, campaign: str, clock: Callable[[], float] = time.time) -> Store:
    """Open the store at `url` (`memory:` or `sqlite:///PATH`) as `campaign` sees it.

    Raises StoreError, with a sentence for the operator.
    """
    if url == "memory:":
        return MemoryStore(campaign=campaign, clock=clock)
    if url.startswith(f"{_SQLITE}/"):
        return SqliteStore(Path(unquote(url[len(_SQLITE) :])), campaign=campaign, clock=clock)
    raise StoreError(f"The store {url} is of no known kind: use sqlite:///PATH or memory:.")
