"""One connection to an upstream, with pipelined commands (RFC 2920).

`connect.py` opens the connection with aiosmtplib and hands the live transport over; from then on
this protocol alone reads and writes. One exchange is in flight at a time: the commands of a group
leave in one write, and the connection's user gets all replies in one call, or those that came
before a fault.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from relay.reply import FIT, UpstreamReply, from_upstream
from relay.settings.groups import UpstreamTimeouts
from relay.smtp.write_buffer import WriteBuffer

_logger = logging.getLogger(__name__)

_SEPARATORS: Final = (b" ", b"-", b"\r", b"\n", b"\t")  # after the code (RFC 5321 4.2.1)
_LARGE: Final = 16384  # octets that are not worth holding back
_HIGH_WATER: Final = 16_384  # octets unsent from which the client is held back
_LONGEST_REPLY: Final = 65536  # octets, all lines of one exchange's unread replies
_CLOSING: Final = b"421"
_CODE: Final = 3  # octets of a reply code
_QUIT: Final = 5.0  # seconds for the reply to QUIT


class Features(NamedTuple):
    """What the upstream's EHLO offered."""

    pipelining: bool = False
    size: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    messages: int = 0  # LIMITS MAILMAX (RFC 9422), 0: not said


class User(Protocol):
    """Who uses a connection: a session for its transaction, or the pool to clean it."""

    def replied(self, replies: list[UpstreamReply], fault: str | None) -> None:
        """Take one reply for each command of the exchange, or fewer and why no more will come."""

    def upstream_paused(self, unsent: int) -> None:
        """Send no more content for now: the upstream has not read `unsent` octets yet."""

    def upstream_resumed(self) -> None:
        """Send content again."""

    def upstream_crashed(self) -> None:
        """Give up on the exchange: `replied` raised an exception, and the connection is closed."""


class Connection(asyncio.Protocol):
    """A connection to one upstream, past EHLO, STARTTLS and AUTH."""

    __slots__ = (
        "_buffer",
        "_clock",
        "_closed",
        "_deadline",
        "_expected",
        "_last_reply",
        "_replies",
        "_sent",
        "_timeout",
        "_timeouts",
        "_transport",
        "_unsent",
        "_write_buffer",
        "alive",
        "awaiting",
        "features",
        "messages",
        "name",
        "opened",
        "reused",
        "since",
        "took",
        "turned_away",
        "user",
        "utf8",
    )

    def __init__(
        self,
        name: str,
        transport: asyncio.Transport,
        features: Features,
        *,
        timeouts: UpstreamTimeouts,
        clock: Callable[[], float],
        write_buffer: WriteBuffer,
    ) -> None:
        """`name` is "host:port"; `clock` gives monotonic seconds."""
        self.name = name
        self.features = features
        self.alive = True
        self.awaiting = False
        """A reply is due."""
        self.messages = 0
        """Messages carried."""
        self.reused = False
        """The upstream may have closed it since it last replied: worth one more connection."""
        self.opened = self.since = self._sent = clock()
        self.took = 0.0
        """Seconds between the last exchange's commands and its last reply."""
        self.turned_away = False
        """The upstream said 421 in place of its first replies: it may have too many connections."""
        self.utf8 = False
        """The client of the present transaction understands UTF-8 in replies."""
        self.user: User | None = None
        self._transport = transport
        transport.set_write_buffer_limits(_HIGH_WATER)
        self._write_buffer = write_buffer
        self._timeouts = timeouts
        self._clock = clock
        self._buffer = b""
        self._replies: list[UpstreamReply] = []
        self._last_reply = UpstreamReply(0, b"")
        self._expected = 0
        self._unsent: list[bytes] = []
        self._timeout: float | None = None
        self._deadline: float | None = None
        self._closed: Callable[[Connection], None] | None = None

    def on_close(self, closed: Callable[[Connection], None]) -> None:
        """Call `closed` once, when this connection can carry nothing more."""
        self._closed = closed

    def exchange(self, lines: Sequence[bytes], timeout: float | None = None) -> None:
        """Send command lines, each with its CRLF; `user.replied` gets one reply for each.

        With PIPELINING all lines leave in one write, otherwise each waits for the reply to the one
        before. `timeout` is the longest wait for a reply in seconds.
        """
        self.awaiting = True
        self._expected = number = len(lines)
        self._timeout = seconds = timeout or self._timeouts.command
        self._sent = sent = self._clock()
        self._deadline = sent + seconds
        if number == 1:
            self._write_buffer.write(self._transport, lines[0])
        elif self.features.pipelining:
            self._write_buffer.write(self._transport, b"".join(lines))
        else:
            self._unsent = list(lines[:0:-1])
            self._write_buffer.write(self._transport, lines[0])

    def begin_content(self) -> None:
        """Expect content: a reply that comes before `end_content` goes to the user as well."""
        self.awaiting = True
        self._expected = 1
        self._timeout = self._deadline = None

    def write(self, content: bytes) -> None:
        """Send content as it is. No command waits in the write buffer: 354 answered the last."""
        if self.alive and not self._transport.is_closing():
            self._transport.write(content)

    def end_content(self, tail: bytes) -> None:
        """Send the end of the content; the reply may take `timeouts.final` seconds."""
        self._timeout = self._timeouts.final
        self._sent = self._clock()
        self._deadline = self._sent + self._timeout
        if len(tail) > _LARGE:
            self.write(tail)
        else:
            self._write_buffer.write(self._transport, tail)

    def tick(self, now: float) -> None:
        """Give up on a reply that is overdue."""
        if self._deadline is not None and now >= self._deadline:
            self.reused = False  # silent, not closed: another connection would be silent as well
            self._fail("timed out")

    def abort(self) -> None:
        """Close the connection at once: an unfinished message stays unfinished."""
        self.user = None
        self._fail("dropped")

    def quit(self) -> None:
        """Send QUIT, and close at the reply (RFC 5321 4.1.1.10)."""
        if self.alive:
            self.user = None
            self.exchange([b"QUIT\r\n"], timeout=_QUIT)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Take replies: RFC 5321 4.2.1."""
        same = data == self._last_reply.wire
        if same and self._expected == 1 and not (self._replies or self._buffer):
            self._replies.append(self._last_reply)  # as to one RCPT after another
            self._received(1)
            return
        if self._buffer:
            data = self._buffer + data
        due = self._expected - len(self._unsent) - len(self._replies)
        start = line = 0
        end = data.find(b"\n")
        while end >= 0 and due > 0:
            code = data[line : line + _CODE]
            after = data[line + _CODE : line + _CODE + 1] if end - line >= _CODE else b""
            coded = code.isdigit() and b"2" <= code < b"6" and after in _SEPARATORS
            if (coded or line == start) and not (coded and code[:1] == data[start : start + 1]):
                self._fail("garbage instead of a reply")
                return
            line = end + 1
            if coded and after != b"-":
                octets = data[start:line]
                if FIT.fullmatch(octets) is not None:
                    reply = self._last_reply = UpstreamReply(int(code), octets)
                else:
                    reply = from_upstream(code, octets, utf8=self.utf8)
                if code == _CLOSING:
                    self.turned_away = self.awaiting and not self.reused
                    self._fail(f"upstream said {str(reply)[:200]}")
                    return
                self._replies.append(reply)
                due -= 1
                start = line
            end = data.find(b"\n", line)
        self._buffer = data[start:]
        self._received(len(self._replies))

    def _received(self, number: int) -> None:
        """Hand over a complete exchange; close a connection that sent more than was asked for.

        The replies that were asked for count: an upstream that says 421 behind its 250 to the final
        dot has the message. What follows them would be taken for the reply to the next command, and
        so on for every command after it: the connection is closed before its user goes on.
        """
        sent = self._expected - len(self._unsent)
        surplus = number == sent and self._buffer != b""
        if not self.awaiting or (surplus and number < self._expected):
            self._fail("unasked reply")
        elif number == self._expected:
            self._timeout = self._deadline = None
            self.took = self._clock() - self._sent
            if surplus:
                self._end()
            self._hand_over(None)
        elif len(self._buffer) > _LONGEST_REPLY:
            self._fail("reply too long")
        elif number == sent:
            self._deadline = self._clock() + (self._timeout or 0.0)
            self._write_buffer.write(self._transport, self._unsent.pop())

    def eof_received(self) -> None:
        """Treat a half-closed connection as closed."""
        self._fail("upstream closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the user."""
        self._fail(f"connection lost: {exc}" if exc else "upstream closed the connection")

    def pause_writing(self) -> None:
        """Pass the upstream's slowness on to the client."""
        self._deadline = self._clock() + self._timeouts.body
        if self.user is not None:
            self.user.upstream_paused(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Let the client send again."""
        self._deadline = None if self._timeout is None else self._clock() + self._timeout
        if self.user is not None:
            self.user.upstream_resumed()

    def _fail(self, fault: str) -> None:
        """Close the connection, and tell the user if it waits for a reply."""
        if not self.alive:
            return
        self._end()
        if self.awaiting:
            self._hand_over(fault)

    def _end(self) -> None:
        """Close the connection: nothing more is read from it or written to it."""
        self.alive = False
        self._deadline = None
        self._write_buffer.discard(self._transport)
        self._transport.abort()
        if self._closed is not None:
            self._closed(self)

    def _hand_over(self, fault: str | None) -> None:
        """Give the user the replies; without a user they are the reply to QUIT."""
        self.awaiting = False
        replies, self._replies = self._replies, []
        user = self.user
        if user is None:
            self._fail("dropped")
            return
        try:
            user.replied(replies, fault)
        except Exception:
            _logger.exception("Handling a reply of upstream %s failed", self.name)
            self.abort()
            user.upstream_crashed()
