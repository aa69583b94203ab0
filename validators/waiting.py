"""Awaits several answers side by side, under one time limit.

Compiled by mypyc, a coroutine that is cancelled passes the exception on in a form that Python 3.12
deprecates. This module is therefore not compiled, and pipeline.py, which is, has no coroutine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias, TypeVar

A = TypeVar("A")
R = TypeVar("R")

Outcome: TypeAlias = A | Exception | None
"""An answer, the error it failed with, or None if it did not come in time."""

_GRACE: Final = 1.0
"""Seconds for a cancelled answer to end. One that ignores its cancellation is then left behind."""


async def settle(
    answers: Sequence[Awaitable[A]],
    limit: float | None,
    conclude: Callable[[list[Outcome[A]]], R],
) -> R:
    """Return what `conclude` makes of the outcomes, which are in the order of `answers`.

    After `limit` seconds, or when the caller is cancelled, answers that have not come are
    cancelled, and their end is awaited. An answer that was cancelled from elsewhere raises
    CancelledError.
    """
    tasks = [asyncio.ensure_future(answer) for answer in answers]
    try:
        await asyncio.wait(tasks, timeout=limit)
        outcomes: list[Outcome[A]] = []
        for task in tasks:
            outcome = _outcome(task)
            outcomes.append(outcome)
    finally:
        await _cancel(tasks)
    return conclude(outcomes)


def _outcome(task: asyncio.Future[A]) -> Outcome[A]:
    if not task.done():
        return None
    error = task.exception()
    if error is None:
        return task.result()
    if not isinstance(error, Exception):
        raise error
    return error


async def _cancel(tasks: Sequence[asyncio.Future[A]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=_GRACE)
