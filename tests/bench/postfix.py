"""A private Postfix: a relay to compare with, and the distant upstream with STARTTLS and AUTH.

Its configuration, queue and data live in a directory of the benchmark; the machine's own Postfix
is not touched. It must be started by root, as every Postfix must.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import BenchError, await_port, running

MAIN = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = proxy.bench.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_recipient_limit = 2000
default_process_limit = 200
maximal_idle = 600s
"""

MASTER = """\
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
"""


@dataclass(frozen=True, slots=True)
class Service:
    """One smtpd that proxies every message to `target` (host:port) before the queue."""

    port: int
    target: str
    options: Sequence[str] = ()

    def master_lines(self) -> str:
        """Return the entry for master.cf."""
        options = (f"smtpd_proxy_filter={self.target}", *self.options)
        lines = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        return "\n  -o ".join([*lines, *options]) + "\n"


def authenticated(certificate: Path, key: Path, auth_port: int) -> tuple[str, ...]:
    """Return the options of an smtpd that accepts mail only after STARTTLS and AUTH."""
    return (
        "smtpd_tls_security_level=encrypt",
        f"smtpd_tls_cert_file={certificate}",
        f"smtpd_tls_key_file={key}",
        "smtpd_sasl_auth_enable=yes",
        "smtpd_sasl_type=dovecot",
        f"smtpd_sasl_path=inet:127.0.0.1:{auth_port}",
        "smtpd_recipient_restrictions=permit_sasl_authenticated,reject",
    )


def missing() -> str | None:
    """Return the reason why Postfix cannot run here, or None."""
    if not shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return "Postfix is not installed (Debian: apt-get install postfix)"
    if os.geteuid() != 0:
        return "Postfix can only be started by root"
    return None


@contextlib.contextmanager
def started(base: Path, services: Sequence[Service]) -> Iterator[int]:
    """Run Postfix with these services; yield the process id of its master."""
    etc, log = base / "etc", base / "log"
    for directory in (etc, base / "queue", base / "data"):
        directory.mkdir(parents=True)
    for directory in (base, *base.parents[:1]):
        directory.chmod(0o755)  # smtpd runs as user postfix
    shutil.chown(base / "data", "postfix")
    (etc / "main.cf").write_text(MAIN.format(base=base))
    (etc / "master.cf").write_text(MASTER + "".join(each.master_lines() for each in services))
    checked = subprocess.run(
        ["/usr/sbin/postfix", "-c", etc, "check"], capture_output=True, check=False, timeout=30
    )
    if checked.returncode:
        raise BenchError(f"postfix check: {checked.stderr.decode(errors='replace')}")
    daemons = subprocess.run(
        ["/usr/sbin/postconf", "-c", etc, "-h", "daemon_directory"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    master = Path(daemons.stdout.decode().strip()) / "master"
    with running([master, "-s", "-c", etc], log) as process:
        for each in services:
            await_port(each.port, process, log)
        yield process.pid
