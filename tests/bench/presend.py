"""presend as a user starts it: with all checks, metrics and the event log."""

import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.stores import open_store
from tests.bench.processes import await_line, running
from tests.bench.servers import domain
from validators.suppression import Kind, Suppression, SuppressionReason

LISTENING = re.compile(r'^(\{.*"event": ?"listening".*\})$', re.MULTILINE)
PORT = re.compile(r'"smtp": ?\["127\.0\.0\.1:(\d+)"')
HTTP_PORT = re.compile(r'"http": ?\["127\.0\.0\.1:(\d+)"')

ROOT = Path(__file__).parents[2]
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


def suppression_list() -> Iterator[Suppression]:
    """Yield a typical suppression list: addresses, domains and hashes."""

    def entry(kind: Kind, value: str, reason: SuppressionReason) -> Suppression:
        return Suppression(kind, value, "all", reason, "bench", time.time(), None)

    for number in range(ADDRESSES):
        address = f"gone{number}@{domain(number)}"
        yield entry(Kind.ADDRESS, address, SuppressionReason.HARD_BOUNCE)
    for number in range(SUPPRESSED_DOMAINS):
        yield entry(Kind.DOMAIN, f"closed{number}.example", SuppressionReason.MANUAL)
    for number in range(HASHES):
        digest = hashlib.sha256(f"never{number}@{domain(number)}".encode()).hexdigest()
        yield entry(Kind.SHA256, digest, SuppressionReason.COMPLAINT)


def settings(store: Path, upstream: str, dns_port: int | None) -> dict[str, str]:
    """Return the environment of a presend with all four checks enabled."""
    servers = {} if dns_port is None else {"PRESEND_DNS_SERVERS": f"127.0.0.1:{dns_port}"}
    return {
        "CAMPAIGN_ID": "bench",
        "PRESEND_LISTEN": "127.0.0.1:0",
        "PRESEND_HTTP_LISTEN": "127.0.0.1:0",
        "PRESEND_LAST_SCRAPE": "0",  # nobody reads the metrics at the end
        "PRESEND_UPSTREAM": upstream,
        "PRESEND_STORE": f"sqlite://{store}",
        "PRESEND_DNS__CANARIES": "none",  # the name server knows the zone of the benchmark only
        **servers,
    }


def filled_store(base: Path) -> Path:
    """Create a store that holds the suppression list; once per run."""
    path = base / "suppressions.db"
    with contextlib.closing(open_store(f"sqlite://{path}", campaign="bench")) as store:
        store.import_entries(suppression_list())
    return path


def compiled() -> Path | None:
    """Return the directory in which Python finds presend compiled, as in the image, or None."""
    done = subprocess.run([ROOT / ".ci/compiled"], check=False)
    return None if done.returncode else ROOT / "var/compiled"


@contextlib.contextmanager
def started(
    tree: Path,
    base: Path,
    upstream: str,
    dns_port: int | None,
    store: Path | None,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Presend]:
    """Run presend from `tree`, with a copy of the filled store, relaying to `upstream`."""
    base.mkdir()
    mine, log = base / "presend.db", base / "log"
    if store:
        shutil.copyfile(store, mine)
    env = {**settings(mine, upstream, dns_port), **(extra or {})}
    command = [sys.executable, "-m", "relay", "serve"]
    with running(command, log, env=env, cwd=tree) as process:
        line = await_line(LISTENING, process, log)
        smtp, http = PORT.search(line), HTTP_PORT.search(line)
        if not smtp or not http:
            message = f"cannot read the ports in {line}"
            raise ValueError(message)
        yield Presend(int(smtp[1]), int(http[1]), process.pid, log)
