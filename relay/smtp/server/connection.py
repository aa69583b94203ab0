"""The connection of one client: octets, lines and turns, back-pressure, idle time, TLS.

The connection reads command lines and content and hands them to the session, one after another. It
reads nothing behind a command that has to wait, so that a session waits for one thing at a time,
and replies leave in order: all that are ready when the input is read leave in one write (RFC 2920
3.2).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING, Final, cast

from relay.reply import TABLE, Reply
from relay.smtp.server.commands import BadCommand, Input
from relay.smtp.server.session import Session

if TYPE_CHECKING:
    from relay.smtp.server.server import Server

_logger = logging.getLogger(__name__)

_READ_AHEAD: Final = 65536  # octets a client may send ahead of the replies
_HANDSHAKE: Final = 30.0  # seconds for TLS

# Why nothing is read from the client at the moment; several may hold at once.
_TOO_FAR_AHEAD: Final = 1
_UPSTREAM_SLOW: Final = 2
_REPLIES_UNREAD: Final = 4
_HANDSHAKING: Final = 8


class Connection(asyncio.Protocol):
    """One connection from the application."""

    __slots__ = (
        "_active",
        "_eof",
        "_handshake",
        "_last_active",
        "_out",
        "_paused",
        "_running",
        "_server",
        "_session",
        "_transport",
        "_write_buffer",
        "closing",
        "draining",
        "input",
        "loopback",
        "peer",
        "tls",
    )

    def __init__(self, server: Server) -> None:
        """`server` is what all connections share."""
        self.peer = ""
        """The client's IP address."""
        self.tls = False
        self.loopback = False
        self.closing = False
        """Nothing more is read."""
        self.draining = False
        """The connection is closed as soon as no transaction is open."""
        self.input = Input()
        self._server = server
        self._write_buffer = server.write_buffer
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._out: list[bytes] = []
        self._running = False
        self._eof = False
        self._paused = 0
        self._last_active = 0.0
        self._active = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the banner, or a refusal."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self._last_active = self._server.clock()
        refusal = self._server.admit(self)
        if refusal is not None:
            self.hang_up(refusal)
            return
        self.loopback = _is_loopback(self.peer)
        self._session = Session(self._server, self)
        self.say(self._server.banner)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session; stop reading from a client that is too far ahead."""
        self._active = True
        session = self._session
        if self.closing or session is None:
            return
        if session.waiting:
            self.input.feed(data)
        else:
            self._run(session, data)
        if self.input.left > _READ_AHEAD:
            self._pause(_TOO_FAR_AHEAD)

    def _run(self, session: Session, arrived: bytes = b"") -> None:
        """Work through the input until it is read or something has to be waited for."""
        unread = self.input
        self._running = True
        try:
            if session.receiving and not unread.left:
                session.content(arrived)
            elif arrived:
                unread.feed(arrived)
            while unread.left and not (session.waiting or self.closing):
                if session.receiving:
                    session.content(unread.take())
                    continue
                try:
                    line = unread.line()
                    if line is None:
                        break
                    session.line(line)
                except BadCommand as bad:
                    session.mistake(bad.reply)
        except Exception:
            _logger.exception("A session failed")
            self.hang_up(TABLE["OUR_FAULT"])
        finally:
            self._running = False
        if self.draining and not (session.in_transaction or self.closing):
            self.hang_up(TABLE["DRAINING"])
        elif not session.waiting:
            self.flush()

    def eof_received(self) -> bool:
        """Let a client that has only stopped sending read the reply that is due."""
        self._eof = True
        return self._session is not None and self._session.waiting and not self.tls

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it is over
        """End the transaction: an unfinished message stays unfinished."""
        self.closing = True
        if self._transport is not None:
            self._write_buffer.discard(self._transport)
            self._transport = None
        self._server.remove(self)
        if self._session is not None:
            self._session.close()
            self._session = None

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its replies."""
        self._pause(_REPLIES_UNREAD)

    def resume_writing(self) -> None:
        """Read again."""
        self._resume(_REPLIES_UNREAD)

    # Called by the session

    def say(self, octets: bytes) -> None:
        """Add a reply to those that leave in the next write."""
        self._out.append(octets)

    def flush(self) -> None:
        """Write the replies."""
        self._active = True
        if self._out and self._transport is not None:
            self._write_buffer.write(self._transport, b"".join(self._out))
        self._out.clear()

    def go_on(self) -> None:
        """Read again after a wait, unless there was no wait and `_run` is still at work."""
        session = self._session
        if self._running or session is None:
            return
        if self.draining and not session.in_transaction:
            self.hang_up(TABLE["DRAINING"])
            return
        if self.input.left:
            self._run(session)
        else:
            self.flush()
        if not session.waiting:
            if self._paused:
                self._resume(_TOO_FAR_AHEAD)
            if self._eof:
                self._close()

    def hang_up(self, reply: Reply) -> None:
        """Send `reply` as the last one, and close once it has been sent."""
        self.say(reply.wire)
        self.flush()
        if self._session is not None:
            self._session.close()
        self._close()

    def _close(self) -> None:
        self.closing = True
        if self._transport is not None:
            self._write_buffer.write_now(self._transport)
            self._transport.close()

    def pause_content(self) -> None:
        """Stop reading: the upstream is slower than the client."""
        self._pause(_UPSTREAM_SLOW)

    def resume_content(self) -> None:
        """Read again."""
        self._resume(_UPSTREAM_SLOW)

    def start_tls(self) -> None:
        """Begin the handshake; `session.secured` is called once the connection is encrypted."""
        if self._transport is not None:
            self._write_buffer.write_now(self._transport)
        self._pause(_HANDSHAKING)  # the first octets of the handshake must reach TLS
        self._handshake = self._server.spawn(self._upgrade())

    async def _upgrade(self) -> None:
        transport, context = self._transport, self._server.tls
        if transport is None or context is None:
            return
        try:
            upgraded = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=min(_HANDSHAKE, self._server.limits.idle),
            )
        except (OSError, TimeoutError) as error:
            _logger.warning("TLS handshake with client %s failed: %s", self.peer, error)
            self._end_handshake(transport)
            return
        except asyncio.CancelledError:
            self._end_handshake(transport)
            raise
        finally:
            self._handshake = None
        if upgraded is None or self._transport is None or self._session is None:
            return
        self._transport = upgraded
        self._paused = 0
        self.tls = True
        self._session.secured()

    def _end_handshake(self, transport: asyncio.Transport) -> None:
        """Close; asyncio tells only its TLS protocol that the connection was lost."""
        transport.abort()
        if self._transport is not None:
            self.connection_lost(None)

    # Called by the server

    def tick(self, now: float) -> None:
        """Close a connection that has been idle too long, also in the middle of a message."""
        if self._active:  # since the tick before: cheaper than reading the clock at every command
            self._active = False
            self._last_active = now
            return
        session = self._session
        idle = session is None or not session.waiting
        if not idle or now - self._last_active < self._server.limits.idle:
            return
        if self.closing or session is None:
            self.abort()  # it was closed long ago, and the client does not read
        else:
            self.hang_up(TABLE["IDLE"])

    def drain(self) -> None:
        """Close now if no transaction is open, else when it has ended."""
        self.draining = True
        if self._handshake is not None:
            self._handshake.cancel()
        elif not (self.in_transaction or self.closing):
            self.hang_up(TABLE["DRAINING"])

    def abort(self) -> None:
        """Close at once."""
        self.closing = True
        if self._transport is not None:
            self._write_buffer.discard(self._transport)
            self._transport.abort()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._session is not None and self._session.in_transaction

    def _pause(self, cause: int) -> None:
        if not self._paused and self._transport is not None:
            self._transport.pause_reading()
        self._paused |= cause

    def _resume(self, cause: int) -> None:
        if not self._paused & cause:
            return
        self._paused &= ~cause
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback
