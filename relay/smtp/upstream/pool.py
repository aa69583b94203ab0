"""Connections kept ready: one bounded pool an upstream, ordered failover across upstreams.

A transaction takes a ready connection without waiting, or opens one, or waits its turn. What comes
back clean is kept; what has carried enough messages, or is too old, says QUIT.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from relay.smtp.upstream.connect import HandshakeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.smtp.upstream.connection import Connection


class PoolLimits(NamedTuple):
    """Bounds of one upstream's pool; times in seconds."""

    connections: int
    idle: float
    messages: int
    age: float
    wait: float
    backoff: float


class Opener(Protocol):
    """What opens a connection: `connect.Connector`, and fakes in tests."""

    @property
    def name(self) -> str:
        """Where it connects to, as "host:port"."""

    async def open(self) -> Connection:
        """Return a ready connection, or raise HandshakeError."""


class PoolObserver(Protocol):
    """Who is told of handshakes and waits, for metrics and the log."""

    def handshake(self, upstream: str, error: HandshakeError | None) -> None:
        """A handshake ended: `error` says how, None that it went well."""

    def reused(self) -> None:
        """A transaction found a ready connection: a handshake saved."""

    def waited(self, seconds: float) -> None:
        """A transaction waited `seconds` for a connection."""


class Pool:
    """The connections to one upstream."""

    __slots__ = (
        "_backoff",
        "_clock",
        "_emptied",
        "_idle",
        "_limits",
        "_live",
        "_observer",
        "_opener",
        "_waiting",
        "connecting",
        "name",
        "not_before",
    )

    def __init__(
        self,
        opener: Opener,
        limits: PoolLimits,
        observer: PoolObserver,
        clock: Callable[[], float],
    ) -> None:
        """Open nothing yet."""
        self.name = opener.name
        self.not_before = 0.0
        self.connecting = 0
        self._opener = opener
        self._limits = limits
        self._observer = observer
        self._clock = clock
        self._backoff = 0.0
        self._emptied = asyncio.Event()
        self._idle: list[Connection] = []
        self._live: set[Connection] = set()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def idle(self) -> int:
        """Connections ready for a transaction."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Connections that carry a transaction, or say QUIT."""
        return len(self._live) - len(self._idle)

    def take(self) -> Connection | None:
        """Return the connection used last, or None."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        connection.reused = True
        self._observer.reused()
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
            self._observer.waited(self._clock() - began)
        if given is None:
            return await self._open()
        given.reused = True
        self._observer.reused()
        return given

    def holds(self, connection: Connection) -> bool:
        """Whether `connection` is one of this pool's."""
        return connection in self._live

    def give_back(self, connection: Connection) -> None:
        """Take a connection back in a clean state, and count the message it carried."""
        connection.user = None
        if not connection.alive:
            return
        connection.messages += 1
        now = connection.since = self._clock()
        most = connection.features.messages or self._limits.messages
        if (
            connection.messages >= min(most, self._limits.messages)
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
        """Close what idles too long, and give up on overdue answers."""
        for connection in tuple(self._live):
            connection.tick(now)
        while self._idle and now - self._idle[0].since >= self._limits.idle:
            self._idle.pop(0).quit()

    async def close(self) -> None:
        """Say QUIT on every ready connection, and wait until all are closed."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.quit()
        while self._live:
            self._emptied.clear()
            await self._emptied.wait()

    def drop_all(self) -> None:
        """Close everything at once."""
        for connection in tuple(self._live):
            connection.abort()

    @property
    def _room(self) -> int:
        return self._limits.connections - len(self._live) - self.connecting

    async def _open(self) -> Connection:
        """Open a connection; its place has been counted under `connecting` already."""
        try:
            connection = await self._opener.open()
        except BaseException as error:
            self.connecting -= 1
            self._wake()
            if isinstance(error, HandshakeError):
                self._backoff = min(max(1.0, self._backoff * 2), self._limits.backoff)
                self.not_before = self._clock() + self._backoff
                self._observer.handshake(self.name, error)
            raise
        self.connecting -= 1
        self._live.add(connection)
        connection.on_close(self._closed)
        self._backoff = self.not_before = 0.0
        self._observer.handshake(self.name, None)
        return connection

    def _closed(self, connection: Connection) -> None:
        self._live.discard(connection)
        if not self._live:
            self._emptied.set()
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    def _wake(self) -> None:
        """Let the first in the queue open a connection of its own, where there is room."""
        while self._waiting and self._room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                self.connecting += 1
                turn.set_result(None)

    def _pass_on(self, turn: asyncio.Future[Connection | None]) -> None:
        """Give what a cancelled waiter was handed at the last moment to the next."""
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


class Upstreams:
    """Every upstream, in order of preference."""

    __slots__ = ("_clock", "pools")

    def __init__(self, pools: Sequence[Pool], clock: Callable[[], float]) -> None:
        """`pools` come in order of preference."""
        self.pools = tuple(pools)
        self._clock = clock

    def take(self) -> Connection | None:
        """Return a ready connection to the preferred upstream that is not in back-off, or None."""
        now = self._clock()
        for pool in self.pools:
            if pool.not_before <= now:
                return pool.take()
        return None

    async def acquire(self) -> Connection:
        """Return a connection to the first upstream that gives one.

        An upstream in back-off is asked last, not never: with all of them down the newest answer
        counts. Raises the last HandshakeError.
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
        """Take a connection back in a clean state."""
        for pool in self.pools:
            if pool.holds(connection):
                pool.give_back(connection)

    def tick(self, now: float) -> None:
        """Pass the time on to every pool."""
        for pool in self.pools:
            pool.tick(now)

    async def close(self, grace: float) -> None:
        """Say QUIT everywhere; what has not closed after `grace` seconds is dropped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.gather(*(pool.close() for pool in self.pools))
        for pool in self.pools:
            pool.drop_all()
