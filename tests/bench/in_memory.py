"""The cost of the relay itself, per message and per recipient, measured without sockets.

`python -m tests.bench.in_memory` builds the relay as `presend serve` does (all checks, metrics,
event log, a store on disk) with in-memory transports, and prints as JSON:

* `calls`: the number of function calls (Python and C) for one message and for one more recipient.
  It is the same in every run with one version of Python, on any machine and under any load.
* `ratio`: CPU time relative to that of a fixed loop in the same process; the least of several
  tries.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, cast

from relay.app import Process, Relay
from relay.settings import ServeSettings, load_settings
from relay.settings.groups import UpstreamTimeouts
from relay.smtp.server.connection import Connection as ClientConnection
from relay.smtp.upstream.connection import Connection, Features
from relay.stores import open_store
from tests.bench import presend
from tests.bench.servers import SENDER, domain
from validators.dns import Hosts

MESSAGES = 300
TRIES = 7
BODY = (
    b"Subject: news\r\n\r\n" + b"The quick brown fox jumps over the lazy dog, and again.\r\n" * 70
)


class Wire(asyncio.Transport):
    """A transport that passes everything written to a function."""

    def __init__(self, peer: Callable[[bytes], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.write = peer  # type: ignore[assignment, method-assign]

    def pause_reading(self) -> None:
        """Do nothing: the caller sends the next octets only after the replies."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: nothing is held."""

    def is_closing(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Do nothing."""

    abort = close


class Upstream:
    """An upstream that accepts every command and message at once."""

    def __init__(self) -> None:
        self.content = False
        self.due: deque[bytes] = deque()

    def hear(self, octets: bytes) -> None:
        """Answer each command, and the content at its end."""
        if self.content:
            if octets == b".\r\n" or octets.endswith(b"\r\n.\r\n"):
                self.content = False
                self.due.append(b"250 2.0.0 Ok\r\n")
            return
        lines = octets.count(b"\r\n")
        self.content = octets.endswith(b"DATA\r\n")
        replies = b"250 2.1.0 Ok\r\n" * (lines - self.content)
        self.due.append(replies + b"354 End data with <CR><LF>.<CR><LF>\r\n" * self.content)


class InMemory:
    """A relay, one client and one upstream connection."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.upstream = Upstream()
        self.heard: list[bytes] = []
        (pool,) = relay.pools.pools
        connection = Connection(
            pool.name,
            Wire(self.upstream.hear),
            Features(pipelining=True, size=True, eight_bit=True),
            timeouts=UpstreamTimeouts(),
            clock=relay.process.clock,
            write_buffer=relay.write_buffer,
        )
        pool._live.add(connection)
        pool._idle.append(connection)
        self.connection = connection
        self.client = ClientConnection(relay.server)
        self.client.connection_made(Wire(self.heard.append))
        self.say(b"EHLO client.bench.example\r\n")

    def say(self, octets: bytes) -> None:
        """Send octets as the client, then deliver the replies of the upstream."""
        self.client.data_received(octets)
        self.relay.write_buffer.flush()
        while self.upstream.due:
            self.connection.data_received(self.upstream.due.popleft())
            self.relay.write_buffer.flush()

    def send(self, recipients: int) -> None:
        """Send a message command by command, as smtp-source does."""
        self.say(b"MAIL FROM:<%b>\r\n" % SENDER.encode())
        for number in range(recipients):
            self.say(b"RCPT TO:<customer.%d@%b>\r\n" % (number, domain(number).encode()))
        self.say(b"DATA\r\n")
        self.say(BODY)
        self.say(b".\r\n")
        if not self.heard[-1].startswith(b"250 2.0.0"):
            message = f"the message was not relayed: {self.heard[-3:]}"
            raise ValueError(message)
        self.heard.clear()
        self.connection.messages = 0  # keep it from retiring: no other can be opened


@contextlib.asynccontextmanager
async def built(directory: Path) -> Any:  # noqa: ANN401
    """Build the relay from settings, with a table in place of DNS."""
    store = directory / "presend.db"
    with contextlib.closing(open_store(f"sqlite://{store}", campaign="bench")) as opened:
        opened.add(entry for _, entry in zip(range(1000), presend.suppression_list(), strict=False))
    settings = load_settings(
        ServeSettings, environ=presend.settings(store, "smtp://127.0.0.1:1", None)
    )
    route = Hosts(("mx.hosts.example",), implicit=False)
    known = dict.fromkeys((*map(domain, range(100)), SENDER.partition("@")[2]), route)
    async with Process(settings) as process:
        yield InMemory(Relay(process, settings, settings.upstream, known))


def calls(work: Callable[[], None]) -> int:
    """Count the function calls that a piece of work makes."""
    count = 0

    def seen(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def reference() -> None:
    """Do the minimal work of an SMTP server in Python for a message, as a unit of comparison."""
    for number in range(MESSAGES * 20):
        line = b"RCPT TO:<customer.%d@mail.example>\r\n" % number
        verb, _, rest = line.partition(b" ")
        path = rest[4 : rest.find(b">")].decode()
        local, _, host = path.rpartition("@")
        found = {verb.upper(): local.lower(), b"": host}
        b"".join([found[b"RCPT"].encode(), b"250 ok\r\n"])


def seconds(work: Callable[[], None]) -> float:
    """Return the CPU seconds that a piece of work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def figures(memory: InMemory) -> Iterator[tuple[str, float]]:
    """Return all figures, by name."""

    def messages(recipients: int, count: int) -> None:
        for _ in range(count):
            memory.send(recipients)
        memory.relay.process.events.flush()

    messages(1, 10)
    messages(20, 1)
    one = calls(lambda: messages(1, 20)) / 20
    yield "calls a message", one
    yield "calls a further recipient", (calls(lambda: messages(20, 20)) / 20 - one) / 19
    tries = [
        (
            seconds(reference),
            seconds(lambda: messages(1, MESSAGES)),
            seconds(lambda: messages(21, 15)),
        )
        for _ in range(TRIES)
    ]
    loop, message, recipients = (min(each) for each in zip(*tries, strict=True))
    yield "ratio of a message", message / loop
    yield (
        "ratio of twenty further recipients",
        (recipients / 15 - message / MESSAGES) / (loop / MESSAGES),
    )
    yield "microseconds a message", message / MESSAGES * 1e6
    yield "microseconds a further recipient", (recipients / 15 - message / MESSAGES) / 20 * 1e6


async def main() -> None:
    """Print the figures as JSON."""
    with tempfile.TemporaryDirectory() as directory:
        async with built(Path(directory)) as memory:
            found = dict(figures(cast("InMemory", memory)))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
