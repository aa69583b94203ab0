"""`--state FILE`: what an interrupted run needs to go on.

The state is written after each part of the list (`SpanSource`), once everything before it is on
disk: the place in the list, the counts, and how long each output was. The mailboxes are in a file
of their own, FILE.mailboxes, which only grows.
"""

import argparse
import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from relay.commands.check.counts import VerdictCounts
from relay.commands.check.mailboxes import DIGEST, Mailboxes
from relay.commands.check.source import ListError
from relay.commands.check.spans import Place

_VERSION: Final = 1
_OPTIONS: Final = ("column", "no_dns", "shard", "accepted", "rejected", "review", "dedupe")
"""Options that must be the same when a run goes on."""


class State:
    """The state of a run."""

    def __init__(self, name: str, args: argparse.Namespace, descriptor: int) -> None:
        """Read the state, if the file is there. Raises ListError if it is another list's."""
        self._path = Path(name)
        self._mailboxes_path = Path(f"{name}.mailboxes")
        status = os.fstat(descriptor)
        self._about = {
            "version": _VERSION,
            "list": os.path.realpath(args.file[0]),
            "size": status.st_size,
            "changed": status.st_mtime_ns,
            **{option: getattr(args, option) for option in _OPTIONS},
        }
        self.place: Place | None = None
        """Where the run goes on; None if it begins."""
        self.counts = VerdictCounts()
        self.sizes: Mapping[str, int] = {}
        """Octets of each output file so far, by its name."""
        self._known = 0
        self._output = -1
        try:
            saved = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return
        except (ValueError, OSError) as error:
            raise ListError(f"the state {name} cannot be read: {error}") from error
        if saved.get("about") != self._about:
            raise ListError(
                f"the state {name} is of another list or other options, or the list has changed: "
                "remove it to begin again"
            )
        self._restore(saved)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.place = Place(*saved["place"])
        self.counts = VerdictCounts.of_json(saved["counts"])
        self.sizes = saved["sizes"]
        self._known = saved["mailboxes"]
        self._output = saved["output"]

    def restore_mailboxes(self, mailboxes: Mailboxes) -> None:
        """Remember the mailboxes of the rows before `place`, and keep a record of new ones."""
        with self._mailboxes_path.open("ab") as file:
            file.truncate(self._known * DIGEST)
        with self._mailboxes_path.open("rb") as file:
            while digests := file.read(DIGEST << 16):
                mailboxes.restore(digests)
        mailboxes.record = bytearray()

    def restore_output(self) -> None:
        """Cut standard output to what it was at `place`, if it is a file. Raises ListError."""
        if self.place is None or self._output < 0 or not _is_file():
            return
        sys.stdout.flush()
        size = os.fstat(sys.stdout.fileno()).st_size
        if size < self._output:
            raise ListError(
                f"standard output has {size:,} octets, and had {self._output:,} when the run was "
                "interrupted: append to it with >>, or remove the state to begin again"
            )
        os.ftruncate(sys.stdout.fileno(), self._output)
        os.lseek(sys.stdout.fileno(), 0, os.SEEK_END)

    def save(
        self, place: Place, counts: VerdictCounts, mailboxes: Mailboxes, sizes: Mapping[str, int]
    ) -> None:
        """Save where the run is; everything before it has been written."""
        output = os.fstat(sys.stdout.fileno()).st_size if _is_file() else -1
        with self._mailboxes_path.open("ab") as file:
            file.write(mailboxes.record or b"")
            file.flush()
            os.fsync(file.fileno())
        mailboxes.record = bytearray()
        saved = {
            "about": self._about,
            "place": place,
            "counts": counts.as_json(),
            "mailboxes": len(mailboxes),
            "output": output,
            "sizes": sizes,
        }
        part = Path(f"{self._path}.part")
        with part.open("w", encoding="utf-8") as text:
            json.dump(saved, text)
            text.flush()
            os.fsync(text.fileno())
        part.replace(self._path)

    def remove(self) -> None:
        """Remove the state: the run is complete."""
        self._path.unlink(missing_ok=True)
        self._mailboxes_path.unlink(missing_ok=True)


def _is_file() -> bool:
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except OSError:
        return False
