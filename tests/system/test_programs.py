"""Other programs on both sides: swaks, smtplib, nodemailer, smtp-source; Postfix, smtp-sink."""

import contextlib
import email.message
import os
import smtplib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import need, postfix
from tests.support.certs import Certificates
from tests.support.eventually import eventually
from tests.support.presend import ROOT, Presend, Start
from tests.support.upstream import CREDENTIALS, Upstream
from tests.support.wire import Client


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, timeout=90, check=False, errors="replace"
    )


@pytest.fixture(scope="module")
def mail_server(certificates: Certificates) -> Iterator[postfix.Postfix]:
    """Postfix with STARTTLS and AUTH."""
    with postfix.serve(certificates) as server:
        yield server


@pytest.fixture(scope="module")
def before_postfix(
    mail_server: postfix.Postfix,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Presend]:
    """A presend that relays to Postfix."""
    settings = {
        "PRESEND_UPSTREAM": mail_server.url,
        "PRESEND_UPSTREAM_PASSWORD": CREDENTIALS[1],
        "PRESEND_UPSTREAM_TLS__CA_FILE": str(certificates.ca_file),
    }
    with Presend(tmp_path_factory.mktemp("before-postfix"), settings) as process:
        yield process


def test_postfix_takes_the_mail_over_tls_with_auth(
    before_postfix: Presend, mail_server: postfix.Postfix
) -> None:
    with Client.greeted(before_postfix.smtp_port) as client:
        client.run("""
            C: MAIL FROM:<news@app.example> BODY=8BITMIME
            C: RCPT TO:<ann@example.com> NOTIFY=NEVER
            C: RCPT TO:<gone@example.com>
            C: RCPT TO:<postmaster@example.com>
            C: DATA
            S: 250 2.1.0 ...
            S: 250 2.1.5 ...
            S: 550 5.1.1 <gone@example.com>: Recipient address rejected: ...
            S: 550 5.7.1 ... role_account...
            S: 354 ...
            X: Subject: over TLS\\r\\n\\r\\n..\\r\\nGr\\xc3\\xbc\\xc3\\x9fe\\r\\n.\\r\\n
            S: 250 ... queued as...
        """)
    (message,) = mail_server.messages(b"Subject: over TLS")
    assert b"by relay.example" in message
    assert b"with ESMTPSA" in message
    assert message.endswith("\n\n.\nGr\u00fc\u00dfe\n".encode())


def test_postfix_keeps_its_connection_for_the_next_message(
    before_postfix: Presend, mail_server: postfix.Postfix
) -> None:
    before = before_postfix.metric("presend_upstream_handshakes_total", result="ok")
    for _ in range(5):
        with Client.greeted(before_postfix.smtp_port) as client:
            assert client.transact(b"Subject: kept\r\n\r\n").code == 250
    assert len(mail_server.messages(b"Subject: kept", 5)) == 5
    after = before_postfix.metric("presend_upstream_handshakes_total", result="ok")
    assert after - before <= 1


def test_postfix_refuses_a_message_over_its_own_limit(before_postfix: Presend) -> None:
    # Its 10,240,000 octets are below presend's limit, so the refusal is Postfix's.
    with Client.greeted(before_postfix.smtp_port) as client:
        reply = client.transact((b"x" * 78 + b"\r\n") * 150_000)
        assert (reply.code, reply.enhanced) == (552, "5.3.4")
        client.cmd("RSET")
        assert client.transact().code == 250


def test_swaks(presend: Presend, upstream: Upstream) -> None:
    done = run(
        need.program("swaks"),
        f"--server=127.0.0.1:{presend.smtp_port}",
        "--from=news@app.example",
        "--to=ann@example.com,bob@example.com",
        "--header=Subject: from swaks",
        "--pipeline",
    )
    assert done.returncode == 0, done.stdout
    (message,) = upstream.accepted
    assert message.addresses == ["ann@example.com", "bob@example.com"]
    assert b"Subject: from swaks\r\n" in message.body


def test_swaks_with_tls_and_auth(
    start: Start, upstream: Upstream, certificates: Certificates
) -> None:
    presend = start(
        upstream,
        TLS__CERT_FILE=str(certificates.cert_file),
        TLS__KEY_FILE=str(certificates.key_file),
        AUTH__USERNAME="app",
        AUTH__PASSWORD="app-secret",
    )
    for mechanism in ("PLAIN", "LOGIN"):
        done = run(
            need.program("swaks"),
            f"--server=127.0.0.1:{presend.smtp_port}",
            "--from=news@app.example",
            "--to=ann@example.com",
            "--tls",
            f"--auth={mechanism}",
            "--auth-user=app",
            "--auth-password=app-secret",
        )
        assert done.returncode == 0, done.stdout
    assert len(upstream.accepted) == 2


def test_swaks_is_told_the_refusal(presend: Presend) -> None:
    done = run(
        need.program("swaks"),
        f"--server=127.0.0.1:{presend.smtp_port}",
        "--from=news@app.example",
        "--to=postmaster@example.com",
    )
    assert done.returncode == 24  # swaks: no recipient was accepted
    assert "550 5.7.1" in done.stdout


def test_smtplib(presend: Presend, upstream: Upstream) -> None:
    message = email.message.EmailMessage()
    message["Subject"] = "Gr\u00fc\u00dfe"
    message["From"] = "news@app.example"
    message["To"] = "ann@example.com, postmaster@example.com"
    message.set_content(".\n..\nt\u00e9xt\n", cte="8bit")
    with smtplib.SMTP("127.0.0.1", presend.smtp_port, timeout=20) as client:
        refused = client.send_message(message)
        assert {address: code for address, (code, _) in refused.items()} == {
            "postmaster@example.com": 550
        }
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("news@app.example", ["550-gone@example.com"], "Subject: x\n\n")
        client.sendmail("", ["ann@example.com"], "Subject: bounce\n\n")
    first, second = upstream.accepted
    assert first.body.endswith("\r\n\r\n.\r\n..\r\nt\u00e9xt\r\n".encode())
    assert (second.sender, second.addresses) == ("", ["ann@example.com"])


@pytest.fixture(scope="session")
def nodemailer() -> Path:
    """A directory in which Node.js finds nodemailer; created once, kept under var/."""
    directory = ROOT / "var" / "nodemailer"
    npm = need.program("npm")
    need.program("node")
    if not (directory / "node_modules" / "nodemailer").is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        words = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "nodemailer@7"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            run(*words, "--prefix", str(directory))
        if not (directory / "node_modules" / "nodemailer").is_dir():
            pytest.skip(f"nodemailer {need.OPTIONAL_SKIP}: npm could not install it")
    return directory


NODE = """
const mail = require('nodemailer').createTransport({
  host: '127.0.0.1', port: PORT, secure: false, ignoreTLS: true, pool: true, maxConnections: 3
});
const send = (n) => mail.sendMail({
  from: 'news@app.example', to: ['ann@example.com', 'postmaster@example.com'],
  subject: 'node ' + n, text: '.\\n..\\nGr\\u00fc\\u00dfe ' + n,
});
Promise.all([...Array(20).keys()].map(send)).then((sent) => {
  console.log(JSON.stringify(sent.map((it) => [it.accepted, it.rejected])));
  mail.close();
}).catch((error) => { console.error(error); process.exit(1); });
"""


def test_nodemailer(presend: Presend, upstream: Upstream, nodemailer: Path) -> None:
    script = NODE.replace("PORT", str(presend.smtp_port))
    done = run(need.program("node"), "-e", script, cwd=nodemailer)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('[["ann@example.com"],["postmaster@example.com"]]') == 20
    assert len(upstream.accepted) == 20


@contextlib.contextmanager
def smtp_sink(directory: Path) -> Iterator[int]:
    """Run smtp-sink, which writes each message to its own file; yield its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [need.program("smtp-sink"), "-d", str(directory / "%M."), f"127.0.0.1:{port}", "100"]
    words[1:1] = ["-u", "root"] if os.geteuid() == 0 else []  # root has to pass -u
    with subprocess.Popen(words, cwd=directory, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _listening(port), "smtp-sink listens")
            yield port
        finally:
            process.terminate()


def _listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def test_smtp_source_to_smtp_sink(start: Start, tmp_path: Path) -> None:
    sink = tmp_path / "sink"
    sink.mkdir()
    with smtp_sink(sink) as port:
        presend = start(UPSTREAM=f"smtp://127.0.0.1:{port}")
        for more in (["-d"], []):  # with kept connections, then with one per message
            done = run(
                need.program("smtp-source"),
                *more,
                *("-s", "8", "-m", "200", "-l", "4096", "-r", "5"),
                *("-f", "news@app.example", "-t", "ann@example.com"),
                f"127.0.0.1:{presend.smtp_port}",
            )
            assert (done.returncode, done.stderr) == (0, "")
        relayed = presend.metric("presend_messages_total", result="relayed")
        assert relayed == 400
        assert presend.metric("presend_recipients_total", verdict="accept") == 2000
        assert presend.metric("presend_upstream_handshakes_total", result="ok") <= 20
    files = list(sink.iterdir())
    assert len(files) == 400
    assert all(b"by relay.example" in path.read_bytes() for path in files)
