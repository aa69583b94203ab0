"""Writing lines to stderr without blocking the event loop."""

import os
import queue
import select
import threading


class LineWriter:
    """Writes to a file descriptor from a thread of its own.

    A pipe that nobody reads blocks this thread only. Up to `capacity` octets are then queued;
    further lines are dropped and counted. Every method may be called from any thread; only `drain`
    and `close` wait.
    """

    def __init__(self, fd: int = 2, *, capacity: int = 4 << 20) -> None:
        self._fd = fd
        self._capacity = capacity
        self._queue: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._pending = 0
        self._dropped = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="presend-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that could not be written, so far."""
        return self._dropped

    def write(self, data: bytes, lines: int = 1) -> bool:
        """Queue whole lines; return False when they were dropped."""
        with self._changed:
            if self._closed or self._pending + len(data) > self._capacity:
                self._dropped += lines
                return False
            self._pending += len(data)
            self._queue.put((data, lines))
        return True

    def drain(self, timeout: float) -> bool:
        """Wait until all lines are written, at most `timeout` seconds; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout)

    def close(self, timeout: float) -> bool:
        """Accept no more lines and wait like `drain`; a second call only waits."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            data, lines = item
            written = self._put(data)
            with self._changed:
                self._pending -= len(data)
                if not written:
                    self._dropped += lines
                if not self._pending:
                    self._changed.notify_all()

    def _put(self, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # the descriptor was inherited in non-blocking mode
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError:
                return False
        return True
