"""The suppression store in this process's memory: for tests, and for `check` without a list."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from relay.stores.precedence import NEVER, in_force, last_day, lasts_longer, specificity
from relay.stores.protocol import ImportResult, Store
from validators.address import Address
from validators.suppression import (
    ALL,
    Kind,
    Suppression,
    SuppressionReason,
    key,
    keys_for,
)


def open_url(url: str, campaign: str, clock: Callable[[], float]) -> Store:  # noqa: ARG001
    """Return an empty store; the URL is always `memory:`."""
    return MemoryStore(campaign=campaign, clock=clock)


class MemoryStore:
    """A store in a dictionary: key, then scope. Not shared with any other process."""

    def __init__(self, *, campaign: str, clock: Callable[[], float] = time.time) -> None:
        """Begin with an empty list, as `campaign` sees it; `clock` gives Unix seconds."""
        self._scopes = (ALL, campaign)
        self._clock = clock
        self._entries: dict[bytes, dict[str, Suppression]] = {}
        self._counts = EntryCounts()

    def find(self, group: Sequence[Address]) -> Sequence[Suppression | None]:
        """Return the entry in force for each address (see `LookupStore`)."""
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
        """Add entries (see `AdminStore.add`)."""
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
                    self._counts.add(known, -1)
                self._counts.add(entry)
            scopes[entry.scope] = entry
        if merged is not None:
            merged(1.0)
        return ImportResult(len(given), added, renewed)

    def remove(self, kind: Kind, value: str, scope: str | None = None) -> int:
        """Remove an entry (see `AdminStore.remove`)."""
        digest = key(kind, value)
        scopes = self._entries.get(digest, {})
        gone = [name for name in scopes if scope in (None, name)]
        for name in gone:
            entry = scopes.pop(name)
            if name in self._scopes:
                self._counts.add(entry, -1)
        if not scopes:
            self._entries.pop(digest, None)
        return len(gone)

    def entries(
        self, *, scope: str | None = None, reason: SuppressionReason | None = None
    ) -> Iterator[Suppression]:
        """Yield the entries in force, as they were when the iteration began."""
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
        """Return how many entries `find` may return, by reason."""
        return self._counts.counts(self._clock())

    def healthy(self) -> str | None:
        """Return None: memory always answers."""
        return None

    def refresh(self) -> None:
        """Do nothing: no other process sees this store."""

    def close(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self._counts = EntryCounts()


class EntryCounts:
    """The number of entries by reason and last day, kept up to date as entries come and go."""

    def __init__(self) -> None:
        self._numbers: Counter[tuple[SuppressionReason, int]] = Counter()

    def add(self, entry: Suppression, number: int = 1) -> None:
        """Count an entry that was added, or with -1 one that was removed."""
        self._numbers[entry.reason, last_day(entry.expires)] += number

    def counts(self, now: float) -> dict[SuppressionReason, int]:
        """Return by reason how many entries may be in force at `now`; no reason with 0."""
        today = last_day(now)
        sums: Counter[SuppressionReason] = Counter()
        for (reason, day), number in self._numbers.items():
            if day == NEVER or day >= today:
                sums[reason] += number
        return {reason: number for reason, number in sums.items() if number}
