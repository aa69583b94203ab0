"""A store for code without an event loop: each call returns when the store has answered."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Self, TypeVar, cast

from relay.stores.protocol import Answer, ImportResult, Store
from validators.address import Address
from validators.suppression import Kind, Suppression, SuppressionReason

_Value = TypeVar("_Value")


class BlockingStore:
    """A store of any kind, with the same methods and without awaitables.

    Use it as a context manager, or call `close`. All calls run in one event loop, since a
    connection to a server belongs to one; no loop is started for a store that never waits.
    """

    def __init__(self, store: Store) -> None:
        """Take over a store: it is closed with this object."""
        self._store = store
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; closing again does nothing."""
        self._store.close()
        self._runner.close()

    def find(self, group: Sequence[Address]) -> Sequence[Suppression | None]:
        """Return the entry in force for each address (see `LookupStore`)."""
        return self._wait(self._store.find(group))

    def counts(self) -> Mapping[SuppressionReason, int]:
        """Return how many entries `find` may return, by reason (see `LookupStore.counts`)."""
        return self._store.counts()

    def healthy(self) -> str | None:
        """Return why the store cannot answer, or None."""
        return self._store.healthy()

    def refresh(self) -> None:
        """Make changes by other processes visible."""
        self._store.refresh()

    def add(self, entries: Iterable[Suppression]) -> int:
        """Add entries (see `AdminStore.add`)."""
        return self._wait(self._store.add(entries))

    def import_entries(
        self,
        entries: Iterable[Suppression],
        *,
        merged: Callable[[float], None] | None = None,
    ) -> ImportResult:
        """Add all entries or none (see `AdminStore.import_entries`)."""
        return self._wait(self._store.import_entries(entries, merged=merged))

    def remove(self, kind: Kind, value: str, scope: str | None = None) -> int:
        """Remove an entry (see `AdminStore.remove`)."""
        return self._wait(self._store.remove(kind, value, scope))

    def lookup(self, address: Address) -> Sequence[Suppression]:
        """Return every entry in force for an address (see `AdminStore.lookup`)."""
        return self._wait(self._store.lookup(address))

    def entries(
        self, *, scope: str | None = None, reason: SuppressionReason | None = None
    ) -> Iterator[Suppression]:
        """Stream the entries in force (see `AdminStore.entries`)."""
        found = self._store.entries(scope=scope, reason=reason)
        if isinstance(found, Iterable):
            yield from found
            return
        stream = aiter(found)
        while (entry := self._runner.run(_next(stream))) is not None:
            yield entry

    def _wait(self, answer: Answer[_Value]) -> _Value:
        if isinstance(answer, Awaitable):
            return self._runner.run(_settle(cast("Awaitable[_Value]", answer)))
        return answer


async def _settle(answer: Awaitable[_Value]) -> _Value:
    return await answer


async def _next(stream: AsyncIterator[Suppression]) -> Suppression | None:
    return await anext(stream, None)
