"""The SMTP server: what all connections share, who may connect, and how they are drained."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from relay import reply as replies
from relay.reply import TABLE, Reply
from relay.settings.clients import Access
from relay.settings.groups import Limits
from relay.smtp.server.auth import MECHANISMS
from relay.smtp.server.budget import Budget
from relay.smtp.server.connection import Connection
from relay.smtp.server.content import Received
from relay.smtp.server.guesses import Guesses
from relay.smtp.server.metrics import ServerMetrics
from relay.smtp.server.turns import Turns
from relay.smtp.transaction import Backend
from relay.smtp.write_buffer import WriteBuffer
from validators.pipeline import Pipeline

Spawn: TypeAlias = Callable[[Coroutine[object, object, None]], "asyncio.Task[None]"]
"""Starts a task that its owner cancels at the latest when the process ends."""


class Server:
    """Limits and offers of the SMTP server, and its open connections."""

    __slots__ = (
        "_draining",
        "_emptied",
        "_ids",
        "_prefix",
        "access",
        "backend",
        "banner",
        "budget",
        "clock",
        "connections",
        "guesses",
        "hostname",
        "limits",
        "metrics",
        "received",
        "sender_pipeline",
        "spawn",
        "tls",
        "turns",
        "write_buffer",
    )

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        hostname: str,
        limits: Limits,
        backend: Backend,
        sender_pipeline: Pipeline,
        access: Access,
        metrics: ServerMetrics,
        write_buffer: WriteBuffer,
        spawn: Spawn,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`access` decides which clients may relay."""
        self.hostname = hostname
        self.limits = limits
        self.backend = backend
        self.sender_pipeline = sender_pipeline
        self.write_buffer = write_buffer
        self.spawn = spawn
        self.clock = backend.clock
        self.tls = tls
        self.received = Received(hostname, time.time)
        self.metrics = metrics
        self.turns = Turns(write_buffer.at_turn_end)
        self.budget = Budget(limits.buffers)
        self.guesses = Guesses(self.clock)
        self.banner = replies.banner(hostname)
        self.connections: set[Connection] = set()
        self.access = access
        self._draining = False
        self._emptied = asyncio.Event()
        self._prefix = secrets.token_hex(4)
        self._ids = itertools.count(1)

    def connected(self) -> Connection:
        """Return the protocol of a new connection: asyncio's protocol factory."""
        return Connection(self)

    def admit(self, connection: Connection) -> Reply | None:
        """Count a connection in, or return what to say instead of the banner."""
        if not self.access.permits(connection.peer):
            self.metrics.session_refused("client")
            return TABLE["CLIENT_REFUSED"]
        if self._draining:
            self.metrics.session_refused("draining")
            return TABLE["DRAINING"]
        if len(self.connections) >= self.limits.connections:
            self.metrics.session_refused("connections")
            return TABLE["TOO_MANY_CONNECTIONS"]
        self.connections.add(connection)
        return None

    def remove(self, connection: Connection) -> None:
        """Count a connection out, whether or not it was admitted."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def next_id(self) -> str:
        """Return a new message id; the prefix differs between processes."""
        return f"{self._prefix}{next(self._ids):x}"

    def offers_auth(self, connection: Connection) -> bool:
        """Whether AUTH may be used: never where a password would cross a network in clear."""
        return self.access.credentials is not None and (connection.tls or connection.loopback)

    def ehlo(self, connection: Connection) -> bytes:
        """Return the reply to EHLO."""
        keywords = [
            "PIPELINING",
            f"SIZE {self.limits.message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "ENHANCEDSTATUSCODES",
            f"LIMITS RCPTMAX={self.limits.recipients}",
            "CHUNKING",
        ]
        if self.tls is not None and not connection.tls:
            keywords.append("STARTTLS")
        if self.offers_auth(connection):
            keywords.append("AUTH " + " ".join(MECHANISMS))
        return replies.ehlo(self.hostname, keywords)

    def tick(self, now: float) -> None:
        """Close connections that are idle or too slow, and those that hold too much."""
        for connection in tuple(self.connections):
            connection.tick(now)
        for connection in self.budget.tick(now):
            self.metrics.session_deferred()
            connection.end(TABLE["NO_ROOM"])

    def drain(self) -> None:
        """Refuse new sessions, and close each open one as soon as it is in no transaction."""
        self._draining = True
        for connection in tuple(self.connections):
            connection.drain()

    async def emptied(self) -> None:
        """Wait until no connection is open."""
        while self.connections:
            self._emptied.clear()
            await self._emptied.wait()

    def cut(self) -> int:
        """Close every connection; return the number of transactions that were open."""
        left = tuple(self.connections)
        cut = sum(connection.in_transaction for connection in left)
        for connection in left:
            connection.end(TABLE["DRAINING"])
        return cut
