"""What all sessions of a relay share: limits and offers."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from relay import reply as replies
from relay.smtp.server.auth import MECHANISMS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from relay.smtp.server.auth import Credentials
    from relay.smtp.server.doorman import Doorman
    from relay.smtp.server.trace import Trace
    from relay.smtp.transaction import Services
    from relay.smtp.write_buffer import Outbox
    from validators.pipeline import Judgement


class Bounds(NamedTuple):
    """What one client, or all of them, may take."""

    connections: int
    message_size: int  # octets
    recipients: int
    idle: float  # seconds
    bad_commands: int


JudgeSender: TypeAlias = "Callable[[Sequence[str]], list[Judgement] | Awaitable[list[Judgement]]]"
"""Judges senders: a list at once where all is known, else something to wait for."""


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
        "outbox",
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
        judge_sender: JudgeSender,
        doorman: Doorman,
        trace: Trace,
        outbox: Outbox,
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
        self.outbox = outbox
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
