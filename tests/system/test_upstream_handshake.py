"""Handshakes that go wrong: each is answered 451 in time, and logged in one bounded line."""

import base64
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.presend import Presend, Start
from tests.support.scripted import GREETING, OFFER, Line, Scripted
from tests.support.upstream import CREDENTIALS
from tests.support.wire import Client

PASSWORD = CREDENTIALS[1]
DEADLINE = 2.0
EHLO = b"EHLO relay.example\r\n"


def banner(octets: bytes) -> Callable[[Line], None]:
    """Return a script that says this in place of the banner, then answers as usual."""

    def script(line: Line) -> None:
        line.send(octets)
        line.until(EHLO)
        line.send(OFFER)
        line.ended()

    return script


def offer(octets: bytes) -> Callable[[Line], None]:
    """Return a script that answers EHLO with this."""

    def script(line: Line) -> None:
        line.send(GREETING)
        line.until(EHLO)
        line.send(octets)
        line.ended()

    return script


def auth(octets: bytes) -> Callable[[Line], None]:
    """Return a script that answers AUTH with this."""

    def script(line: Line) -> None:
        line.send(GREETING)
        line.until(EHLO)
        line.send(b"250-upstream.example\r\n250 AUTH PLAIN\r\n")
        line.until(b"\r\n")
        line.send(octets)
        line.ended()

    return script


def drip(line: Line) -> None:
    """Greet, an octet every tenth of a second, without end."""
    while True:
        line.send(b"220-h\r\n"[line.number % 7 :][:1] or b"x")
        line.number += 1
        time.sleep(0.1)


def flood(line: Line) -> None:
    """Answer EHLO with megabytes of lines."""
    line.send(GREETING)
    line.until(EHLO)
    for _ in range(200):
        line.send(b"".join(b"250-X%07d\r\n" % it for it in range(10_000)))


ECHO = base64.b64encode(f"\0{CREDENTIALS[0]}\0{PASSWORD}".encode())
SCRIPTS: dict[str, tuple[Callable[[Line], None], str]] = {
    "554 banner": (banner(b"554 5.7.1 go away\r\n"), "banner"),
    "250 banner": (banner(b"250 hello\r\n"), "banner"),
    "banner of garbage": (banner(b"\x00\xff\xfe\r\n"), "banner"),
    "banner with control octets": (banner(b"554 \x1b[2J\x00 \xff\xc3\xa9 bad\r\n"), "banner"),
    "long banner": (banner(b"554 " + b"x" * 8000 + b"\r\n"), "banner"),
    "banner and a second reply": (banner(GREETING + b"250 evil\r\n"), "banner"),
    "banner and 421": (banner(GREETING + b"421 4.7.0 Too many connections\r\n"), "banner"),
    "endless banner": (drip, "banner"),
    "EHLO of garbage": (offer(b"what?\r\n"), "ehlo"),
    "EHLO with two replies": (offer(OFFER + b"235 welcome\r\n"), "ehlo"),
    "EHLO refused": (offer(b"550 5.7.1 no\r\n"), "ehlo"),
    "EHLO of megabytes": (flood, "ehlo"),
    "EHLO with a line of megabytes": (offer(b"250 " + b"x" * 3_000_000 + b"\r\n"), "ehlo"),
    "no AUTH": (offer(OFFER), "auth"),
    "AUTH refused": (auth(b"535 5.7.8 Bad credentials\r\n"), "auth"),
    "AUTH put off": (auth(b"454 4.7.0 Try later\r\n"), "auth"),
    "AUTH that tells the password": (auth(b"535 5.7.8 Not " + PASSWORD.encode() + b"\r\n"), "auth"),
    "AUTH that repeats the command": (auth(b"535 5.7.8 AUTH PLAIN " + ECHO + b"\r\n"), "auth"),
    "AUTH of garbage": (auth(b"334 \xff\xff\r\n"), "auth"),
    "AUTH with two replies": (auth(b"235 2.7.0 ok\r\n250 2.0.0 surplus\r\n"), "auth"),
}


@pytest.mark.parametrize(("script", "stage"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_handshake_that_goes_wrong(
    start: Start, script: Callable[[Line], None], stage: str
) -> None:
    ended = []

    def watched(line: Line) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            script(line)
        ended.append(line.ended())

    with Scripted(watched) as server:
        url = server.url().replace("//", f"//{CREDENTIALS[0]}@")
        presend = start(
            UPSTREAM=url, UPSTREAM_PASSWORD=PASSWORD, UPSTREAM_TIMEOUTS__CONNECT=str(DEADLINE)
        )
        with Client.greeted(presend.smtp_port) as client:
            before = presend.rss()
            client.cmd("MAIL FROM:<news@app.example>")
            reply = client.cmd("RCPT TO:<ann@example.com>")
            assert (reply.code, reply.enhanced) == (451, "4.4.1")
            assert stage in reply.text
            assert PASSWORD not in reply.text
            assert ECHO.decode() not in reply.text
            assert presend.rss() - before < 16 << 20
        event = presend.wait_for_line(lambda it: it.get("stage") == stage)
        assert len(json.dumps(event)) < 1000
        assert_no_secret(presend)
        presend.stop()
        assert all(ended)


def assert_no_secret(presend: Presend) -> None:
    """Assert that neither the password nor the command with it was logged."""
    assert PASSWORD not in presend.log
    assert ECHO.decode() not in presend.log


def test_connections_that_stall_in_the_tls_handshake_are_closed(start: Start) -> None:
    ended: list[bool] = []

    def script(line: Line) -> None:
        line.sock.recv(1)  # ClientHello, and no answer
        ended.append(line.ended())

    with Scripted(script) as server:
        presend = start(
            UPSTREAM=server.url().replace("smtp:", "smtps:"), UPSTREAM_TIMEOUTS__CONNECT="0.5"
        )
        descriptors = len(list(Path(f"/proc/{presend.process.pid}/fd").iterdir()))
        with Client.greeted(presend.smtp_port) as client:
            for _ in range(4):
                assert client.transact().code == 451
                client.cmd("RSET")
        eventually(lambda: len(ended) == 4, "all connections are closed")
        assert all(ended)
        assert len(list(Path(f"/proc/{presend.process.pid}/fd").iterdir())) <= descriptors + 1
