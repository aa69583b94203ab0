"""`presend check`: judge a list of addresses without sending anything.

arguments      __init__      the command line, and what is told at the end
rows           source        read the list, find the column of the addresses
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
from relay.commands import DONE, FAILED, HOLD, WRONG, examples, say
from relay.commands.check import gate, running, split
from relay.commands.check.counts import VerdictCounts
from relay.commands.check.source import ListError, Source
from relay.settings import JudgingSettings, load_settings

_REPEAT = "The result is incomplete: check the list again where DNS works"
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
    examples(
        parser,
        "presend check list.csv >verdicts.jsonl",
        "presend check --column 2 --no-dns list.csv.gz",
        "presend check ann@example.com",
        "presend check --accepted good.csv --rejected bad.csv --review maybe.csv list.csv",
        "presend check --gate --report report.html list.csv >verdicts.jsonl",
    )


def main(args: argparse.Namespace) -> int:
    """Load the settings and judge the list; return the exit code."""
    return run(args, load_settings(JudgingSettings))


def run(args: argparse.Namespace, settings: JudgingSettings) -> int:
    """Judge the list; return the exit code.

    It is 0 whatever the verdicts are, if DNS is believed and this seems to be a list of addresses;
    with `--gate` it is 3 if the list should be held.
    """
    addresses = _addresses(args.file)
    if len(args.file) > 1 and not addresses:
        say(f"presend: one list at a time: {', '.join(args.file)}")
        return WRONG
    name = ", ".join(addresses) or ("standard input" if args.file == ["-"] else args.file[0])
    started = time.perf_counter()
    files: split.Split | None = None
    report: split.NewFile | None = None
    try:
        files = split.Split.open(args)
        report = split.NewFile(args.report, force=args.force) if args.report else None
        with _opened(args.file[0], addresses) as descriptor, _progress(descriptor) as show:
            source = Source(descriptor, args.column, lambda why: say(f"presend: {name}: {why}"))
            options = running.Options(dns=not args.no_dns, jobs=args.jobs, split=files)
            counts, fault = running.run(source, settings, options, show)
        if files is not None:
            _finish(files)
        return _told(args, name, counts, source.better, fault, started, report)
    except (ListError, split.SplitError) as error:
        say(
            f"presend: {error}"
            if isinstance(error, split.SplitError)
            else f"presend: {name}: {error}"
        )
        return FAILED
    except app.StartError as error:
        say(f"presend: {error}")
        return FAILED
    finally:
        for each in (files, report):
            if each is not None:
                each.abandon()


def _told(
    args: argparse.Namespace,
    name: str,
    counts: VerdictCounts,
    better: str,
    fault: str,
    started: float,
    report: split.NewFile | None,
) -> int:
    """Tell the summary, and return the exit code."""
    say(*counts.summary(time.perf_counter() - started))
    decision = gate.decide(counts, gate.limits(args), gate.rates(args))
    wrong = counts.wrong_column(better)
    if report is not None:
        from relay.commands.check.page import render

        shown = render(name, counts, gate.rates(args), decision, fault or wrong, args.review_risk)
        report.file.write(shown)
        report.finish()
    if args.gate or args.report:
        say(decision.line())
    if wrong:
        say(f"presend: {name}: {wrong}")
    if fault:
        say(f"presend: DNS was not believed: {fault}. {_REPEAT}")
    if wrong or fault:
        return FAILED
    return HOLD if args.gate and decision.hold else DONE


def _finish(files: split.Split) -> None:
    written = list(files.finish())
    dropped = f"; {files.dropped:,} duplicates left out" if files.dropped else ""
    say(f"  written to {', '.join(written)}{dropped}")
    if files.unwritten:
        say(f"  {files.unwritten:,} rows are in none of these files")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 1 to {_MOST_JOBS}")
    return int(text)


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
