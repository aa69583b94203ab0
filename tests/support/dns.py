"""Name servers on loopback: nsd with zones given as text, a silent one, and two scripted ones."""

import asyncio
import contextlib
import selectors
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import dns.message
import dns.rdatatype
import dns.rrset

from tests.support.need import program

SERVFAIL = "SERVFAIL"
"""In place of a zone's records: nsd answers SERVFAIL for the zone."""

_HEADER = """\
$ORIGIN {origin}
$TTL {ttl}
@ IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 {negative_ttl}
@ IN NS ns.invalid.
"""

_SETTINGS = """\
server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    pidfile: ""
    database: ""
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    rrl-ratelimit: 0
    verbosity: 1
remote-control:
    control-enable: no
"""


@contextlib.contextmanager
def serve(
    zones: Mapping[str, str],
    folder: Path,
    *,
    ttl: int = 300,
    negative_ttl: int = 60,
) -> Iterator[tuple[str, int]]:
    """Run nsd with `zones` (origin to master-file lines, or SERVFAIL); yield its address.

    A query for a name outside all zones is REFUSED, as by any authoritative server; serve the zone
    "." to get NXDOMAIN instead.
    """
    port = _free_port()
    settings = _SETTINGS.format(port=port, folder=folder)
    for number, (origin, records) in enumerate(zones.items()):
        settings += f'zone:\n    name: "{origin}"\n    zonefile: "{number}.zone"\n'
        if records != SERVFAIL:
            header = _HEADER.format(origin=_absolute(origin), ttl=ttl, negative_ttl=negative_ttl)
            (folder / f"{number}.zone").write_text(f"{header}{records}\n", encoding="ascii")
    path = folder / "nsd.conf"
    path.write_text(settings, encoding="ascii")
    process = subprocess.Popen(
        [program("nsd"), "-d", "-c", str(path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            _wait_until_started(process)
            yield "127.0.0.1", port
        finally:
            process.terminate()


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """Yield the address of a server that receives queries and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


class Held(asyncio.DatagramProtocol):
    """A name server that holds each query until the test answers it."""

    def __init__(self) -> None:
        self.questions: asyncio.Queue[tuple[dns.message.Message, tuple[str, int]]] = asyncio.Queue()
        self.asked: list[str] = []
        self.transport: asyncio.DatagramTransport
        self.address: tuple[str, int]

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Store the transport and its address."""
        self.transport = transport
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Store a query."""
        message = dns.message.from_wire(data)
        # presend writes some letters in upper case, as the bits come
        name, kind = message.question[0].name, message.question[0].rdtype
        self.asked.append(f"{name.to_text().lower()} IN {dns.rdatatype.to_text(kind)}")
        self.questions.put_nowait((message, addr))

    async def answer(self, *records: str) -> None:
        """Answer the oldest query with records in master-file format."""
        query, client = await self.questions.get()
        self.send(reply_to(query, *records), client)

    def send(self, octets: bytes, client: tuple[str, int]) -> None:
        """Send any octets as a datagram."""
        self.transport.sendto(octets, client)


@contextlib.asynccontextmanager
async def held() -> AsyncIterator[Held]:
    """Run a `Held` name server on loopback."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Held, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


def reply_to(query: dns.message.Message, *records: str) -> bytes:
    """Return a reply that holds `records`, each `name ttl type data` with absolute names."""
    reply = dns.message.make_response(query)
    for record in records:
        name, ttl, kind, data = record.split(" ", 3)
        reply.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return reply.to_wire()


def _wait_until_started(process: subprocess.Popen[str]) -> None:
    """Return when nsd logs that it has started. Raises AssertionError with its log."""
    said = []
    if process.stderr is None:
        raise AssertionError
    for line in process.stderr:
        said.append(line)
        if "nsd started" in line:
            return
    raise AssertionError("nsd did not start:\n" + "".join(said))


def _absolute(origin: str) -> str:
    return origin if origin.endswith(".") else f"{origin}."


def _free_port() -> int:
    """Return a port that is free for UDP and TCP at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.bind(("127.0.0.1", 0))
        port: int = stream.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.bind(("127.0.0.1", port))
    return port


Script = Callable[[dns.message.Message, bool], bytes | None]
"""Returns the reply to a query, which came over TCP if the second argument is true, or None."""


@contextlib.contextmanager
def scripted(script: Script) -> Iterator[tuple[str, int]]:
    """Run a name server in a thread, over UDP and TCP, that answers as `script` says."""
    selector = selectors.DefaultSelector()
    with contextlib.ExitStack() as stack:
        stack.callback(selector.close)
        stream = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        stream.bind(("127.0.0.1", 0))
        stream.listen(100)
        address: tuple[str, int] = stream.getsockname()
        datagram = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagram.bind(address)
        ended, end = socket.socketpair()
        stack.enter_context(ended)
        for each in (stream, datagram, ended):
            selector.register(each, selectors.EVENT_READ)
        thread = threading.Thread(target=_answer, args=(selector, stream, datagram, ended, script))
        thread.start()
        try:
            yield address
        finally:
            end.close()
            thread.join(10)


def _answer(
    selector: selectors.BaseSelector,
    stream: socket.socket,
    datagram: socket.socket,
    ended: socket.socket,
    script: Script,
) -> None:
    """Answer until `ended` can be read."""
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if ended in ready:
            return
        if datagram in ready:
            octets, client = datagram.recvfrom(65_535)
            reply = script(dns.message.from_wire(octets), False)  # noqa: FBT003
            if reply is not None:
                datagram.sendto(reply, client)
        if stream in ready:
            _answer_stream(stream.accept()[0], script)


def _answer_stream(connection: socket.socket, script: Script) -> None:
    with connection, contextlib.suppress(OSError):
        connection.settimeout(5)
        octets = connection.recv(65_535)
        reply = script(dns.message.from_wire(octets[2:]), True)  # noqa: FBT003
        if reply is not None:
            connection.sendall(len(reply).to_bytes(2, "big") + reply)
