"""The operator's lists: read from files at the start, and again when a file has changed.

A file is known by its device, inode, size and time of change, after symbolic links: a ConfigMap is
updated by exchanging a link. A new version takes effect as a whole. One that cannot be used leaves
the list as it was, and is reported once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from relay.observe.metrics import Registry, counter, gauge
from relay.settings import Problem, SettingsError, env_name
from validators.lists import Entries, ListError, ListName, Lists, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from relay.settings.groups import ListFiles

_logger = logging.getLogger(__name__)

PAUSE: Final = 1.0
"""Seconds between two looks at the files."""
LARGEST: Final = 64 * 1024 * 1024
"""Octets of a file: some two million domains."""
_NAMES: Final = tuple(map(str, ListName))

LIST_ENTRIES: Final = gauge(
    "presend_list_entries", "Entries of the operator's lists, by list", {"list": _NAMES}
)
LIST_RELOADS: Final = counter(
    "presend_list_reloads_total",
    "Changed files of the operator's lists, by list and whether they could be used",
    {"list": _NAMES, "result": ("ok", "failed")},
    preset=tuple(itertools.product(_NAMES, ("ok", "failed"))),
)

_Version: TypeAlias = tuple[int, int, int, int]


def read_lists(files: ListFiles) -> Lists:
    """Return the lists that the settings name. Raises SettingsError for a file that is none."""
    entries = Entries()
    problems = []
    for name, path in _paths(files).items():
        try:
            entries = replace(entries, **{name: _read(name, path)})
        except (OSError, ListError) as error:
            problems.append(
                Problem(env_name(("lists", name)), str(path), f"a list: {_said(error)}")
            )
    if problems:
        raise SettingsError(problems)
    return Lists(entries)


class ListWatch:
    """Reads the files again when they have changed. `changed` is called after that."""

    def __init__(
        self, files: ListFiles, lists: Lists, registry: Registry, changed: Callable[[], None]
    ) -> None:
        """Register the metrics. `lists` holds what the files have now."""
        self._paths = _paths(files)
        self._lists = lists
        self._changed = changed
        self._versions = {name: _version(path) for name, path in self._paths.items()}
        self._now = asyncio.Event()
        self._reloads = registry.counter(LIST_RELOADS)
        registry.read(LIST_ENTRIES, self._counts)

    def reload(self) -> None:
        """Read every file again soon, changed or not."""
        self._versions = dict.fromkeys(self._versions)
        self._now.set()

    async def run(self) -> None:
        """Look at the files until cancelled."""
        while self._paths:
            try:
                async with asyncio.timeout(PAUSE):
                    await self._now.wait()
            except TimeoutError:
                pass
            self._now.clear()
            await self.look()

    async def look(self) -> None:
        """Look at the files once."""
        for name, path in self._paths.items():
            version = await asyncio.to_thread(_version, path)
            if version == self._versions[name]:
                continue
            self._versions[name] = version
            try:
                found = await asyncio.to_thread(_read, name, path)
            except (OSError, ListError) as error:
                self._reloads.add(name.value, "failed")
                _logger.error(  # noqa: TRY400 the operator's mistake: no traceback
                    "The list %s was not read again and stays as it was: %s: %s",
                    name.value, path, _said(error),
                )  # fmt: skip
                continue
            self._reloads.add(name.value, "ok")
            self._lists.current = replace(self._lists.current, **{name: found})
            self._changed()
            _logger.info("The list %s has %d entries now", name.value, len(found))

    def _counts(self) -> dict[str, int]:
        return {name.value: len(getattr(self._lists.current, name)) for name in ListName}


def _paths(files: ListFiles) -> Mapping[ListName, Path]:
    """Return the files that the settings name."""
    found = ((name, getattr(files, name)) for name in ListName)
    return {name: path for name, path in found if path is not None}


def _version(path: Path) -> _Version | None:
    """Return what changes with the content of a file; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read(name: ListName, path: Path) -> frozenset[str]:
    """Return the entries of a file. Raises OSError and ListError."""
    # Without O_NONBLOCK, a pipe that nobody writes to would hold the thread for ever.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ListError("it is not a regular file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ListError(f"the file is larger than {LARGEST} octets")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ListError("the file is not text in UTF-8") from None
    return read(name, text.splitlines())


def _said(error: OSError | ListError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
