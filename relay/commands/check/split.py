"""The files of `--accepted`, `--rejected` and `--review`: the rows of the list, by verdict."""

import argparse
import contextlib
import csv
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self, TextIO

from relay.commands.check.gate import share
from relay.commands.check.report import Facts
from relay.commands.check.source import Group, Layout

REVIEW_RISK: Final = 0.25
"""Risk from which an accepted recipient is for review: a disposable domain, or worse."""
ADDED: Final = ("verdict", "reason", "risk", "suggestion")
"""The columns that are added."""
NO_ADDRESS: Final = "no_address"
"""In place of a reason: there is nothing to be judged in the row."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""With these, a cell is a formula for a spreadsheet."""


class SplitError(Exception):
    """A file cannot be written; the message is for the person who named it."""


class NewFile:
    """A file that is complete or is not there: it gets its name when it is finished.

    A pipe or a device is written to directly.
    """

    def __init__(self, name: str, *, force: bool) -> None:
        """Raises SplitError if the file exists and is not to be overwritten."""
        self.name = name
        self._path = Path(name)
        self._force = force
        self._device = self._path.exists() and not self._path.is_file()
        self._refuse()
        self._temporary: Path | None = None
        try:
            self.file = self._open()
        except OSError as error:
            raise SplitError(f"{name}: {error.strerror or error}") from error

    def _refuse(self) -> None:
        if self._path.exists() and not self._force and not self._device:
            raise SplitError(f"{self.name} exists: --force overwrites it")

    def _open(self) -> TextIO:
        if self._device:
            return self._path.open("w", encoding="utf-8", newline="", errors="surrogateescape")
        folder = self._path.parent
        descriptor, name = tempfile.mkstemp(
            prefix=f".{self._path.name}.", suffix=".part", dir=folder
        )
        self._temporary = Path(name)
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        return os.fdopen(descriptor, "w", encoding="utf-8", newline="", errors="surrogateescape")

    def finish(self) -> None:
        """Give the file its name. Raises SplitError, OSError."""
        self.file.close()
        if self._temporary is not None:
            self._refuse()
            self._temporary.replace(self._path)
            self._temporary = None

    def abandon(self) -> None:
        """Remove what was written, unless it is finished."""
        with contextlib.suppress(OSError):
            self.file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


class Split:
    """Writes each row of the list, with its verdict, to the file where it belongs."""

    def __init__(self, files: dict[str, NewFile], *, review_risk: float, dedupe: bool) -> None:
        """`files` are by `accepted`, `rejected` and `review`; one that is missing is not written.

        `dedupe` leaves rows out whose mailbox is in an earlier row, unless they are rejected.
        """
        self.dropped = 0
        """Rows that were left out as duplicates."""
        self._files = files
        self._review_risk = review_risk
        self.unwritten = 0
        """Rows for which there is no file."""
        self._dedupe = dedupe
        self._writers: dict[str, Any] = {}
        self._width = 0

    @classmethod
    def open(cls, args: argparse.Namespace) -> Self | None:
        """Open the files that the user names; None if there are none. Raises SplitError."""
        names = {kind: getattr(args, kind) for kind in ("accepted", "rejected", "review")}
        named = {kind: name for kind, name in names.items() if name}
        if len({os.path.realpath(name) for name in named.values()}) < len(named):
            raise SplitError("--accepted, --rejected and --review name the same file twice")
        files: dict[str, NewFile] = {}
        try:
            for kind, name in named.items():
                files[kind] = NewFile(name, force=args.force)
        except SplitError:
            for file in files.values():
                file.abandon()
            raise
        return cls(files, review_risk=args.review_risk, dedupe=args.dedupe) if files else None

    def begin(self, layout: Layout) -> None:
        """Write the header, if the list has one and it is not written yet."""
        if self._writers:
            return
        self._width = len(layout.header)
        names = {name.strip().casefold() for name in layout.header}
        added = [f"presend_{name}" if name in names else name for name in ADDED]
        for kind, new in self._files.items():
            writer = csv.writer(new.file, delimiter=layout.delimiter or ",", lineterminator="\r\n")
            if layout.bom:
                new.file.write("\ufeff")
            if layout.separator:
                new.file.write(f"{layout.separator}\r\n")
            if layout.header:
                writer.writerow([*layout.header, *added])
            self._writers[kind] = writer

    def write(self, layout: Layout, group: Group, facts: Sequence[Facts]) -> None:
        """Write a group."""
        self.begin(layout)
        rows: dict[str, list[tuple[int, list[str]]]] = {kind: [] for kind in self._writers}
        for text, number, cells, said in zip(
            group.texts, group.numbers, group.cells, facts, strict=True
        ):
            kind = self._kind(said)
            if kind == "":
                self.dropped += 1
            elif kind in rows:
                reason = said.weightiest if kind == "review" else said.kind.reason
                added = [said.kind.verdict, reason, said.risk, said.suggestion(text)]
                rows[kind].append((number, self._padded(cells, added)))
            else:
                self.unwritten += 1
        if group.blank and "rejected" in rows:
            for row in group.blank:
                added = ["", NO_ADDRESS, "", ""]
                rows["rejected"].append((row.number, self._padded(row.cells, added)))
            rows["rejected"].sort(key=lambda row: row[0])
        for kind, found in rows.items():
            self._writers[kind].writerows(cells for _, cells in found)

    def _kind(self, said: Facts) -> str:
        """Return the file of a row; empty if it is left out."""
        verdict = said.kind.verdict
        if verdict == "reject":
            return "rejected"
        if self._dedupe and said.kind.duplicate:
            return ""
        risky = float(said.risk) >= self._review_risk and "review" in self._files
        return "review" if verdict == "defer" or risky else "accepted"

    def _padded(self, cells: list[str], added: Sequence[str]) -> list[str]:
        """Return the cells of a row with those that are added below their header."""
        missing = [""] * (self._width - len(cells))
        return [*cells, *missing, *map(harmless, added)]

    def finish(self) -> Iterator[str]:
        """Give the files their names; yield them. Raises SplitError, OSError."""
        for new in self._files.values():
            new.finish()
            yield new.name

    def abandon(self) -> None:
        """Remove what is not finished."""
        for new in self._files.values():
            new.abandon()


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    for kind, meaning in (
        ("accepted", "accepted, unless they are for review"),
        ("rejected", "rejected"),
        ("review", "deferred, or accepted with a high risk"),
    ):
        parser.add_argument(
            f"--{kind}", metavar="FILE", help=f"write the rows to this file that are {meaning}"
        )
    parser.add_argument(
        "--review-risk",
        type=share,
        default=REVIEW_RISK,
        metavar="RISK",
        help=f"the risk from which accepted rows are for review (default {REVIEW_RISK})",
    )
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")
    parser.add_argument(
        "--dedupe",
        action="store_true",
        help="leave rows out of --accepted and --review whose mailbox is in an earlier row",
    )
