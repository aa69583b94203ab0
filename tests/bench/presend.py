"""presend itself, started as a user starts it: all checks, metrics and event log on."""

import contextlib
import hashlib
import re
import shutil
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import await_line, run, running
from tests.bench.servers import ZONE

LISTENING = re.compile(r'^(\{.*"event": ?"listening".*\})$', re.MULTILINE)
PORT = re.compile(r'"smtp": ?\["127\.0\.0\.1:(\d+)"')
HTTP_PORT = re.compile(r'"http": ?\["127\.0\.0\.1:(\d+)"')

ADDRESSES = 100_000
SUPPRESSED_DOMAINS = 1_000
HASHES = 1_000


@dataclass(frozen=True, slots=True)
class Presend:
    """A running presend."""

    port: int
    http_port: int
    pid: int
    log: Path

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples over all its labels."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.http_port}/metrics", timeout=10
        ) as got:
            text: str = got.read().decode()
        values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(each) for each in values)


def suppression_list(path: Path) -> None:
    """Write a list such as a sender holds: addresses, domains, and hashes that were traded."""
    with path.open("w") as out:
        out.write("kind,value,reason\n")
        for number in range(ADDRESSES):
            out.write(f"address,gone{number}@d{number % 5000:04}.{ZONE},hard_bounce\n")
        for number in range(SUPPRESSED_DOMAINS):
            out.write(f"domain,closed{number}.example,manual\n")
        for number in range(HASHES):
            digest = hashlib.sha256(f"never{number}@d{number:04}.{ZONE}".encode()).hexdigest()
            out.write(f"sha256,{digest},complaint\n")


def settings(store: Path, upstream: str, dns_port: int | None) -> dict[str, str]:
    """Return the environment of a presend that judges with all four checks."""
    resolver = {} if dns_port is None else {"PRESEND_DNS_SERVERS": f"127.0.0.1:{dns_port}"}
    return {
        "CAMPAIGN_ID": "bench",
        "PRESEND_LISTEN": "127.0.0.1:0",
        "PRESEND_HTTP_LISTEN": "127.0.0.1:0",
        "PRESEND_UPSTREAM": upstream,
        "PRESEND_STORE": f"sqlite://{store}",
        **resolver,
    }


def filled_store(base: Path) -> Path:
    """Make a store holding the suppression list, once per run."""
    store, entries = base / "presend.db", base / "suppressions.csv"
    suppression_list(entries)
    command = [sys.executable, "-m", "relay", "suppress", "import", str(entries)]
    run(["env", f"PRESEND_STORE=sqlite://{store}", *command], limit=60)
    return store


@contextlib.contextmanager
def started(
    base: Path,
    upstream: str,
    dns_port: int | None,
    store: Path | None,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Presend]:
    """Run presend in front of `upstream` with a copy of a filled store."""
    base.mkdir()
    mine, log = base / "presend.db", base / "log"
    if store:
        shutil.copyfile(store, mine)
    env = {**settings(mine, upstream, dns_port), **(extra or {})}
    with running([sys.executable, "-m", "relay", "serve"], log, env=env) as process:
        line = await_line(LISTENING, process, log)
        smtp, http = PORT.search(line), HTTP_PORT.search(line)
        if not smtp or not http:
            message = f"cannot read the ports in {line}"
            raise ValueError(message)
        yield Presend(int(smtp[1]), int(http[1]), process.pid, log)
