"""The socket of one client: octets in and out, back-pressure, idle time, TLS (RFC 3207)."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING, Final

from relay.reply import TABLE
from relay.smtp.server.session import Session
from relay.smtp.upstream.connection import as_transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.smtp.server.rules import Rules

_logger = logging.getLogger(__name__)

_FULL: Final = 65536  # octets a client may send ahead of the replies
_HANDSHAKE: Final = 30.0  # seconds for TLS

# Why nothing is read from the client at the moment; reasons add up.
_AHEAD: Final = 1
_UPSTREAM: Final = 2
_DEAF: Final = 4
_TLS: Final = 8


class Client(asyncio.Protocol):
    """One connection from the application."""

    __slots__ = (
        "_eof",
        "_handshake",
        "_heard",
        "_holds",
        "_last",
        "_outbox",
        "_rules",
        "_session",
        "_transport",
        "closing",
        "loopback",
        "peer",
        "tls",
    )

    def __init__(self, rules: Rules) -> None:
        """`rules` are what all sessions share."""
        self.peer = ""
        self.tls = False
        self.loopback = False
        self._rules = rules
        self._outbox = rules.outbox
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None
        self.closing = self._eof = False
        self._holds = 0
        self._last = 0.0
        self._heard = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or turn away."""
        self._transport = as_transport(transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self._last = self._rules.clock()
        refusal = self._rules.doorman.enter(self, self.peer)
        if refusal is not None:
            self.write(refusal.wire)
            self.close()
            return
        self.loopback = _is_loopback(self.peer)
        self._session = Session(self._rules, self)
        self.write(self._rules.banner)

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session; hold the client back while it is too far ahead."""
        self._heard = True
        session = self._session
        if self.closing or session is None:
            return
        session.receive(data)
        if session.input.left > _FULL:
            self._hold(_AHEAD)

    def eof_received(self) -> bool:
        """Let a client that only stopped sending still read the reply that is due."""
        self._eof = True
        return self._session is not None and not self._session.listening and not self.tls

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it is over
        """End what was under way: an unfinished message stays unfinished."""
        self.closing = True
        if self._transport is not None:
            self._outbox.forget(self._transport)
            self._transport = None
        self._rules.doorman.leave(self)
        if self._session is not None:
            self._session.lost()
            self._session = None

    def pause_writing(self) -> None:
        """Read nothing from a client that does not read its replies."""
        self._hold(_DEAF)

    def resume_writing(self) -> None:
        """Go on."""
        self._release(_DEAF)

    # delivery.Flow

    def pause(self) -> None:
        """Read no more: the upstream is slower than the client."""
        self._hold(_UPSTREAM)

    def resume(self) -> None:
        """Go on reading."""
        self._release(_UPSTREAM)

    # The session's calls

    def write(self, octets: bytes) -> None:
        """Send replies."""
        self._heard = True
        if self._transport is not None:
            self._outbox.write(self._transport, octets)

    def close(self) -> None:
        """Close once everything written has been sent."""
        self.closing = True
        if self._transport is not None:
            self._outbox.write_now(self._transport)
            self._transport.close()

    def caught_up(self) -> None:
        """Read on after a wait; close behind a client that had stopped sending."""
        self._release(_AHEAD)
        if self._eof and self._session is not None and not self._session.busy:
            self.close()

    def start_tls(self, done: Callable[[], None]) -> None:
        """Begin the handshake; `done` is called when the connection is encrypted."""
        if self._transport is not None:
            self._outbox.write_now(self._transport)
        self._hold(_TLS)  # the first octets of the handshake must reach TLS, not the session
        self._handshake = self._rules.services.spawn(self._upgrade(done))

    async def _upgrade(self, done: Callable[[], None]) -> None:
        transport, context = self._transport, self._rules.tls
        if transport is None or context is None:
            return
        try:
            upgraded = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=min(_HANDSHAKE, self._rules.bounds.idle),
            )
        except (OSError, TimeoutError) as error:
            _logger.warning("TLS handshake with client %s failed: %s", self.peer, error)
            self._gone_in_handshake(transport)
            return
        except asyncio.CancelledError:
            self._gone_in_handshake(transport)
            raise
        finally:
            self._handshake = None
        if upgraded is None or self._transport is None:
            return
        self._transport = upgraded
        self._holds = 0
        self.tls = True
        done()

    def _gone_in_handshake(self, transport: asyncio.Transport) -> None:
        transport.abort()
        if self._transport is not None:  # its loss was told to TLS, not to us
            self.connection_lost(None)

    # The listener's calls

    def tick(self, now: float) -> None:
        """Close what has been idle too long, also in the middle of a message."""
        if self._heard:  # since the tick before: cheaper than to read the clock at every command
            self._heard = False
            self._last = now
            return
        session = self._session
        silent = session is None or session.listening
        if not silent or now - self._last < self._rules.bounds.idle:
            return
        if self.closing or session is None:
            self.cut()  # told to close long ago, and does not read
        else:
            session.hang_up(TABLE["IDLE"])

    def drain(self) -> None:
        """Close now if nothing is under way, else when it has ended."""
        if self._handshake is not None:
            self._handshake.cancel()
        elif self._session is not None and not self.closing:
            self._session.drain()

    def cut(self) -> None:
        """Close at once."""
        self.closing = True
        if self._transport is not None:
            self._outbox.forget(self._transport)
            self._transport.abort()

    @property
    def busy(self) -> bool:
        """Whether a transaction is under way."""
        return self._session is not None and self._session.in_transaction

    def _hold(self, why: int) -> None:
        if not self._holds and self._transport is not None:
            self._transport.pause_reading()
        self._holds |= why

    def _release(self, why: int) -> None:
        if not self._holds & why:
            return
        self._holds &= ~why
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback
