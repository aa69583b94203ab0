"""A cache with a TTL for each entry, and single-flight look-ups."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """A bounded cache. Each value has its own TTL; a full cache drops the oldest entry."""

    __slots__ = ("_clock", "_entries", "_size")

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """`size` is the largest number of entries; `clock` returns seconds."""
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value, or None if there is none or it has expired."""
        entry = self._entries.get(key)
        if entry is None or entry[1] <= self._clock():
            return None
        return entry[0]

    def peek(self, key: K) -> tuple[V, float] | None:
        """Return the value and the time at which it expires, or expired; None if there is none."""
        return self._entries.get(key)

    def put(self, key: K, value: V, ttl: float) -> None:
        """Store a value for `ttl` seconds."""
        self._entries[key] = (value, self._clock() + ttl)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class ClosedError(Exception):
    """The look-up was ended, or not begun, because of `SingleFlight.aclose`."""


class SingleFlight(Generic[K, V]):
    """Look-ups in flight by key; later callers await the first.

    Each look-up is a task of this object, so it goes on when a caller is cancelled.
    """

    def __init__(self, look_up: Callable[[K], Coroutine[object, object, V]]) -> None:
        """`look_up` should have a time limit of its own."""
        self._look_up = look_up
        self._tasks: dict[K, asyncio.Task[V]] = {}
        self._closed = False

    def __contains__(self, key: K) -> bool:
        return key in self._tasks

    def start(self, key: K) -> asyncio.Task[V]:
        """Return the look-up in flight for a key, started if there is none. ClosedError."""
        task = self._tasks.get(key)
        if task is None:
            if self._closed:
                raise ClosedError
            task = asyncio.get_running_loop().create_task(self._look_up(key))
            task.add_done_callback(lambda _: self._tasks.pop(key))
            self._tasks[key] = task
        return task

    async def do(self, key: K) -> V:
        """Return the result for a key, or raise the error of its look-up. ClosedError."""
        return await self.result(self.start(key))

    async def result(self, task: asyncio.Task[V]) -> V:
        """Return the result of a look-up that was started, or raise its error. ClosedError."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and not (caller and caller.cancelling()):
                raise ClosedError from None
            raise

    async def aclose(self) -> None:
        """Cancel all look-ups and wait for their end; none can be started afterwards."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
