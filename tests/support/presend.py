"""`presend` as a child process: its environment, log, metrics and exit code."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.closing import Closing

ROOT = Path(__file__).parents[2]
_WAIT = 60.0  # seconds after which a wait fails
_SHOWN = 6000  # characters of the log in a failure's message
_DEFAULTS = {
    "PRESEND_LISTEN": "127.0.0.1:0",
    "PRESEND_HTTP_LISTEN": "127.0.0.1:0",
    "PRESEND_HOSTNAME": "relay.example",
    "PRESEND_TRUSTED_DOMAINS": "example.com,example.net,app.example",
    "PRESEND_POOL__BACKOFF": "0.05",
}


class StartError(AssertionError):
    """`presend serve` ended instead of listening."""


def environment(directory: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a child: nothing is inherited, except what coverage needs."""
    env = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    env |= {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    env |= {"PRESEND_STORE": f"sqlite://{directory}/presend.db"}
    env |= {"PRESEND_DNS__CANARIES": "none"}  # no test has the internet
    env |= {"PRESEND_LAST_SCRAPE": "0"}  # nobody reads the metrics of a relay that a test stops
    return {**env, **settings}


def command(
    *words: str, directory: Path, settings: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `presend WORDS...` to its end; a non-zero exit code is not an error."""
    return subprocess.run(
        [sys.executable, "-m", "relay", *words],
        cwd=directory,
        env=environment(directory, settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_WAIT * 2,
        check=False,
    )


class Presend(Closing):
    """A running `presend serve`. As a context manager it is stopped, and its log is checked."""

    def __init__(self, directory: Path, settings: Mapping[str, str], *options: str) -> None:
        self.directory = directory
        self.settings = dict(settings)
        self.env = environment(directory, {**_DEFAULTS, **self.settings})
        self.lines: list[str] = []
        self.reading = threading.Event()
        """Cleared by a test that wants the log not to be read for a while."""
        self.reading.set()
        self._changed = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "relay", "serve", *options],
            cwd=directory,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            listening = self.wait_for_event("listening")
        except BaseException:
            self.kill()
            raise
        self.smtp_port = _port(listening["smtp"])
        self.http_port = _port(listening["http"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The structured log lines so far."""
        with self._changed:
            return [event for line in self.lines if (event := _event(line)) is not None]

    @property
    def log(self) -> str:
        """Everything written to stderr so far."""
        with self._changed:
            return "\n".join(self.lines)

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """Wait for a log line whose `event` is `name`; return the first."""
        return self.wait_for_line(lambda event: event.get("event") == name, name)

    def wait_for_line(
        self, wanted: Callable[[dict[str, Any]], bool], name: str = "the line"
    ) -> dict[str, Any]:
        """Wait for a structured log line for which `wanted` is true; return the first."""
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    event = _event(line)
                    if event is not None and wanted(event):
                        return event
                seen = len(self.lines)
                if self._closed or not self._changed.wait_for(
                    lambda: len(self.lines) > seen or self._closed,  # noqa: B023
                    _WAIT,
                ):
                    break
        message = f"{name} was never logged:\n" + self.log[-_SHOWN:]
        raise StartError(message)

    def command(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run another `presend` command with the same settings."""
        return command(*words, directory=self.directory, settings=self.settings, stdin=stdin)

    def get(self, path: str) -> tuple[int, str]:
        """Request a path from the HTTP port; return status and body."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=_WAIT) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels; 0.0 if there are none."""
        status, text = self.get("/metrics")
        if status != 200:
            message = f"/metrics: {status} {text}"
            raise AssertionError(message)
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def rss(self) -> int:
        """Return the resident memory in octets."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def sigterm(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until the process has ended; return its exit code."""
        code = self.process.wait(_WAIT)
        self._reader.join(_WAIT)
        return code

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        self.process.kill()
        self.reading.set()
        self.wait()

    def stop(self) -> None:
        """Send SIGTERM; raise AssertionError on a wrong exit code or a traceback in the log."""
        if self.process.poll() is None:
            self.sigterm()
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        if code not in {0, -signal.SIGKILL} or "Traceback" in self.log:
            message = f"exit code {code}, log:\n{self.log[-_SHOWN:]}"
            raise AssertionError(message)

    close = stop
    abort = kill

    def _read(self) -> None:
        stream = self.process.stderr
        if stream is None:
            return
        with contextlib.closing(stream):
            for raw in stream:
                self.reading.wait()
                with self._changed:
                    self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()


Start = Callable[..., Presend]
"""`start(upstream, ..., LIMITS__IDLE="1")`: a child with these settings, stopped after the test."""


def _port(endpoints: list[str]) -> int:
    return int(endpoints[0].rpartition(":")[2])


def _event(line: str) -> dict[str, Any] | None:
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                return event
    return None
