"""The connection of one client: octets, lines and turns, back-pressure, idle time, TLS.

The connection reads command lines and content and hands them to the session, one after another. It
reads nothing behind a command that has to wait, so that a session waits for one thing at a time,
and replies leave in order: all that are ready when a turn ends leave in one write (RFC 2920 3.2).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

from relay.reply import TABLE, Reply
from relay.settings.endpoints import is_loopback
from relay.smtp.server.commands import BadCommand, Input
from relay.smtp.server.flow import (
    HANDSHAKING,
    REPLIES_UNREAD,
    TOO_FAR_AHEAD,
    UPSTREAM_SLOW,
    Flow,
)
from relay.smtp.server.pace import Pace
from relay.smtp.server.session import Session
from relay.smtp.server.turns import OCTETS

if TYPE_CHECKING:
    from relay.smtp.server.server import Server

_logger = logging.getLogger(__name__)

_HANDSHAKE: Final = 30.0  # seconds for TLS


class Connection(asyncio.BufferedProtocol):
    """One connection from the application."""

    __slots__ = (
        "_active",
        "_content",
        "_eof",
        "_handshake",
        "_out",
        "_queued",
        "_running",
        "_server",
        "_session",
        "_ticked",
        "_write_buffer",
        "closing",
        "draining",
        "flow",
        "input",
        "loopback",
        "pace",
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
        self._handshake: asyncio.Task[None] | None = None
        self._out: list[bytes] = []
        self._running = False
        self._queued = False
        self._eof = False
        self.flow = Flow(self, server.budget)
        """Why nothing is read at the moment."""
        self.pace = Pace(server.limits)
        self._ticked = 0.0
        self._active = False
        self._content = 0

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the banner, or a refusal."""
        self.flow.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self._ticked = self._server.clock()
        refusal = self._server.admit(self)
        if refusal is not None:
            self.hang_up(refusal)
            return
        self.loopback = is_loopback(self.peer)
        self._session = Session(self._server, self)
        self.say(self._server.banner)
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the buffer is what it is
        """Return the buffer that all connections share: it is emptied before the next is read."""
        return self._server.budget.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        buffer = self._server.budget.read_buffer
        if nbytes == len(buffer):
            self._server.turns.has_read(self)
        self.data_received(bytes(buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session; stop reading from a client that is too far ahead."""
        session = self._session
        if self.closing or session is None:
            return
        if session.waiting or self._queued:
            self.input.feed(data)
            self._hold()
        else:
            self._run(session, data)

    def _run(self, session: Session, arrived: bytes = b"") -> None:
        """Have one turn: read until it is over, or until something has to be waited for."""
        self._running = True
        try:
            self._read(session, arrived)
        except Exception:
            _logger.exception("A session failed")
            self.hang_up(TABLE["OUR_FAULT"])
        finally:
            self._running = False
        if self.draining and not (session.in_transaction or self.closing):
            self.hang_up(TABLE["DRAINING"])
        elif not session.waiting:
            self.flush()
        if self.input.left or self.flow.held:
            self._hold()
        if self._queued:
            self._queue()

    def _read(self, session: Session, arrived: bytes) -> None:
        unread = self.input
        if session.receiving and not unread.left:
            self._take_content(session, arrived)
        elif arrived:
            unread.feed(arrived)
        end = unread.left - OCTETS
        while unread.left and not (session.waiting or self.closing):
            if unread.left <= end:
                self._queued = True
                return
            if session.receiving:
                self._take_content(session, unread.take())
                continue
            try:
                line = unread.line()
                if line is None:
                    return
                self._active = True
                session.line(line)
            except BadCommand as bad:
                session.mistake(bad.reply)

    def _take_content(self, session: Session, octets: bytes) -> None:
        self._active = True
        self._content += len(octets)
        session.content(octets)

    def _queue(self) -> None:
        """Wait for a turn, unless the client has first to read its replies."""
        if not self.flow.causes & REPLIES_UNREAD:
            self._server.turns.join(self)

    def take_turn(self) -> None:
        """Read more of what the client sent ahead."""
        if self.flow.causes & REPLIES_UNREAD:
            return  # `resume_writing` asks for another turn
        self._queued = False
        if self._session is not None and not self.closing:
            self._run(self._session)
            self._settle(self._session)

    def eof_received(self) -> bool:
        """Let a client that has only stopped sending read the reply that is due."""
        self._eof = True
        if self._session is None or not (self._session.waiting or self._queued):
            self._close()  # what was answered a moment ago is still in the write buffer
        return not self.tls

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it is over
        """End the transaction: an unfinished message stays unfinished."""
        self.closing = True
        if self.flow.transport is not None:
            self._write_buffer.discard(self.flow.transport)
            self.flow.transport = None
        self._server.remove(self)
        if self._session is not None:
            self._session.close()
            self._session = None
        self._server.budget.hold(self, 0)

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its replies."""
        self.flow.pause(REPLIES_UNREAD)
        if self.flow.transport is not None:
            self.flow.unread = self.flow.transport.get_write_buffer_size()
            self._hold()

    def resume_writing(self) -> None:
        """Read again."""
        self.flow.unread = 0
        self._hold()
        self.flow.resume(REPLIES_UNREAD)
        if self._queued:
            self._queue()

    # Called by the session

    def say(self, octets: bytes) -> None:
        """Add a reply to those that leave in the next write."""
        self._out.append(octets)

    def flush(self) -> None:
        """Write the replies."""
        if self._out:
            self._active = True
            if self.flow.transport is not None:
                self._write_buffer.write(self.flow.transport, b"".join(self._out))
            self._out.clear()

    def go_on(self) -> None:
        """Read again after a wait, unless there was no wait and `_run` is still at work."""
        session = self._session
        if self._running or session is None:
            return
        if self.draining and not session.in_transaction:
            self.hang_up(TABLE["DRAINING"])
        elif self.input.left:
            self._queued = True
            self._queue()
        else:
            self.flush()
            if self.flow.held or self.flow.causes or self._eof:
                self._settle(session)

    def _settle(self, session: Session) -> None:
        """Read on, once what the client sent ahead is read; or close, if it has closed its side."""
        if session.waiting or self._queued:
            return
        if self.flow.held:
            self._hold()
        if self.flow.causes:
            self.flow.resume(TOO_FAR_AHEAD)
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
        if self.flow.transport is not None:
            self._write_buffer.write_now(self.flow.transport)
            self.flow.transport.close()
        self.input.clear()
        self.flow.unsent = 0
        self._queued = False
        self._hold()

    def pause_content(self, unsent: int) -> None:
        """Stop reading: the upstream is slower than the client, and has `unsent` octets to read."""
        self.flow.pause(UPSTREAM_SLOW)
        self.flow.unsent = unsent
        self._hold()

    def resume_content(self) -> None:
        """Read again, if reading was stopped for the upstream's sake."""
        if self.flow.causes & UPSTREAM_SLOW:
            self.flow.unsent = 0
            self._hold()
            self.flow.resume(UPSTREAM_SLOW)

    def start_tls(self) -> None:
        """Begin the handshake; `session.secured` is called once the connection is encrypted."""
        if self.flow.transport is not None:
            self._write_buffer.write_now(self.flow.transport)
        self.flow.pause(HANDSHAKING)  # the first octets of the handshake must reach TLS
        self._handshake = self._server.spawn(self._upgrade())

    async def _upgrade(self) -> None:
        transport, context = self.flow.transport, self._server.tls
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
        if upgraded is None or self.flow.transport is None or self._session is None:
            return
        self.flow.transport = upgraded
        self.flow.causes = 0
        self.tls = True
        self._session.secured()

    def _end_handshake(self, transport: asyncio.Transport) -> None:
        """Close; asyncio tells only its TLS protocol that the connection was lost."""
        transport.abort()
        if self.flow.transport is not None:
            self.connection_lost(None)

    # Called by the server

    def tick(self, now: float) -> None:
        """Close a connection whose client is idle or too slow, also in the middle of a message."""
        seconds, self._ticked = now - self._ticked, now
        active, self._active = self._active, False
        octets, self._content = self._content, 0
        session = self._session
        causes = self.flow.causes
        ours = (self._queued or causes) and not causes & REPLIES_UNREAD
        if session is not None and not self.closing and (session.waiting or ours):
            return  # it is not the client's turn
        receiving = session is not None and session.receiving
        reply = self.pace.tick(
            seconds,
            active=active,
            in_transaction=self.in_transaction,
            octets=octets if receiving else None,
        )
        if reply is None:
            return
        if self.closing or session is None:
            self.abort()  # it was closed long ago, and the client does not read
        else:
            self.hang_up(reply)

    def drain(self) -> None:
        """Close now if no transaction is open, else when it has ended."""
        self.draining = True
        if self._handshake is not None:
            self._handshake.cancel()
        elif not (self.in_transaction or self.closing):
            self.hang_up(TABLE["DRAINING"])

    def end(self, reply: Reply) -> None:
        """End the session with a reply, if the client reads it, also within a transaction."""
        if not self.closing:
            self.hang_up(reply)
        if self.flow.unread:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.closing = True
        if self.flow.transport is not None:
            self._write_buffer.discard(self.flow.transport)
            self.flow.transport.abort()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._session is not None and self._session.in_transaction

    def _hold(self) -> None:
        waiting = self._queued or (self._session is not None and self._session.waiting)
        self.flow.hold(self.input.left, waiting=waiting)
