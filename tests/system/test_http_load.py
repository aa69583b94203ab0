"""Probes and scrapes are answered whatever other connections do on the HTTP port."""

import contextlib
import resource
import select
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests.support.eventually import eventually
from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream

PATHS = ("/livez", "/readyz", "/metrics")
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
BEGINNING = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
PROMPT = 10.0
"""Seconds within which an answer has to come: far more than an idle relay takes, far less than
any deadline of a connection that stands in the way."""


@pytest.fixture(scope="module", autouse=True)
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def send(sock: socket.socket, octets: bytes) -> None:
    """Send what can be sent without waiting; a connection that is closed is no error."""
    with contextlib.suppress(OSError):
        sock.send(octets, socket.MSG_DONTWAIT)


def silent(_: socket.socket) -> None:
    """Send nothing."""


def unfinished(sock: socket.socket) -> None:
    """Send a request without its end."""
    send(sock, BEGINNING)


def unread(sock: socket.socket) -> None:
    """Send requests and never read the responses."""
    send(sock, REQUEST * 40)


def kept(sock: socket.socket) -> None:
    """Send a whole request, as a scraper does that keeps its connection."""
    send(sock, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")


@contextlib.contextmanager
def connections(
    port: int, count: int, begin: Callable[[socket.socket], None]
) -> Iterator[list[socket.socket]]:
    """Open connections that all behave in the same way, until the block ends."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(PROMPT)
            sock.connect(("127.0.0.1", port))
            begin(sock)
            opened.append(sock)
        yield opened


@contextlib.contextmanager
def dripping(socks: list[socket.socket]) -> Iterator[None]:
    """Send one octet of a header on each connection five times a second."""
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.2):
            for sock in socks:
                send(sock, b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def closed(sock: socket.socket) -> bool:
    """Whether the relay has closed a connection; what it has sent before is not read."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def all_answered(presend: Presend) -> None:
    """Request each path on a connection of its own."""
    for path in PATHS:
        url = f"http://127.0.0.1:{presend.http_port}{path}"
        with urllib.request.urlopen(url, timeout=PROMPT) as response:
            assert response.status == 200


@pytest.mark.slow
@pytest.mark.parametrize("begin", [silent, unfinished, unread, kept])
@pytest.mark.parametrize("count", [100, 1000])
def test_probes_are_answered_beside_many_connections(
    start: Start, upstream: Upstream, count: int, begin: Callable[[socket.socket], None]
) -> None:
    presend = start(upstream)
    with connections(presend.http_port, count, begin) as opened:
        all_answered(presend)
        most = 100 if begin is kept else 0
        eventually(
            lambda: len([sock for sock in opened if not closed(sock)]) <= most,
            "the connections that wait are closed",
        )
        all_answered(presend)


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, 1000])
def test_a_request_that_drips_is_cut(start: Start, upstream: Upstream, count: int) -> None:
    presend = start(upstream)
    with connections(presend.http_port, count, unfinished) as opened, dripping(opened):
        all_answered(presend)
        eventually(lambda: all(map(closed, opened)), "every slow connection is closed")
        all_answered(presend)


def test_probes_are_answered_while_connections_are_made_without_a_pause(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream)
    ended = threading.Event()

    def flood() -> None:
        held: list[socket.socket] = []
        while not ended.is_set():
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", presend.http_port), PROMPT))
            if len(held) > 500:
                held.pop(0).close()
        for sock in held:
            sock.close()

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            all_answered(presend)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
