"""The interface of a suppression store, in two halves.

`LookupStore` is what the relay needs while it judges recipients; `AdminStore` is what commands and
feedback need to change and to list the entries. A store over the network may wait for its server:
where the type is `Answer`, a store returns either the value or an awaitable of it, and callers
handle both. `relay.stores.blocking` does so for code without an event loop.

How to add a store:

1. Write one module or package in relay/stores/ with a class that has the methods of `Store`, and a
   function `open_url(url, campaign, clock)` that returns it. What every store has in common is in
   `relay.stores.precedence` and in `validators.suppression` (keys and normal forms).
2. Add one row to `STORE_URLS` in relay/settings/store_urls.py: the scheme of its URLs, their form,
   and the name of the module. The settings, the command line and `open_store` read this table.
3. Add one row to `URLS` in tests/contracts/conftest.py, which says how a test gets an empty store
   of this kind. The contract suite then runs against it. tests/contracts/test_adding_a_store.py
   adds a store in this way.

Exceptions:

    StoreError          the store cannot be opened or changed; the message says what to do
    StoreUnavailable    (validators.suppression) a look-up got no answer: the recipient is unknown,
                        which is never the same as "not suppressed"

An address, domain or digest may have one entry for each scope. Adding an entry again never weakens
the list: the entry that lasts longer stays, and on a tie the older one.
"""

from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from validators.address import Address
from validators.suppression import Kind, Suppression, SuppressionLookup, SuppressionReason

_Value = TypeVar("_Value")

Answer: TypeAlias = _Value | Awaitable[_Value]
"""A value, or an awaitable of it where the store has to wait."""


class StoreError(Exception):
    """A store cannot be opened or changed. The message names it, the fault and a remedy."""


class ImportResult(NamedTuple):
    """The result of an import, in entries: `read = added + renewed + unchanged`."""

    read: int
    added: int
    renewed: int
    """Entries that were on the list and last longer now."""

    @property
    def unchanged(self) -> int:
        """Return the number of entries that were on the list or were repeated in the source."""
        return self.read - self.added - self.renewed


class LookupStore(SuppressionLookup, Protocol):
    """A store as one campaign reads it: entries of scope `all` and of its own scope count.

    `find` (see `SuppressionLookup`) returns the most specific entry in force for each address: an
    entry of the address before one of its digest before one of its domain, and of several the
    campaign's own before one of scope `all`.
    """

    def counts(self) -> Mapping[SuppressionReason, int]:
        """Return how many entries `find` may return, by reason, as of the last `refresh`.

        Never waits, because every scrape of the metrics calls it. An expired entry counts until
        the end of its last day (UTC) at most. Raises StoreUnavailable.
        """

    def healthy(self) -> str | None:
        """Return why the store cannot answer, or None if it can. Never waits."""

    def refresh(self) -> None:
        """Make changes by other processes visible; called several times a second.

        Never waits and never raises: a fault shows in `find` and `healthy`.
        """

    def close(self) -> None:
        """Release what the store holds. Closing again does nothing."""


class AdminStore(Protocol):
    """A store as an operator changes it. Values are in normal form (`normalize`)."""

    def add(self, entries: Iterable[Suppression]) -> Answer[int]:
        """Add entries in one step; return how many are new or last longer. Raises StoreError."""

    def import_entries(
        self,
        entries: Iterable[Suppression],
        *,
        merged: Callable[[float], None] | None = None,
    ) -> Answer[ImportResult]:
        """Add any number of entries: all of them or, if the source or the store fails, none.

        Memory does not grow with the number of entries, unless the store is itself in memory.
        After the source has been read, `merged` is called with the part of the entries (0 to 1)
        that has been merged. Exceptions of the source pass through. Raises StoreError.
        """

    def remove(self, kind: Kind, value: str, scope: str | None = None) -> Answer[int]:
        """Remove an entry from one scope, or from all scopes; return how many were removed.

        Raises StoreError.
        """

    def entries(
        self, *, scope: str | None = None, reason: SuppressionReason | None = None
    ) -> Iterable[Suppression] | AsyncIterable[Suppression]:
        """Stream the entries in force, of every scope unless one is given, in any order.

        Raises StoreUnavailable while it is iterated.
        """

    def lookup(self, address: Address) -> Answer[Sequence[Suppression]]:
        """Return every entry in force for an address, of any scope, the most specific first.

        Raises StoreUnavailable.
        """


class Store(LookupStore, AdminStore, Protocol):
    """Both halves, as `open_store` returns them."""
