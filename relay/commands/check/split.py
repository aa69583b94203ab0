"""The files of `--accepted`, `--rejected` and `--review`: the rows of the list, by verdict."""

import argparse
import contextlib
import csv
import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast

from relay.commands.check.counts import VerdictCounts
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

    def __init__(
        self, name: str, *, force: bool = False, keep: bool = False, size: int | None = None
    ) -> None:
        """Raises SplitError if the file exists and is not to be overwritten.

        With `keep`, what is not finished stays, as NAME.part, for a run that goes on: with the
        `size` that it had then.
        """
        self._keep = keep
        self._size = size
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

    def _open(self) -> io.TextIOWrapper:
        if self._device:
            return _text(os.open(self._path, os.O_WRONLY))
        if self._keep:
            self._temporary = Path(f"{self.name}.part")
            descriptor = os.open(self._temporary, os.O_RDWR | os.O_CREAT, 0o666)
            file = _text(descriptor)
            file.truncate(self._size or 0)
            file.seek(0, os.SEEK_END)
            return file
        folder = self._path.parent
        descriptor, name = tempfile.mkstemp(
            prefix=f".{self._path.name}.", suffix=".part", dir=folder
        )
        self._temporary = Path(name)
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        return _text(descriptor)

    @property
    def buffer(self) -> BinaryIO:
        """The file, for what is encoded already."""
        return cast("BinaryIO", self.file.buffer)

    def size(self) -> int:
        """Write out what is buffered; return the octets so far."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return os.fstat(self.file.fileno()).st_size

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
        if self._temporary is not None and not self._keep:
            self._temporary.unlink(missing_ok=True)


def _text(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(descriptor, "w")),
        encoding="utf-8",
        errors="surrogateescape",
        newline="",
    )


class Split:
    """Writes each row of the list, with its verdict, to the file where it belongs."""

    def __init__(self, files: dict[str, NewFile], *, review_risk: float, dedupe: bool) -> None:
        """`files` are by `accepted`, `rejected` and `review`; one that is missing is not written.

        `dedupe` leaves rows out whose mailbox is in an earlier row, unless they are rejected.
        """
        self._files = files
        self._review_risk = review_risk
        self._dedupe = dedupe
        self._writers: dict[str, Any] = {}
        self._width = 0
        self._begun = False
        """The headers were written before the run was interrupted."""

    @classmethod
    def open(
        cls, args: argparse.Namespace, *, keep: bool, sizes: Mapping[str, int] | None
    ) -> Self | None:
        """Open the files that the user names; None if there are none. Raises SplitError.

        `keep` is for runs that may be interrupted, `sizes` for one that goes on (`NewFile`).
        """
        names = {kind: getattr(args, kind) for kind in ("accepted", "rejected", "review")}
        named = {kind: name for kind, name in names.items() if name}
        if len({os.path.realpath(name) for name in named.values()}) < len(named):
            raise SplitError("--accepted, --rejected and --review name the same file twice")
        files: dict[str, NewFile] = {}
        try:
            for kind, name in named.items():
                size = None if sizes is None else sizes.get(name, 0)
                files[kind] = NewFile(name, force=args.force, keep=keep, size=size)
        except SplitError:
            for file in files.values():
                file.abandon()
            raise
        if not files:
            return None
        found = cls(files, review_risk=args.review_risk, dedupe=args.dedupe)
        found._begun = sizes is not None
        return found

    def begin(self, layout: Layout) -> None:
        """Write the header, if the list has one and it is not written yet."""
        if self._writers:
            return
        self._width = len(layout.header)
        names = {name.strip().casefold() for name in layout.header}
        added = [f"presend_{name}" if name in names else name for name in ADDED]
        for kind, new in self._files.items():
            writer = csv.writer(new.file, delimiter=layout.delimiter or ",", lineterminator="\r\n")
            self._writers[kind] = writer
            if self._begun:
                continue
            if layout.bom:
                new.file.write("\ufeff")
            if layout.separator:
                new.file.write(f"{layout.separator}\r\n")
            if layout.header:
                writer.writerow([*layout.header, *added])

    def write(
        self, layout: Layout, group: Group, facts: Sequence[Facts], counts: VerdictCounts
    ) -> None:
        """Write a group; count the rows that are in none of the files."""
        self.begin(layout)
        rows: dict[str, list[tuple[int, list[str]]]] = {kind: [] for kind in self._writers}
        for text, number, cells, said in zip(
            group.texts, group.numbers, group.cells, facts, strict=True
        ):
            kind = self._kind(said)
            if kind == "":
                counts.dropped += 1
            elif kind in rows:
                reason = said.weightiest if kind == "review" else said.kind.reason
                added = [said.kind.verdict, reason, said.risk, said.suggestion(text)]
                rows[kind].append((number, self._padded(cells, added)))
            else:
                counts.unwritten += 1
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

    def sizes(self) -> dict[str, int]:
        """Return the octets of each file so far, by its name."""
        return {new.name: new.size() for new in self._files.values()}

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
