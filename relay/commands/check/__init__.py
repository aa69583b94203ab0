"""`presend check`: judge a list of addresses without sending anything.

arguments      __init__      the command line, and what is told at the end
rows           source        read the list, find the column of the addresses;  parquet
judging        judging       ask the validators, in this process or in several
running        running       groups in order: duplicates, output, counts
results        report        the JSON lines;  split: the files of rows by verdict
decision       gate, page    send or hold;  the page to read and forward
large lists    spans, merge  parts of a list: shards, resumption, and their sum
"""

import argparse
import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from relay import app
from relay.commands import FAILED, WRONG, examples, say
from relay.commands.check import gate, judging, merge, parquet, running, split, telling
from relay.commands.check.counts import VerdictCounts
from relay.commands.check.source import ListError, Source
from relay.commands.check.spans import SpanSource, Walk
from relay.commands.check.state import State
from relay.settings import JudgingSettings, load_settings

_MOST_JOBS = 256

Show: TypeAlias = Callable[[int, int], None]
"""Shows progress; called with the octets of the list that are done, and the addresses judged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "file",
        nargs="*",
        default=["-"],
        metavar="FILE",
        help="- (default): standard input; or an address, to judge it alone",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="the list is a table: the column of the addresses, by its name or its number from 1",
    )
    parser.add_argument(
        "--no-dns", action="store_true", help="do not look up where the mail would go"
    )
    split.add_arguments(parser)
    gate.add_arguments(parser)
    parser.add_argument(
        "--report", metavar="FILE", help="write a page in HTML that shows what was found"
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="judge in so many processes, one for each core (default 1)",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the lines to this file, once it is complete"
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="keep in this file where the run is; the same command goes on after an interruption",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="judge only one of N parts of the list, counted from 0",
    )
    examples(
        parser,
        "presend check list.csv >verdicts.jsonl",
        "presend check --column 2 --no-dns list.csv.gz",
        "presend check ann@example.com",
        "presend check --accepted good.csv --rejected bad.csv --review maybe.csv list.csv",
        "presend check --gate --report report.html list.csv >verdicts.jsonl",
        "presend check --shard 0/8 --output results/0.jsonl list.csv",
        "presend check merge --report report.html results/ >verdicts.jsonl",
    )


def main(args: argparse.Namespace) -> int:
    """Load the settings and judge the list; return the exit code."""
    return run(args, load_settings(JudgingSettings))


def run(args: argparse.Namespace, settings: JudgingSettings) -> int:
    """Judge the list; return the exit code.

    It is 0 whatever the verdicts are, if DNS is believed and this seems to be a list of addresses;
    with `--gate` it is 3 if the list should be held.
    """
    if args.file[0] == "merge" and len(args.file) > 1:
        return merge.run(args, settings)
    addresses = _addresses(args.file)
    if len(args.file) > 1 and not addresses:
        say(f"presend: one list at a time: {', '.join(args.file)}")
        return WRONG
    name = ", ".join(addresses) or ("standard input" if args.file == ["-"] else args.file[0])
    started = time.perf_counter()
    try:
        with contextlib.ExitStack() as stack:
            descriptor = stack.enter_context(_opened(args.file[0], addresses))
            task = _Task(args, name, descriptor, stack)
            show = stack.enter_context(_progress(descriptor))
            options = running.Options(
                not args.no_dns, args.jobs, task.split, task.state, task.output
            )
            counts, fault = running.run(task.source, settings, options, show)
            task.finish(counts, fault)
            return telling.told(args, name, counts, task.source.better, fault, started, task.report)
    except ListError as error:
        say(f"presend: {name}: {error}")
        return FAILED
    except (app.StartError, split.SplitError, judging.JobError) as error:
        say(f"presend: {error}")
        return FAILED


class _Task:
    """A list to be judged, with the files that the user wants."""

    def __init__(
        self, args: argparse.Namespace, name: str, descriptor: int, stack: contextlib.ExitStack
    ) -> None:
        """Open the files; `stack` removes what is not finished. Raises ListError, SplitError."""

        def tell(why: str) -> None:
            say(f"presend: {name}: {why}")

        self._args = args
        self.state = State(args.state, args, descriptor) if args.state else None
        place = self.state.place if self.state else None
        self.source: Source | SpanSource
        self._size = 0
        if self.state or args.shard:
            walk = Walk(descriptor, args.column, tell)
            span = walk.shard(*(args.shard or (0, 1)))
            self._size = walk.size
            if place is not None:
                tell(f"goes on at row {place.row:,}")
                span = span._replace(start=place.offset, row=place.row)
            self.source = SpanSource(descriptor, walk, span)
        else:
            self.source = Source(descriptor, args.column, tell)
        sizes = self.state.sizes if self.state and place is not None else None
        keep = self.state is not None
        self.report = split.NewFile(args.report, force=args.force) if args.report else None
        stack.callback(_abandon, self.report)
        self.output: split.NewFile | None = None
        if args.output:
            size = None if sizes is None else sizes.get(args.output, 0)
            self.output = split.NewFile(args.output, force=args.force, keep=keep, size=size)
        elif self.state:
            self.state.restore_output()
        stack.callback(_abandon, self.output)
        self.split = split.Split.open(args, keep=keep, sizes=sizes)
        stack.callback(_abandon, self.split)

    def finish(self, counts: VerdictCounts, fault: str) -> None:
        """Give the files their names. Raises SplitError."""
        if self.output is not None:
            self.output.finish()
            if self._args.shard:
                merge.write_about(self._args, self._size, counts, fault)
        if self.split is not None:
            written = list(self.split.finish())
            dropped = f"; {counts.dropped:,} duplicates left out" if counts.dropped else ""
            say(f"  written to {', '.join(written)}{dropped}")
            if counts.unwritten:
                say(f"  {counts.unwritten:,} rows are in none of these files")
        if self.state is not None:
            self.state.remove()


def _abandon(file: split.NewFile | split.Split | None) -> None:
    if file is not None:
        file.abandon()


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 1 to {_MOST_JOBS}")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    index, _, number = text.partition("/")
    if not (index.isdecimal() and number.isdecimal() and int(index) < int(number)):
        raise argparse.ArgumentTypeError(
            f"{text!r}: the number of a part, from 0, and the number of parts: 0/8 to 7/8"
        )
    return int(index), int(number)


def _addresses(words: Sequence[str]) -> list[str]:
    """Return the arguments if they are addresses, and not the names of files."""
    if all("@" in word and not Path(word).exists() for word in words):
        return list(words)
    return []


@contextlib.contextmanager
def _opened(name: str, addresses: Sequence[str]) -> Iterator[int]:
    """Open the list; ListError if that cannot be done."""
    if addresses:
        reader, writer = os.pipe()
        os.write(writer, "\n".join(addresses).encode(errors="surrogateescape"))
        os.close(writer)
        descriptor = reader
    elif name == "-":
        yield sys.stdin.fileno()
        return
    else:
        try:
            descriptor = os.open(name, os.O_RDONLY)
        except OSError as error:
            raise ListError(error.strerror or str(error)) from error
    try:
        if parquet.is_parquet(descriptor):
            with parquet.as_table(descriptor) as table:
                yield table
        else:
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
