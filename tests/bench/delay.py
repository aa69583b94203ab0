"""A TCP proxy that adds latency before the upstream: `python -m tests.bench.delay HOST:PORT MS`.

Each direction is delayed by MS milliseconds, in order and with no limit on bandwidth. Opening a
connection costs what TCP's three-way handshake costs over that distance, because the upstream is
connected to one and a half round trips after the client. Prints two port numbers: the proxy's own,
and one on which it answers every connection with its counts as JSON.

A round trip is counted whenever the client sends data after data from the upstream reached it,
since the client then waited for a reply.
"""

import asyncio
import json
import sys
from collections import deque
from typing import Any, cast

import uvloop


class Counts:
    """Connections, and round trips seen by the proxy so far."""

    def __init__(self) -> None:
        """Initialise all counts with zero."""
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.round_trips = 0

    def opened(self) -> None:
        """Count a client's connection."""
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)


class End(asyncio.Protocol):
    """One end of a proxied connection: data received here is sent later on the other end."""

    def __init__(self, delay: float, counts: Counts, target: tuple[str, int] | None) -> None:
        """`target` is the address to connect to; None for the end that the proxy itself opened."""
        self.delay = delay
        self.counts = counts
        self.target = target
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self.waiting: deque[tuple[float, bytes | None]] = deque()
        self.timer: asyncio.TimerHandle | None = None
        self.loop = asyncio.get_running_loop()
        self.heard = False
        self.connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the upstream at the time a delayed handshake would have reached it."""
        self.transport = cast("asyncio.Transport", transport)
        if self.target:
            self.counts.opened()
            self.connecting = self.loop.create_task(self.connect(self.target))

    async def connect(self, target: tuple[str, int]) -> None:
        """Open the connection to the upstream after 1.5 round trips."""
        await asyncio.sleep(3 * self.delay)
        other = End(self.delay, self.counts, None)
        other.other = self
        try:
            await self.loop.create_connection(lambda: other, *target)
        except OSError:
            if self.transport:
                self.transport.abort()
            return
        self.other = other
        self.deliver()

    def data_received(self, data: bytes) -> None:
        """Queue the data until its delay has passed."""
        if self.target and self.heard:
            self.heard = False
            self.counts.round_trips += 1
        self.keep(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other end after the same delay as for data."""
        del exc
        if self.target:
            self.counts.open -= 1
        self.keep(None)

    def keep(self, data: bytes | None) -> None:
        """Queue data, or None for the end of the stream, with the time to send it."""
        self.waiting.append((self.loop.time() + self.delay, data))
        if self.timer is None and self.other:
            self.timer = self.loop.call_at(self.waiting[0][0], self.deliver)

    def deliver(self) -> None:
        """Write the data that is due on the other end, and set a timer for the rest."""
        self.timer = None
        other = self.other
        if other is None or other.transport is None:
            return
        now = self.loop.time() + 0.0005  # the resolution of the timer
        while self.waiting and self.waiting[0][0] <= now:
            data = self.waiting.popleft()[1]
            if data is None:
                other.transport.close()
            else:
                other.heard = True
                other.transport.write(data)
        if self.waiting:
            self.timer = self.loop.call_at(self.waiting[0][0], self.deliver)


async def serve(target: tuple[str, int], delay: float) -> None:
    """Run the proxy until the process is terminated."""
    counts = Counts()
    loop = asyncio.get_running_loop()

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(vars(counts)).encode())
        writer.close()

    front = await loop.create_server(
        lambda: End(delay, counts, target), "127.0.0.1", 0, backlog=1024
    )
    control = await asyncio.start_server(tell, "127.0.0.1", 0)
    ports: list[Any] = [server.sockets[0].getsockname()[1] for server in (front, control)]
    sys.stdout.write(f"ports {ports[0]} {ports[1]}\n")
    sys.stdout.flush()
    async with front, control:
        await front.serve_forever()


def main(target: str, milliseconds: str) -> None:
    """Run the proxy on uvloop."""
    host, _, port = target.rpartition(":")
    uvloop.run(serve((host, int(port)), float(milliseconds) / 1000))


if __name__ == "__main__":
    main(*sys.argv[1:])
