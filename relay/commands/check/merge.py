"""`presend check merge`: the results of the shards of a list, put together.

The lines are written in the order of the rows. Duplicates across shards are found as in a single
run: the digests of all mailboxes are sorted into files by their first octet, and one such file at a
time is searched, so that memory does not grow with the list but for the numbers of duplicate rows.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final

from relay.commands import FAILED, say
from relay.commands.check import split, telling
from relay.commands.check.counts import VerdictCounts
from relay.commands.check.judging import duplicate_action
from relay.commands.check.report import Facts, FactsCache
from relay.settings import JudgingSettings
from validators.address import Address, SyntaxOptions, parse
from validators.reasons import Action, Reason

_PARTITIONS: Final = 256
_RECORD: Final = Struct(">16sQ")
"""The digest of a mailbox, and the number of its row: sorted as octets, they sort as both."""
_ANY_SYNTAX: Final = SyntaxOptions(
    allow_quoted_local=True, allow_domain_literal=True, postmaster=True
)
_GROUP: Final = 1000
_SHOWN: Final = 10


class MergeError(Exception):
    """The results cannot be merged; the message is for the person who named them."""


def write_about(args: argparse.Namespace, size: int, counts: VerdictCounts, fault: str) -> None:
    """Write what the lines of a shard do not tell: beside its output, as FILE.shard."""
    index, number = args.shard
    about = {
        "shard": index,
        "of": number,
        "list": Path(args.file[0]).name,
        "size": size,
        "counts": counts.as_json(),
        "fault": fault,
    }
    Path(f"{args.output}.shard").write_text(json.dumps(about), "utf-8")


def run(args: argparse.Namespace, settings: JudgingSettings) -> int:
    """Merge the results that follow the word `merge`; return the exit code."""
    started = time.perf_counter()
    report: split.NewFile | None = None
    output: split.NewFile | None = None
    try:
        paths = _paths(args.file[1:])
        counts, fault = _about(paths)
        report = split.NewFile(args.report, force=args.force) if args.report else None
        output = split.NewFile(args.output, force=args.force) if args.output else None
        out = sys.stdout.buffer if output is None else output.buffer
        _merge(paths, duplicate_action(settings), counts, out)
        if output is not None:
            output.finish()
        name = f"{len(paths)} shards"
        return telling.told(args, name, counts, "", fault, started, report)
    except (MergeError, split.SplitError) as error:
        say(f"presend: {error}")
        return FAILED
    finally:
        for file in (report, output):
            if file is not None:
                file.abandon()


def _paths(words: Sequence[str]) -> list[Path]:
    """Return the files with lines, in the order of the rows; a directory stands for its *.jsonl."""
    found: list[Path] = []
    for word in words:
        path = Path(word)
        found += sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not found:
        raise MergeError(f"no *.jsonl in {', '.join(words)}")
    return sorted(found, key=_first_row)


def _first_row(path: Path) -> int:
    return next((each["row"] for _, each in _lines(path)), 0)


def _about(paths: Sequence[Path]) -> tuple[VerdictCounts, str]:
    """Return the rows without an address, and why DNS was not believed; check that none is missing.

    Raises MergeError.
    """
    counts, faults = VerdictCounts(), []
    seen: dict[int, Path] = {}
    number, lists = 0, set()
    for path in paths:
        try:
            about = json.loads(Path(f"{path}.shard").read_text("utf-8"))
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise MergeError(f"{path}.shard: {error}") from error
        if about["shard"] in seen:
            raise MergeError(f"{path} and {seen[about['shard']]} are the same shard")
        seen[about["shard"]] = path
        number = about["of"]
        lists.add((about["list"], about["size"], number))
        faults.append(about["fault"])
        of_shard = VerdictCounts.of_json(about["counts"])
        counts.add_blank(of_shard.first_blank)
        counts.blank += of_shard.blank - len(of_shard.first_blank)
    if len(lists) > 1:
        raise MergeError("these are shards of different lists, or of a list that has changed")
    missing = sorted(set(range(number)) - set(seen))
    if missing and len(paths) < number:
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        raise MergeError(f"of {number} shards, these are missing: {shown}")
    if not seen:
        say("presend: no *.shard beside the results: whether a shard is missing is not known")
    return counts, next(filter(None, faults), "")


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield the lines of a shard. Raises MergeError."""
    try:
        with path.open("rb") as file:
            for number, octets in enumerate(file, 1):
                try:
                    each = json.loads(octets)
                    _ = each["row"], each["verdict"], each["address"]
                except (ValueError, KeyError, TypeError):
                    raise MergeError(f"{path}: line {number} is none of a result") from None
                yield octets, each
    except OSError as error:
        raise MergeError(f"{path}: {error.strerror or error}") from error


def _merge(paths: Sequence[Path], action: Action, counts: VerdictCounts, out: BinaryIO) -> None:
    """Write all lines, and count them."""
    repeated = iter(() if action is Action.OFF else _repeated(paths))
    following = next(repeated, None)
    cache = FactsCache()
    texts: list[str] = []
    rows: list[int] = []
    facts: list[Facts] = []
    for path in paths:
        for octets, each in _lines(path):
            said, line, row = _facts(each, cache), octets, each["row"]
            if row == following:
                said = said.repeated(action)
                line = said.line(each["address"], row, each.get("note", "")).encode("ascii")
                following = next(repeated, None)
            out.write(line)
            counts.cleaned += "note" in each
            texts.append(each["address"])
            rows.append(row)
            facts.append(said)
            if len(texts) >= _GROUP:
                counts.add(texts, rows, facts)
                texts, rows, facts = [], [], []
    counts.add(texts, rows, facts)
    out.flush()


def _facts(each: dict[str, Any], cache: FactsCache) -> Facts:
    findings = tuple(
        (found["reason"], found["action"], found["detail"]) for found in each["findings"]
    )
    return cache.of_parts(
        (each["verdict"], each["reason"] or "", each["detail"], findings, each["provider"])
    )


def _repeated(paths: Sequence[Path]) -> "array[int]":
    """Return the rows whose mailbox is in an earlier row of another shard, in order."""
    found = array("Q")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_PARTITIONS)]
        for path in paths:
            for _, each in _lines(path):
                if record := _record(each):
                    files[record[0]].write(record)
        for file in files:
            file.seek(0)
            octets = file.read()
            size = _RECORD.size
            records = sorted(octets[n : n + size] for n in range(0, len(octets), size))
            for before, record in pairwise(records):
                if before[:16] == record[:16]:
                    found.append(_RECORD.unpack(record)[1])
    return array("Q", sorted(found))


def _record(each: dict[str, Any]) -> bytes:
    """Return the mailbox of a line with its row; empty if it can be no later row's first.

    A duplicate within its shard is known to be one already.
    """
    if each["verdict"] == Action.REJECT or any(
        found["reason"] == Reason.DUPLICATE for found in each["findings"]
    ):
        return b""
    address = parse(each["address"], _ANY_SYNTAX)
    if not isinstance(address, Address):
        return b""
    digest = blake2b(address.canonical.encode(), digest_size=16).digest()
    return _RECORD.pack(digest, each["row"])
