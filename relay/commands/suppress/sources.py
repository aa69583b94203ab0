"""`presend suppress load`: import the sources that the settings name, each whole or not at all."""

import errno
import stat
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from relay.commands import DONE, FAILED, say
from relay.commands.suppress.download import LIMITS, Download, DownloadError, Limits, repeated
from relay.commands.suppress.importing import import_file, line
from relay.commands.suppress.lists import Given
from relay.commands.tables import TableError
from relay.stores import BlockingStore, ImportResult


class _Source(NamedTuple):
    """A list to import: a file, or a URL."""

    name: str
    """What messages and the entries' `source` say; it holds no secret."""
    place: Path | str
    """The path of a file, or a URL."""


def is_url(source: str) -> bool:
    """Return whether a source is a URL rather than a path."""
    return "://" in source


def shown(source: str) -> str:
    """Return a source without user, password, query and fragment, any of which may be a secret.

    The settings have approved a URL: no part of a password is outside its place.
    """
    if not is_url(source):
        return source
    url = urllib.parse.urlsplit(source)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def load(sources: Sequence[str], store: BlockingStore, now: float, limits: Limits = LIMITS) -> int:
    """Import every source; print a line for each, and the total. Return the exit code.

    A source that fails does not keep the others from being imported. Raises StoreError.
    """
    done, failed = [], 0
    for source in sources:
        try:
            found = list(_expanded(source))
        except OSError as error:
            say(f"{shown(source)}: {error.strerror}")
            failed += 1
            continue
        for each in found:
            try:
                result = _import(each, store, now, limits)
            except (TableError, DownloadError) as error:
                say(f"{each.name}: {error}. Nothing of it was imported.")
                failed += 1
            except OSError as error:
                say(f"{each.name}: {error.strerror or error}. Nothing of it was imported.")
                failed += 1
            else:
                say(line(each.name, result))
                done.append(result)
    total = ImportResult(*map(sum, zip(*done, strict=True))) if done else ImportResult(0, 0, 0)
    say(line("total", total))
    if failed:
        say(f"presend: {failed} of {len(done) + failed} lists were not imported")
    return FAILED if failed else DONE


def _expanded(source: str) -> Iterator[_Source]:
    """Yield the lists of a source: the files of a directory, or the source itself.

    The files of a mounted ConfigMap are symbolic links into a directory whose name begins with a
    dot. A directory may be empty or, if the source ends in `/`, not be there: an optional ConfigMap
    is. Raises OSError if it cannot be read.
    """
    path = Path(source)
    if is_url(source):
        yield _Source(shown(source), source)
    elif path.is_dir():
        names = sorted(each.name for each in path.iterdir() if not each.name.startswith("."))
        if not names:
            say(f"{source}: no file in this directory")
        for name in names:
            if (path / name).is_dir():
                say(f"{path / name}: a directory in a directory is passed over")
            else:
                yield _Source(str(path / name), path / name)
    elif source.endswith("/") and not path.exists():
        say(f"{source}: no such directory")
    else:
        yield _Source(source, path)


def _import(source: _Source, store: BlockingStore, now: float, limits: Limits) -> ImportResult:
    given = Given()
    place = source.place
    if isinstance(place, Path):
        if not stat.S_ISREG(place.stat().st_mode):  # nobody may ever write to a pipe
            raise OSError(errno.EINVAL, "not a regular file")
        with place.open("rb") as file:
            return import_file(file, source.name, store, given, now)

    def attempt() -> ImportResult:
        with Download(place, limits) as file:
            return import_file(file, source.name, store, given, now, most=limits.size)

    return repeated(attempt, limits, lambda fault: say(f"{source.name}: {fault}"))
