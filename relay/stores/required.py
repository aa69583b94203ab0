"""A suppression list that has to hold a least number of entries before anyone relies on it.

A relay whose list is lost finds nobody on it, and would relay mail to everybody whom the list is
there to protect. With PRESEND_SUPPRESSIONS__REQUIRED it defers every recipient instead.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeAlias

from relay.observe.metrics import Registry, gauge
from relay.stores.protocol import LookupStore
from validators.address import Address
from validators.suppression import StoreUnavailable, Suppression

_Found: TypeAlias = Sequence[Suppression | None] | Awaitable[Sequence[Suppression | None]]

REQUIRED: Final = gauge(
    "presend_suppressions_required",
    "Least number of entries that the suppression list must have; 0 if there is no such number",
)


class RequiredEntries:
    """A look-up that gives no answer while the store has fewer entries than required.

    Only entries that this campaign's look-ups may find are counted. `refresh` has to be called
    after each refresh of the store.
    """

    find: Callable[[Sequence[Address]], _Found]
    """Return the entry in force for each address (see `LookupStore`)."""

    def __init__(self, store: LookupStore, required: int) -> None:
        """`required` is a number of entries; 0 makes every look-up the store's own."""
        self._store = store
        self._required = required
        self._missing: str | None = None
        self.find = self._find if required else store.find
        self.refresh()

    def register(self, registry: Registry) -> None:
        """Show the number that is required."""
        registry.read(REQUIRED, lambda: {(): self._required})

    def refresh(self) -> None:
        """Count the entries again. A store that cannot count them does not answer either."""
        if not self._required:
            return
        try:
            entries = sum(self._store.counts().values())
        except StoreUnavailable:
            return
        self._missing = None
        if entries < self._required:
            self._missing = (
                f"The suppression list has {entries:,} entries, and "
                f"PRESEND_SUPPRESSIONS__REQUIRED is {self._required:,}."
            )

    def troubles(self) -> Iterator[str]:
        """Yield why the list is not relied on, if it is not."""
        if self._missing is not None:
            yield self._missing

    def _find(self, group: Sequence[Address]) -> _Found:
        if self._missing is not None:
            raise StoreUnavailable(self._missing)
        return self._store.find(group)
