"""The upstreams, one row each, and what presend is tried with on each."""

import contextlib
import importlib.metadata
import json
import re
import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import await_port, free_port, running
from tests.interop import exim, message, opensmtpd, postfix, sendmail
from tests.interop.install import NPM, Needs
from tests.interop.mta import MAIL, Agent
from tests.interop.recorder import Reading, Recorder
from tests.interop.roots import Root
from tests.interop.trials import UTF8, Cells, quoted, within
from tests.support.certs import Certificates
from tests.support.presend import Presend
from tests.support.wire import Client

_PROGRAMS = Path(__file__).parent / "programs"
_BIG = 8 * 1024 * 1024  # octets
_MESSAGES = 20
_ID = re.compile(r"(?<![\w.])(?=[\w-]*\d)[\w-]{8,}(?:\.\d+)?")  # of a message, in a reply
_SETTLE = 20.0  # seconds until a message is delivered


@dataclass(frozen=True, slots=True)
class Server:
    """A running upstream."""

    port: int
    version: str
    stored: Callable[[], Sequence[bytes]]
    """Returns the messages delivered so far, as they are stored."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upstream runs: a directory, the certificates, and a root if it is an agent."""

    directory: Path
    certificates: Certificates
    root: Root | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """A row: how an upstream is started."""

    name: str
    start: Callable[[Place], contextlib.AbstractContextManager[Server]]
    needs: Needs = field(default_factory=Needs)
    agent: Agent | None = None


def _agent(agent: Agent) -> Upstream:
    @contextlib.contextmanager
    def start(place: Place) -> Iterator[Server]:
        root = place.root
        if root is None:
            raise AssertionError("an agent needs a root")
        port = free_port()
        with agent.server(root, port):
            yield Server(port, agent.version(root), lambda: root.files(MAIL))

    return Upstream(agent.name, start, agent=agent)


def _program(
    words: Sequence[str], version: Callable[[], str]
) -> Callable[[Place], contextlib.AbstractContextManager[Server]]:
    @contextlib.contextmanager
    def start(place: Place) -> Iterator[Server]:
        port, mail, log = free_port(), place.directory / "mail", place.directory / "log"
        mail.mkdir()
        files = (place.certificates.cert_file, place.certificates.key_file)
        command = [*words, str(port), str(mail), *map(str, files)]
        with running(command, log, env={"NODE_PATH": str(NPM / "node_modules")}) as process:
            await_port(port, process, log)
            yield Server(port, version(), lambda: [it.read_bytes() for it in mail.iterdir()])

    return start


def _npm_version(package: str) -> str:
    text = (NPM / "node_modules" / package / "package.json").read_text()
    return str(json.loads(text)["version"])


@contextlib.contextmanager
def _haraka(place: Place) -> Iterator[Server]:
    base, mail, port = place.directory / "haraka", place.directory / "mail", free_port()
    mail.mkdir()
    program = NPM / "node_modules" / ".bin" / "haraka"
    subprocess.run([program, "-i", base], check=True, capture_output=True, timeout=60)
    config = base / "config"
    (base / "plugins").mkdir(exist_ok=True)
    (base / "plugins" / "store.js").write_text((_PROGRAMS / "haraka_store.js").read_text())
    (config / "plugins").write_text("tls\nstore\n")
    (config / "smtp.ini").write_text(f"listen=127.0.0.1:{port}\n")
    (config / "tls_cert.pem").write_text(place.certificates.cert_file.read_text())
    (config / "tls_key.pem").write_text(place.certificates.key_file.read_text())
    log = base / "log"
    environment = {"INTEROP_MAIL": str(mail)}
    with running([program, "-c", base], log, env=environment) as process:
        await_port(port, process, log)
        yield Server(
            port, _npm_version("Haraka"), lambda: [it.read_bytes() for it in mail.iterdir()]
        )


UPSTREAMS: Sequence[Upstream] = (
    *(_agent(module.AGENT) for module in (postfix, exim, opensmtpd, sendmail)),
    Upstream("Haraka", _haraka, Needs(debian=("node=nodejs", "npm=npm"), npm=("Haraka@3.3.4",))),
    Upstream(
        "smtp-server",
        _program(("node", str(_PROGRAMS / "smtp_server.js")), lambda: _npm_version("smtp-server")),
        Needs(debian=("node=nodejs", "npm=npm"), npm=("smtp-server@3.21.6",)),
    ),
    Upstream(
        "aiosmtpd",
        _program(
            (sys.executable, str(_PROGRAMS / "aiosmtpd_server.py")),
            lambda: importlib.metadata.version("aiosmtpd"),
        ),
    ),
)


def try_upstream(row: Upstream, place: Place) -> tuple[str, Cells]:
    """Relay messages to an upstream; return its version and the cells of the page."""
    with row.start(place) as server, Recorder(server.port) as recorder:
        directory = place.directory / "presend"
        directory.mkdir()
        settings = {"PRESEND_UPSTREAM": f"smtp://127.0.0.1:{recorder.port}"}
        with Presend(directory, settings) as presend:
            cells = _replies(presend, server, place.directory)
            cells["used"] = _used(recorder.readings())
            cells["big"] = _big(presend, server)
            cells["reuse"] = _reuse(presend)
        cells["tls"] = _tls(server, place)
        return server.version, cells


def _replies(presend: Presend, server: Server, directory: Path) -> Cells:
    """Three recipients, one of them unknown, and a message with 8-bit text."""
    files = message.write(directory, "interoperability")
    whole = files.whole.read_bytes()
    recipients = ("ann@example.com", "nobody-here@example.com", "bob@example.com")
    with Client.greeted(presend.smtp_port) as client:
        lines = [f"MAIL FROM:<{message.SENDER}> BODY=8BITMIME SIZE={len(whole)}"]
        lines += [f"RCPT TO:<{address}>" for address in recipients]
        _, first, unknown, second, data = client.pipeline(*lines, "DATA")
        final = client.body(whole) if data.code == 354 else data
        client.cmd("RSET")
        utf8 = client.pipeline(f"MAIL FROM:<{message.SENDER}> SMTPUTF8", f"RCPT TO:<{UTF8}>")[1]
    taken = "both" if {first.code, second.code} == {250} else f"{first}; {second}"
    body = whole.partition(b"\r\n\r\n")[2]
    arrived = within(lambda: _has(server, body), _SETTLE)
    return {
        "known": f"{taken}, as sent" if arrived else f"{taken}, {_change(server)}",
        "unknown": quoted(str(unknown)),
        "final": quoted(_ID.sub("...", str(final))),
        "utf8": "accepted" if utf8.code == 250 else quoted(str(utf8)),
    }


def _has(server: Server, body: bytes) -> bool:
    """Say whether a stored message contains a body, with the line ends of the store."""
    wanted = body.replace(b"\r\n", b"\n").rstrip(b"\n")
    return any(wanted in each.replace(b"\r\n", b"\n") for each in server.stored())


def _change(server: Server) -> str:
    """Say what an upstream changed in the message."""
    mark = b"Message-ID: <interoperability@app.example>"
    found = next((each for each in server.stored() if mark in each), None)
    if found is None:
        return "not found in its store"
    return f"but it changed {message.parts_differ(found) or 'more than the parts'}"


def _used(readings: Sequence[Reading]) -> str:
    """Return the extensions that presend used towards the upstream."""
    commands = [line for it in readings for line in it.sent("MAIL")]
    words = [
        word.partition("=")[0] for line in commands for word in line.rpartition(">")[2].split()
    ]
    used = list(dict.fromkeys(words))
    used += ["PIPELINING"] if any(it.pipelined for it in readings) else []
    return ", ".join(used) or "none"


def _big(presend: Presend, server: Server) -> str:
    """A message of eight MiB."""
    line = b"0123456789" * 7 + b"\r\n"
    body = b"Start of the big message\r\n" + line * (_BIG // len(line)) + b"its end\r\n"
    with Client.greeted(presend.smtp_port, timeout=60) as client:
        reply = client.transact(b"Subject: big\r\n\r\n" + body, sender=message.SENDER)
    if reply.code != 250:
        return quoted(str(reply))
    return "as sent" if within(lambda: _has(server, body), _SETTLE) else "not found as sent"


def _reuse(presend: Presend) -> str:
    """Messages of clients that connect anew for each: how many connections presend opened."""
    name = "presend_upstream_handshakes_total"
    before, relayed = presend.metric(name, result="ok"), 0
    for _ in range(_MESSAGES):
        with Client.greeted(presend.smtp_port) as client:
            relayed += client.transact(sender=message.SENDER).code == 250
    opened = presend.metric(name, result="ok") - before
    return f"{relayed} of {_MESSAGES} relayed, {opened:.0f} more connections"


def _tls(server: Server, place: Place) -> str:
    """One message with STARTTLS, with the certificate checked."""
    directory = place.directory / "presend-tls"
    directory.mkdir()
    settings = {
        "PRESEND_UPSTREAM": f"smtp+starttls://127.0.0.1:{server.port}",
        "PRESEND_UPSTREAM_TLS__CA_FILE": str(place.certificates.ca_file),
    }
    with Presend(directory, settings) as presend, Client.greeted(presend.smtp_port) as client:
        reply = client.transact(sender=message.SENDER)
    if reply.code == 250:
        return "STARTTLS, checked"
    others = "" if _handshake(server, place) else "; smtplib fails on it too"
    return quoted(str(reply)) + others


def _handshake(server: Server, place: Place) -> bool:
    """Say whether another client succeeds with STARTTLS."""
    with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
        try:
            return client.starttls(context=place.certificates.client())[0] == 220
        except (OSError, smtplib.SMTPException):
            return False
