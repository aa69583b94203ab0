"""The files of a store: where they can be, who may read them, and which of several they are."""

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from relay.stores.protocol import StoreError

_OWN: Final = 0o600
"""Permissions of a new file: the list holds personal data, whatever the umask is."""
_OTHERS: Final = 0o007
_GROUP: Final = 0o070
_GROUP_WRITES: Final = 0o020
_SUFFIXES: Final = ("", "-wal", "-shm")
_HEADER: Final = 100
_APPLICATION_AT: Final = 68
_WAL_HEADER: Final = 32
_SHM_IN_USE: Final = 128
"""The octet of the -shm file that every process which uses it holds a lock on (SQLite, os_unix.c,
UNIX_SHM_DMS)."""


def check_place(path: Path) -> None:
    """Refuse a path where no file can be, with a plainer message than SQLite's. StoreError."""
    directory = path.parent
    fault = f"The suppression store {path} cannot be opened: "
    if path.is_dir():
        raise StoreError(f"{fault}it is a directory. Name a file in it.")
    if not directory.exists():
        raise StoreError(f"{fault}there is no directory {directory}. Make it, or use another path.")
    if not directory.is_dir():
        raise StoreError(f"{fault}{directory} is no directory. Use another path.")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StoreError(
            f"{fault}{directory} is not writable for user {os.geteuid()}. "
            "Change its owner, or use another path."
        )


def make_file(path: Path) -> None:
    """Make an empty file that only its owner may read, if there is none.

    SQLite would make one that everybody may read, and gives its -wal and -shm files the permissions
    of the file.

    An existing file is not opened: to close it again would end the locks that SQLite holds on it.
    """
    with contextlib.suppress(OSError):  # SQLite explains it
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWN)
        try:
            os.fchmod(descriptor, _OWN)
        finally:
            os.close(descriptor)


def restrict(path: Path) -> None:
    """Take the permissions of others from existing files, and of a group that may not write.

    A group that may write was given its permission by the operator, and keeps it.
    """
    for suffix in _SUFFIXES:
        with contextlib.suppress(OSError):  # not there, or not ours
            file = path.with_name(path.name + suffix)
            mode = file.stat().st_mode & 0o777
            kept = mode & ~_OTHERS if mode & _GROUP_WRITES else mode & ~(_OTHERS | _GROUP)
            if kept != mode:
                file.chmod(kept)


class Identity(NamedTuple):
    """What tells a file from another at the same path."""

    device: int
    inode: int
    size: int
    modified: int

    def same_file(self, other: "Identity | None") -> bool:
        """Whether it is the file that `other` was read of, perhaps with changed content.

        The number of an inode is given to another file once nobody has the first one open.
        """
        return other is not None and self[:2] == other[:2]


def identity(path: Path) -> Identity | None:
    """Return which file is at the path; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def application_of(path: Path) -> int:
    """Return the application id in the header of an SQLite file, 0 where there is none.

    It is read without SQLite, which would read a write-ahead log beside the file as well. Not to
    be used while the file is open: see `make_file`.
    """
    header = _first_octets(path, _HEADER)
    found = header.startswith(b"SQLite format 3\0") and len(header) == _HEADER
    return int.from_bytes(header[_APPLICATION_AT : _APPLICATION_AT + 4], "big") if found else 0


def _first_octets(path: Path, number: int) -> bytes:
    """Return the first octets of a regular file; none of anything else. Never blocks on a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, number) if regular else b""
    finally:
        os.close(descriptor)


def log_of(path: Path) -> Path:
    """Return the path of the write-ahead log."""
    return path.with_name(path.name + "-wal")


def log_header(path: Path) -> bytes:
    """Return the header of the write-ahead log, which is another each time the log begins anew."""
    try:
        return _first_octets(log_of(path), _WAL_HEADER)
    except OSError:
        return b""


def discard_log(path: Path) -> bool:
    """Remove the write-ahead log that a replaced file has left; False if a process still uses it.

    SQLite would take it for the log of the file that is there now, and mix the two.
    """
    log, shared = (path.with_name(path.name + suffix) for suffix in _SUFFIXES[1:])
    try:
        with shared.open("r+b", buffering=0) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _SHM_IN_USE)
            log.unlink(missing_ok=True)
            shared.unlink(missing_ok=True)
    except FileNotFoundError:
        log.unlink(missing_ok=True)
    except OSError:
        return False
    return True
