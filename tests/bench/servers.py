"""The servers that the relays need: the sink, DNS, and the delaying proxy."""

import contextlib
import json
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.processes import await_line, await_port, free_port, running

DOMAINS = 5000
HOSTS = 50
ZONE = "mail.example"
SENDER = "news@bench.example"

UNBOUND = """\
server:
  interface: 127.0.0.1@{port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{base}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  include: "{base}/zone"
remote-control:
  control-enable: no
"""


def domain(number: int) -> str:
    """Return a recipient domain in the zone of the benchmark."""
    return f"d{number % DOMAINS:04}.{ZONE}"


def zone() -> Iterator[str]:
    """Yield local data for unbound: every domain has two MX hosts with routable addresses.

    Nothing is sent to those addresses: presend judges them, and relays to its upstream.
    """
    yield 'local-zone: "example." static'
    for number in range(HOSTS):
        yield f'local-data: "mx{number}.hosts.example. 3600 IN A 203.0.112.{number + 1}"'
    for name, number in [(domain(each), each) for each in range(DOMAINS)]:
        for preference in (10, 20):
            host = f"mx{(number + preference) % HOSTS}.hosts.example."
            yield f'local-data: "{name}. 3600 IN MX {preference} {host}"'


@contextlib.contextmanager
def sink(log: Path) -> Iterator[int]:
    """Run smtp-sink; yield its port."""
    port = free_port()
    command = ["/usr/sbin/smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "4096"]
    with running(command, log) as process:
        await_port(port, process, log)
        yield port


def dns_missing() -> str | None:
    """Return the reason why DNS cannot be served here, or None."""
    return None if shutil.which("unbound", path="/usr/sbin:/usr/bin") else "unbound is missing"


@contextlib.contextmanager
def dns(base: Path) -> Iterator[int]:
    """Run unbound with the benchmark's zone; yield its port."""
    base.mkdir()
    port, log = free_port(), base / "log"
    (base / "zone").write_text("\n".join(zone()))
    (base / "unbound.conf").write_text(UNBOUND.format(port=port, base=base))
    with running(["unbound", "-d", "-c", base / "unbound.conf"], log) as process:
        await_port(port, process, log)
        yield port


@contextlib.contextmanager
def auth_service(log: Path) -> Iterator[int]:
    """Run the authentication service; yield its port."""
    with running([sys.executable, "-m", "tests.bench.auth_service"], log) as process:
        yield int(await_line(re.compile(r"^port (\d+)$", re.MULTILINE), process, log))


@dataclass(frozen=True, slots=True)
class Far:
    """A delaying proxy: its port, and the port that reports its counts."""

    port: int
    control: int

    def counts(self) -> dict[str, int]:
        """Return connections, open, most_open and round_trips so far."""
        with socket.create_connection(("127.0.0.1", self.control), 5) as control:
            told: Any = json.loads(control.makefile("rb").read())
        return {name: int(count) for name, count in told.items()}


@contextlib.contextmanager
def far(target: int, milliseconds: float, log: Path) -> Iterator[Far]:
    """Run a proxy in front of port `target` that delays each direction."""
    command = [sys.executable, "-m", "tests.bench.delay", f"127.0.0.1:{target}", str(milliseconds)]
    with running(command, log) as process:
        ports = await_line(re.compile(r"^ports (\d+ \d+)$", re.MULTILINE), process, log).split()
        yield Far(int(ports[0]), int(ports[1]))
