"""The client side: one upstream connection that takes pipelined commands (RFC 2920).

`connect.py` opens it with aiosmtplib and hands the live transport over; from then on this protocol
alone reads and writes. One exchange is in flight at a time: the commands of a group go out in one
write, and its callback runs once, with all replies or with those that came before the fault.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from relay.reply import UpstreamReply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from relay.smtp.write_buffer import Outbox

    Done: TypeAlias = "Callable[[list[UpstreamReply], Fault | None], None]"

_logger = logging.getLogger(__name__)

_SEPARATORS: Final = (b" ", b"-", b"\r", b"\n")  # after the code (RFC 5321 4.2.1)
_LARGE: Final = 16384  # octets that are not worth holding back
_LONGEST_REPLY: Final = 65536  # octets, all lines of one exchange's unread replies
_CLOSING: Final = b"421"
_CODE: Final = 3  # octets of a reply code


class Fault(NamedTuple):
    """Why a connection is of no more use. `text` is for people."""

    text: str


class Features(NamedTuple):
    """What the upstream's EHLO offered."""

    pipelining: bool = False
    size: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    messages: int = 0  # LIMITS MAILMAX (RFC 9422), 0: not said


class Timeouts(NamedTuple):
    """Seconds without an answer (RFC 5321 4.5.3.2)."""

    command: float
    body: float
    final: float


class User(Protocol):
    """Whoever sends content over a connection, and so must know how it fares."""

    def upstream_paused(self) -> None:
        """Stop sending content for now: the upstream reads slower than the client writes."""

    def upstream_resumed(self) -> None:
        """Go on sending."""

    def upstream_crashed(self) -> None:
        """Give up: our own code failed on a reply."""


class Connection(asyncio.Protocol):
    """A connection to one upstream, past EHLO, STARTTLS and AUTH."""

    __slots__ = (
        "_asked",
        "_buffer",
        "_clock",
        "_closed",
        "_deadline",
        "_done",
        "_got",
        "_last",
        "_lines",
        "_outbox",
        "_patience",
        "_timeouts",
        "_transport",
        "_wanted",
        "alive",
        "features",
        "messages",
        "name",
        "opened",
        "reused",
        "since",
        "took",
        "user",
    )

    def __init__(
        self,
        name: str,
        transport: asyncio.Transport,
        features: Features,
        timeouts: Timeouts,
        clock: Callable[[], float],
        outbox: Outbox,
    ) -> None:
        """`name` is "host:port"; `clock` gives seconds, and never goes back."""
        self.name = name
        self.features = features
        self.alive = True
        self.messages = 0
        self.reused = False
        self.opened = self.since = self._asked = clock()
        self.took = 0.0
        self.user: User | None = None
        self._transport = transport
        self._outbox = outbox
        self._timeouts = timeouts
        self._clock = clock
        self._buffer = b""
        self._got: list[UpstreamReply] = []
        self._last = UpstreamReply(0, b"")
        self._wanted = 0
        self._lines: list[bytes] = []
        self._done: Done | None = None
        self._patience: float | None = None
        self._deadline: float | None = None
        self._closed: Callable[[Connection], None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a reply is due."""
        return self._done is not None

    def on_close(self, closed: Callable[[Connection], None]) -> None:
        """Call `closed` once, when this connection has become useless."""
        self._closed = closed

    def exchange(
        self,
        lines: Sequence[bytes],
        done: Done,
        timeout: float | None = None,
    ) -> None:
        """Send `lines`, each with CRLF, and give `done` one reply for each.

        With PIPELINING they leave in one write, otherwise one by one.
        """
        if not self.alive:
            done([], Fault("connection closed"))
            return
        self._done = done
        self._wanted = number = len(lines)
        self._patience = patience = timeout or self._timeouts.command
        self._asked = asked = self._clock()
        self._deadline = asked + patience
        if number == 1:
            self._outbox.write(self._transport, lines[0])
        elif self.features.pipelining:
            self._outbox.write(self._transport, b"".join(lines))
        else:
            self._lines = list(lines[:0:-1])
            self._outbox.write(self._transport, lines[0])

    def send_content(self, done: Done) -> None:
        """Prepare for content: a reply that comes before `finish` goes to `done` as well."""
        self._done = done
        self._wanted = 1
        self._patience = self._deadline = None

    def write(self, content: bytes) -> None:
        """Send content as it is."""
        self._outbox.write_now(self._transport, content)

    def finish(self, tail: bytes) -> None:
        """Send the end of the content; the reply to it is awaited for `final` seconds."""
        self._patience = self._timeouts.final
        self._asked = self._clock()
        self._deadline = self._asked + self._patience
        if len(tail) > _LARGE:
            self._outbox.write_now(self._transport, tail)
        else:
            self._outbox.write(self._transport, tail)

    def tick(self, now: float) -> None:
        """Give up on an answer that is overdue."""
        if self._deadline is not None and now >= self._deadline:
            self._fail("timed out")

    def abort(self) -> None:
        """Drop the connection at once: an unfinished message stays unfinished."""
        self._done = None
        self._fail("dropped")

    def quit(self) -> None:
        """Say QUIT and close (RFC 5321 4.1.1.10)."""
        if self.alive:
            self.exchange([b"QUIT\r\n"], lambda _replies, _fault: self.abort(), timeout=5.0)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Take replies: RFC 5321 4.2.1."""
        got = self._got
        if data == self._last.wire and self._wanted == 1 and not (got or self._buffer):
            got.append(self._last)  # the same words again, as to one RCPT after another
            self._took_replies(1)
            return
        if self._buffer:
            data = self._buffer + data
        start = line = 0
        end = data.find(b"\n")
        while end >= 0:
            code = data[line : line + _CODE]
            after = data[line + _CODE : line + _CODE + 1] if end - line >= _CODE else b""
            if not (code.isdigit() and b"2" <= code < b"6" and after in _SEPARATORS):
                self._fail("garbage instead of a reply")
                return
            line = end + 1
            if after != b"-":
                reply = UpstreamReply(int(code), data[start:line])
                if code == _CLOSING:
                    self._fail(f"upstream said {str(reply)[:200]}")
                    return
                got.append(reply)
                self._last = reply
                start = line
            end = data.find(b"\n", line)
        self._buffer = data[start:]
        self._took_replies(len(got))

    def _took_replies(self, number: int) -> None:
        """Answer a complete exchange; what nobody asked for makes the connection useless.

        A reply too many would be taken for the answer to the next command, and every one after it
        for the answer to the next but one.
        """
        wanted = self._wanted
        if number == wanted and not self._buffer and self._done is not None:
            self._patience = self._deadline = None
            self.took = self._clock() - self._asked
            self._tell(None)
        elif number >= wanted or self._done is None:
            self._fail("unasked reply")
        elif len(self._buffer) > _LONGEST_REPLY:
            self._fail("reply too long")
        elif self._lines and number == wanted - len(self._lines):
            self._deadline = self._clock() + (self._patience or 0.0)
            self._outbox.write(self._transport, self._lines.pop())

    def eof_received(self) -> None:
        """Treat a half-closed connection as closed."""
        self._fail("upstream closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._fail(f"connection lost: {exc}" if exc else "upstream closed the connection")

    def pause_writing(self) -> None:
        """Pass the upstream's slowness on to the client."""
        self._deadline = self._clock() + self._timeouts.body
        if self.user is not None:
            self.user.upstream_paused()

    def resume_writing(self) -> None:
        """Let the client go on."""
        self._deadline = None if self._patience is None else self._clock() + self._patience
        if self.user is not None:
            self.user.upstream_resumed()

    def _fail(self, text: str) -> None:
        if not self.alive:
            return
        self.alive = False
        self._deadline = None
        self._outbox.forget(self._transport)
        self._transport.abort()
        if self._closed is not None:
            self._closed(self)
        self._tell(Fault(text))

    def _tell(self, fault: Fault | None) -> None:
        done, self._done = self._done, None
        got, self._got = self._got, []
        if done is None:
            return
        try:
            done(got, fault)
        except Exception:
            _logger.exception("Handling a reply of upstream %s failed", self.name)
            user, self.user = self.user, None
            self.abort()
            if user is not None:
                user.upstream_crashed()


def as_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """Return `transport` as what `create_connection` and `start_tls` really give."""
    return cast("asyncio.Transport", transport)
