"""Events of the mail path: the one schema from which metrics and log lines are made.

The transaction emits one Recipient for each RCPT and one Message for each transaction. The upstream
side emits ReplyReceived and UpstreamFault. Events are named tuples, because they are immutable and
cheap to build. `Events` buffers them and hands them to its sinks in batches.
"""

import logging
import time
from collections.abc import Callable, Sequence
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
    """presend's id of the transaction; the Message event and the Received header have the same."""
    address: str
    """The recipient as the client gave it."""
    verdict: str
    """`accept`, `defer` or `reject`: the verdict of the validators, whatever the upstream said."""
    reason: str
    """A value of `validators.verdict.Reason`, or NO_REASON."""
    detail: str
    """Detail of the deciding finding; empty when it has none."""
    observed: tuple[str, ...]
    """Reasons that were found in shadow mode and therefore changed no verdict."""
    code: int
    """Reply code given to the client."""
    upstream_code: int = 0
    """Reply code of the upstream; 0 when it was not asked or did not answer."""
    enhanced: str = ""
    """Enhanced status code (RFC 3463) of the upstream's reply, such as `5.1.1`."""
    provider: str = "other"
    """Mailbox provider of the domain, found by MX suffix."""


class Message(NamedTuple):
    """One transaction ended."""

    message_id: str
    """presend's id of the transaction, as in its Recipient events."""
    sender: str
    """The envelope sender as given; empty for the null sender."""
    result: Result
    """`relayed`: the upstream took it; `refused`: 5xx; `deferred`: 4xx; `aborted`: no final reply
    was given, because the client sent RSET or QUIT or disconnected."""
    code: int
    """Reply code given to the client; 0 when none was."""
    stage: str
    """Command or upstream stage that decided the result, such as `final`."""
    upstream: str
    """`host:port`; empty when no upstream was reached."""
    recipients: int
    """Number of recipients the upstream accepted."""
    size: int
    """Octets of content received from the client."""
    seconds: float
    """Time from MAIL to the end of the transaction."""
    validation_seconds: float
    """The part of `seconds` that was spent judging recipients."""
    reply: str
    """Text of the last reply; for the log only."""


class ReplyReceived(NamedTuple):
    """The upstream replied at any stage but RCPT. Replies to RCPT are in Recipient."""

    stage: Stage
    code: int
    provider: str
    """Mailbox provider of the recipients where they share one, else `other`."""
    enhanced: str = ""
    """Enhanced status code (RFC 3463), such as `5.1.1`; empty when there was none."""


class UpstreamFault(NamedTuple):
    """A connection to the upstream failed, was cut, timed out or broke the protocol."""

    stage: Stage
    upstream: str
    """`host:port`."""
    error: str
    """Description of the fault."""
    certificate: bool = False
    """Whether the upstream's certificate was refused. Retrying does not help then."""


Event: TypeAlias = Recipient | Message | ReplyReceived | UpstreamFault
Batch: TypeAlias = Sequence[tuple[float, Event]]
"""Events in the order they were emitted, each with its time in seconds since the epoch."""

CAPACITY: Final = 500
"""Events that are buffered; with the last of them, the caller of `emit` flushes them. A flush of so
many takes the event loop a few milliseconds."""


class Sink(Protocol):
    """A consumer of events, such as the event log and the mail metrics."""

    def take(self, batch: Batch, /) -> None:
        """Process a batch without waiting. The batch must not be changed."""


class Events:
    """A bounded buffer between the mail path, which appends, and the sinks.

    `emit` only appends. `flush` hands all buffered events to each sink, in the order in which the
    sinks were added. The process calls it every 100 ms, before it renders metrics or the status
    page, and at shutdown; a full buffer is flushed at once, so that no event is ever lost.
    """

    __slots__ = ("_buffer", "_capacity", "_clock", "_failed", "_sinks")

    def __init__(self, clock: Callable[[], float] = time.time, *, capacity: int = CAPACITY) -> None:
        """`clock` returns seconds since the epoch."""
        self._clock = clock
        self._capacity = capacity
        self._buffer: list[tuple[float, Event]] = []
        self._sinks: list[Sink] = []
        self._failed: set[int] = set()

    def add_sink(self, sink: Sink) -> None:
        """Hand every further batch to `sink` too."""
        self._sinks.append(sink)

    def emit(self, event: Event) -> None:
        """Append one event to the buffer."""
        self._buffer.append((self._clock(), event))
        if len(self._buffer) >= self._capacity:
            self.flush()

    def flush(self) -> None:
        """Hand the buffered events to each sink.

        A sink that raises affects neither the caller nor the other sinks. Its first failure is
        logged with a traceback.
        """
        if not self._buffer:
            return
        batch, self._buffer = self._buffer, []
        for place, sink in enumerate(self._sinks):
            try:
                sink.take(batch)
            except Exception:
                if place not in self._failed:
                    self._failed.add(place)
                    _logger.exception("An event sink failed; its further failures are not logged")
