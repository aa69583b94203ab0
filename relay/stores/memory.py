"""Suppressions in this process's memory: for tests, and for lists that need not outlive it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from relay.stores.protocol import ImportResult
from relay.stores.rank import in_force, lasts_longer, specificity
from relay.stores.tally import Tally
from validators.address import Address
from validators.suppression import (
    ALL,
    Kind,
    Suppression,
    SuppressionReason,
    key,
    keys_for,
)


class MemoryStore:
    """A store in a dictionary: key, then scope. Not shared with any other process."""

    def __init__(self, *, campaign: str, clock: Callable[[], float] = time.time) -> None:
        """See the list as `campaign` does; `clock` gives Unix seconds."""
        self._scopes = (ALL, campaign)
        self._clock = clock
        self._entries: dict[bytes, dict[str, Suppression]] = {}
        self._tally = Tally()

    def find(self, group: Sequence[Address]) -> Sequence[Suppression | None]:
        """Return the entry in force for each address (see `Store.find`)."""
        if not self._entries:
            return [None] * len(group)
        return [self._best(address) for address in group]

    def _best(self, address: Address) -> Suppression | None:
        found = [entry for entry in self._matches(address) if entry.scope in self._scopes]
        return min(found, key=specificity, default=None)

    def _matches(self, address: Address) -> Iterator[Suppression]:
        now = self._clock()
        for digest in keys_for(address):
            for entry in self._entries.get(digest, {}).values():
                if in_force(entry, now):
                    yield entry

    def add(self, entries: Iterable[Suppression]) -> int:
        """Add entries (see `Store.add`)."""
        result = self.import_entries(entries)
        return result.added + result.renewed

    def import_entries(
        self,
        entries: Iterable[Suppression],
        *,
        merged: Callable[[float], None] | None = None,
    ) -> ImportResult:
        """Add all entries or none; the source is read whole before the first one is added."""
        added = renewed = 0
        given = list(entries)
        now = self._clock()
        for entry in given:
            scopes = self._entries.setdefault(key(entry.kind, entry.value), {})
            known = scopes.get(entry.scope)
            if known is None or not in_force(known, now):
                added += 1
            elif lasts_longer(entry, known):
                renewed += 1
            else:
                continue
            if entry.scope in self._scopes:
                if known is not None:
                    self._tally.add(known, -1)
                self._tally.add(entry)
            scopes[entry.scope] = entry
        if merged is not None:
            merged(1.0)
        return ImportResult(len(given), added, renewed)

    def remove(self, kind: Kind, value: str, scope: str | None = None) -> int:
        """Remove an entry (see `Store.remove`)."""
        digest = key(kind, value)
        scopes = self._entries.get(digest, {})
        gone = [name for name in scopes if scope in (None, name)]
        for name in gone:
            entry = scopes.pop(name)
            if name in self._scopes:
                self._tally.add(entry, -1)
        if not scopes:
            self._entries.pop(digest, None)
        return len(gone)

    def entries(
        self, *, scope: str | None = None, reason: SuppressionReason | None = None
    ) -> Iterator[Suppression]:
        """Go through the entries in force as they were at the call."""
        now = self._clock()
        for scopes in list(self._entries.values()):
            for entry in list(scopes.values()):
                if (
                    scope in (None, entry.scope)
                    and reason in (None, entry.reason)
                    and in_force(entry, now)
                ):
                    yield entry

    def lookup(self, address: Address) -> list[Suppression]:
        """Return every entry in force that holds for an address."""
        return sorted(self._matches(address), key=specificity)

    def counts(self) -> Mapping[SuppressionReason, int]:
        """Return the entries for each reason."""
        return self._tally.counts(self._clock())

    def healthy(self) -> str | None:
        """Memory always answers."""
        return None

    def refresh(self) -> None:
        """Nothing to notice: no other process sees this store."""

    def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._tally = Tally()
