"""The mail path in one process, without sockets: clients, relay and upstream on a virtual clock.

`Rig` builds the SMTP server, the transactions and the pool as `relay.app` does, and gives them
transports that are Python objects. Nothing happens by itself: a test sends octets as a client,
lets the upstream reply, and lets time pass; `settle` runs the event loop until nothing is ready.
The upstream's replies wait until the test releases them, whole or in pieces, so every interleaving
of both sides can be made. What the upstream acknowledges is recorded, for comparison with what the
clients were told.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from relay.guard.gate import Gate
from relay.observe.events import Batch, Event, Events
from relay.observe.metrics import Registry
from relay.settings import groups
from relay.settings.clients import Access, parse_network
from relay.smtp.server.connection import Connection as ServerConnection
from relay.smtp.server.metrics import ServerMetrics
from relay.smtp.server.server import Server
from relay.smtp.transaction import Backend
from relay.smtp.upstream.connect import HandshakeError
from relay.smtp.upstream.connection import Connection as UpstreamConnection
from relay.smtp.upstream.connection import Features
from relay.smtp.upstream.metrics import UpstreamMetrics
from relay.smtp.upstream.pool import Failover, Pool
from relay.smtp.write_buffer import WriteBuffer
from validators.address import Address
from validators.pipeline import Pipeline
from validators.policy import Policy
from validators.providers import OTHER
from validators.verdict import CLEAR, Finding, Findings, Reason

HIGH_WATER: Final = 65_536
"""Octets written and not yet read, above which a transport pauses its writer."""
_STEP: Final = 0.25
"""Seconds between two ticks, as in `relay.app`."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still until a test advances it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now

    def settle(self) -> None:
        """Run until no callback is ready; no time passes."""
        for _ in range(10_000):
            self.call_soon(self.stop)
            self.run_forever()
            if not getattr(self, "_ready"):  # noqa: B009 - asyncio offers no public way
                return
        raise AssertionError("the event loop never comes to rest")


class MemoryTransport(asyncio.Transport):
    """One end of a connection whose other end is a test."""

    _start_tls_compatible = True  # asyncio's mark of transports that STARTTLS may wrap

    def __init__(self, loop: VirtualLoop, protocol: asyncio.BaseProtocol, peer: str) -> None:
        super().__init__({"peername": (peer, 1)})
        self.written = bytearray()
        """What the relay wrote and the peer has not read."""
        self.lost = False
        """The relay has been told that the connection is lost."""
        self.aborted = False
        self._loop = loop
        self._protocol: Any = protocol
        self._reading = True
        self._closing = False
        self._writing_paused = False
        self._unread = bytearray()
        self._eof = False

    # What the relay calls

    def write(self, data: Any) -> None:  # noqa: ANN401 - bytes or memoryview, as asyncio has it
        """Take octets from the relay."""
        assert not self.aborted, "a write to an aborted transport"
        self.written += bytes(data)
        if len(self.written) > HIGH_WATER and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`."""
        self._reading = False

    def resume_reading(self) -> None:
        """Deliver again."""
        self._reading = True
        self._loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self._closing

    def close(self) -> None:
        """Close; what was written is still read by the peer."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Close at once."""
        self.aborted = True
        self.close()

    def _force_close(self, _error: BaseException | None) -> None:
        """Close at once; asyncio's TLS protocol calls it."""
        self.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand over to another protocol, as STARTTLS does."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def get_write_buffer_size(self) -> int:
        """Return the octets that the peer has not read."""
        return len(self.written)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore: the limit is HIGH_WATER."""

    # What the peer calls

    def send(self, octets: bytes) -> None:
        """Send to the relay; held back while the relay does not read."""
        if not self._closing:
            self._unread += octets
            self._deliver()

    def send_eof(self) -> None:
        """Close the peer's sending side."""
        self._eof = True
        self._deliver()

    def cut(self) -> None:
        """Break the connection."""
        self.aborted = self._closing = True
        self._lose(ConnectionResetError())

    def read(self) -> bytes:
        """Return what the relay wrote, and let it write on."""
        octets = bytes(self.written)
        self.written.clear()
        if self._writing_paused:
            self._writing_paused = False
            self._protocol.resume_writing()
        return octets

    def _deliver(self) -> None:
        if self._unread and self._reading and not self._closing:
            octets = bytes(self._unread)
            self._unread.clear()
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                while octets:
                    view = memoryview(self._protocol.get_buffer(len(octets)))
                    size = min(len(view), len(octets))
                    view[:size] = octets[:size]
                    self._protocol.buffer_updated(size)
                    octets = octets[size:]
            else:
                self._protocol.data_received(octets)
        if self._eof and not self._unread and self._reading and not self._closing:
            self._eof = False
            if not self._protocol.eof_received():
                self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._protocol.connection_lost(error)


class Client:
    """The application's end of a connection."""

    def __init__(self, rig: "Rig", peer: str = "127.0.0.1") -> None:
        self.connection = ServerConnection(rig.server)
        self.transport = MemoryTransport(rig.loop, self.connection, peer)
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._rig = rig
        self.connection.connection_made(self.transport)

    @property
    def closed(self) -> bool:
        """Whether the relay has ended the connection."""
        return self.transport.lost

    def send(self, octets: bytes) -> None:
        """Send octets."""
        if self._tls is None:
            self.transport.send(octets)
        else:
            self._tls.write(octets)
            self.transport.send(self._outgoing.read())

    def read(self) -> bytes:
        """Return what arrived."""
        octets = self.transport.read()
        if self._tls is None:
            return octets
        self._incoming.write(octets)
        clear = bytearray()
        while True:
            try:
                piece = self._tls.read(HIGH_WATER)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return bytes(clear)
            if not piece:
                return bytes(clear)
            clear += piece

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands; the reply to STARTTLS has been read."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        for _ in range(20):
            self._incoming.write(self.transport.read())
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self.transport.send(self._outgoing.read())
                self._rig.loop.settle()
                continue
            self.transport.send(self._outgoing.read())
            self._rig.loop.settle()
            self._tls = tls
            return
        raise AssertionError("the TLS handshake does not end")


@dataclass
class Acknowledged:
    """A message for which the upstream released a 2yz reply to the final dot."""

    recipients: list[str]
    content: bytes
    """After dot-unstuffing, with presend's Received header in front."""
    claims: int = 0
    """How often a client was told of it."""
    due: bool = False
    """The reply reached the relay whole and in time, so that a client has to be told."""


_PATH: Final = re.compile(rb"(?:MAIL FROM|RCPT TO):<([^>]*)>", re.IGNORECASE)


@dataclass
class UpstreamPeer:
    """The upstream's end of a connection: understands SMTP, and replies when it is told to."""

    transport: MemoryTransport
    rig: "Rig"
    features: Features
    stalled: bool = False
    """Reads nothing."""
    pending: list[tuple[str, bytes]] = field(default_factory=list)
    """Commands that wait for a reply: stage, and the line or the content."""
    accepted: list[str] = field(default_factory=list)
    in_content: bool = False
    mail: bool = False
    _buffer: bytearray = field(default_factory=bytearray)

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self.transport.lost or self.transport.aborted

    def pump(self) -> None:
        """Read what the relay wrote."""
        if self.stalled or self.closed:
            return
        self._buffer += self.transport.read()
        while not self.pending or self.pending[-1][0] != "data":
            if self.in_content:
                end = _end_of_content(self._buffer)
                if end is None:
                    return
                content = bytes(self._buffer[: end[0]])
                del self._buffer[: end[1]]
                self.in_content = False
                self.pending.append(("final", content))
            else:
                line, crlf, rest = bytes(self._buffer).partition(b"\r\n")
                if not crlf:
                    return
                self._buffer = bytearray(rest)
                self.pending.append((line[:4].decode().lower(), line))

    def release(
        self,
        replies: Sequence[bytes | None],
        *,
        cuts: Sequence[int] = (),
        behind: bytes = b"",
    ) -> None:
        """Reply to the first pending commands; None stands for the usual reply.

        The octets go out in pieces cut at `cuts`; `behind` is sent right after them.
        """
        out = bytearray()
        acks = []
        for reply in replies:
            stage, said = self.pending.pop(0)
            octets = reply or self._usual(stage, said)
            ack = self._take(stage, said, octets)
            if ack is not None:
                acks.append(ack)
            out += octets
        wire = bytes(out)
        places = [*sorted({cut % (len(wire) + 1) for cut in cuts} - {0}), len(wire)]
        start = 0
        for place in places:
            last = place == len(wire)
            if last and not self.closed:
                for ack in acks:
                    ack.due = True
            piece = wire[start:place] + (behind if last else b"")
            if piece and not self.closed:
                self.transport.send(piece)
                self.rig.loop.settle()
            start = place
        self.pump()

    def send(self, octets: bytes) -> None:
        """Send octets that no command asked for."""
        if not self.closed:
            self.transport.send(octets)
            self.rig.loop.settle()

    def _usual(self, stage: str, said: bytes) -> bytes:
        if stage == "rcpt":
            path = _path(said).encode()
            if path.startswith(b"no."):
                return b"550-5.1.1 no such user\r\n550 5.1.1 <%b>\r\n" % path
            return b"250 2.1.5 <%b>\r\n" % path
        if stage in {"data", "final"} and not self.accepted:
            return b"554 5.5.1 no recipients\r\n"
        if stage == "final":
            return b"250 2.0.0 queued as %d\r\n" % len(self.rig.acknowledged)
        return {"data": b"354 go\r\n", "quit": b"221 2.0.0 bye\r\n"}.get(stage, b"250 2.0.0 ok\r\n")

    def _take(self, stage: str, said: bytes, reply: bytes) -> Acknowledged | None:
        """Do what the reply says."""
        last = reply[reply.rfind(b"\n", 0, -1) + 1 :]
        good = last[:1] == b"2"
        if stage == "mail" and good:
            self.mail = True
        elif stage == "rcpt" and good and self.mail:
            self.accepted.append(_path(said))
        elif stage == "data" and last[:3] == b"354":
            self.in_content = True
        elif stage == "final":
            recipients, self.accepted, self.mail = self.accepted, [], False
            if good and recipients:
                self.rig.acknowledged.append(Acknowledged(recipients, _unstuffed(said)))
                return self.rig.acknowledged[-1]
        elif stage == "rset":
            self.accepted, self.mail = [], False
        return None


def _path(line: bytes) -> str:
    found = _PATH.match(line)
    assert found is not None, line
    return found[1].decode()


def _end_of_content(buffer: bytearray) -> tuple[int, int] | None:
    if buffer.startswith(b".\r\n"):
        return 0, 3
    end = buffer.find(b"\r\n.\r\n")
    return None if end < 0 else (end + 2, end + 5)


def _unstuffed(content: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"", content)


class _Opener:
    """Opens connections to upstream peers."""

    name = "upstream.test:25"

    def __init__(self, rig: "Rig") -> None:
        self._rig = rig

    async def open(self) -> UpstreamConnection:
        """Return a connection, as soon as the test allows it."""
        rig = self._rig
        while rig.connect_delayed:
            waiter: asyncio.Future[None] = rig.loop.create_future()
            rig.connect_waiters.append(waiter)
            await waiter
        if sum(not peer.closed for peer in rig.peers) >= rig.connect_limit:
            raise HandshakeError("banner", "too many connections", 421, refused=True)
        if rig.connect_refused:
            raise HandshakeError("connect", "refused by the test", 0)
        transport = MemoryTransport(rig.loop, asyncio.Protocol(), "192.0.2.1")
        connection = UpstreamConnection(
            self.name,
            transport,
            rig.features,
            timeouts=groups.UpstreamTimeouts(),
            clock=rig.loop.time,
            write_buffer=rig.write_buffer,
        )
        transport.set_protocol(connection)
        rig.peers.append(UpstreamPeer(transport, rig, rig.features))
        return connection


class _ScriptedCheck:
    """`role@...` is a role account; domains named `slow...` are known when the test says so."""

    name = "scripted"
    unknown = Reason.DNS_UNAVAILABLE

    def __init__(self, rig: "Rig") -> None:
        self._rig = rig

    def examine(self, group: Sequence[Address]) -> Findings | Awaitable[Findings]:
        """Return the findings."""
        if any(address.domain.startswith("slow") for address in group):
            waiter: asyncio.Future[None] = self._rig.loop.create_future()
            self._rig.dns_waiters.append(waiter)
            return self._wait(waiter, list(group))
        return self._findings(group)

    async def _wait(self, waiter: "asyncio.Future[None]", group: Sequence[Address]) -> Findings:
        await waiter
        return self._findings(group)

    def _findings(self, group: Sequence[Address]) -> Findings:
        found = [
            Finding(Reason.ROLE_ACCOUNT) if address.local.startswith("role") else None
            for address in group
        ]
        return found if any(found) else CLEAR


def _provider(domain: str) -> str:
    """Return the mailbox provider of the domains google.example and yahoo.example."""
    name = domain.partition(".")[0]
    return name if name in {"google", "yahoo"} else OTHER


class _Kept:
    """A sink that keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, batch: Batch) -> None:
        """Keep a batch."""
        self.events += [event for _, event in batch]


class _Defects(logging.Handler):
    """Keeps the tracebacks that the relay logs: each is a defect."""

    def __init__(self, failures: list[BaseException]) -> None:
        super().__init__()
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an exception."""
        if record.exc_info and record.exc_info[1] is not None:
            self._failures.append(record.exc_info[1])


class Rig:
    """One relay."""

    def __init__(
        self,
        *,
        limits: groups.Limits | None = None,
        pool: groups.Pool | None = None,
        gate: Gate | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.loop = VirtualLoop()
        self.features = Features(pipelining=True, size=True, eight_bit=True, smtputf8=True)
        self.peers: list[UpstreamPeer] = []
        self.acknowledged: list[Acknowledged] = []
        self.connect_refused = self.connect_delayed = False
        self.connect_limit = 1000
        """Connections that the upstream allows."""
        self.connect_waiters: list[asyncio.Future[None]] = []
        self.dns_waiters: list[asyncio.Future[None]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self._defects = _Defects(self.failures)
        logging.getLogger("relay").addHandler(self._defects)
        self.kept = _Kept()
        self.events = Events(self.loop.time, capacity=64)
        self.events.add_sink(self.kept)
        self.write_buffer = WriteBuffer(self.loop.call_soon)
        clock = self.loop.time
        registry = Registry("rig")
        upstream_metrics = UpstreamMetrics(registry)
        limits = limits or groups.Limits()
        pipeline = Pipeline([_ScriptedCheck(self)], Policy(), provider=_provider, limit=None)
        self.pool = Pool(
            _Opener(self),
            pool or groups.Pool(),
            metrics=upstream_metrics,
            events=self.events,
            clock=clock,
        )
        self.pools = Failover(
            [self.pool], metrics=upstream_metrics, events=self.events, clock=clock
        )
        self.server = Server(
            hostname="relay.test",
            limits=limits,
            backend=Backend(
                campaign="rig",
                pipeline=pipeline,
                gate=gate or Gate(),
                pools=self.pools,
                events=self.events,
                clock=clock,
                most_recipients=limits.recipients,
            ),
            sender_pipeline=pipeline,
            access=Access(map(parse_network, ("0.0.0.0/0", "::/0"))),
            metrics=ServerMetrics(registry),
            write_buffer=self.write_buffer,
            spawn=self._spawn,
            tls=tls,
        )

    def _spawn(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failures.append(error)

    def run(self, action: Callable[[], object]) -> None:
        """Do something in the event loop, and settle."""
        self.loop.call_soon(action)
        self.settle()

    def settle(self) -> None:
        """Run until nothing is ready, and let every upstream peer read."""
        self.loop.settle()
        for peer in self.peers:
            peer.pump()
        self.loop.settle()
        assert not self.failures, self.failures

    def advance(self, seconds: float) -> None:
        """Let time pass, with the relay's ticks."""
        end = self.loop.now + seconds
        while self.loop.now < end:
            self.loop.now = min(end, self.loop.now + _STEP)
            self.server.tick(self.loop.now)
            self.pools.tick(self.loop.now)
            self.settle()

    def answer_dns(self) -> None:
        """Let every check that waits have its answer."""
        waiters, self.dns_waiters = self.dns_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.settle()

    def let_connect(self) -> None:
        """Let every connection that is being opened go on."""
        self.connect_delayed = False
        waiters, self.connect_waiters = self.connect_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.settle()

    def close(self) -> None:
        """End the loop."""
        for connection in tuple(self.server.connections):
            connection.abort()
        for peer in self.peers:
            peer.transport.cut()
        for task in tuple(self.tasks):
            task.cancel()
        self.loop.settle()
        self.loop.close()
        logging.getLogger("relay").removeHandler(self._defects)
