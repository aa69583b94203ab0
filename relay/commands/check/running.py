"""The way of a list through `presend check`: groups are read, judged, and written in order.

Groups whose domains are still being looked up wait side by side, up to a limit, so memory does not
grow with the list but for the mailboxes that are remembered (`Mailboxes`).
"""

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol

import uvloop

from relay.commands.check.counts import VerdictCounts
from relay.commands.check.judging import Judged, Judging, duplicate_action, judges
from relay.commands.check.mailboxes import Mailboxes
from relay.commands.check.report import Facts
from relay.commands.check.source import Group, Layout, ListError
from relay.commands.check.spans import Place
from relay.commands.check.split import NewFile, Split
from relay.commands.check.state import State
from relay.settings import JudgingSettings
from validators.verdict import Action

WAITING: Final = 16
"""Most groups that wait for DNS at once."""


class Rows(Protocol):
    """The rows of a list: a `Source` or a `SpanSource`."""

    layout: Layout | None

    def groups(self) -> AsyncIterator[Group]:
        """Yield the rows in order; ListError if that ends early."""


class Options(NamedTuple):
    """What the user wants besides the verdicts."""

    dns: bool
    jobs: int = 1
    split: Split | None = None
    state: State | None = None
    output: NewFile | None = None
    """Takes the lines instead of standard output."""


class Results:
    """Takes the judged groups in order: finds duplicates, makes the lines, and counts."""

    def __init__(self, duplicates: Action, options: Options) -> None:
        """`duplicates` is what the policy does about them."""
        self.counts = VerdictCounts()
        self.mailboxes = Mailboxes()
        self._duplicates = duplicates
        self._split = options.split
        self._state = options.state
        self._output = options.output
        if options.state is not None:
            self.counts = options.state.counts
            options.state.restore_mailboxes(self.mailboxes)

    def take(self, source: Rows, group: Group, judged: Judged) -> bytes:
        """Take a group; return its lines."""
        facts = judged.facts
        if self._duplicates is not Action.OFF:
            for place in self.mailboxes.repeated(judged.mailboxes):
                facts[place] = facts[place].repeated(self._duplicates)
        self.counts.add(group.texts, group.numbers, facts, len(group.notes))
        self.counts.add_blank([row.line for row in group.blank])
        if self._split is not None and source.layout is not None:
            self._split.write(source.layout, group, facts, self.counts)
        return lines(group, facts)

    def save(self, group: Group) -> None:
        """Save the state, if a run can go on after this group, whose lines have been written."""
        if self._state is None or group.place is None:
            return
        sizes = self._split.sizes() if self._split is not None else {}
        if self._output is not None:
            sizes[self._output.name] = self._output.size()
        self._state.save(Place(*group.place), self.counts, self.mailboxes, sizes)


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
    source: Rows, settings: JudgingSettings, options: Options, show: Callable[[int, int], None]
) -> tuple[VerdictCounts, str]:
    """Judge a list; return the counts, and why DNS was not believed, or an empty text.

    `show` is called with the octets of the list that are done, and the addresses judged. Raises
    ListError after writing all groups before the fault.
    """
    results = Results(duplicate_action(settings), options)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        fault = runner.run(_check(source, settings, options, results, show))
    if options.split is not None and source.layout is not None:
        options.split.begin(source.layout)
    return results.counts, fault


async def _check(
    source: Rows,
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
                tasks.create_task(_write(source, pending, results, options.output, show))
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
    source: Rows,
    pending: asyncio.Queue[_Pending | None],
    results: Results,
    output: NewFile | None,
    show: Callable[[int, int], None],
) -> None:
    """Write the groups in the order in which they came."""
    out = sys.stdout.buffer if output is None else output.buffer
    waits = not _is_file(out)
    while (each := await pending.get()) is not None:
        judged = each.judged if isinstance(each.judged, Judged) else await each.judged
        text = results.take(source, each.group, judged)
        if waits:
            # A slow reader of the output must not delay the DNS look-ups.
            await asyncio.to_thread(_put, out, text)
        else:
            _put(out, text)
        results.save(each.group)
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
