"""What happened to a recipient, a message, an upstream: one schema for metrics and log.

Events are named tuples: immutable, and the cheapest object CPython can build. The transaction
emits one Recipient for each RCPT and one Message for each transaction; the upstream emits the
rest. A sink reads an event and keeps no more of it than it must.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

_logger = logging.getLogger(__name__)

NO_REASON: Final = "none"
"""The reason of a recipient that was accepted."""

Result: TypeAlias = Literal["relayed", "refused", "deferred", "aborted"]
Stage: TypeAlias = Literal[
    "connect", "banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "final"
]


class Recipient(NamedTuple):
    """One RCPT command was answered."""

    message_id: str
    """presend's own id of the transaction, the same in Message and in the Received header."""
    address: str
    """The recipient as the client gave it."""
    verdict: str
    """`accept`, `defer` or `reject`: what the validators said, not what the upstream said."""
    reason: str
    """A value of `validators.verdict.Reason`, or NO_REASON."""
    detail: str
    """What the deciding finding adds to its reason; empty when it adds nothing."""
    observed: tuple[str, ...]
    """Reasons that were found in shadow mode and did not count."""
    code: int
    """Reply code given to the client."""
    upstream_code: int = 0
    """Reply code of the upstream; 0 when it was not asked or did not answer."""
    enhanced: str = ""
    """Enhanced status code (RFC 3463) of the upstream's reply, such as `5.1.1`."""
    provider: str = "other"
    """Mailbox provider of the domain, found by MX suffix."""


class Message(NamedTuple):
    """One transaction ended, whichever way."""

    message_id: str
    sender: str
    """The envelope sender as given; empty for the null sender."""
    result: Result
    """`relayed`: the upstream took it; `refused`: 5xx; `deferred`: 4xx; `aborted`: no final reply
    was given, because the client reset, quit or vanished."""
    code: int
    """Reply code given to the client; 0 when none was."""
    stage: str
    """Command or upstream stage that settled the result, such as `final`."""
    upstream: str
    """`host:port`; empty when none was reached."""
    recipients: int
    """Recipients the upstream accepted."""
    size: int
    """Octets of content taken from the client."""
    seconds: float
    """From MAIL to the end."""
    validation_seconds: float
    """The part of it that was spent judging recipients."""
    reply: str
    """Text of the last reply; for the log only."""


class UpstreamReply(NamedTuple):
    """The upstream answered at any stage but RCPT, whose replies are in Recipient."""

    stage: Stage
    code: int
    provider: str
    enhanced: str = ""
    """Enhanced status code (RFC 3463), such as `5.1.1`; empty when there was none."""


class UpstreamFault(NamedTuple):
    """A connection to the upstream failed, was cut, timed out or spoke nonsense."""

    stage: Stage
    upstream: str
    """`host:port`."""
    error: str
    certificate: bool = False
    """The upstream's certificate was refused: a person has to look, retrying will not help."""


Event: TypeAlias = Recipient | Message | UpstreamReply | UpstreamFault


class Sink(Protocol):
    """Takes every event, at once and without waiting."""

    def emit(self, event: Event, /) -> None:
        """Take one event."""


class Fanout:
    """Hands each event to every sink, in the order given; a sink that raises never breaks mail."""

    __slots__ = ("_failed", "_sinks")

    def __init__(self, sinks: Iterable[Sink]) -> None:
        """Bind the sinks once."""
        self._sinks = tuple(sink.emit for sink in sinks)
        self._failed: set[Callable[[Event], None]] = set()

    def emit(self, event: Event) -> None:
        """Hand on one event; the first failure of each sink is logged, with its traceback."""
        for emit in self._sinks:
            try:
                emit(event)
            except Exception:
                if emit not in self._failed:
                    self._failed.add(emit)
                    _logger.exception("An event sink failed; its further failures are not logged")
