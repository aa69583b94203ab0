"""A task group for background work that ends with the application."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

_logger = logging.getLogger(__name__)


class Tasks:
    """A task group in which the failure of one task is logged and does not cancel the others."""

    __slots__ = ("_group", "_tasks")

    def __init__(self) -> None:
        """Create an empty group."""
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Enter the task group."""
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cancel the running tasks and wait for them; an exception of the body propagates."""
        for task in self._tasks:
            task.cancel()
        cancelled = isinstance(error, asyncio.CancelledError)
        await self._group.__aexit__(
            *((kind, error, traceback) if cancelled else (None, None, None))
        )

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the group is left; log any exception it raises."""
        task = self._group.create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` every `seconds`; log any exception it raises and continue."""
        self.spawn(_repeat(seconds, action))


async def _guarded(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except Exception:
        _logger.exception("A task failed")


async def _repeat(seconds: float, action: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            action()
        except Exception:
            _logger.exception("A periodic action failed")
