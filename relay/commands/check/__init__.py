"""`presend check`: judge a list of addresses without sending anything.

The list is read, judged and written in groups. Groups whose domains are still being looked up wait
side by side, up to a limit, and are written in the order of the list, so memory does not grow with
the list.
"""

import argparse
import asyncio
import contextlib
import os
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, TypeAlias

import uvloop

from relay import app
from relay.commands import DONE, FAILED, examples, say
from relay.commands.check.report import VerdictCounts, line
from relay.commands.check.source import ListError, Source
from relay.settings import JudgingSettings, load_settings
from validators.pipeline import Judgement

WAITING: Final = 16
"""Most groups that wait for DNS at once."""
_REPEAT: Final = "The result is incomplete: check the list again where DNS works"

Show: TypeAlias = Callable[[int, int], None]
"""Shows progress; called with the octets of the list that are done, and the addresses judged."""


class _Group(NamedTuple):
    judged: list[Judgement] | Awaitable[list[Judgement]]
    position: int
    """Octets of the list up to the end of the group."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="- (default): standard input"
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="the list is a table: the column of the addresses, by its name or its number from 1",
    )
    parser.add_argument(
        "--no-dns", action="store_true", help="do not look up where the mail would go"
    )
    examples(
        parser,
        "presend check list.csv >verdicts.jsonl",
        "presend check --column 2 --no-dns list.csv.gz",
        "printf 'ann@example.com\\n' | presend check",
    )


def main(args: argparse.Namespace) -> int:
    """Load the settings and judge the list; return the exit code."""
    return run(args, load_settings(JudgingSettings))


def run(args: argparse.Namespace, settings: JudgingSettings) -> int:
    """Judge the list; return the exit code.

    It is 0 whatever the verdicts are, if DNS is believed and this seems to be a list of addresses.
    """
    name = "standard input" if args.file == "-" else args.file
    try:
        with _opened(args.file) as descriptor, _progress(descriptor) as show:
            started = time.perf_counter()
            counts = VerdictCounts()
            source = Source(descriptor, args.column, lambda why: say(f"presend: {name}: {why}"))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                fault = runner.run(_check(source, settings, counts, show, dns=not args.no_dns))
    except ListError as error:
        say(f"presend: {name}: {error}")
        return FAILED
    except app.StartError as error:
        say(f"presend: {error}")
        return FAILED
    say(*counts.summary(time.perf_counter() - started, source.blank, source.first_blank))
    code = DONE
    if wrong := counts.wrong_column(source.blank, source.better):
        say(f"presend: {name}: {wrong}")
        code = FAILED
    if fault:
        say(f"presend: DNS was not believed: {fault}. {_REPEAT}")
        code = FAILED
    return code


async def _check(
    source: Source, settings: JudgingSettings, counts: VerdictCounts, show: Show, *, dns: bool
) -> str:
    """Read, judge and write. Return why DNS was not believed at some time, or an empty text.

    Raises ListError after writing all groups before the fault.
    """
    fault: ListError | None = None
    groups: asyncio.Queue[_Group | None] = asyncio.Queue(WAITING)
    async with app.validation(settings, dns=dns) as validation:
        with _first_error():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_write(groups, counts, show))
                try:
                    async for texts in source.groups():
                        validation.store.refresh()  # a long list sees what is added meanwhile
                        judged = validation.pipeline.judge(texts)
                        if not isinstance(judged, list):
                            judged = tasks.create_task(_answer(judged))
                        await groups.put(_Group(judged, source.position))
                except ListError as error:
                    fault = error
                await groups.put(None)
        if fault is not None:
            raise fault
        return validation.resolver.last_canary_fault


async def _answer(judged: Awaitable[list[Judgement]]) -> list[Judgement]:
    return await judged


async def _write(groups: asyncio.Queue[_Group | None], counts: VerdictCounts, show: Show) -> None:
    """Write the groups in the order in which they came."""
    out = sys.stdout.buffer
    waits = not _is_file(out)
    while (group := await groups.get()) is not None:
        judged = group.judged if isinstance(group.judged, list) else await group.judged
        text = "".join(map(line, judged)).encode("ascii")
        if waits:
            # A slow reader of the output must not delay the DNS look-ups.
            await asyncio.to_thread(_put, out, text)
        else:
            _put(out, text)
        counts.add(judged)
        show(group.position, counts.total)


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
def _opened(name: str) -> Iterator[int]:
    """Open the list; ListError if that cannot be done."""
    if name == "-":
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(name, os.O_RDONLY)
    except OSError as error:
        raise ListError(error.strerror or str(error)) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _progress(descriptor: int) -> Iterator[Show]:
    """Show a progress bar on a terminal: of octets, or of addresses if the length is not known."""
    if not sys.stderr.isatty():
        yield lambda _position, _total: None
        return
    from tqdm import tqdm

    status = os.fstat(descriptor)
    whole = status.st_size if stat.S_ISREG(status.st_mode) else None
    unit = " addresses" if whole is None else "B"
    with tqdm(total=whole, unit=unit, unit_scale=True, desc="checking") as bar:

        def show(position: int, total: int) -> None:
            bar.update((total if whole is None else position) - bar.n)

        yield show


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    """Raise the first exception of an exception group in place of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
