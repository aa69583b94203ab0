"""Single-flight look-ups: callers that ask for the same at the same time share one look-up.

Not compiled, unlike cache.py: its coroutines are cancelled in the course of things, see
docs/decisions/compiled.md.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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
