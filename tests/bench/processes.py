"""Child processes: start, wait until ready, measure memory, and terminate."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_LIMIT = 30.0  # seconds to wait until a server listens
STOP_LIMIT = 10.0  # seconds to wait between SIGTERM and SIGKILL
POLL = 0.02


class BenchError(Exception):
    """A server or a load failed; the message names it and quotes its log."""


def free_port() -> int:
    """Return a free TCP port, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in its own process group with its output in `log`; terminate it on exit."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process with SIGTERM, then its process group with SIGKILL."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something accepts on `port`, or raise BenchError with the server's log."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(POLL)
    raise BenchError(f"nothing listens on port {port}: {tail(log)}")


def await_line(pattern: re.Pattern[str], process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until a line in `log` matches and return its first group."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if found := pattern.search(log.read_text(errors="replace")):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(POLL)
    raise BenchError(f"{process.args!r} did not start: {tail(log)}")


def tail(log: Path, octets: int = 2000) -> str:
    """Return the end of a log, for an error message."""
    return log.read_text(errors="replace")[-octets:] if log.exists() else "(no log)"


def run(command: Sequence[str | Path], *, limit: float = 120.0) -> float:
    """Run a load to its end and return the seconds it took; raise BenchError if it failed."""
    words = [str(part) for part in command]
    started = time.perf_counter()
    try:
        done = subprocess.run(words, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as late:
        raise BenchError(f"{words!r} took over {limit:.0f} s") from late
    seconds = time.perf_counter() - started
    if done.returncode:
        raise BenchError(f"{words!r} failed: {done.stderr[-500:].decode(errors='replace')}")
    return seconds


def memory(pid: int, field: str = "VmRSS") -> int:
    """Return VmRSS (current) or VmHWM (peak) of /proc/PID/status, in octets."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"process {pid} has no {field}")


def forget_peak(pid: int) -> None:
    """Reset VmHWM, the peak, to the current memory of the process."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
