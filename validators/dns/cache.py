"""What is remembered until its time is over, and never more than so much."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class TtlCache(Generic[V]):
    """Values by name, each until its time is over; the oldest go first when it is full."""

    __slots__ = ("_clock", "_entries", "_size")

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """Hold `size` values at most; `clock` gives seconds."""
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[str, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> V | None:
        """Return the value, or None if there is none or its time is over."""
        entry = self._entries.get(name)
        if entry is None or entry[1] <= self._clock():
            return None
        return entry[0]

    def peek(self, name: str) -> V | None:
        """Return the value even if its time is over."""
        entry = self._entries.get(name)
        return None if entry is None else entry[0]

    def put(self, name: str, value: V, ttl: float) -> None:
        """Hold a value for `ttl` seconds."""
        self._entries[name] = (value, self._clock() + ttl)
        self._entries.move_to_end(name)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
