"""`presend suppress`: read the suppression list and change it, also while `serve` runs.

Results go to standard output (JSON or CSV), diagnostics to standard error.
"""

import argparse
import contextlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeAlias, TypeVar

from relay.commands.suppress.lists import Given, read_list, write_csv
from relay.commands.suppress.parsing import (
    format_time,
    parse_entry,
    parse_reason,
    parse_scope,
    parse_source,
    parse_time,
)
from relay.commands.tables import TableError
from relay.settings import CommonSettings, load_settings
from relay.settings.endpoints import mask_urls
from relay.settings.store_urls import check_store
from relay.stores import BlockingStore, ImportResult, open_store
from validators.address import Address, SyntaxOptions, parse
from validators.suppression import ALL, Kind, Suppression, SuppressionReason

Value = TypeVar("Value")
_Action: TypeAlias = Callable[[argparse.Namespace, BlockingStore, float], int]

_ENTRY = "an address, a domain (or @domain), or the SHA-256 or MD5 hex digest of an address"
_PROGRESS_ROWS = 2000
"""Rows between two updates of the progress bar."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    add = _action(actions, "add", "put entries on the list", _add)
    add.add_argument("entry", nargs="+", type=_type(parse_entry), help=_ENTRY)
    _scope(add, default=ALL)
    _facts(add, reason=SuppressionReason.MANUAL)

    remove = _action(actions, "remove", "take entries off the list", _remove)
    remove.add_argument("entry", nargs="+", type=_type(parse_entry), help=_ENTRY)
    _scope(remove, default=ALL)

    lookup = _action(
        actions, "lookup", "print the entries that hold for an address, as a JSON array", _lookup
    )
    lookup.add_argument("address", type=_type(_parse_address), help="the address of a recipient")

    show = _action(actions, "list", "print the entries, one JSON object a line", _list)
    export = _action(actions, "export", "write the entries as CSV, as import takes it", _export)
    export.add_argument("file", nargs="?", default="-", help="- (default): standard output")
    for filtered in (show, export):
        _scope(filtered, default=None)
        filtered.add_argument("--reason", type=_type(parse_reason), help="only these entries")

    load = _action(actions, "import", "add whole files: each one all or nothing", _import)
    load.add_argument(
        "file", nargs="+", help="CSV, or a plain list with an entry a line; - is standard input"
    )
    load.add_argument(
        "--column", help="column of a CSV in which the entries are, by name or number from 1"
    )
    _scope(load, default=None)
    _facts(load, reason=None)


def main(args: argparse.Namespace) -> int:
    """Load the settings and run the action; return the exit code."""
    return run(args, load_settings(CommonSettings))


def run(
    args: argparse.Namespace, settings: CommonSettings, clock: Callable[[], float] = time.time
) -> int:
    """Run the action; return the exit code. Raises StoreError and StoreUnavailable."""
    url = args.store or settings.store
    if url == "memory:":
        _say("the store memory: ends with this command: name another with --store")
        return 2
    with BlockingStore(open_store(url, campaign=settings.campaign_id, clock=clock)) as store:
        action: _Action = args.run
        return action(args, store, float(int(clock())))


def _type(
    parse_text: Callable[[str], Value], shown: Callable[[str], str] = str
) -> Callable[[str], Value]:
    """Make a type for argparse of a parser, so that the message of its ValueError is shown.

    `shown` returns a wrong text as the message may quote it.
    """

    def checked(text: str) -> Value:
        try:
            return parse_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{shown(text)!r}: {error}") from None

    return checked


def _parse_address(text: str) -> Address:
    found = parse(text.strip(), SyntaxOptions(allow_quoted_local=True, allow_domain_literal=True))
    if not isinstance(found, Address):
        raise ValueError(found.detail)  # noqa: TRY004 - about the text, not its type
    return found


def _future(text: str) -> float:
    now = time.time()
    moment = parse_time(text, now)
    if moment <= now:
        raise ValueError("a time to come, such as 90d or 2030-01-31")
    return moment


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    purpose: str,
    function: _Action,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."
    )
    parser.set_defaults(run=function)
    parser.add_argument(
        "--store",
        type=_type(check_store, mask_urls),
        help="sqlite:///PATH, instead of the configured store",
    )
    return parser


def _scope(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    parser.add_argument(
        "--campaign",
        "--scope",
        dest="campaign",
        default=default,
        type=_type(parse_scope),
        metavar="ID",
        help="a campaign's id, or all" + (f" (default {default})" if default else ""),
    )


def _facts(parser: argparse.ArgumentParser, *, reason: SuppressionReason | None) -> None:
    parser.add_argument(
        "--reason",
        default=reason,
        type=_type(parse_reason),
        help=f"{', '.join(SuppressionReason)} (default {reason or SuppressionReason.IMPORT})",
    )
    parser.add_argument("--source", type=_type(parse_source), help="where it comes from")
    parser.add_argument(
        "--expires", type=_type(_future), metavar="WHEN", help="a date (UTC), or a span as 90d"
    )


def _add(args: argparse.Namespace, store: BlockingStore, now: float) -> int:
    entries = [
        Suppression(
            kind, value, args.campaign, args.reason, args.source or "command", now, args.expires
        )
        for kind, value in args.entry
    ]
    changed = store.add(entries)
    _say(f"{changed} added, {len(entries) - changed} already on the list")
    return 0


def _remove(args: argparse.Namespace, store: BlockingStore, now: float) -> int:  # noqa: ARG001
    removed = sum(store.remove(kind, value, args.campaign) for kind, value in args.entry)
    _say(f"{removed} removed")
    for kind, value in args.entry:
        address = parse(value) if kind is Kind.ADDRESS else None
        for entry in store.lookup(address) if isinstance(address, Address) else ():
            _say(f"{value} is still suppressed, by its {entry.kind}, for {entry.scope}")
    return 0


def _lookup(args: argparse.Namespace, store: BlockingStore, now: float) -> int:  # noqa: ARG001
    print(json.dumps([_as_json(entry) for entry in store.lookup(args.address)]))
    return 0


def _list(args: argparse.Namespace, store: BlockingStore, now: float) -> int:  # noqa: ARG001
    for entry in store.entries(scope=args.campaign, reason=args.reason):
        print(json.dumps(_as_json(entry)))
    return 0


def _as_json(entry: Suppression) -> dict[str, str | None]:
    return {
        "kind": entry.kind,
        "value": entry.value,
        "scope": entry.scope,
        "reason": entry.reason,
        "source": entry.source,
        "created": format_time(entry.created),
        "expires": None if entry.expires is None else format_time(entry.expires),
    }


def _export(args: argparse.Namespace, store: BlockingStore, now: float) -> int:  # noqa: ARG001
    entries = store.entries(scope=args.campaign, reason=args.reason)
    if args.file == "-":
        written = write_csv(sys.stdout, entries)
    else:
        with Path(args.file).open("w", encoding="utf-8", newline="") as file:
            written = write_csv(file, entries)
    _say(f"{written} written")
    return 0


def _import(args: argparse.Namespace, store: BlockingStore, now: float) -> int:
    given = Given(args.campaign, args.reason, args.source, args.expires)
    for name in args.file:
        shown = "standard input" if name == "-" else name
        try:
            with _opened(name) as file:
                result = _import_one(file, shown, store, given, args.column, now)
        except TableError as error:
            _say(f"{shown}: {error}", "Nothing of this file was imported.")
            return 1
        _say(
            f"{shown}: {result.read} read, {result.added} added, {result.renewed} last longer, "
            f"{result.unchanged} already on the list"
        )
    return 0


def _opened(name: str) -> contextlib.AbstractContextManager[BinaryIO]:
    return contextlib.nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb")


def _import_one(
    file: BinaryIO, name: str, store: BlockingStore, given: Given, column: str | None, now: float
) -> ImportResult:
    with contextlib.closing(_Progress(name, _size(file))) as progress:
        entries = read_list(file, given, now=now, column=column, name=name)
        return store.import_entries(progress.watch(entries, file), merged=progress.merged)


def _size(file: BinaryIO) -> int | None:
    """Octets of a regular file; None for a pipe or a terminal."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class _Progress:
    """A bar on a terminal, first for reading the file, then for merging it into the store."""

    def __init__(self, name: str, size: int | None) -> None:
        from tqdm import tqdm

        self._new = partial(tqdm, file=sys.stderr, disable=None, leave=False)
        self._seekable = size is not None
        self._bar = self._new(total=size, unit="B", unit_scale=True, desc=f"reading {name}")
        self._merging = False

    def watch(self, entries: Iterable[Suppression], file: BinaryIO) -> Iterator[Suppression]:
        """Yield the entries, and show how much of the file has been read for them."""
        for number, entry in enumerate(entries):
            if self._seekable and number % _PROGRESS_ROWS == 0:
                self._move(file.tell())
            yield entry

    def merged(self, part: float) -> None:
        """Show which part (0 to 1) of the entries is in the store."""
        if not self._merging:
            self._bar.close()
            self._bar = self._new(total=100, unit="%", desc="merging")
            self._merging = True
        self._move(round(part * 100))

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _move(self, place: int) -> None:
        self._bar.update(place - self._bar.n)


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
