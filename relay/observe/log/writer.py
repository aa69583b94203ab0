"""Writing lines to stderr without blocking the event loop."""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

KEPT: Final = b"\1"
"""Mark of a line that is dropped only when no other can be dropped."""
_PIECE: Final = 256 << 10
"""Octets from which on a write is not made longer; what is being written can no longer be dropped,
and many short writes would compete with the event loop for Python's global lock."""


class _Chunk(NamedTuple):
    """Whole lines of ASCII, and one octet for each: KEPT, or zero."""

    data: bytes
    marks: bytes


class LineWriter:
    """Writes to a file descriptor from a thread of its own.

    A pipe that nobody reads blocks this thread only. Up to `capacity` octets then wait. Above it,
    the oldest lines are dropped and counted: those without the mark KEPT first. `report` formats a
    line that says how many lines were dropped; it is written where they are missing. Every method
    may be called from any thread; only `drain` and `close` wait.
    """

    def __init__(
        self,
        fd: int = 2,
        *,
        capacity: int = 4 << 20,
        report: Callable[[int], bytes] = lambda _lines: b"",
    ) -> None:
        self._fd = fd
        self._capacity = capacity
        self._report = report
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)
        self._waiting: deque[_Chunk] = deque()
        self._all_kept = 0  # chunks at the left end that hold only lines with the mark KEPT
        self._octets = 0  # in `_waiting`, and those being written
        self._dropped = 0
        self._reported = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="presend-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written, so far."""
        return self._dropped

    def write(self, data: bytes, marks: bytes = KEPT) -> bool:
        """Queue whole lines, each with its mark; return False when the writer is closed."""
        with self._lock:
            if self._closed:
                self._dropped += len(marks)
                return False
            self._waiting.append(_Chunk(data, marks))
            self._octets += len(data)
            if self._octets > self._capacity:
                self._drop()
            self._arrived.notify()
        return True

    def lose(self, lines: int) -> None:
        """Count lines that could not be formatted as dropped."""
        with self._lock:
            self._dropped += lines

    def drain(self, timeout: float) -> bool:
        """Wait until all lines are written, at most `timeout` seconds; return whether they are."""
        with self._lock:
            return self._emptied.wait_for(lambda: not self._octets, timeout)

    def close(self, timeout: float) -> bool:
        """Accept no more lines and wait like `drain`; a second call only waits."""
        with self._lock:
            self._closed = True
            self._arrived.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _drop(self) -> None:
        """Drop as few lines as make room, the oldest first."""
        while self._octets > self._capacity and self._waiting:
            only_kept = self._all_kept == len(self._waiting)
            place = 0 if only_kept else self._all_kept
            chunk = self._waiting[place]
            left = []
            for line, mark in zip(chunk.data.splitlines(keepends=True), chunk.marks, strict=True):
                if self._octets > self._capacity and (only_kept or not mark):
                    self._octets -= len(line)
                    self._dropped += 1
                else:
                    left.append((line, mark))
            if left:
                lines, marks = zip(*left, strict=True)
                self._waiting[place] = _Chunk(b"".join(lines), bytes(marks))
                if all(marks) and not only_kept:
                    self._all_kept += 1
            else:
                del self._waiting[place]
                if only_kept:
                    self._all_kept -= 1

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            data, missing = taken
            report = self._report(missing) if missing else b""
            written = self._put(report + data) - len(report)
            with self._lock:
                self._octets -= len(data)
                if written >= 0:
                    self._reported += missing
                self._dropped += data.count(b"\n", max(written, 0))
                if not self._octets:
                    self._emptied.notify_all()

    def _take(self) -> tuple[bytes, int] | None:
        """Wait for lines; return them with the number of lines that are missing before them.

        Return None when the writer is closed and nothing is left.
        """
        with self._lock:
            self._arrived.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            lines: list[bytes] = []
            octets = 0
            while self._waiting and octets < _PIECE:
                lines.append(self._waiting.popleft().data)
                octets += len(lines[-1])
                self._all_kept = max(self._all_kept - 1, 0)
            return b"".join(lines), self._dropped - self._reported

    def _put(self, data: bytes) -> int:
        """Return how many octets could be written."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # the descriptor was inherited in non-blocking mode
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError:
                break
        return len(data) - len(rest)
