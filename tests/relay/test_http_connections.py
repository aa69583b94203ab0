"""Deadlines and numbers of HTTP connections, on the event loops of asyncio and of uvloop."""

import asyncio
import contextlib
import select
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeAlias

import pytest
import uvloop

from relay.app.listeners import Listeners
from relay.http import HttpServer, Limits, Page
from relay.http.connections import Connections, peer_of
from relay.observe.metrics import Registry
from relay.observe.section import Text
from relay.settings.endpoints import Endpoint

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
PAGE = Page("spring", Text("accepting", "good"), "1.2.3", 1.0, ())
PATIENT = Limits(spared=0.0, request=60.0, response=60.0, idle=60.0)
"""Limits under which no deadline passes during a test."""

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on either event loop."""
    chosen: Run = request.param
    return chosen


class Client:
    """A client of the server with one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ok(self) -> bool:
        """Whether /livez is answered."""
        self.writer.write(LIVEZ)
        return (await self.reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")

    async def closed(self) -> None:
        """Wait until the server closes the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass

    def open(self) -> bool:
        """Whether the server has not closed the connection yet."""
        return not self.reader.at_eof()


@contextlib.asynccontextmanager
async def serving(
    limits: Limits, title: str = "spring"
) -> AsyncIterator[Callable[[], Coroutine[Any, Any, Client]]]:
    """Serve, and return a function that connects."""
    http = HttpServer(
        Registry("spring"),
        readiness=list,
        page=lambda: PAGE._replace(title=title),
        limits=limits,
    )
    await http.start()
    listeners = Listeners()
    await listeners.open([Endpoint("127.0.0.1", 0)], http.connection, "PRESEND_HTTP_LISTEN")
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection(*listeners.addresses[0])))
        return clients[-1]

    try:
        yield connect
    finally:
        for client in clients:
            client.writer.close()
        listeners.close()
        await http.stop()


@pytest.mark.parametrize("bound", ["connections", "of_a_peer"])
def test_a_newcomer_takes_the_place_of_the_one_that_has_asked_for_nothing_longest(
    run: Run, bound: str
) -> None:
    async def work() -> None:
        async with serving(PATIENT._replace(**{bound: 2})) as connect:
            first, second = await connect(), await connect()
            assert await first.ok()
            assert await second.ok()
            assert await first.ok()
            third = await connect()
            assert await third.ok()
            await second.closed()
            assert await first.ok()
            fourth = await connect()
            await third.closed()
            assert await fourth.ok()
            assert await first.ok()

    run(work())


def test_a_new_connection_is_spared_for_its_request_to_arrive(run: Run) -> None:
    async def work() -> None:
        async with serving(PATIENT._replace(connections=1, spared=60.0, most=3)) as connect:
            clients = [await connect() for _ in range(3)]
            assert all([await client.ok() for client in clients])
            late = await connect()
            await clients[0].closed()
            assert await late.ok()
            assert all(client.open() for client in clients[1:])

    run(work())


def test_surplus_connections_are_closed_once_they_are_no_longer_spared(run: Run) -> None:
    async def work() -> None:
        async with serving(PATIENT._replace(connections=1, spared=0.2)) as connect:
            clients = [await connect() for _ in range(5)]
            for client in clients[:4]:
                await client.closed()
            assert await clients[4].ok()

    run(work())


@pytest.mark.parametrize("begun", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
@pytest.mark.parametrize("before", [False, True], ids=["first", "further"])
def test_a_request_that_never_ends_is_cut(run: Run, begun: bytes, before: bool) -> None:  # noqa: FBT001
    limits = PATIENT._replace(request=0.2, response=0.2, idle=60.0 if begun else 0.2)

    async def work() -> None:
        async with serving(limits) as connect:
            client = await connect()
            assert not before or await client.ok()
            client.writer.write(begun)
            await client.closed()

    run(work())


@pytest.mark.parametrize("before", [False, True], ids=["first", "further"])
def test_a_request_that_drips_is_cut(run: Run, before: bool) -> None:  # noqa: FBT001
    async def work() -> None:
        async with serving(PATIENT._replace(request=0.3, response=0.3)) as connect:
            client = await connect()
            assert not before or await client.ok()
            closed = asyncio.create_task(client.closed())
            client.writer.write(b"GET / HTTP/1.1\r\nX: ")
            while not closed.done():
                client.writer.write(b"x")
                await asyncio.wait([closed], timeout=0.05)

    run(work())


def test_a_kept_connection_outlives_the_deadlines_of_request_and_response(run: Run) -> None:
    limits = PATIENT._replace(request=0.05, response=0.05)

    async def work() -> None:
        async with serving(limits) as connect:
            client = await connect()
            for _ in range(3):
                assert await client.ok()
                await asyncio.sleep(0.2)
            assert client.open()

    run(work())


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"], ids=["kept", "close"])
def test_a_client_that_does_not_read_is_cut(run: Run, close: bytes) -> None:
    async def work() -> None:
        async with serving(PATIENT._replace(response=0.2), title="x" * (1 << 20)) as connect:
            loop = asyncio.get_running_loop()
            client = await connect()
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.setblocking(False)  # noqa: FBT003 - the argument of the standard library
                await loop.sock_connect(slow, client.writer.get_extra_info("peername"))
                request = b"GET / HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n"
                await loop.sock_sendall(slow, request)
                poll = select.poll()
                poll.register(slow, select.POLLERR)  # the server has reset the connection
                assert await asyncio.to_thread(poll.poll, 10_000)

    run(work())


# The numbers of connections, without sockets


class Fake:
    """What Connections needs of a connection."""

    def __init__(
        self, among: Connections, peer: str, *, handling: bool = False, renewed: float = 0.0
    ) -> None:
        self.among = among
        self.peer = peer
        self.handling = handling
        self.renewed = renewed
        self.open = True
        among.add(self)  # type: ignore[arg-type]

    def cut(self) -> None:
        """Close."""
        self.open = False
        self.among.remove(self)  # type: ignore[arg-type]


async def test_a_peer_with_many_connections_loses_its_own() -> None:
    among = Connections(Limits(connections=10, of_a_peer=3, spared=0.0))
    other = Fake(among, "192.0.2.1")
    flood = [Fake(among, "192.0.2.2") for _ in range(20)]
    assert other.open
    assert [fake.open for fake in flood] == [False] * 17 + [True] * 3
    assert len(among) == 4


async def test_many_peers_together_lose_the_oldest() -> None:
    among = Connections(Limits(connections=10, of_a_peer=3, spared=0.0))
    fakes = [Fake(among, f"192.0.2.{number}") for number in range(30)]
    assert [fake.open for fake in fakes] == [False] * 20 + [True] * 10


async def test_a_request_that_waits_for_presend_is_not_cut_before_the_last_resort() -> None:
    among = Connections(Limits(connections=2, of_a_peer=2, spared=60.0, most=4))
    handled = [Fake(among, "192.0.2.1", handling=True) for _ in range(4)]
    assert all(fake.open for fake in handled)
    newcomer = Fake(among, "192.0.2.1", renewed=asyncio.get_running_loop().time())
    assert [fake.open for fake in handled] == [False, True, True, True]
    assert newcomer.open


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (("192.0.2.1", 1234), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1234, 0, 0), "192.0.2.1"),
        (("127.0.0.9", 1234), "loopback"),
        (("::1", 1234, 0, 0), "loopback"),
        (("2001:db8:1:2:3::4", 1234, 0, 0), "2001:db8:1:2::"),
        (("2001:db8:1:2:5::6", 1234, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 1234, 0, 2), "fe80::"),
        (None, ""),
        ("", ""),
    ],
)
def test_what_counts_as_one_peer(address: object, peer: str) -> None:
    assert peer_of(address) == peer
