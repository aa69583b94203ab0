"""Pools of upstream connections: one bounded pool for each upstream, with ordered failover.

A transaction takes an idle connection without waiting, or opens one, or waits until one is given
back. A connection that has carried enough messages, or is too old, is closed with QUIT. An upstream
that refuses a connection while others of the pool work has a limit, which the pool then keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from relay.observe.events import Events, ReplyReceived, UpstreamFault
from relay.observe.metrics import OTHER
from relay.settings import groups
from relay.smtp.upstream.connect import HandshakeError
from relay.smtp.upstream.connection import Connection
from relay.smtp.upstream.limit import ConnectionLimit
from relay.smtp.upstream.metrics import UpstreamMetrics

_MOST_HANDSHAKES: Final = 20  # at once: each costs more than a message
_Turn: TypeAlias = "asyncio.Future[Connection | None]"
"""A waiter's place in the queue: it is given a connection, or None to open one."""


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
        "_limit",
        "_limits",
        "_live",
        "_metrics",
        "_opener",
        "_waiting",
        "connecting",
        "name",
        "not_before",
        "smtputf8",
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
        self.smtputf8: bool | None = None
        """Whether the upstream offers SMTPUTF8, as its last EHLO said; None before the first."""
        self._opener = opener
        self._limits = limits
        self._limit = ConnectionLimit(limits.connections, limits.backoff)
        self._metrics = metrics
        self._events = events
        self._clock = clock
        self._backoff = 0.0
        self._closing = False
        self._emptied = asyncio.Event()
        self._idle: list[Connection] = []
        self._live: set[Connection] = set()
        self._waiting: deque[_Turn] = deque()

    @property
    def idle(self) -> int:
        """Connections that are ready for a transaction."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Connections that carry a transaction, or wait for the reply to RSET or QUIT."""
        return len(self._live) - len(self._idle)

    @property
    def most(self) -> int:
        """Connections there may be: as configured, or fewer where the upstream refused more."""
        return self._limit.most

    @property
    def limited(self) -> bool:
        """Whether the upstream allows fewer connections than are configured."""
        return self._limit.learned

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
        deadline = asyncio.get_running_loop().time() + self._limits.wait
        room = self._room > 0
        if room:
            self.connecting += 1
            opened = await self._open() or self.take()
            if opened is not None:
                return opened
        return await self._wait(deadline, refused=room)

    async def _wait(self, deadline: float, *, refused: bool) -> Connection:
        """Wait for a connection that comes back, or for room to open one.

        Who was `refused` came before those that wait already, and tries again before them.
        """
        began = self._clock()
        try:
            while True:
                turn: _Turn = asyncio.get_running_loop().create_future()
                (self._waiting.appendleft if refused else self._waiting.append)(turn)
                given = await self._turn(turn, deadline)
                if given is not None:
                    given.reused = True
                    self._metrics.reused()
                    return given
                opened = await self._open() or self.take()
                if opened is not None:
                    return opened
                refused = True
        finally:
            self._metrics.pool_waited(self._clock() - began)

    async def _turn(self, turn: _Turn, deadline: float) -> Connection | None:
        """Return a connection that came back, or None if one is to be opened."""
        try:
            async with asyncio.timeout_at(deadline):
                return await turn
        except BaseException as error:
            self._pass_on(turn)
            if isinstance(error, TimeoutError):
                allowed = " that the upstream allows" if self.limited else ""
                text = f"all {self.most} connections{allowed} are busy"
                raise HandshakeError("connect", text) from None
            raise

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
        if connection.messages == 1 and self._limit.most < self._limit.configured:
            self._limit.proved(now)
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
        self._wake()

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
    def _used(self) -> int:
        return len(self._live) + self.connecting

    @property
    def _room(self) -> int:
        room = self._limit.room(self._used, self._clock())
        return min(room, _MOST_HANDSHAKES - self.connecting)

    async def _open(self) -> Connection | None:
        """Open a connection that `connecting` counts already; None if the upstream has a limit.

        Raises HandshakeError.
        """
        try:
            connection = await self._opener.open()
        except BaseException as error:
            self.connecting -= 1
            limited = isinstance(error, HandshakeError) and self._refused(error)
            self._wake()
            if limited:
                return None
            raise
        self.connecting -= 1
        self._live.add(connection)
        self._limit.opened(self._used, self._clock())
        connection.on_close(self._closed)
        self.smtputf8 = connection.features.smtputf8
        self._backoff = self.not_before = 0.0
        self._metrics.handshake(ok=True)
        if self._used < self.most:  # others may have waited for _MOST_HANDSHAKES
            self._wake()
        return connection

    def _refused(self, error: HandshakeError) -> bool:
        """Report a failed handshake; return whether the upstream has a limit, and is not failing.

        If it is failing and nothing of ours works there, whoever waits gets the same error.
        """
        now, used = self._clock(), self._used
        if error.refused and self._limit.refused(used, now, replied=error.code > 0):
            self._report(error, f"{error.text} (limit of {self.most} connections learned)")
            return True
        self._backoff = min(max(1.0, self._backoff * 2), self._limits.backoff)
        self.not_before = now + self._backoff
        self._report(error, error.text)
        if used == 0:
            waiting, self._waiting = self._waiting, deque()
            for turn in waiting:
                if not turn.done():
                    turn.set_exception(error)
        return False

    def _report(self, error: HandshakeError, text: str) -> None:
        self._metrics.handshake(ok=False)
        self._events.emit(
            UpstreamFault(error.stage, self.name, text, certificate=error.certificate)
        )
        if error.code:
            self._events.emit(ReplyReceived(stage=error.stage, code=error.code, provider=OTHER))

    def _closed(self, connection: Connection) -> None:
        self._live.discard(connection)
        if not self._live:
            self._emptied.set()
        if connection in self._idle:
            self._idle.remove(connection)
        now = self._clock()
        if connection.turned_away and self._limit.refused(self._used, now, replied=True):
            connection.reused = True  # worth another connection
            text = f"upstream said 421 (limit of {self.most} connections learned)"
            self._events.emit(UpstreamFault("mail", self.name, text))
        self._limit.ended(now)
        self._wake()

    def _wake(self) -> None:
        """Let the first waiter open a connection of its own, where the limit allows it."""
        while self._waiting and self._room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                self.connecting += 1
                turn.set_result(None)

    def _pass_on(self, turn: _Turn) -> None:
        """Hand on what a waiter was given in the moment in which it was cancelled."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            given = turn.result()
            if given is None:
                self.connecting -= 1
                self._wake()
            else:
                given.messages -= 1
                self.give_back(given)


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

    async def acquire(self, *, smtputf8: bool = False) -> Connection:
        """Return a connection to the first upstream that gives one.

        An upstream in back-off is asked last rather than never: with all of them down the newest
        failure is the one reported. With `smtputf8`, the first upstream that offers it is preferred
        to all that do not. Raises the last HandshakeError.
        """
        last: HandshakeError | None = None
        order = self._in_order()
        if smtputf8:
            for pool in [pool for pool in order if pool.smtputf8 is not False]:
                try:
                    connection = await pool.acquire()
                except HandshakeError as error:
                    last = error
                    order.remove(pool)
                    continue
                if connection.features.smtputf8:
                    return connection
                pool.give_back(connection)
        for pool in order:
            try:
                return await pool.acquire()
            except HandshakeError as error:
                last = error
        assert last is not None  # noqa: S101 - settings refuse an empty list of upstreams
        raise last

    def _in_order(self) -> list[Pool]:
        now = self._clock()
        return sorted(self.pools, key=lambda pool: pool.not_before > now)

    @property
    def may_offer_smtputf8(self) -> bool:
        """Whether an upstream offers SMTPUTF8, or could not be asked yet."""
        return any(pool.smtputf8 is not False for pool in self.pools)

    def give_back(self, connection: Connection) -> None:
        """Take back a connection on which no transaction is open."""
        for pool in self.pools:
            if pool.owns(connection):
                pool.give_back(connection)

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
