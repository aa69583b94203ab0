"""The way of a list through `presend check`: groups are read, judged, and written in order.

Groups whose domains are still being looked up wait side by side, up to a limit, so memory does not
grow with the list but for the mailboxes that are remembered (`Mailboxes`).
"""

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import BinaryIO, Final, NamedTuple

import uvloop

from relay.commands.check.counts import VerdictCounts
from relay.commands.check.judging import Judged, Judging, duplicate_action, judges
from relay.commands.check.mailboxes import Mailboxes
from relay.commands.check.report import Facts
from relay.commands.check.source import Group, ListError, Source
from relay.commands.check.split import Split
from relay.settings import JudgingSettings
from validators.verdict import Action

WAITING: Final = 16
"""Most groups that wait for DNS at once."""


class Options(NamedTuple):
    """What the user wants besides the verdicts."""

    dns: bool
    jobs: int = 1
    split: Split | None = None


class Results:
    """Takes the judged groups in order: finds duplicates, makes the lines, and counts."""

    def __init__(self, duplicates: Action, split: Split | None) -> None:
        """`duplicates` is what the policy does about them."""
        self.counts = VerdictCounts()
        self.mailboxes = Mailboxes()
        self._duplicates = duplicates
        self._split = split

    def lines(self, source: Source, group: Group, judged: Judged) -> bytes:
        """Take a group; return its lines."""
        facts = judged.facts
        if self._duplicates is not Action.OFF:
            for place in self.mailboxes.repeated(judged.mailboxes):
                facts[place] = facts[place].repeated(self._duplicates)
        self.counts.add(group.texts, group.numbers, facts, len(group.notes))
        if self._split is not None and source.layout is not None:
            self._split.write(source.layout, group, facts)
        return lines(group, facts)


def lines(group: Group, facts: list[Facts]) -> bytes:
    """Return the lines of a group."""
    notes = group.notes
    if notes:
        shown = [
            said.line(text, row, notes.get(place, ""))
            for place, (text, row, said) in enumerate(
                zip(group.texts, group.numbers, facts, strict=True)
            )
        ]
    else:
        shown = [
            said.line(text, row)
            for text, row, said in zip(group.texts, group.numbers, facts, strict=True)
        ]
    return "".join(shown).encode("ascii")


class _Pending(NamedTuple):
    group: Group
    judged: Judging


def run(
    source: Source, settings: JudgingSettings, options: Options, show: Callable[[int, int], None]
) -> tuple[VerdictCounts, str]:
    """Judge a list; return the counts, and why DNS was not believed, or an empty text.

    `show` is called with the octets of the list that are done, and the addresses judged. Raises
    ListError after writing all groups before the fault.
    """
    results = Results(duplicate_action(settings), options.split)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        fault = runner.run(_check(source, settings, options, results, show))
    results.counts.blank, results.counts.first_blank = source.blank, source.first_blank
    if options.split is not None and source.layout is not None:
        options.split.begin(source.layout)
    return results.counts, fault


async def _check(
    source: Source,
    settings: JudgingSettings,
    options: Options,
    results: Results,
    show: Callable[[int, int], None],
) -> str:
    """Read, judge and write. Return why DNS was not believed at some time, or an empty text."""
    fault: ListError | None = None
    pending: asyncio.Queue[_Pending | None] = asyncio.Queue(WAITING)
    async with judges(settings, dns=options.dns, jobs=options.jobs) as judge:
        with _first_error():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_write(source, pending, results, show))
                try:
                    async for group in source.groups():
                        judged = judge.judge(group.texts)
                        if not isinstance(judged, Judged):
                            judged = tasks.create_task(_answer(judged))
                        await pending.put(_Pending(group, judged))
                except ListError as error:
                    fault = error
                await pending.put(None)
        if fault is not None:
            raise fault
        return judge.fault


async def _answer(judged: Awaitable[Judged]) -> Judged:
    return await judged


async def _write(
    source: Source,
    pending: asyncio.Queue[_Pending | None],
    results: Results,
    show: Callable[[int, int], None],
) -> None:
    """Write the groups in the order in which they came."""
    out = sys.stdout.buffer
    waits = not _is_file(out)
    while (each := await pending.get()) is not None:
        judged = each.judged if isinstance(each.judged, Judged) else await each.judged
        text = results.lines(source, each.group, judged)
        if waits:
            # A slow reader of the output must not delay the DNS look-ups.
            await asyncio.to_thread(_put, out, text)
        else:
            _put(out, text)
        show(each.group.position, results.counts.total)


def _put(out: BinaryIO, text: bytes) -> None:
    out.write(text)
    out.flush()


def _is_file(out: BinaryIO) -> bool:
    """Return whether the output is a file, which never waits for a reader."""
    try:
        return stat.S_ISREG(os.fstat(out.fileno()).st_mode)
    except OSError:
        return True


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    """Raise the first exception of an exception group in place of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
