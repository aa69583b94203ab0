"""SMTP clients for loads that smtp-source lacks: STARTTLS, AUTH, pipelining, fixed rate, idle."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.bench.servers import SENDER, domain

LIMIT = 60.0  # seconds to wait for a reply
BODY_LINE = b"The quick brown fox jumps over the lazy dog, once more and then again.\r\n"


def body(octets: int = 4096) -> bytes:
    """Return a message of about `size` octets, with a header."""
    head = b"From: <%b>\r\nSubject: news\r\nMIME-Version: 1.0\r\n\r\n" % SENDER.encode()
    return head + BODY_LINE * max(1, (octets - len(head)) // len(BODY_LINE))


CONTENT = body() + b".\r\n"


@dataclass(frozen=True, slots=True)
class Secured:
    """The TLS context and credentials that a client needs for STARTTLS and AUTH."""

    ca: Path
    user: str
    password: str


def with_smtplib(port: int, messages: int, secured: Secured | None) -> float:
    """Send messages with smtplib, one connection per message; return the seconds taken."""
    content = body()
    started = time.perf_counter()
    for number in range(messages):
        with smtplib.SMTP("127.0.0.1", port, "client.bench.example", LIMIT) as client:
            if secured:
                client.starttls(context=ssl.create_default_context(cafile=str(secured.ca)))
                client.login(secured.user, secured.password)
            client.sendmail(SENDER, [f"customer@{domain(number)}"], content)
    return time.perf_counter() - started


class Lines:
    """One SMTP connection on a blocking socket, without an SMTP library."""

    def __init__(self, port: int) -> None:
        """Connect, read the banner and send EHLO."""
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")
        self.replies("220")
        self.socket.sendall(b"EHLO client.bench.example\r\n")
        self.replies("250")

    def replies(self, *codes: str) -> None:
        """Read one reply for each expected code and compare its code."""
        for code in codes:
            while (line := self.input.readline().decode(errors="replace"))[3:4] == "-":
                pass
            if not line.startswith(code):
                message = f"expected {code}, got {line!r}"
                raise smtplib.SMTPException(message)

    def close(self) -> None:
        """Close without QUIT, as an application that exits does."""
        self.input.close()
        self.socket.close()


def pipelined(port: int, messages: int, recipients: int = 20) -> float:
    """Send MAIL, all RCPTs and DATA in one write, then the message; return the seconds taken."""
    names = "".join(f"RCPT TO:<customer@{domain(each)}>\r\n" for each in range(recipients))
    envelope = f"MAIL FROM:<{SENDER}>\r\n{names}DATA\r\n".encode()
    codes = ["250"] * (1 + recipients) + ["354"]
    client = Lines(port)
    started = time.perf_counter()
    for _ in range(messages):
        client.socket.sendall(envelope)
        client.replies(*codes)
        client.socket.sendall(CONTENT)
        client.replies("250")
    seconds = time.perf_counter() - started
    client.close()
    return seconds


@contextlib.contextmanager
def idling(port: int, sessions: int) -> Iterator[None]:
    """Keep idle sessions open, each after its EHLO."""
    with contextlib.ExitStack() as held:
        for _ in range(sessions):
            held.callback(Lines(port).close)
        yield


class Paced(asyncio.Protocol):
    """One connection of a fixed-rate load: each message starts when due, or at once if late."""

    def __init__(self, due: Iterator[tuple[float, str]], delays: list[float]) -> None:
        """`due` yields the due time and recipient of each message; all connections share it."""
        self.due = due
        self.delays = delays
        self.moment = 0.0
        self.steps: list[bytes] = []
        self.expected = b"220"
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the server sends the first reply."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report an error unless all messages were sent."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        """Read a reply and send the next command."""
        if not data.startswith(self.expected):
            self.done.set_exception(smtplib.SMTPException(f"{self.expected!r}: {data!r}"))
        elif self.expected == b"220":
            self.speak(b"HELO client.bench.example\r\n", b"250")
        elif self.steps:
            step = self.steps.pop()
            self.speak(step, b"354" if step == b"DATA\r\n" else b"250")
        else:
            if self.moment:
                self.delays.append(time.perf_counter() - self.moment)
            self.next()

    def next(self) -> None:
        """Wait until the next message is due, or close if there is none."""
        following = next(self.due, None)
        if following is None:
            self.done.set_result(None)
            return
        self.moment, recipient = following
        self.steps = [CONTENT, b"DATA\r\n", b"RCPT TO:<%b>\r\n" % recipient.encode()]
        mail = b"MAIL FROM:<%b>\r\n" % SENDER.encode()
        wait = max(0.0, self.moment - time.perf_counter())
        self.loop.call_later(wait, self.speak, mail, b"250")

    def speak(self, octets: bytes, expected: bytes) -> None:
        """Send octets, and remember how the reply to them must begin."""
        self.expected = expected
        if self.transport:
            self.transport.write(octets)


async def paced(port: int, rate: float, seconds: float, sessions: int = 16) -> list[float]:
    """Send at a fixed rate over kept connections; return the sorted latencies in seconds.

    Latency counts from the time a message was due and not from the time it was sent, so it includes
    the delay of a relay that cannot keep up.
    """
    delays: list[float] = []
    start = time.perf_counter() + 0.2
    due = ((start + n / rate, f"customer@{domain(n)}") for n in range(int(rate * seconds)))
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Paced(due, delays), "127.0.0.1", port))[1]
        for _ in range(sessions)
    ]
    await asyncio.gather(*(each.done for each in connections))
    for each in connections:
        if each.transport:
            each.transport.close()
    return sorted(delays)
