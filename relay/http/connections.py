"""The connections of the HTTP server: their deadlines, and which one is closed for a newcomer.

A probe has to be answered whatever other clients do. Therefore no connection is refused: when there
are too many, the one whose last complete request is longest ago is closed. A client that keeps its
connection, such as Prometheus, connects again for its next request.
"""

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import termios
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from aiohttp import web

from relay.settings.clients import site_of
from relay.settings.endpoints import is_loopback

_protocol_logger = logging.getLogger(f"{__name__}.protocol")
_protocol_logger.setLevel(logging.CRITICAL)  # a malformed request must not fill the log

LINE: Final = 4096
"""Octets of the request line, and of each header."""
HEADERS: Final = 64
"""Headers of a request."""
_SEND_BUFFER: Final = 32 << 10
"""Octets of the kernel's buffer. Without a bound it grows to megabytes for a client that does not
read, and counts as memory of the container."""
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing discards what is unsent, and resets the connection."""

_INT: Final = struct.Struct("i")


class Limits(NamedTuple):
    """Bounds on the number of connections, and in seconds on each state of a connection."""

    connections: int = 100
    """Connections of all peers."""
    of_a_peer: int = 25
    """Connections of one peer address."""
    spared: float = 1.0
    """Time in which no connection is closed for a newcomer, so that its request can arrive."""
    most: int = 250
    """Connections of all peers, including those that are spared."""
    request: float = 5.0
    """From the connect, or from the first octets of a further request, to a complete request."""
    handling: float = 30.0
    """From a complete request to the beginning of its response."""
    response: float = 10.0
    """For the client to read a response."""
    idle: float = 75.0
    """Between two requests on a connection; Prometheus scrapes more often."""


LIMITS: Final = Limits()


class Connections:
    """The open connections, in the order of their last complete requests."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: OrderedDict[Connection, None] = OrderedDict()
        self._of_peer: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    def add(self, connection: "Connection") -> None:
        """Count a new connection in; close others if there are too many now."""
        self._open[connection] = None
        self._of_peer[connection.peer] += 1
        self._close_surplus()

    def renew(self, connection: "Connection") -> None:
        """Put a connection that has sent a complete request at the end of the order."""
        if connection in self._open:
            self._open.move_to_end(connection)

    def remove(self, connection: "Connection") -> None:
        """Count a connection out, unless it has been counted out before."""
        if connection in self._open:
            del self._open[connection]
            self._of_peer[connection.peer] -= 1
            if not self._of_peer[connection.peer]:
                del self._of_peer[connection.peer]

    def _close_surplus(self) -> None:
        limits = self.limits
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._open):
            if (
                len(self._open) <= limits.connections
                and self._of_peer[connection.peer] <= limits.of_a_peer
            ):
                continue
            left = connection.renewed + limits.spared - now
            if len(self._open) <= limits.most:
                if left > 0:
                    self._close_surplus_later(left)
                    return
                if connection.handling:  # it waits for presend, not presend for it
                    continue
            connection.cut()

    def _close_surplus_later(self, seconds: float) -> None:
        def close() -> None:
            self._timer = None
            self._close_surplus()

        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, close)


class Connection(web.RequestHandler):
    """aiohttp's connection, with a deadline in every state.

    aiohttp alone bounds only the time between two requests. At its end it closes the transport,
    which then waits without a bound for the client to read what was written.
    """

    def __init__(self, server: web.Server, connections: Connections) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=cast("logging.Logger", None),  # None means no log
            logger=_protocol_logger,
            keepalive_timeout=connections.limits.idle,
            lingering_time=0,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=HEADERS,
        )
        self.peer = ""
        self.renewed = 0.0
        """Time of the loop at the last complete request, or at the connect."""
        self.handling = False
        """Whether a complete request waits for its response."""
        self._connections = connections
        self._client: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._begun = False  # whether octets of a further request have arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._client = cast("asyncio.Transport", transport)
        self._set_option(socket.SO_SNDBUF, _SEND_BUFFER)
        self.peer = peer_of(transport.get_extra_info("peername"))
        self.renewed = self._loop.time()
        self._expect(self._connections.limits.request, self.cut)
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._connections.remove(self)
        self._client = None
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on a part of a request; the deadline for the whole is not extended by it."""
        self._begun = True
        if self._deadline is None:
            self._expect(self._connections.limits.request, self.cut)
        super().data_received(data)

    def handle(self) -> None:
        """Begin to handle a complete request."""
        self._begun = False
        self.handling = True
        self.renewed = self._loop.time()
        self._connections.renew(self)
        self._expect(self._connections.limits.handling, self.cut)

    def respond(self) -> None:
        """Begin to send the response."""
        self.handling = False
        self._expect(self._connections.limits.response, self._end_of_response)

    def cut(self) -> None:
        """Close the connection without waiting for the client to read."""
        self._connections.remove(self)
        if self._client is None:
            return
        if self._unread():  # a FIN would wait behind what is not read
            self._set_option(socket.SO_LINGER, _RESET)
        self._client.abort()

    def _unread(self) -> bool:
        """Whether octets of a response wait for the client, here or in the kernel (tcp(7))."""
        if self._client is None:
            return False
        if self._client.get_write_buffer_size():
            return True
        with contextlib.suppress(OSError):  # the connection is closed, or the system cannot tell
            sock = self._client.get_extra_info("socket")
            octets = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
            return bool(_INT.unpack(octets)[0])
        return False

    def _set_option(self, option: int, value: int | bytes) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError):  # the client has already reset the connection
                self._client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, value)

    def _end_of_response(self) -> None:
        """Cut a client that has not read the response; expect the rest of its next request."""
        self._deadline = None
        if self._unread():
            self.cut()
        elif self._begun:
            self._expect(self._connections.limits.request, self.cut)

    def _expect(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._cancel_deadline()
        if self._client is not None:
            self._deadline = self._loop.call_later(seconds, otherwise)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def peer_of(address: object) -> str:
    """Return what counts as one peer: an IPv4 address, an IPv6 /64, or the machine itself.

    `address` is that of a socket, as a tuple.
    """
    if not isinstance(address, tuple):
        return ""
    site = site_of(str(address[0]))
    return "loopback" if is_loopback(site) else site
