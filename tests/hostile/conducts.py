"""What one hostile client does: each function is one session, until the relay or the time ends it.

The relay sees no difference between a client that is hostile and one that is only broken: most of
these have been seen in applications.
"""

import asyncio
import base64
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tests.bench.clients import BODY_LINE
from tests.hostile.line import Line, Target, connected, greeted, unchecked
from tests.hostile.peers import SILENT

Conduct = Callable[[Target], Awaitable[None]]

_HEAD = b"From: <evil@hostile.example>\r\nSubject: load\r\n\r\n"
_MAIL = b"MAIL FROM:<evil@hostile.example>\r\n"
_CONTENT = BODY_LINE * 900  # 64 KiB
_numbers = itertools.count()


async def _beside(speaking: Coroutine[Any, Any, None], until: Coroutine[Any, Any, None]) -> None:
    """Speak until the other coroutine raises Gone or is cancelled."""
    task = asyncio.ensure_future(speaking)
    try:
        await until
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _pump(line: Line, octets: bytes) -> None:
    """Send the same octets again and again, as fast as the relay takes them, and read replies."""
    await _beside(line.send_on(octets), line.read_on())


def flood(*commands: bytes, times: int = 200) -> Conduct:
    """Return a session that pipelines these commands without end and reads all replies."""
    octets = b"".join(command + b"\r\n" for command in commands) * times

    async def conduct(target: Target) -> None:
        async with greeted(target) as line:
            await _pump(line, octets)

    return conduct


def unread(*commands: bytes, times: int = 200) -> Conduct:
    """Return a session that pipelines these commands without end and reads no reply."""
    octets = b"".join(command + b"\r\n" for command in commands) * times

    async def conduct(target: Target) -> None:
        async with greeted(target) as line:
            await _beside(line.send_on(octets), line.established())

    return conduct


async def connections(target: Target) -> None:
    """Connect, read the banner, QUIT, and so on without a pause."""
    while True:
        async with connected(target) as line:
            await line.replies(1)
            await line.ask(b"QUIT")


async def idle(target: Target) -> None:
    """Say EHLO and nothing more."""
    async with greeted(target) as line:
        await line.read_on()


def behind_a_slow_reply(command: bytes, times: int, *, reading: bool = True) -> Conduct:
    """Return a session that pipelines commands behind a RCPT whose reply takes long."""
    octets = _MAIL + b"RCPT TO:<slow@d0000.mail.example>\r\n" + (command + b"\r\n") * times

    async def conduct(target: Target) -> None:
        async with greeted(target) as line:
            listening = line.read_on() if reading else line.established()
            await _beside(line.send(octets), listening)

    return conduct


async def silent_domains(target: Target) -> None:
    """Send 1,000 recipients at as many domains whose name server does not answer."""
    async with greeted(target) as line:
        while True:
            names = (
                b"RCPT TO:<ann@n%d.%b>\r\n" % (next(_numbers), SILENT.encode()) for _ in range(1000)
            )
            await line.send(_MAIL + b"".join(names) + b"RSET\r\n")
            await line.replies(1002)


async def begun(line: Line, recipient: bytes = b"ann@d0000.mail.example") -> None:
    """Begin a message: MAIL, RCPT, DATA, and its header."""
    await line.ask(_MAIL[:-2])
    if await line.ask(b"RCPT TO:<%b>" % recipient) == b"250" and await line.ask(b"DATA") == b"354":
        await line.send(_HEAD)


async def stalled_content(target: Target) -> None:
    """Send content until the relay takes no more, to an upstream that does not read, and wait."""
    async with greeted(target) as line:
        await begun(line, b"deaf@d0000.mail.example")
        await _pump(line, _CONTENT)


async def _drip(line: Line, octets: bytes, pause: float, step: int) -> None:
    for position in itertools.count(0, step):
        start = position % len(octets)
        await line.send(octets[start : start + step])
        await asyncio.sleep(pause)


def dripped(octets: bytes, pause: float, *, content: bool = False, step: int = 1) -> Conduct:
    """Return a session that sends `step` octets and pauses, as a command or as content."""

    async def conduct(target: Target) -> None:
        async with greeted(target) as line:
            if content:
                await begun(line)
            await _beside(_drip(line, octets, pause, step), line.read_on())

    return conduct


async def guesses(target: Target) -> None:
    """Guess passwords, one after another."""
    async with greeted(target) as line:
        while True:
            guess = b"\0app\0guess%d" % next(_numbers)
            await line.ask(b"AUTH PLAIN " + base64.b64encode(guess))


async def endless_line(target: Target) -> None:
    """Send content without a line end, as fast as it is taken."""
    async with greeted(target) as line:
        await begun(line)
        await _pump(line, b"x" * 65536)


async def endless_command(target: Target) -> None:
    """Send a command without a line end, as fast as it is taken."""
    async with greeted(target) as line:
        await _pump(line, b"x" * 65536)


async def tiny_chunks(target: Target) -> None:
    """Send a message in chunks of one octet (BDAT, RFC 3030)."""
    async with greeted(target) as line:
        await line.ask(_MAIL[:-2])
        await line.ask(b"RCPT TO:<ann@d0000.mail.example>")
        await _pump(line, b"BDAT 1\r\nx" * 500)


async def half_a_handshake(target: Target) -> None:
    """Begin TLS, send the first octets of a handshake, and wait."""
    async with greeted(target) as line:
        await line.ask(b"STARTTLS")
        await line.send(b"\x16\x03\x01\x02\x00\x01")
        await line.read_on()


async def handshakes(target: Target) -> None:
    """Complete a TLS handshake, go away, and so on without a pause."""
    context = unchecked()
    while True:
        async with greeted(target) as line:
            await line.ask(b"STARTTLS")
            await line.writer.start_tls(context)


async def messages(target: Target) -> None:
    """Send whole messages one after another, as an application does that has many to send."""
    await recipients_for(target, b"ann")


async def recipients_for(target: Target, word: bytes) -> None:
    """Send messages one after another to recipients whose local part the upstream obeys."""
    async with greeted(target) as line:
        while True:
            await begun(line, b"%b@d0000.mail.example" % word)
            if line.last == b"354":
                await line.send(b"Hello\r\n.\r\n")
                await line.replies(1)
            else:
                await line.ask(b"RSET")


def upstream_that(word: bytes) -> Conduct:
    """Return a session whose recipients make the upstream misbehave."""

    async def conduct(target: Target) -> None:
        await recipients_for(target, word)

    return conduct


async def idle_http(target: Target) -> None:
    """Connect to the HTTP port and say nothing."""
    async with connected(target, http=True) as line:
        await line.read_on()


async def slow_request(target: Target) -> None:
    """Send a request to the HTTP port, one octet a second."""
    request = b"GET /metrics HTTP/1.1\r\nHost: relay.example\r\n" + b"X-A: b\r\n" * 1000
    async with connected(target, http=True) as line:
        await _beside(_drip(line, request, 1.0, 1), line.read_on())


async def unread_responses(target: Target) -> None:
    """Request the metrics again and again, and read no response."""
    request = b"GET /metrics HTTP/1.1\r\nHost: relay.example\r\n\r\n" * 50
    async with connected(target, http=True) as line:
        await _beside(line.send_on(request), line.established())


async def metrics(target: Target) -> None:
    """Request the metrics, each time over a new connection, without a pause."""
    request = b"GET /metrics HTTP/1.1\r\nHost: relay.example\r\nConnection: close\r\n\r\n"
    while True:
        async with connected(target, http=True) as line:
            await line.send(request)
            response = await line.reader.read()
            target.tally.replies[response[9:12].decode() or "none"] += 1


async def endless_body(target: Target) -> None:
    """Send a request whose body never ends, as fast as it is taken."""
    head = b"POST / HTTP/1.1\r\nHost: relay.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with connected(target, http=True) as line:
        await line.send(head)
        await _pump(line, b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
