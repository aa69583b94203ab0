"""One SMTP connection of a hostile client, and the tally of what became of all of them."""

import asyncio
import contextlib
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_CODES = re.compile(rb"^(\d\d\d) ", re.MULTILINE)
_CHUNK = 1 << 18
_ESTABLISHED = 1  # the state in tcp_info of Linux
_POLL = 0.2  # seconds
_LONGEST = 1 << 16  # octets of a line of the relay's


@dataclass(slots=True)
class Tally:
    """What became of the sessions of an attack, and how often each reply code was read."""

    ends: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Target:
    """The relay's ports, and the tally."""

    smtp: int
    http: int
    tally: Tally


class Gone(Exception):  # noqa: N818 - it is what the attacker may have wanted
    """The relay closed the connection; the text is the code of its last reply, or "closed"."""


class Line:
    """An SMTP connection that counts every reply it reads."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
    ) -> None:
        """`tally` gets the codes of the replies."""
        self.reader = reader
        self.writer = writer
        self.tally = tally
        self.last = b""
        self.rest = b""

    async def send(self, octets: bytes) -> None:
        """Write octets; wait while the relay does not read them."""
        self.writer.write(octets)
        await self.writer.drain()

    async def read(self) -> int:
        """Read what there is of the relay's replies; return the number of replies in it."""
        data = await self.reader.read(_CHUNK)
        if not data:
            raise Gone(self.last.decode() if self.last == b"421" else "closed")
        data = self.rest + data
        end = data.rfind(b"\n") + 1
        self.rest = data[end:]
        codes = _CODES.findall(data, 0, end)
        if codes:
            self.last = codes[-1]
            for code, times in Counter(codes).items():
                self.tally.replies[code.decode()] += times
        return len(codes)

    async def send_on(self, octets: bytes) -> None:
        """Write the same octets again and again, as fast as the relay takes them."""
        while True:
            await self.send(octets)

    async def established(self) -> None:
        """Wait, without reading, until the relay has closed the connection."""
        sock = self.writer.get_extra_info("socket")
        while sock.fileno() >= 0:
            state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state != _ESTABLISHED:
                break
            await asyncio.sleep(_POLL)
        raise Gone("closed")

    async def replies(self, number: int) -> None:
        """Read until that many replies have come."""
        while number > 0:
            number -= await self.read()

    async def read_on(self) -> None:
        """Read replies until the relay closes."""
        while True:
            await self.read()

    async def ask(self, command: bytes) -> bytes:
        """Send one command and return the code of its reply."""
        await self.send(command + b"\r\n")
        await self.replies(1)
        return self.last

    async def greet(self) -> None:
        """Read the banner and send EHLO."""
        await self.replies(1)
        await self.ask(b"EHLO hostile.example")


@contextlib.asynccontextmanager
async def connected(target: Target, *, http: bool = False) -> AsyncIterator[Line]:
    """Connect to the relay; close the connection at the end without a word."""
    port = target.http if http else target.smtp
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST)
    try:
        yield Line(reader, writer, target.tally)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def greeted(target: Target) -> AsyncIterator[Line]:
    """Connect, read the banner and send EHLO."""
    async with connected(target) as line:
        await line.greet()
        yield line


def unchecked() -> ssl.SSLContext:
    """Return a TLS context that accepts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
