"""What a delivery says to the transaction above it, and what it needs of those around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from relay.observe.events import Events, Stage
    from relay.reply import AnyReply
    from relay.smtp.upstream.connection import Connection


class Asked(Protocol):
    """Takes what the upstream said to a group."""

    def __call__(self, said: Sequence[AnyReply], data: AnyReply | None, /, *, ready: bool) -> None:
        """Take a reply for each RCPT, and for DATA if it was asked; `ready`: content may follow."""


class Connections(Protocol):
    """Where upstream connections come from: `pool.Upstreams`."""

    def take(self) -> Connection | None:
        """Return a ready connection, or None."""

    async def acquire(self) -> Connection:
        """Return a connection, or raise HandshakeError."""

    def give_back(self, connection: Connection) -> None:
        """Take a clean connection back."""


class Services(Protocol):
    """What a delivery needs of the relay: a part of `transaction.Services`."""

    connections: Connections
    events: Events

    def spawn(self, work: Coroutine[object, object, None], /) -> object:
        """Own a task until it ends."""

    def waited(self, stage: Stage, seconds: float, /) -> None:
        """Take note of how long the upstream took to reply."""


class Flow(Protocol):
    """Who sends the content, and can be told to wait: the session."""

    def pause(self) -> None:
        """Read no more from the client for now."""

    def resume(self) -> None:
        """Go on reading."""
