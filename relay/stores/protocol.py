"""What a suppression store is. One contract suite (tests/contracts) holds for every kind.

    StoreError          the store cannot be opened or changed; the message says what to do
    StoreUnavailable    (validators) no answer at run time: unknown, never "not suppressed"

An address, domain or digest may be on the list once for each scope. Adding it again never weakens
what is there: the entry that lasts longer stays, and on a tie the older one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from validators.address import Address
from validators.suppression import Kind, Suppression, SuppressionReason


class StoreError(Exception):
    """A store cannot be opened or changed. The message names it, the fault and a remedy."""


class ImportResult(NamedTuple):
    """What an import did, in entries: `read = added + renewed + unchanged`."""

    read: int
    added: int
    renewed: int
    """Known entries that last longer now."""

    @property
    def unchanged(self) -> int:
        """Entries known before, and repetitions in the source."""
        return self.read - self.added - self.renewed


class Store(Protocol):
    """A suppression store seen by one campaign: scope `all` and its own decide in `find`.

    Values are in normal form (`validators.suppression.normalize`).
    """

    def find(self, group: Sequence[Address]) -> Sequence[Suppression | None]:
        """Return the entry in force for each address, or None; the most specific if several.

        That is an address before a digest before a domain, and the campaign's own before `all`.
        Raises StoreUnavailable.
        """

    def add(self, entries: Iterable[Suppression]) -> int:
        """Add entries in one step; return how many are new or last longer. Raises StoreError."""

    def import_entries(
        self,
        entries: Iterable[Suppression],
        *,
        merged: Callable[[float], None] | None = None,
    ) -> ImportResult:
        """Add any number of entries: all or, if the source or the store fails, none.

        Memory does not grow with the number. `merged` hears, after the source has been read, which
        part (0 to 1) is in. Whatever the source raises passes through. Raises StoreError.
        """

    def remove(self, kind: Kind, value: str, scope: str | None = None) -> int:
        """Remove an entry from one scope, or from every scope; return how many. StoreError."""

    def entries(
        self, *, scope: str | None = None, reason: SuppressionReason | None = None
    ) -> Iterator[Suppression]:
        """Go through the entries in force, of every scope unless told, in no given order.

        Streamed. Raises StoreUnavailable.
        """

    def lookup(self, address: Address) -> list[Suppression]:
        """Return every entry in force that holds for an address, of any scope, specific first."""

    def counts(self) -> Mapping[SuppressionReason, int]:
        """Return how many entries `find` may return, by reason, without going through them.

        Entries that expired count until the end of their last day (UTC) at most.
        """

    def healthy(self) -> str | None:
        """Return why the store cannot answer, or None."""

    def refresh(self) -> None:
        """Take notice of what other processes changed; cheap, to be called several times a second.

        Never raises: a fault shows in `find` and `healthy`.
        """

    def close(self) -> None:
        """Let go of the store; closing again does nothing."""
