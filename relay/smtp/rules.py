"""What all sessions of a relay share: limits, offers, and who is connected."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, NamedTuple

from relay import reply as replies
from relay.reply import TABLE
from relay.smtp.auth import MECHANISMS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from relay.reply import Reply
    from relay.smtp.auth import Credentials
    from relay.smtp.client import Client
    from relay.smtp.trace import Trace
    from relay.smtp.transaction import Services
    from validators.pipeline import Judgement


class Bounds(NamedTuple):
    """What one client, or all of them, may take."""

    connections: int
    message_size: int  # octets
    recipients: int
    idle: float  # seconds
    bad_commands: int


class Doorman:
    """Who may come in, and who is in."""

    __slots__ = ("_emptied", "_most", "_permits", "_refused", "draining", "inside")

    def __init__(
        self, permits: Callable[[str], bool], most: int, refused: Callable[[str], None]
    ) -> None:
        """`permits` tells of an IP address; `refused` counts a cause."""
        self._permits = permits
        self._most = most
        self._refused = refused
        self._emptied = asyncio.Event()
        self.draining = False
        self.inside: set[Client] = set()

    def enter(self, client: Client, peer: str) -> Reply | None:
        """Let `client` in, or return what to say instead of a greeting."""
        if not self._permits(peer):
            self._refused("client")
            return TABLE["CLIENT_REFUSED"]
        if self.draining:
            self._refused("draining")
            return TABLE["DRAINING"]
        if len(self.inside) >= self._most:
            self._refused("connections")
            return TABLE["TOO_MANY_CONNECTIONS"]
        self.inside.add(client)
        return None

    def leave(self, client: Client) -> None:
        """Forget `client`, whether or not it was let in."""
        self.inside.discard(client)
        if not self.inside:
            self._emptied.set()

    async def emptied(self) -> None:
        """Wait until nobody is in."""
        while self.inside:
            self._emptied.clear()
            await self._emptied.wait()


class Rules:
    """Limits and offers; built once, in app.py."""

    __slots__ = (
        "_ids",
        "_prefix",
        "banner",
        "bounds",
        "clock",
        "credentials",
        "doorman",
        "hostname",
        "judge_sender",
        "services",
        "tls",
        "tls_required",
        "trace",
    )

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        hostname: str,
        bounds: Bounds,
        services: Services,
        judge_sender: Callable[[Sequence[str]], list[Judgement] | Awaitable[list[Judgement]]],
        doorman: Doorman,
        trace: Trace,
        clock: Callable[[], float],
        id_prefix: str,
        tls: ssl.SSLContext | None = None,
        tls_required: bool = False,
        credentials: Credentials | None = None,
    ) -> None:
        """`id_prefix` makes message ids of this process unlike those of others."""
        self.hostname = hostname
        self.bounds = bounds
        self.services = services
        self.judge_sender = judge_sender
        self.doorman = doorman
        self.trace = trace
        self.clock = clock
        self.tls = tls
        self.tls_required = tls_required
        self.credentials = credentials
        self.banner = replies.banner(hostname)
        self._prefix = id_prefix
        self._ids = itertools.count(1)

    def next_id(self) -> str:
        """Return a new message id."""
        return f"{self._prefix}{next(self._ids):x}"

    def offers_auth(self, *, tls: bool, loopback: bool) -> bool:
        """Whether AUTH may be used: never where a password would cross a network in clear."""
        return self.credentials is not None and (tls or loopback)

    def ehlo(self, *, tls: bool, loopback: bool) -> bytes:
        """Return the reply to EHLO."""
        keywords = [
            "PIPELINING",
            f"SIZE {self.bounds.message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "ENHANCEDSTATUSCODES",
            f"LIMITS RCPTMAX={self.bounds.recipients}",
            "CHUNKING",
        ]
        if self.tls is not None and not tls:
            keywords.append("STARTTLS")
        if self.offers_auth(tls=tls, loopback=loopback):
            keywords.append("AUTH " + " ".join(MECHANISMS))
        return replies.ehlo(self.hostname, keywords)
