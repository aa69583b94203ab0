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
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TextIO, TypeAlias, TypeVar

from relay.commands import DONE, FAILED, WRONG, examples, say
from relay.commands.suppress.importing import import_file, line
from relay.commands.suppress.lists import Given, write_csv
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
from relay.stores import BlockingStore, StoreError, open_store
from validators.address import Address, SyntaxOptions, parse
from validators.suppression import ALL, Kind, Suppression, SuppressionReason

Value = TypeVar("Value")
_Action: TypeAlias = Callable[[argparse.Namespace, BlockingStore, float], int]

_ENTRY = "an address, a domain (or @domain), or the SHA-256 or MD5 hex digest of an address"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    examples(parser, "presend suppress add ann@example.com", "presend suppress import list.csv")

    add = _action(actions, "add", "put entries on the list", _add)
    add.add_argument("entry", nargs="+", type=_type(parse_entry), help=_ENTRY)
    _scope(add, default=ALL)
    _facts(add, reason=SuppressionReason.MANUAL)
    examples(
        add,
        "presend suppress add --source ticket-81 ann@example.com",
        "presend suppress add --reason trap --expires 90d @example.org",
    )

    remove = _action(actions, "remove", "take entries off the list", _remove)
    remove.add_argument("entry", nargs="+", type=_type(parse_entry), help=_ENTRY)
    _scope(remove, default=ALL)
    examples(remove, "presend suppress remove ann@example.com")

    lookup = _action(
        actions, "lookup", "print the entries that hold for an address, as a JSON array", _lookup
    )
    lookup.add_argument("address", type=_type(_parse_address), help="the address of a recipient")
    examples(lookup, "presend suppress lookup ann@example.com")

    show = _action(actions, "list", "print the entries, one JSON object a line", _list)
    export = _action(actions, "export", "write the entries as CSV, as import takes it", _export)
    export.add_argument("file", nargs="?", default="-", help="- (default): standard output")
    export.add_argument("--force", action="store_true", help="overwrite a file that exists")
    examples(show, "presend suppress list", "presend suppress list --reason trap --campaign spring")
    examples(export, "presend suppress export backup.csv", "presend suppress export | gzip >all.gz")
    for filtered in (show, export):
        _scope(filtered, default=None)
        filtered.add_argument("--reason", type=_type(parse_reason), help="only these entries")

    imported = _action(actions, "import", "add whole files: each one all or nothing", _import)
    imported.add_argument(
        "file", nargs="+", help="CSV, or a plain list with an entry a line; - is standard input"
    )
    imported.add_argument(
        "--column", help="column of a CSV in which the entries are, by name or number from 1"
    )
    _scope(imported, default=None)
    _facts(imported, reason=None)
    examples(
        imported,
        "presend suppress import --reason unsubscribe unsubscribed.csv",
        "presend suppress import --column 2 --source crm crm.csv.gz",
    )

    loaded = _action(actions, "load", "import every source of PRESEND_SUPPRESSIONS__SOURCES", _load)
    examples(
        loaded,
        "PRESEND_SUPPRESSIONS__SOURCES=/etc/lists/,https://lists.example.com/all.csv.gz \\",
        "    presend suppress load",
    )


def main(args: argparse.Namespace) -> int:
    """Load the settings and run the action; return the exit code."""
    return run(args, load_settings(CommonSettings))


def run(
    args: argparse.Namespace, settings: CommonSettings, clock: Callable[[], float] = time.time
) -> int:
    """Run the action; return the exit code. Raises StoreError and StoreUnavailable."""
    url = args.store or settings.store
    if url == "memory:":
        say("presend: the store memory: ends with this command: name another with --store")
        return WRONG
    args.sources = [source.text for source in settings.suppressions.sources]
    if args.run is _load and not args.sources:
        say("PRESEND_SUPPRESSIONS__SOURCES names no source: nothing to load")
        return DONE
    try:
        opened = open_store(url, campaign=settings.campaign_id, clock=clock)
    except StoreError as error:
        message = f"{error} PRESEND_STORE names the store, or --store another one."
        raise StoreError(message) from error
    with BlockingStore(opened) as store:
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
    say(f"{changed} added, {len(entries) - changed} already on the list")
    return DONE


def _remove(args: argparse.Namespace, store: BlockingStore, now: float) -> int:  # noqa: ARG001
    removed = sum(store.remove(kind, value, args.campaign) for kind, value in args.entry)
    say(f"{removed} removed")
    for kind, value in args.entry:
        address = parse(value) if kind is Kind.ADDRESS else None
        for entry in store.lookup(address) if isinstance(address, Address) else ():
            say(f"{value} is still suppressed, by its {entry.kind}, for {entry.scope}")
    return DONE


def _lookup(args: argparse.Namespace, store: BlockingStore, now: float) -> int:  # noqa: ARG001
    print(json.dumps([_as_json(entry) for entry in store.lookup(args.address)]))
    return DONE


def _list(args: argparse.Namespace, store: BlockingStore, now: float) -> int:  # noqa: ARG001
    for entry in store.entries(scope=args.campaign, reason=args.reason):
        print(json.dumps(_as_json(entry)))
    return DONE


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
        try:
            with _new(args.file, force=args.force) as file:
                written = write_csv(file, entries)
        except FileExistsError:
            say(f"presend: {args.file} exists: --force overwrites it")
            return FAILED
    say(f"{written} written")
    return DONE


def _new(name: str, *, force: bool) -> TextIO:
    """Open a file to write; FileExistsError if that would overwrite one unasked.

    What is not a regular file, such as a pipe or a terminal, has nothing to be overwritten.
    """
    path = Path(name)
    device = path.exists() and not path.is_file()
    return path.open("w" if force or device else "x", encoding="utf-8", newline="")


def _load(args: argparse.Namespace, store: BlockingStore, now: float) -> int:
    from relay.commands.suppress.sources import load

    return load(args.sources, store, now)


def _import(args: argparse.Namespace, store: BlockingStore, now: float) -> int:
    given = Given(args.campaign, args.reason, args.source, args.expires)
    for name in args.file:
        shown = "standard input" if name == "-" else name
        try:
            with _opened(name) as file:
                result = import_file(
                    file, shown, store, given, now, column=args.column, size=_size(file)
                )
        except TableError as error:
            say(f"{shown}: {error}", "Nothing of this file was imported.")
            return FAILED
        say(line(shown, result))
    return DONE


def _opened(name: str) -> contextlib.AbstractContextManager[BinaryIO]:
    return contextlib.nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb")


def _size(file: BinaryIO) -> int | None:
    """Octets of a regular file; None for a pipe or a terminal."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
