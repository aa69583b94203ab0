"""Mailman 3 as a client: a list with members, and its runners called one after the other.

Mailman is not started as a service: each runner processes its queue once and ends.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.interop.clients import Job
from tests.interop.install import PYTHON, Needs
from tests.interop.stand import LOGIN

NEEDS = Needs(pypi=("mailman==3.3.10",))
_LIST = "spring-list@app.example"
_CONFIGURATION = """\
[mailman]
layout: here
site_owner: owner@app.example
[paths.here]
var_dir: {directory}
[mta]
incoming: mailman.mta.null.NullMTA
smtp_host: 127.0.0.1
smtp_port: {port}
lmtp_port: 0
{login}
[webservice]
port: 0
[archiver.hyperkitty]
enable: no
"""
_LOGIN = """\
smtp_secure_mode: starttls
smtp_verify_cert: yes
smtp_verify_hostname: yes
smtp_user: {user}
smtp_pass: {password}
"""


class Mailman:
    """The client. Each job gets a new list in a new directory."""

    keeps = False
    queues = True

    def __init__(self, base: Path) -> None:
        """`base` is the directory for the jobs' directories."""
        self._base = base
        self._number = 0
        self._directory = base
        self._ca_file = base

    def told_version(self) -> str:
        """Return the version that Mailman tells."""
        return self._run("mailman", "--version").split()[2]

    def send(self, job: Job) -> str:
        """Create a list with the recipients as members, post the message, and run the queues."""
        self._number += 1
        self._directory = self._base / str(self._number)
        self._directory.mkdir()
        self._ca_file = job.ca_file
        login = _LOGIN.format(user=LOGIN[0], password=LOGIN[1]) if job.login else ""
        text = _CONFIGURATION.format(directory=self._directory, port=job.port, login=login)
        (self._directory / "mailman.cfg").write_text(text)
        self._run("mailman", "create", "--language", "en", _LIST)
        members = self._directory / "members"
        members.write_text("".join(f"{address}\n" for address in job.recipients))
        told = self._run("mailman", "addmembers", "--no-welcome-msg", str(members), _LIST)
        self._run("mailman", "shell", "-l", _LIST, "-r", "mailman_accept")
        self._run("mailman", "inject", "-f", str(job.files.whole), _LIST)
        self._runners("in", "pipeline", "out")
        return self._failure() or told or "exit code 0"

    def flush(self) -> None:
        """Run the queue of messages to be tried again, and the outgoing queue."""
        self._runners("retry", "out")

    def waiting(self) -> str:
        """Return the last failure in the log, if a message waits to be tried again."""
        held = any((self._directory / "queue" / "retry").glob("*.pck"))
        return (self._failure() or "no failure in the log") if held else ""

    def _failure(self) -> str:
        log = self._directory / "logs" / "smtp.log"
        text = log.read_text() if log.exists() else ""
        found = re.findall(r"^.*?\) (?:<\S+> )?(.*(?:failed with|error).*)$", text, re.MULTILINE)
        return f"in its log: {found[-1]}" if found else ""

    def _runners(self, *names: str) -> None:
        for name in names:
            self._run("runner", "--once", "-r", name)

    def _run(self, program: str, *words: str, check: bool = True) -> str:
        command = [str(PYTHON / "bin" / program)]
        configured: Sequence[str] = ()
        if (self._directory / "mailman.cfg").exists():
            configured = ("-C", str(self._directory / "mailman.cfg"))
        root = ("--run-as-root",) if program == "mailman" and os.geteuid() == 0 else ()
        done = subprocess.run(
            [*command, *configured, *root, *words],
            env={
                "PATH": os.environ["PATH"],
                "LC_ALL": "C.UTF-8",
                "SSL_CERT_FILE": str(self._ca_file),
                "PYTHONPATH": str(Path(__file__).parent / "programs"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.stdout}{done.stderr}")
        return (done.stdout + done.stderr).strip()
