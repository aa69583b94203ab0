"""Pools of upstream connections: one bounded pool for each upstream, with ordered failover.

A transaction takes an idle connection without waiting, or opens one, or waits until one is given
back. A connection that has carried enough messages, or is too old, is closed with QUIT.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from relay.observe.events import Events, ReplyReceived, UpstreamFault
from relay.observe.metrics import OTHER
from relay.reply import INTERMEDIATE, UpstreamReply
from relay.settings import groups
from relay.smtp.upstream.connect import HandshakeError
from relay.smtp.upstream.connection import Connection
from relay.smtp.upstream.metrics import UpstreamMetrics

_RSET: Final = b"RSET\r\n"
_LONE_DOT: Final = b".\r\n"
_ANY: Final = 1000  # above every reply code


class Opener(Protocol):
    """Opens connections: `connect.Connector`, and the in-process upstream of the tests."""

    @property
    def name(self) -> str:
        """Where it connects to, as "host:port"."""

    async def open(self) -> Connection:
        """Return a ready connection, or raise HandshakeError."""


class Pool:
    """The connections to one upstream."""

    __slots__ = (
        "_backoff",
        "_clock",
        "_closing",
        "_emptied",
        "_events",
        "_idle",
        "_limits",
        "_live",
        "_metrics",
        "_opener",
        "_waiting",
        "connecting",
        "name",
        "not_before",
    )

    def __init__(
        self,
        opener: Opener,
        limits: groups.Pool,
        *,
        metrics: UpstreamMetrics,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        """Open nothing yet; `clock` gives monotonic seconds."""
        self.name = opener.name
        self.not_before = 0.0
        self.connecting = 0
        self._opener = opener
        self._limits = limits
        self._metrics = metrics
        self._events = events
        self._clock = clock
        self._backoff = 0.0
        self._closing = False
        self._emptied = asyncio.Event()
        self._idle: list[Connection] = []
        self._live: set[Connection] = set()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def idle(self) -> int:
        """Connections that are ready for a transaction."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Connections that carry a transaction, or wait for the reply to RSET or QUIT."""
        return len(self._live) - len(self._idle)

    def take(self) -> Connection | None:
        """Return the connection used last, or None."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        connection.reused = True
        self._metrics.reused()
        return connection

    async def acquire(self) -> Connection:
        """Return a connection: ready, new, or one that comes back within `limits.wait` seconds.

        Raises HandshakeError.
        """
        ready = self.take()
        if ready is not None:
            return ready
        if self._room > 0:
            self.connecting += 1
            return await self._open()
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        began = self._clock()
        try:
            async with asyncio.timeout(self._limits.wait):
                given = await turn
        except BaseException as error:
            self._pass_on(turn)
            if isinstance(error, TimeoutError):
                text = f"all {self._limits.connections} connections are busy"
                raise HandshakeError("connect", text) from None
            raise
        finally:
            self._metrics.pool_waited(self._clock() - began)
        if given is None:
            return await self._open()
        given.reused = True
        self._metrics.reused()
        return given

    def owns(self, connection: Connection) -> bool:
        """Whether `connection` was opened by this pool."""
        return connection in self._live

    def give_back(self, connection: Connection) -> None:
        """Take back a connection on which no transaction is open, and count its message."""
        connection.user = None
        if not connection.alive:
            return
        connection.messages += 1
        now = connection.since = self._clock()
        most = connection.features.messages or self._limits.messages
        if (
            self._closing
            or connection.messages >= min(most, self._limits.messages)
            or now - connection.opened >= self._limits.age
        ):
            connection.quit()
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        self._idle.append(connection)

    def tick(self, now: float) -> None:
        """Close connections that were idle for too long, and give up on overdue replies."""
        for connection in tuple(self._live):
            connection.tick(now)
        while self._idle and now - self._idle[0].since >= self._limits.idle:
            self._idle.pop(0).quit()

    async def close(self) -> None:
        """Send QUIT on every idle connection, and wait until all connections are closed."""
        self._closing = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.quit()
        while self._live:
            self._emptied.clear()
            await self._emptied.wait()

    def drop_all(self) -> None:
        """Close every connection at once."""
        for connection in tuple(self._live):
            connection.abort()

    @property
    def _room(self) -> int:
        return self._limits.connections - len(self._live) - self.connecting

    async def _open(self) -> Connection:
        """Open a connection that `connecting` counts already."""
        try:
            connection = await self._opener.open()
        except BaseException as error:
            self.connecting -= 1
            self._wake()
            if isinstance(error, HandshakeError):
                self._backoff = min(max(1.0, self._backoff * 2), self._limits.backoff)
                self.not_before = self._clock() + self._backoff
                self._report(error)
            raise
        self.connecting -= 1
        self._live.add(connection)
        connection.on_close(self._closed)
        self._backoff = self.not_before = 0.0
        self._metrics.handshake(ok=True)
        return connection

    def _report(self, error: HandshakeError) -> None:
        self._metrics.handshake(ok=False)
        self._events.emit(
            UpstreamFault(error.stage, self.name, error.text, certificate=error.certificate)
        )
        if error.code:
            self._events.emit(ReplyReceived(stage=error.stage, code=error.code, provider=OTHER))

    def _closed(self, connection: Connection) -> None:
        self._live.discard(connection)
        if not self._live:
            self._emptied.set()
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    def _wake(self) -> None:
        """Let the first waiter open a connection of its own, where the limit allows it."""
        while self._waiting and self._room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                self.connecting += 1
                turn.set_result(None)

    def _pass_on(self, turn: asyncio.Future[Connection | None]) -> None:
        """Hand on what a waiter was given in the moment in which it was cancelled."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled():
            given = turn.result()
            if given is None:
                self.connecting -= 1
                self._wake()
            else:
                given.messages -= 1
                self.give_back(given)


class _Cleaning:
    """The user of a connection while a last command makes it fit for another transaction."""

    __slots__ = ("_below", "_connection", "_pools")

    def __init__(self, pools: Failover, connection: Connection, below: int) -> None:
        """A reply code under `below` means that the connection is clean."""
        self._pools = pools
        self._connection = connection
        self._below = below

    def replied(self, replies: list[UpstreamReply], fault: str | None) -> None:
        """Give the connection back, or close it."""
        if fault is None and replies[0].code < self._below:
            self._pools.give_back(self._connection)
        else:
            self._connection.abort()

    def upstream_paused(self, unsent: int) -> None:
        """Do nothing: no content is sent."""

    def upstream_resumed(self) -> None:
        """Do nothing."""

    def upstream_crashed(self) -> None:
        """Do nothing: the connection is closed."""


class Failover:
    """The pools of all upstreams, in order of preference, and what their deliveries report to."""

    __slots__ = ("_clock", "events", "metrics", "pools")

    def __init__(
        self,
        pools: Sequence[Pool],
        *,
        metrics: UpstreamMetrics,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        """`pools` come in order of preference; `clock` gives monotonic seconds."""
        self.pools = tuple(pools)
        self.metrics = metrics
        self.events = events
        self._clock = clock

    def take(self) -> Connection | None:
        """Return an idle connection to the preferred upstream that is not in back-off, or None."""
        now = self._clock()
        for pool in self.pools:
            if pool.not_before <= now:
                return pool.take()
        return None

    async def acquire(self) -> Connection:
        """Return a connection to the first upstream that gives one.

        An upstream in back-off is asked last rather than never: with all of them down the newest
        failure is the one reported. Raises the last HandshakeError.
        """
        now = self._clock()
        last: HandshakeError | None = None
        for pool in sorted(self.pools, key=lambda pool: pool.not_before > now):
            try:
                return await pool.acquire()
            except HandshakeError as error:
                last = error
        assert last is not None  # noqa: S101 - settings refuse an empty list of upstreams
        raise last

    def give_back(self, connection: Connection) -> None:
        """Take back a connection on which no transaction is open."""
        for pool in self.pools:
            if pool.owns(connection):
                pool.give_back(connection)

    def reset(self, connection: Connection) -> None:
        """End an open transaction with RSET, then take the connection back."""
        if connection.alive:
            connection.user = _Cleaning(self, connection, INTERMEDIATE)
            connection.exchange([_RSET])

    def end_empty_message(self, connection: Connection) -> None:
        """Send the final dot after a 354 without recipients (RFC 2920 3.1), then take it back."""
        connection.user = _Cleaning(self, connection, _ANY)
        connection.exchange([_LONE_DOT])

    def tick(self, now: float) -> None:
        """Tell every pool the time."""
        for pool in self.pools:
            pool.tick(now)

    async def close(self, grace: float) -> None:
        """Send QUIT everywhere; what has not closed after `grace` seconds is aborted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.gather(*(pool.close() for pool in self.pools))
        for pool in self.pools:
            pool.drop_all()
