"""Clients for what smtp-source cannot do: STARTTLS with AUTH, pipelining, pacing, idling."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.bench.servers import SENDER, domain

LIMIT = 60.0  # seconds a reply may take
BODY_LINE = b"The quick brown fox jumps over the lazy dog, once more and then again.\r\n"


def body(octets: int = 4096) -> bytes:
    """Return a message of about this size, with headers."""
    head = b"From: <%b>\r\nSubject: news\r\nMIME-Version: 1.0\r\n\r\n" % SENDER.encode()
    return head + BODY_LINE * max(1, (octets - len(head)) // len(BODY_LINE))


@dataclass(frozen=True, slots=True)
class Secured:
    """What a client needs for STARTTLS and AUTH."""

    ca: Path
    user: str
    password: str


def with_smtplib(port: int, messages: int, secured: Secured | None) -> float:
    """Send messages as Python programs do, a connection for each; returns seconds."""
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
    """One SMTP connection, spoken raw."""

    def __init__(self, port: int) -> None:
        """Connect, read the banner and say EHLO."""
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")
        self.replies("220")
        self.socket.sendall(b"EHLO client.bench.example\r\n")
        self.replies("250")

    def replies(self, *codes: str) -> None:
        """Read one reply for each code and compare."""
        for code in codes:
            while (line := self.input.readline().decode(errors="replace"))[3:4] == "-":
                pass
            if not line.startswith(code):
                message = f"expected {code}, got {line!r}"
                raise smtplib.SMTPException(message)

    def close(self) -> None:
        """Leave without a word, as an application that ends does."""
        self.input.close()
        self.socket.close()


def pipelined(port: int, messages: int, recipients: int = 20) -> float:
    """Send MAIL, all RCPTs and DATA in one write, then the message; returns seconds."""
    names = "".join(f"RCPT TO:<customer@{domain(each)}>\r\n" for each in range(recipients))
    envelope = f"MAIL FROM:<{SENDER}>\r\n{names}DATA\r\n".encode()
    content = body() + b".\r\n"
    codes = ["250"] * (1 + recipients) + ["354"]
    client = Lines(port)
    started = time.perf_counter()
    for _ in range(messages):
        client.socket.sendall(envelope)
        client.replies(*codes)
        client.socket.sendall(content)
        client.replies("250")
    seconds = time.perf_counter() - started
    client.close()
    return seconds


@contextlib.contextmanager
def idling(port: int, sessions: int) -> Iterator[None]:
    """Hold sessions that said EHLO and nothing more."""
    with contextlib.ExitStack() as held:
        for _ in range(sessions):
            held.callback(Lines(port).close)
        yield


async def transact(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str) -> None:
    """Send one message, command by command."""
    steps: Sequence[tuple[bytes, bytes]] = (
        (f"MAIL FROM:<{SENDER}>\r\n".encode(), b"250"),
        (f"RCPT TO:<{to}>\r\n".encode(), b"250"),
        (b"DATA\r\n", b"354"),
        (body() + b".\r\n", b"250"),
    )
    for line, code in steps:
        writer.write(line)
        reply = await reader.readline()
        if not reply.startswith(code):
            message = f"expected {code!r}, got {reply!r}"
            raise smtplib.SMTPException(message)


async def paced(port: int, rate: float, seconds: float, sessions: int = 16) -> list[float]:
    """Send at a steady rate over kept connections; returns seconds from due to done, sorted.

    A message's time counts from when it was due, so a relay that falls behind cannot hide it.
    """
    delays: list[float] = []
    due = count()
    start = time.perf_counter() + 0.1

    async def session() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.write(b"HELO client.bench.example\r\n")
        await reader.readline()
        while (number := next(due)) < rate * seconds:
            moment = start + number / rate
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            await transact(reader, writer, f"customer@{domain(number)}")
            delays.append(time.perf_counter() - moment)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(sessions):
            group.create_task(session())
    return sorted(delays)
