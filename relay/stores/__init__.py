"""Suppression stores: `open_store` opens the one that a URL names."""

import importlib
import time
from collections.abc import Callable

from relay.settings.endpoints import EndpointError, mask_urls
from relay.settings.store_urls import find_store_url
from relay.stores.blocking import BlockingStore
from relay.stores.protocol import (
    AdminStore,
    Answer,
    ImportResult,
    LookupStore,
    Store,
    StoreError,
)

__all__ = [
    "AdminStore",
    "Answer",
    "BlockingStore",
    "ImportResult",
    "LookupStore",
    "Store",
    "StoreError",
    "open_store",
]


def open_store(url: str, *, campaign: str, clock: Callable[[], float] = time.time) -> Store:
    """Open the store at `url`, as `campaign` sees it. Raises StoreError."""
    try:
        module = importlib.import_module(find_store_url(url).module)
    except EndpointError as error:
        raise StoreError(f"The store {mask_urls(url)} is of no known kind: use {error}.") from None
    store: Store = module.open_url(url, campaign, clock)
    return store
