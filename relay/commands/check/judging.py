"""Judging of groups of addresses: in this process, or in several others (`--jobs`)."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, NamedTuple, Protocol, TypeAlias

import uvloop

from relay import app
from relay.commands.check.report import Facts, FactsCache, Parts
from relay.settings import JudgingSettings
from validators.pipeline import Judgement
from validators.reasons import Action, Reason

REASONS: Final = tuple(reason for reason in Reason if reason is not Reason.DUPLICATE)
"""What the pipeline looks for. Duplicates are found where the rows come together in order."""


class Judged(NamedTuple):
    """What was found about a group, in its order."""

    facts: list[Facts]
    mailboxes: list[str]
    """The canonical form; empty for recipients that are rejected."""


Judging: TypeAlias = Judged | Awaitable[Judged]


class JobError(Exception):
    """A process that judges has ended."""


class _Done(NamedTuple):
    """`Judged`, as a process passes it on."""

    distinct: list[Parts]
    places: list[int]
    """The position in `distinct` of what is said of each recipient."""
    mailboxes: list[str]
    fault: str


class Judge(Protocol):
    """Judges groups; two implementations."""

    @property
    def fault(self) -> str:
        """Why DNS was not believed at some time, or an empty text."""

    def judge(self, texts: Sequence[str]) -> Judging:
        """Judge some addresses."""


class LocalJudge:
    """Judges in this process."""

    def __init__(self, validation: app.Validation) -> None:
        """Judge by these validators."""
        self._validation = validation
        self._cache = FactsCache()

    @property
    def fault(self) -> str:
        """Why DNS was not believed at some time, or an empty text."""
        return self._validation.resolver.last_canary_fault

    def judge(self, texts: Sequence[str]) -> Judging:
        """Judge some addresses; an awaitable if some have to wait for DNS."""
        self._validation.store.refresh()  # a long list sees what is added meanwhile
        judged = self._validation.pipeline.judge(texts)
        return self._judged(judged) if isinstance(judged, list) else self._wait(judged)

    async def _wait(self, judged: Awaitable[list[Judgement]]) -> Judged:
        return self._judged(await judged)

    def _judged(self, judgements: Sequence[Judgement]) -> Judged:
        facts_of = self._cache.of
        facts = [facts_of(each) for each in judgements]
        mailboxes = [
            each.address.canonical
            if each.address is not None and said.kind.verdict != "reject"
            else ""
            for each, said in zip(judgements, facts, strict=True)
        ]
        return Judged(facts, mailboxes)


class ProcessJudge:
    """Judges in several processes, each with a DNS cache of its own."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        """Judge in this pool."""
        self._pool = pool
        self._cache = FactsCache()
        self.fault = ""

    async def judge(self, texts: Sequence[str]) -> Judged:
        """Judge some addresses. Raises JobError."""
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(self._pool, _work, texts)
        except BrokenProcessPool as error:
            raise JobError("a process of --jobs has ended, perhaps for want of memory") from error
        self.fault = done.fault or self.fault
        distinct = [self._cache.of_parts(parts) for parts in done.distinct]
        return Judged([distinct[place] for place in done.places], done.mailboxes)


@contextlib.asynccontextmanager
async def judges(settings: JudgingSettings, *, dns: bool, jobs: int) -> AsyncIterator[Judge]:
    """Yield a judge that has `jobs` processes, or this one if that is 1.

    Raises StartError and StoreError.
    """
    async with app.validation(settings, dns=dns, reasons=REASONS) as validation:
        if jobs == 1:
            yield LocalJudge(validation)
            return
    context = multiprocessing.get_context("spawn")  # a fork would copy the loop of this process
    with ProcessPoolExecutor(jobs, context, _begin_work, (settings, dns)) as pool:
        try:
            yield ProcessJudge(pool)
        finally:
            pool.shutdown(cancel_futures=True)


def duplicate_action(settings: JudgingSettings) -> Action:
    """Return what the policy does about duplicates."""
    return app.policy(settings).action(Reason.DUPLICATE)


class _Worker:
    """The validators of a process, and the thread of their loop.

    The loop runs in the main thread while a group is judged.
    """

    def __init__(self, settings: JudgingSettings, *, dns: bool) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._opened = app.validation(settings, dns=dns, reasons=REASONS)
        self._judge = LocalJudge(self._runner.run(self._opened.__aenter__()))

    def work(self, texts: Sequence[str]) -> _Done:
        async def judged() -> Judged:
            found = self._judge.judge(texts)
            return found if isinstance(found, Judged) else await found

        facts, mailboxes = self._runner.run(judged())
        places = {each: place for place, each in enumerate(dict.fromkeys(facts))}
        return _Done(
            [each.parts for each in places],
            [places[each] for each in facts],
            mailboxes,
            self._judge.fault,
        )


_worker: _Worker


def _begin_work(settings: JudgingSettings, dns: bool) -> None:  # noqa: FBT001 - of the pool
    global _worker  # noqa: PLW0603 - a process of the pool has no other place
    _worker = _Worker(settings, dns=dns)


def _work(texts: Sequence[str]) -> _Done:
    return _worker.work(texts)
