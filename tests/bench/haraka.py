"""Haraka with its generated default configuration and `queue/smtp_forward`."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.bench.processes import await_port, free_port, running

PACKAGE = "Haraka"
INSTALL_LIMIT = 180.0  # seconds
REFUSING = "mail_from.is_resolvable"  # the only generated plugin that queries the public DNS


def missing() -> str | None:
    """Return the reason why Haraka cannot run here, or None."""
    return None if shutil.which("npm") else "Haraka needs Node.js and npm"


def installed(cache: Path) -> Path:
    """Install Haraka from the npm registry once; return the path of the program."""
    program = cache / "node_modules" / ".bin" / "haraka"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", PACKAGE],
            cwd=cache,
            check=True,
            capture_output=True,
            timeout=INSTALL_LIMIT,
        )
    return program


@contextlib.contextmanager
def started(cache: Path, base: Path, target: int, domains: str) -> Iterator[tuple[int, int]]:
    """Run Haraka with port `target` as upstream; yield its port and process id."""
    program = installed(cache)
    subprocess.run([program, "-i", base], check=True, capture_output=True, timeout=60)
    port = free_port()
    config = base / "config"
    (config / "smtp.ini").write_text(f"listen=127.0.0.1:{port}\n")
    (config / "smtp_forward.ini").write_text(f"host=127.0.0.1\nport={target}\n")
    (config / "host_list").write_text(f"{domains}\n")
    plugins = (config / "plugins").read_text().splitlines()
    (config / "plugins").write_text("\n".join(line for line in plugins if line != REFUSING))
    log = base / "log"
    with running([program, "-c", base], log, env={"PATH": os.environ["PATH"]}) as process:
        await_port(port, process, log)
        yield port, process.pid
