"""The kinds of suppression store that PRESEND_STORE can name, in one table.

The table is here and not in relay.stores because the settings check the URL and are below the
stores: it names each store's module, and `relay.stores.open_store` imports it. Adding a row is all
that a new store needs to be known: see relay/stores/protocol.py.
"""

import re
from typing import Final, NamedTuple

from relay.settings.endpoints import EndpointError


class StoreUrl(NamedTuple):
    """A kind of store, by the scheme of its URL."""

    form: str
    """What is allowed, for error messages."""
    pattern: re.Pattern[str]
    """What the whole URL has to match."""
    module: str
    """The module with `open_url(url, campaign, clock)`; imported when a store is opened."""


STORE_URLS: Final = {
    "sqlite": StoreUrl(
        "sqlite:///PATH (the path is absolute; ? and # in it are written %3F and %23)",
        re.compile(r"sqlite:///[^?#]*[^/?#][^?#]*", re.DOTALL),
        "relay.stores.sqlite",
    ),
    "memory": StoreUrl("memory:", re.compile("memory:"), "relay.stores.memory"),
}


def check_store(text: str) -> str:
    """Return the URL of a store unchanged; raises EndpointError, which says what is allowed."""
    find_store_url(text)
    return text


def find_store_url(text: str) -> StoreUrl:
    """Return the row of the table for the URL of a store; raises EndpointError."""
    row = STORE_URLS.get(text.partition(":")[0])
    if row is None or not row.pattern.fullmatch(text):
        raise EndpointError(" or ".join(row.form for row in STORE_URLS.values()))
    return row
