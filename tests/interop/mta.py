"""What the mail transport agents have in common: as a client with a queue, and as an upstream."""

import contextlib
import smtplib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.interop.clients import Job
from tests.interop.message import SENDER
from tests.interop.roots import Root
from tests.interop.stand import LOGIN
from tests.support.certs import NAMES, Certificates
from tests.support.eventually import eventually

MAIL = "/srv/mail"
"""Directory inside the root into which an upstream delivers."""

USERS = ("ann", "bob")
"""The recipients that an upstream knows, in the domain example.com; JOERG where it can."""

JOERG = "j\u00f6rg"


@dataclass(frozen=True, slots=True)
class Queue:
    """An agent that takes messages into its queue and sends them through presend."""

    submit: Callable[[str, Sequence[str], bytes], str]
    """Takes sender, recipients and message (lines end in LF); returns its output."""

    flush: Callable[[], object]
    """Starts a queue run."""

    waiting: Callable[[], str]
    """Returns the reason why a message waits in the queue, or an empty text."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A mail transport agent: a row of the clients and a row of the upstreams."""

    name: str
    packages: Sequence[str]
    used: str  # how messages are submitted, for the page
    version: Callable[[Root], str]
    client: Callable[[Root, int, tuple[str, str] | None], contextlib.AbstractContextManager[Queue]]
    """Started with the relay's port, and user and password if it shall log in."""

    server: Callable[[Root, int], contextlib.AbstractContextManager[None]]
    """Started on a port, with the certificate that `certified` installed; delivers into MAIL."""


class QueuedClient:
    """An agent as a client of the trials. It starts anew, with an empty queue, for each job."""

    keeps = False
    queues = True

    def __init__(self, agent: Agent, root: Root, stack: contextlib.ExitStack) -> None:
        """`stack` stops the agent at the end."""
        self._agent = agent
        self._root = root
        self._running = stack.enter_context(contextlib.ExitStack())
        self._queue: Queue | None = None

    def send(self, job: Job) -> str:
        """Start the agent, and submit by its sendmail command."""
        self._running.close()
        started = self._agent.client(self._root, job.port, LOGIN if job.login else None)
        self._queue = self._running.enter_context(started)
        whole = job.files.whole.read_bytes().replace(b"\r\n", b"\n")
        return self._queue.submit(SENDER, job.recipients, whole)

    def flush(self) -> None:
        """Start a queue run."""
        if self._queue:
            self._queue.flush()

    def waiting(self) -> str:
        """Return the reason with which the queue holds a message, or an empty text."""
        return self._queue.waiting() if self._queue else ""


def certified(root: Root, certificates: Certificates) -> None:
    """Install the certificate of an upstream, and its authority among the trusted ones."""
    # An RSA key, as older releases of OpenSMTPD take no other.
    issued = certificates._authority.issue_cert(*NAMES, key_type=trustme.KeyType.RSA)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    root.write("/etc/interop/cert.pem", chain.decode())
    root.write("/etc/interop/key.pem", issued.private_key_pem.bytes().decode())
    root.run("sh", "-c", "chmod 600 /etc/interop/key.pem; chown -R $(id -u) /etc/interop")
    authority = certificates.ca_file.read_bytes()
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    root.run("sh", "-c", f"mkdir -p /etc/ssl/certs; cat >> {bundle}", stdin=authority)
    root.write("/etc/interop/ca.pem", authority.decode())


@contextlib.contextmanager
def daemon(root: Root, *words: str, until: Callable[[], bool] | None = None) -> Iterator[Path]:
    """Run a server inside; its output goes to a file, whose path is given."""
    log = Path("/proc") / str(root.pid) / "root" / "var" / "log" / "interop.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            root.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        if until is not None:
            eventually(lambda: until() or process.poll() is not None, f"{words} has started")
            if process.poll() is not None:
                raise AssertionError(f"{words}: {log.read_text(errors='replace')}")
        yield log
    finally:
        name = Path(words[0]).name
        root.run("sh", "-c", f"kill $(pidof {name})", check=False)
        process.wait(30)


def listening(root: Root, port: int) -> bool:
    """Say whether something inside, or on the machine, listens on a port."""
    return f":{port:04X} 00000000:0000 0A" in root.output("cat", "/proc/net/tcp")


def sendmail_command(root: Root, *options: str) -> Callable[[str, Sequence[str], bytes], str]:
    """Return a function that submits by /usr/sbin/sendmail."""

    def submit(sender: str, recipients: Sequence[str], message: bytes) -> str:
        words = ("/usr/sbin/sendmail", *options, "-i", "-f", sender, *recipients)
        done = root.run(*words, stdin=message, check=False)
        return f"exit code {done.returncode} {(done.stdout + done.stderr).decode(errors='replace')}"

    return submit


def submission_by_smtp(port: int) -> Callable[[str, Sequence[str], bytes], str]:
    """Return a function that submits by SMTP, as an application on the same machine does."""

    def submit(sender: str, recipients: Sequence[str], message: bytes) -> str:
        try:
            with smtplib.SMTP("127.0.0.1", port, "app.example", timeout=20) as client:
                client.ehlo()
                utf8 = [] if all(map(str.isascii, recipients)) else ["SMTPUTF8"]
                client.sendmail(sender, recipients, message, ["BODY=8BITMIME", *utf8])
        except smtplib.SMTPException as error:
            return f"{type(error).__name__}: {error}"
        return "exit code 0"

    return submit
